/* The transaction that makes results final, and the thread around it, against a PostgreSQL of the test's own. */
#include "tests/unit/unit.h"

#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "master/scan/collect.h"
#include "master/scan/commit.h"
#include "tests/pg/testpg.h"

static const char *const broker = "ipc:///broker.sock";

#define WAIT_MS 20000

/* Scans of four engines: ordinals 0 type, 1 hashes, 2 clamav (required), 3 yara. */
#define JOB(scan, ordinal) ((uint64_t)(scan)*PS_JOB_ORDINALS + (ordinal))
static const char *const engines[] = {"type", "hashes", "clamav", "yara"};

struct fixture {
    struct ps_testpg *pg_server;
    struct ps_pg *pg;
    struct ps_hub *hub;
    struct ps_commit *commit;
    struct ps_events_sub *sub;
    uint64_t epoch;
};

static int start_server(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pg_server = ps_testpg_start_migrated(false);
    ps_testpg_sql(f->pg_server,
                  "insert into engine_set (engines, required) values ('{1,2,3,4}', '{f,f,t,f}')");
    *state = f;
    return 0;
}

static int stop_server(void **state)
{
    struct fixture *f = *state;

    ps_testpg_free(&f->pg_server);
    free(f);
    return 0;
}

static void on_wake(void *arg)
{
    (void)arg;
}

