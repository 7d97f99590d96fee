/* Ingest against a real database: what is stored once, joined, answered again, refused. */
#include "tests/unit/ingest_kit.h"

static int setup(void **state)
{
    *state = kit_new(false, NULL);
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

static int clean(void **state)
{
    struct kit *kit = *state;

    ps_testpg_sql(kit->pg, "truncate sample, scan, job, submission, idempotency, missing, upload cascade;"
                           "update master_epoch set epoch = 1");
    ps_ingest_set_epoch(kit->ingest, 1);
    atomic_store(&kit->bands, 0);
    atomic_store(&kit->scans, 0);
    atomic_store(&kit->submissions, 0);
    return 0;
}

static void a_batch_becomes_rows_and_files(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"one", "two", "three", ""};
    struct ps_ingest_request request;
    uint64_t size;
    int fd;

    assert_int_equal(
        kit_submit(kit, texts, 4, ",\"batch\":\"b1\",\"tags\":[\"x\",\"y, \\\"z\\\"\"]", &request), 0);
    assert_int_equal(request.results_n, 4);
    assert_false(request.cut);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(request.results[i].code, 0);
        assert_int_equal(request.results[i].n, i);
        assert_false(request.results[i].known);
        assert_true(request.results[i].submission > 0 && request.results[i].scan > 0);
        assert_int_equal(ps_store_open_sample(kit->store, request.results[i].sha256, &fd, &size), 0);
        assert_int_equal(size, strlen(texts[i]));
        close(fd);
    }
    assert_int_equal(kit_count(kit, "sample"), 4);
    assert_int_equal(
        kit_count(kit, "scan where pending = 4 and cause = 1 and band = 1 and finished_at is null"), 4);
    assert_int_equal(kit_count(kit, "job j join scan s on s.id = j.id / 256 where j.final is null"), 16);
    assert_int_equal(
        kit_count(kit, "job j join engine e on e.id = j.engine_id where required = (e.name = 'clamav')"), 16);
    assert_int_equal(kit_count(kit, "submission where batch = 'b1' and tags = array['x', 'y, \"z\"'] and "
                                    "name like 'file %'"),
                     4);
    assert_int_equal(atomic_load(&kit->bands), 1u << PS_BAND_BATCH);
    assert_int_equal(atomic_load(&kit->submissions), 4);
    ps_ingest_request_fini(&request);
}

/* The same sample twice in one batch, and again later: one file, one scan while that is unfinished. */
static void the_same_sample_joins_its_scan(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"same", "same", "other"};
    struct ps_ingest_request a, b, c, d;

    assert_int_equal(kit_submit(kit, texts, 3, "", &a), 0);
    assert_int_equal(a.results[0].scan, a.results[1].scan);
    assert_int_not_equal(a.results[0].submission, a.results[1].submission);
    assert_int_equal(kit_count(kit, "sample"), 2);
    assert_int_equal(kit_count(kit, "scan"), 2);

    assert_int_equal(kit_submit(kit, texts, 1, "", &b), 0);
    assert_true(b.results[0].known);
    assert_int_equal(b.results[0].scan, a.results[0].scan);
    /* Other engines, or more urgent: a scan of its own. */
    assert_int_equal(kit_submit(kit, texts, 1, ",\"profile\":\"fast\"", &c), 0);
    assert_int_not_equal(c.results[0].scan, a.results[0].scan);
    assert_int_equal(kit_submit(kit, texts, 1, ",\"priority\":\"interactive\"", &d), 0);
    assert_int_not_equal(d.results[0].scan, a.results[0].scan);
    ps_ingest_request_fini(&d);
    /* A batch submission joins the interactive scan just as well: any that is as urgent will do. */
    ps_testpg_sql(kit->pg, "update scan set finished_at = now(), pending = 0 where band = 1");
    assert_int_equal(kit_submit(kit, texts, 3, "", &d), 0);
    assert_int_equal(kit_count(kit, "scan where finished_at is null"), 2);
    assert_int_not_equal(d.results[2].scan, a.results[2].scan);
    assert_true(d.results[2].known);
    ps_ingest_request_fini(&a);
    ps_ingest_request_fini(&b);
    ps_ingest_request_fini(&c);
    ps_ingest_request_fini(&d);
}