static int set_up(void **state)
{
    struct fixture *f = *state;

    ps_testpg_sql(f->pg_server, "truncate sample, scan, job, submission, missing, poison cascade;"
                                "alter sequence scan_id_seq restart; alter sequence scan_finished restart;"
                                "update master_epoch set epoch = 5");
    f->epoch = 5;
    assert_int_equal(ps_pg_new(&f->pg, ps_testpg_conninfo(f->pg_server), "test"), 0);
    assert_int_equal(ps_hub_new(&f->hub, &broker, 1), 0);
    assert_int_equal(ps_commit_new(&f->commit, f->pg, f->hub->events), 0);
    assert_int_equal(ps_events_subscribe(f->hub->events, on_wake, NULL, &f->sub), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_events_unsubscribe(f->hub->events, &f->sub);
    ps_commit_free(&f->commit);
    ps_hub_free(&f->hub);
    ps_pg_free(&f->pg);
    return 0;
}

/* n scans, ids from 1, each of its own sample and with a submission of batch b. */
static void make_scans(struct fixture *f, int n)
{
    char sql[2048];

    snprintf(sql, sizeof(sql),
             "insert into sample (sha256, size) select sha256(('s' || i)::bytea), 10 from generate_series(1, "
             "%d) i;"
             "insert into scan (sample_id, owner_id, set_id, profile_id, cause, band, deadline_ms, pending)"
             " select id, 1, 1, 1, 1, 1, 300000, 4 from sample order by id;"
             "insert into job (id, engine_id, required) select s.id * 256 + o, o + 1, o = 2 from scan s, "
             "generate_series(0, 3) o;"
             "insert into submission (sample_id, scan_id, owner_id, team_id, visibility, name, batch)"
             " select sample_id, id, 1, 1, 0, 'f' || id, 'b' from scan order by id",
             n);
    ps_testpg_sql(f->pg_server, sql);
}

struct say {
    uint64_t job;
    unsigned outcome;
    const char *label, *reason, *type, *traits, *origin, *version;
    bool silent; /* not counted */
    uint64_t run_us, cpu_us;
    size_t files_n; /* at most 2 */
};

static struct ps_finding *result_of(struct say s, uint64_t epoch)
{
    struct ps_finding *finding = NULL;
    bool bad;
    const struct ps_part_file files[] = {
        {.name = PS_BYTES_LIT("a"), .size = 3, .sha256 = {1}},
        {.name = PS_BYTES_LIT("b"), .mime = PS_BYTES_LIT("image/png"), .picture = true, .sha256 = {2}}};
    struct ps_msg msg = {.id = PS_MSG_RESULT,
                         .RESULT = {.job = s.job,
                                    .outcome = s.outcome,
                                    .counted = !s.silent,
                                    .engine = ps_bytes_of(engines[s.job % 4]),
                                    .label = ps_bytes_of(s.label),
                                    .reason = ps_bytes_of(s.reason),
                                    .type = ps_bytes_of(s.type),
                                    .traits = ps_bytes_of(s.traits),
                                    .version = ps_bytes_of(s.version ? s.version : "1.0"),
                                    .definitions = ps_bytes_of("d1"),
                                    .origin = ps_bytes_of(s.origin),
                                    .worker = ps_bytes_of("w1"),
                                    .run_us = s.run_us,
                                    .cpu_us = s.cpu_us,
                                    .files = {.items = files, .n = s.files_n}}};

    assert_int_equal(ps_finding_new(&finding, &msg, epoch, &bad), 0);
    return finding;
}
#define RESULT(...) result_of((struct say){__VA_ARGS__}, f->epoch)

static struct ps_finding *other(const struct ps_msg *msg)
{
    struct ps_finding *finding = NULL;
    bool bad;

    assert_int_equal(ps_finding_new(&finding, msg, 5, &bad), 0);
    return finding;
}

/* Writes and frees them. */
static int write_all(struct fixture *f, struct ps_finding **findings, size_t n, struct ps_commit_sum *ret_sum)
{
    bool unsure;
    struct ps_error error = {0};
    int r = ps_commit_write(f->commit, findings, n, f->epoch, ret_sum, &unsure, &error);

    if (r < 0 && r != PS_ERR_STALE)
        print_error("%s\n", error.text);
    for (size_t i = 0; i < n; i++)
        ps_finding_free(findings[i]);
    return r;
}

static long long one(struct fixture *f, const char *sql)
{
    return ps_testpg_one(f->pg_server, sql);
}

static struct ps_event *next_event(struct fixture *f)
{
    struct ps_event *event = NULL;

    return ps_events_take(f->sub, &event, 1) == 1 ? event : NULL;
}

/* Four answers in two batches: counted down, then the verdict, with type, label, build and event. */
static void the_last_answer_brings_the_verdict(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;

    make_scans(f, 2);
    struct ps_finding *first[] = {RESULT(JOB(1, 2), PS_OUTCOME_MALICIOUS, .label = "Win.Test.EICAR_HDB-1",
                                         .origin = "test", .silent = true),
                                  RESULT(JOB(1, 0), PS_OUTCOME_DESCRIBED, .type = "text/plain",
                                         .traits = "{\"type\":{\"mime\":\"text/plain\"}}")};
    assert_int_equal(write_all(f, first, 2, &sum), 0);
    assert_int_equal(sum.results, 2);
    assert_int_equal(sum.verdicts, 0);
    assert_int_equal(one(f, "select pending from scan where id = 1"), 2);
    assert_int_equal(one(f, "select (type = 'text/plain')::int from scan where id = 1"), 1);
    for (int i = 0; i < 2; i++) {
        struct ps_event *event = next_event(f);
        assert_int_equal(event->kind, PS_EVENT_RESULT);
        assert_int_equal(event->scan, 1);
        ps_event_unref(&event);
    }

    struct ps_finding *second[] = {RESULT(JOB(1, 3), PS_OUTCOME_UNDETECTED),
                                   RESULT(JOB(1, 1), PS_OUTCOME_DESCRIBED, .traits = "{\"md5\":\"x\"}")};
    assert_int_equal(write_all(f, second, 2, &sum), 0);
    assert_int_equal(sum.verdicts, 1);
    assert_int_equal(
        one(f, "select count(*) from scan where id = 1 and pending = 0 and verdict = 1 and positives = 1"
               " and total = 2 and failed = 0 and label = 'Win.Test.EICAR_HDB-1' and finished_seq = 1"
               " and finished_at is not null and reasons = '{clamav: Win.Test.EICAR_HDB-1}'"),
        1);
    assert_int_equal(
        one(f, "select count(*) from job j join engine_build b on b.id = j.build_id join worker_name w"
               " on w.id = j.worker_id where j.id / 256 = 1 and b.engine_id = j.engine_id and w.name = 'w1'"),
        4);
    assert_int_equal(one(f, "select (traits->'type'->>'mime' = 'text/plain')::int from job where id = 256"),
                     1);
    assert_int_equal(one(f, "select count(*) from scan where finished_at is null"), 1);

    struct ps_event *event = NULL;
    for (int i = 0; i < 3; i++) {
        ps_event_unref(&event);
        event = next_event(f);
    }
    assert_int_equal(event->kind, PS_EVENT_SCAN);
    assert_int_equal(event->seq, 1);
    assert_true(ps_event_in_batch(event, "b"));
    assert_non_null(strstr(event->json, "\"name\":\"f1\""));
    assert_non_null(strstr(event->json, "\"verdict\":\"malicious\""));
    ps_event_unref(&event);
}

static void repeated_results_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;

    make_scans(f, 1);
    struct ps_finding *twice[] = {RESULT(JOB(1, 2), PS_OUTCOME_UNDETECTED),
                                  RESULT(JOB(1, 2), PS_OUTCOME_UNDETECTED),
                                  RESULT(JOB(77, 2), PS_OUTCOME_MALICIOUS)};
    assert_int_equal(write_all(f, twice, 3, &sum), 0);
    assert_int_equal(sum.results, 1);
    assert_int_equal(sum.repeated, 2);
    struct ps_finding *late[] = {RESULT(JOB(1, 2), PS_OUTCOME_MALICIOUS, .label = "Late")};
    assert_int_equal(write_all(f, late, 1, &sum), 0);
    assert_int_equal(sum.results, 0);
    assert_int_equal(sum.repeated, 1);
    assert_int_equal(one(f, "select outcome from job where id = 258"), PS_OUTCOME_UNDETECTED);
    assert_int_equal(one(f, "select pending from scan where id = 1"), 3);
}

/* Rows of files come with their result, once; what they name is not swept any more. */
static void files_come_with_their_result(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;
    bool unsure;

    make_scans(f, 1);
    ps_testpg_sql(f->pg_server, "truncate artifact, artifact_file;"
                                "insert into artifact_file (sha256, size)"
                                " values (decode(rpad('01', 64, '0'), 'hex'), 3)");
    for (int i = 0; i < 2; i++) { /* the second is late */
        struct ps_finding *finding =
            RESULT(.job = 256, .outcome = PS_OUTCOME_DESCRIBED, .files_n = i == 0 ? 2 : 1);
        assert_int_equal(ps_commit_write(f->commit, &finding, 1, f->epoch, &sum, &unsure, NULL), 0);
        ps_finding_free(finding);
    }
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    PS_PG_PARAMS struct ps_pg_params params;
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, 1);
    assert_int_equal(ps_pg_exec(f->pg, PS_Q_WEB_READ_RESULTS, &params, &rows, NULL), 0);
    const char *found = NULL;
    for (int row = 0; row < ps_row_n(rows); row++)
        if (ps_row_i64(rows, row, 0) == 256)
            found = PQgetvalue(rows, row, 19);
    assert_non_null(found);
    assert_non_null(strstr(found, "\"b\""));
    assert_non_null(strstr(found, "image/png"));
    assert_null(strstr(strstr(found, "\"b\""), "\"a\"")); /* in order */
    ps_testpg_sql(f->pg_server,
                  "do $$ begin if (select count(*) from artifact_file where named) <> 1"
                  " or (select count(*) from artifact) <> 2 then raise 'not so'; end if; end $$");
}