static void a_repeated_request_gets_the_same_answer(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request first, again, other;
    struct ps_buf body;

    ps_buf_init(&body, PS_BATCH_BYTES);
    kit_put(&body, 0, "\"name\":\"a\"", "abc", 3);
    kit_put(&body, 1,
            "\"name\":\"b\",\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\"",
            "abd", 3);
    ps_buf_put(&body, "\0\0\0\2[]", 6);
    first = kit_body(&body, "key 1");
    assert_int_equal(kit_ask(kit, &first), 0);
    assert_false(first.replayed);
    again = kit_body(&body, "key 1");
    assert_int_equal(kit_ask(kit, &again), 0);
    assert_true(again.replayed);
    assert_int_equal(again.results_n, 2);
    assert_int_equal(again.results[0].submission, first.results[0].submission);
    assert_int_equal(again.results[0].scan, first.results[0].scan);
    assert_memory_equal(again.results[0].sha256, first.results[0].sha256, 32);
    assert_int_equal(again.results[1].code, PS_ERR_INVALID);
    assert_string_equal(again.results[1].text, first.results[1].text);
    assert_true(again.cut && first.cut);
    assert_int_equal(again.cut_at, first.cut_at);
    assert_string_equal(again.cut_error.text, first.cut_error.text);
    assert_int_equal(kit_count(kit, "submission"), 1);

    body.data[body.len - 1] = 'x';
    other = kit_body(&body, "key 1");
    assert_int_equal(kit_ask(kit, &other), PS_ERR_CONFLICT);
    assert_int_equal(other.results_n, 0);
    ps_ingest_request_fini(&first);
    ps_ingest_request_fini(&again);
    ps_ingest_request_fini(&other);
    ps_buf_fini(&body);
}