static void another_epoch_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;

    make_scans(f, 1);
    ps_testpg_sql(f->pg_server, "update master_epoch set epoch = 6");
    struct ps_finding *stale[] = {RESULT(JOB(1, 2), PS_OUTCOME_UNDETECTED)};
    assert_int_equal(write_all(f, stale, 1, &sum), PS_ERR_STALE);
    assert_int_equal(one(f, "select count(*) from job where final is not null"), 0);
    assert_null(next_event(f));
    f->epoch = 6;
    struct ps_finding *again[] = {RESULT(JOB(1, 2), PS_OUTCOME_UNDETECTED)};
    assert_int_equal(write_all(f, again, 1, &sum), 0);
    assert_int_equal(sum.results, 1);
}

/* What has no worker is missing; what was lost is counted; what crashed is poison. */
static void decisions_losses_and_poison(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;

    make_scans(f, 1);
    struct ps_finding *findings[] = {
        other(&(struct ps_msg){.id = PS_MSG_DECIDED,
                               .DECIDED = {.job = JOB(1, 2),
                                           .outcome = PS_OUTCOME_UNAVAILABLE,
                                           .engine = PS_BYTES_LIT("clamav"),
                                           .reason = PS_BYTES_LIT("no worker")}}),
        other(&(struct ps_msg){.id = PS_MSG_LOST, .LOST = {.job = JOB(1, 3), .lost = 2}}),
        other(&(struct ps_msg){.id = PS_MSG_LOST, .LOST = {.job = JOB(1, 3), .lost = 1}}),
        RESULT(JOB(1, 0), PS_OUTCOME_FAILURE, .reason = "the engine was killed by SIGSEGV"),
        RESULT(JOB(1, 1), PS_OUTCOME_TIMEOUT, .run_us = 1000, .cpu_us = 900),
    };
    assert_int_equal(write_all(f, findings, 5, &sum), 0);
    assert_int_equal(sum.results, 3);
    assert_int_equal(sum.lost, 2);
    assert_int_equal(one(f, "select count(*) from missing where engine_id = 3 and scan_id = 1"), 1);
    assert_int_equal(one(f, "select lost from job where id = 256 + 3"), 2);
    assert_int_equal(
        one(f, "select count(*) from poison where n = 1 and engine_id in (1, 2) and version = '1.0'"), 2);

    struct ps_finding *last[] = {RESULT(JOB(1, 3), PS_OUTCOME_TIMEOUT, .run_us = 1000, .cpu_us = 10)};
    assert_int_equal(write_all(f, last, 1, &sum), 0);
    assert_int_equal(one(f, "select count(*) from poison"), 2); /* waiting is no crime */
    assert_int_equal(one(f, "select count(*) from scan where verdict = 5 and failed = 2 and total = 0 and"
                            " reasons = '{clamav: unavailable}'"),
                     1);
    ps_testpg_sql(f->pg_server, "update job set final = null; update scan set pending = 4");
    struct ps_finding *crash[] = {
        RESULT(JOB(1, 0), PS_OUTCOME_FAILURE, .reason = "the engine was killed by SIGSEGV")};
    assert_int_equal(write_all(f, crash, 1, &sum), 0);
    assert_int_equal(one(f, "select n from poison where engine_id = 1"), 2);
    ps_testpg_sql(f->pg_server,
                  "update job set final = null; update poison set last_at = now() - interval '8 days'");
    struct ps_finding *much_later[] = {
        RESULT(JOB(1, 0), PS_OUTCOME_FAILURE, .reason = "the engine was killed by SIGSEGV")};
    assert_int_equal(write_all(f, much_later, 1, &sum), 0);
    assert_int_equal(one(f, "select n from poison where engine_id = 1"), 1);
}