/* The same request twice at the same moment, with one key: taken in once. Without: one sample, both acknowledged. */
static void twice_at_the_same_moment(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request twins[20];
    struct ps_buf body;

    ps_buf_init(&body, PS_BATCH_BYTES);
    kit_put(&body, 0, "\"name\":\"a\"", "twin", 4);
    for (int i = 0; i < 20; i++) {
        twins[i] = kit_body(&body, i < 10 ? "twins" : NULL);
        twins[i].arg = kit;
        twins[i].done = kit_done;
        twins[i].owner_id = twins[i].team_id = 1;
        assert_int_equal(ps_ingest_send(kit->ingest, &twins[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(kit_wait(kit)->code, 0);
    assert_int_equal(kit_count(kit, "sample"), 1);
    assert_int_equal(kit_count(kit, "scan"), 1);
    assert_int_equal(kit_count(kit, "submission"), 11);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(twins[i].results[0].code, 0);
        assert_int_equal(twins[i].results[0].scan, twins[0].results[0].scan);
        assert_int_equal(i < 10, twins[i].results[0].submission == twins[0].results[0].submission);
    }
    for (int i = 0; i < 20; i++)
        ps_ingest_request_fini(&twins[i]);
    ps_buf_fini(&body);
}

/* What is wrong with one file is said of that file; the others stand. */
static void one_bad_file_does_not_spoil_the_batch(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;
    struct ps_buf body;

    ps_buf_init(&body, PS_BATCH_BYTES);
    kit_put(&body, 0, "\"name\":\"ok\"", "ok", 2);
    kit_put(&body, 1, "\"name\":\"x\",\"engines\":[\"clamav\",\"norton\"]", "x", 1);
    kit_put(&body, 2, "\"name\":\"y\",\"profile\":\"slow\"", "y", 1);
    kit_put(&body, 3, "\"name\":\"fine\",\"engines\":[\"yara\",\"type\"],\"visibility\":\"owner\"", "fine",
            4);
    request = kit_body(&body, NULL);
    assert_int_equal(kit_ask(kit, &request), 0);
    assert_int_equal(request.results_n, 4);
    assert_int_equal(request.results[0].code, 0);
    assert_int_equal(request.results[1].code, PS_ERR_INVALID);
    assert_non_null(strstr(request.results[1].text, "\"norton\""));
    assert_non_null(strstr(request.results[1].text, "clamav, yara"));
    assert_int_equal(request.results[2].code, PS_ERR_INVALID);
    assert_non_null(strstr(request.results[2].text, "full, fast, mail, custom"));
    assert_int_equal(request.results[3].code, 0);
    assert_int_equal(kit_count(kit, "submission"), 2);
    assert_int_equal(kit_count(kit,
                               "scan s join profile p on p.id = s.profile_id where p.name = 'custom' and "
                               "pending = 2"),
                     1);
    /* Every evilness engine that was named is required. */
    assert_int_equal(kit_count(kit,
                               "job j join engine e on e.id = j.engine_id join scan s on s.id = j.id / 256 "
                               "where s.pending = 2 and j.required = (e.name = 'yara')"),
                     2);
    ps_ingest_request_fini(&request);
    ps_buf_fini(&body);
}

/* What /engines shows may be asked for at once, although it was not among what is kept, which is fresh. The last one:
 * rows of engines stay. */
static void an_engine_of_just_now_may_be_named(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"before", "after"};
    struct ps_ingest_request request;

    assert_int_equal(kit_submit(kit, texts, 1, ",\"engines\":[\"newcomer\"]", &request), 0);
    assert_int_equal(request.results[0].code, PS_ERR_INVALID); /* all is read now */
    ps_ingest_request_fini(&request);
    ps_testpg_sql(kit->pg, "insert into engine (name, kind) values ('newcomer', 2)");
    assert_int_equal(kit_submit(kit, texts, 2, ",\"engines\":[\"newcomer\"]", &request), 0);
    assert_int_equal(request.results[0].code, 0);
    assert_int_equal(request.results[1].code, 0);
    ps_ingest_request_fini(&request);
    assert_int_equal(kit_count(kit, "job j join engine e on e.id = j.engine_id where e.name = 'newcomer'"),
                     2);
}

/* Any bytes may be a name: rows hold valid UTF-8 without control over the page or the database. */
static void names_are_cleaned(void **state)
{
    static char longest[PS_NAME_BYTES + 1];
    struct kit *kit = *state;
    struct ps_ingest_file files[4];
    struct ps_ingest_request request = {.kind = PS_INGEST_FILES, .files = files, .files_n = 4};

    memset(longest, 'n', PS_NAME_BYTES);
    for (int i = 0; i < 4; i++) {
        ps_ingest_file_init(&files[i]);
        files[i].data = ps_bytes_of("z");
        files[i].size = 1;
    }
    files[0].name = (struct ps_bytes){(const uint8_t *)"/etc/a\xff\0b", 9};
    files[1].name = ps_bytes_of("new\nline<script>");
    files[2].name = ps_bytes_of(longest);
    files[3].name = ps_bytes_of("dir/");
    files[3].source_path = (struct ps_bytes){(const uint8_t *)"/x/\xc3", 4};
    assert_int_equal(kit_ask(kit, &request), 0);
    assert_int_equal(kit_count(kit, "submission where name = E'a\\\\xFF\\\\x00b'") +
                         kit_count(kit, "submission where name = E'a\\\\xff\\\\x00b'"),
                     1);
    assert_int_equal(kit_count(kit, "submission where name = E'new\\nline<script>'"), 1);
    assert_int_equal(kit_count(kit, "submission where octet_length(name) = 4096"), 1);
    assert_int_equal(
        kit_count(kit, "submission where name = 'unnamed' and source_path ilike E'/x/\\\\\\\\xc3'"), 1);
    ps_ingest_request_fini(&request);
}

static void a_rescan_is_a_new_scan(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"again"};
    struct ps_ingest_request first;
    struct ps_ingest_file files[2];
    struct ps_ingest_request rescan = {.kind = PS_INGEST_RESCAN, .files = files, .files_n = 2};

    assert_int_equal(kit_submit(kit, texts, 1, "", &first), 0);
    ps_ingest_file_init(&files[0]);
    ps_ingest_file_init(&files[1]);
    memcpy(files[0].sha256, first.results[0].sha256, 32);
    assert_int_equal(kit_ask(kit, &rescan), 0);
    assert_int_equal(rescan.results[0].code, 0);
    assert_true(rescan.results[0].scan > first.results[0].scan);
    assert_int_equal(rescan.results[0].submission, 0);
    assert_int_equal(rescan.results[1].code, PS_ERR_NOTFOUND);
    assert_int_equal(kit_count(kit, "scan where cause = 2 and band = 2"), 1);
    assert_int_equal(kit_count(kit, "submission"), 1);
    ps_ingest_request_fini(&first);
    ps_ingest_request_fini(&rescan);
}

/* The scan that misses an engine gets a child that carries the rest along and runs that engine alone. */
static void a_backfill_runs_what_was_missing(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"late", "unfinished"};
    struct ps_ingest_request first,
        backfill = {.kind = PS_INGEST_BACKFILL, .backfill_engine = "clamav", .backfill_n = 10};

    assert_int_equal(kit_submit(kit, texts, 2, "", &first), 0);
    ps_testpg_sql(
        kit->pg,
        "update scan set finished_at = now(), pending = 0 where id = (select min(id) from scan);"
        "update job set outcome = case when e.name in ('clamav', 'yara') then 10 else 12 end, final = now(),"
        " traits = '{\"a\": 1}' from engine e, scan s"
        " where e.id = engine_id and s.id = job.id / 256 and s.finished_at is not null;"
        "insert into missing select e.id, s.id from engine e, scan s where e.name in ('clamav', 'yara')");
    assert_int_equal(kit_ask(kit, &backfill), 0);
    assert_int_equal(backfill.backfilled, 1);
    assert_int_equal(
        kit_count(kit, "scan c join scan p on p.id = c.parent_id where c.cause = 3 and c.band = 3 and "
                       "c.pending = 1 and c.finished_at is null and p.finished_at is not null"),
        1);
    assert_int_equal(
        kit_count(kit, "job j join scan c on c.id = j.id / 256 where c.cause = 3 and final is not null "
                       "and traits is not null and cached"),
        3);
    assert_int_equal(
        kit_count(kit, "job j join scan c on c.id = j.id / 256 join engine e on e.id = j.engine_id where "
                       "c.cause = 3 and final is null and e.name = 'clamav' and not cached and outcome is "
                       "null"),
        1);
    /* The other engine is still missed, by the child now; the unfinished scan waits. */
    assert_int_equal(kit_count(kit, "missing m join scan c on c.id = m.scan_id where c.cause = 3"), 1);
    assert_int_equal(kit_count(kit, "missing"), 3);
    ps_ingest_request_fini(&backfill);
    assert_int_equal(kit_ask(kit, &backfill), 0);
    assert_int_equal(backfill.backfilled, 0);
    ps_ingest_request_fini(&first);
}

static void a_standby_and_a_superseded_master_do_not_write(void **state)
{
    struct kit *kit = *state;
    const char *texts[] = {"never"};
    struct ps_ingest_request request;

    ps_ingest_set_epoch(kit->ingest, 0);
    assert_int_equal(kit_submit(kit, texts, 1, "", &request), PS_ERR_UNAVAILABLE);
    ps_ingest_request_fini(&request);
    ps_ingest_set_epoch(kit->ingest, 1);
    ps_testpg_sql(kit->pg, "update master_epoch set epoch = 2");
    assert_int_equal(kit_submit(kit, texts, 1, "", &request), PS_ERR_UNAVAILABLE);
    assert_int_equal(atomic_load(&kit->stale), 1);
    ps_ingest_request_fini(&request);
    assert_int_equal(kit_count(kit, "sample"), 0);
    ps_ingest_set_epoch(kit->ingest, 2);
    assert_int_equal(kit_submit(kit, texts, 1, "", &request), 0);
    assert_int_equal(kit_count(kit, "sample"), 1);
    ps_ingest_request_fini(&request);
}

/* As many files as a batch may hold, a second time all of them known, and one file too many. */
static void a_full_batch_is_taken_in(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;
    struct ps_buf body;

    ps_buf_init(&body, PS_BATCH_BYTES);
    for (unsigned i = 0; i < PS_BATCH_FILES + 1; i++) {
        PS_FREE char *text = ps_strf("full %u", i);

        kit_put(&body, i, "\"name\":\"f\",\"batch\":\"full\"", text, strlen(text));
    }
    for (int round = 0; round < 2; round++) {
        request = kit_body(&body, NULL);
        assert_int_equal(kit_ask(kit, &request), 0);
        assert_int_equal(request.results_n, PS_BATCH_FILES);
        assert_true(request.cut);
        assert_int_equal(request.cut_error.code, PS_ERR_LIMIT);
        for (size_t i = 0; i < request.results_n; i++) {
            assert_int_equal(request.results[i].code, 0);
            assert_int_equal(request.results[i].known, round == 1);
        }
        ps_ingest_request_fini(&request);
    }
    assert_int_equal(kit_count(kit, "sample"), PS_BATCH_FILES);
    assert_int_equal(kit_count(kit, "scan"), PS_BATCH_FILES);
    assert_int_equal(kit_count(kit, "submission"), 2 * PS_BATCH_FILES);
    assert_int_equal(kit_count(kit, "job"), 4 * PS_BATCH_FILES);
    ps_buf_fini(&body);
}