/* A full batch of many scans: each verdict once, the sequence without a gap, events in its order. */
static void a_batch_of_many_scans(void **state)
{
    struct fixture *f = *state;
    struct ps_commit_sum sum;
    struct ps_finding *findings[PS_COMMIT_N];
    uint64_t seq = 0;

    make_scans(f, PS_COMMIT_N / 4);
    for (size_t i = 0; i < PS_COMMIT_N; i++) /* backwards, so that sorting has something to do */
        findings[i] = RESULT(JOB(PS_COMMIT_N / 4 - i / 4, i % 4),
                             i % 4 < 2 ? PS_OUTCOME_DESCRIBED : PS_OUTCOME_UNDETECTED);
    assert_int_equal(write_all(f, findings, PS_COMMIT_N, &sum), 0);
    assert_int_equal(sum.verdicts, PS_COMMIT_N / 4);
    assert_int_equal(one(f, "select count(*) from scan where verdict = 3 and pending = 0 and total = 2"),
                     PS_COMMIT_N / 4);
    assert_int_equal(one(f, "select max(finished_seq) from scan"), PS_COMMIT_N / 4);
    for (struct ps_event *event; (event = next_event(f)); ps_event_unref(&event))
        if (event->kind == PS_EVENT_SCAN)
            assert_int_equal(event->seq, ++seq);
    assert_int_equal(seq, PS_COMMIT_N / 4);
}

/* ---- the thread ---- */

static void give(struct fixture *f, struct ps_finding *finding)
{
    atomic_fetch_add(&f->hub->findings_bytes, finding->bytes);
    assert_int_equal(ps_mailbox_send(f->hub->findings, finding), 0);
}

/* Waits until the thread has told of n settled jobs, on both sides. */
static void expect_settled(struct fixture *f, size_t n)
{
    struct ps_mailbox *boxes[] = {f->hub->lines[0].settled, f->hub->news};

    for (size_t b = 0; b < 2; b++)
        for (size_t got = 0; got < n;) {
            void *news;
            assert_int_equal(ps_mailbox_wait(boxes[b], &news, WAIT_MS), 0);
            if (((struct ps_news *)news)->kind == PS_NEWS_SETTLED)
                got += ((struct ps_news *)news)->jobs_n;
            ps_news_free(news);
        }
}

static struct ps_collect *start_collect(struct fixture *f)
{
    struct ps_collect *collect = NULL;

    ps_hub_set_epoch(f->hub, f->epoch);
    assert_int_equal(ps_collect_new(&collect, f->hub, ps_testpg_conninfo(f->pg_server), "test collect"), 0);
    assert_int_equal(ps_collect_start(collect), 0);
    return collect;
}

/* One answer that PostgreSQL does not take (jsonb has limits that JSON has not) does not harm its batch. */
static void one_bad_answer_does_not_spoil_the_batch(void **state)
{
    struct fixture *f = *state;

    make_scans(f, 2);
    for (unsigned i = 0; i < 8; i++)
        give(f, RESULT(JOB(1 + i / 4, i % 4), i % 4 < 2 ? PS_OUTCOME_DESCRIBED : PS_OUTCOME_UNDETECTED,
                       .traits = i == 6 ? "{\"n\":1e-99999999999}" : "{\"n\":1}"));
    struct ps_collect *collect = start_collect(f);
    expect_settled(f, 8);
    ps_hub_stop(f->hub);
    ps_collect_free(&collect);
    assert_int_equal(one(f, "select count(*) from job where final is not null"), 8);
    assert_int_equal(
        one(f, "select count(*) from job where id = 514 and outcome = 8 and reason like 'the engine%'"), 1);
    assert_int_equal(one(f, "select count(*) from scan where verdict = 5 and reasons = '{clamav: failure}'"),
                     1);
    assert_int_equal(one(f, "select count(*) from scan where verdict = 3"), 1);
    assert_int_equal(atomic_load(&f->hub->findings_bytes), 0);
}

static void wait_for_database(struct fixture *f, bool ok)
{
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;

    while (atomic_load(&f->hub->counters.database_ok) != ok) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)ps_hub_wait(f->hub, -1, 5);
    }
}