static void the_door_refuses_too_much(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request = {.kind = PS_INGEST_BODY, .done = kit_done, .arg = kit};
    static char key[PS_IDEMPOTENCY_KEY_BYTES + 2];

    request.body = (struct ps_bytes){(const uint8_t *)"", PS_BATCH_BYTES + 1};
    assert_int_equal(ps_ingest_send(kit->ingest, &request), PS_ERR_LIMIT);
    memset(key, 'k', sizeof(key) - 1);
    request.body.len = 0;
    request.idempotency_key = key;
    assert_int_equal(ps_ingest_send(kit->ingest, &request), PS_ERR_LIMIT);
    request.idempotency_key = NULL;
    request.kind = PS_INGEST_UPLOAD_CHUNK;
    request.upload_id = "../x";
    assert_int_equal(ps_ingest_send(kit->ingest, &request), PS_ERR_INVALID);
    request.kind = PS_INGEST_BODY;
    assert_int_equal(kit_ask(kit, &request), 0); /* nothing in it is nothing wrong */
    assert_int_equal(request.results_n, 0);
    ps_ingest_request_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_batch_becomes_rows_and_files, clean),
        cmocka_unit_test_setup(the_same_sample_joins_its_scan, clean),
        cmocka_unit_test_setup(a_repeated_request_gets_the_same_answer, clean),
        cmocka_unit_test_setup(twice_at_the_same_moment, clean),
        cmocka_unit_test_setup(one_bad_file_does_not_spoil_the_batch, clean),
        cmocka_unit_test_setup(names_are_cleaned, clean),
        cmocka_unit_test_setup(a_rescan_is_a_new_scan, clean),
        cmocka_unit_test_setup(a_backfill_runs_what_was_missing, clean),
        cmocka_unit_test_setup(a_standby_and_a_superseded_master_do_not_write, clean),
        cmocka_unit_test_setup(a_full_batch_is_taken_in, clean),
        cmocka_unit_test_setup(the_door_refuses_too_much, clean),
        cmocka_unit_test_setup(an_engine_of_just_now_may_be_named, clean),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