/* The database stops and comes back: nothing is settled meanwhile, everything afterwards. */
static void collect_waits_for_the_database(void **state)
{
    struct fixture *f = *state;
    void *news;

    make_scans(f, 1);
    struct ps_collect *collect = start_collect(f);
    wait_for_database(f, true);
    ps_testpg_stop(f->pg_server);
    for (unsigned i = 0; i < 4; i++)
        give(f, RESULT(JOB(1, i), i < 2 ? PS_OUTCOME_DESCRIBED : PS_OUTCOME_UNDETECTED));
    wait_for_database(f, false);
    while (ps_mailbox_take(f->hub->lines[0].settled, &news, 1) == 1)
        assert_int_equal(((struct ps_news *)news)->kind, PS_NEWS_LOOK);
    ps_testpg_continue(f->pg_server);
    expect_settled(f, 4);
    assert_int_equal(one(f, "select count(*) from scan where verdict = 3"), 1);
    ps_hub_stop(f->hub);
    ps_collect_free(&collect);
}

/* Its connection is killed in the middle of the work, again and again: every job once, every scan once. */
static void collect_survives_lost_connections(void **state)
{
    struct fixture *f = *state;
    enum { SCANS = 200 };

    make_scans(f, SCANS);
    ps_testpg_sql(f->pg_server,
                  "create or replace function slow() returns trigger language plpgsql as"
                  " $$begin perform pg_sleep(0.0005); return new; end$$;"
                  "create trigger slow before update on job for each row execute function slow()");
    struct ps_collect *collect = start_collect(f);
    for (unsigned i = 0; i < SCANS * 4; i++) {
        give(f, RESULT(JOB(1 + i / 4, i % 4), i % 4 < 2 ? PS_OUTCOME_DESCRIBED : PS_OUTCOME_UNDETECTED));
        if (i % 100 == 50)
            ps_testpg_sql(f->pg_server, "select pg_terminate_backend(pid) from pg_stat_activity"
                                        " where application_name = 'test collect'");
    }
    expect_settled(f, SCANS * 4);
    ps_hub_stop(f->hub);
    ps_collect_free(&collect);
    ps_testpg_sql(f->pg_server, "drop trigger slow on job");
    assert_int_equal(one(f, "select count(*) from scan where verdict = 3 and pending = 0"), SCANS);
    assert_int_equal(one(f, "select count(distinct finished_seq) from scan"), SCANS);
    assert_int_equal(one(f, "select count(*) from job where final is null"), 0);
}

/* Two masters, each with an epoch of its own: only the newer one writes, the other hears that it is over. */
struct suspected {
    atomic_uint_fast64_t epoch;
};

static void on_suspect(void *arg, uint64_t epoch)
{
    struct suspected *s = arg;

    atomic_store(&s->epoch, epoch);
}

static void of_two_masters_one_writes(void **state)
{
    struct fixture *f = *state;
    struct suspected suspected = {0};
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;

    make_scans(f, 1);
    f->hub->suspect = on_suspect;
    f->hub->suspect_arg = &suspected;
    struct ps_collect *old = start_collect(f);
    ps_testpg_sql(f->pg_server, "update master_epoch set epoch = 6");
    for (unsigned i = 0; i < 4; i++)
        give(f, RESULT(JOB(1, i), PS_OUTCOME_FAILURE));
    while (atomic_load(&suspected.epoch) != 5) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)ps_hub_wait(f->hub, -1, 5);
    }
    assert_int_equal(one(f, "select count(*) from job where final is not null"), 0);
    ps_hub_stop(f->hub);
    ps_collect_free(&old);
    assert_int_equal(atomic_load(&f->hub->findings_bytes), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_answer_brings_the_verdict),
        TEST(repeated_results_change_nothing),
        TEST(files_come_with_their_result),
        TEST(another_epoch_writes_nothing),
        TEST(decisions_losses_and_poison),
        TEST(a_batch_of_many_scans),
        TEST(one_bad_answer_does_not_spoil_the_batch),
        TEST(collect_waits_for_the_database),
        TEST(collect_survives_lost_connections),
        TEST(of_two_masters_one_writes),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
