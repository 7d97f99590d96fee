/* Bad days of ingest: syncfs, rename, the disk and COMMIT fail; the database goes away and comes back. Nothing that
 * failed is acknowledged or half stored, nothing acknowledged is lost, and nobody has to restart anything. */
#include <unistd.h>

#include "tests/unit/ingest_kit.h"

/* What is to fail next; the io table has no place for an argument. Set while no request is under way. */
static atomic_int fail_syncfs, fail_rename, fail_write;

static int f_openat(int dir, const char *path, int flags, mode_t mode)
{
    return ps_store_io_system.openat(dir, path, flags, mode);
}

static bool fails(atomic_int *errnum)
{
    int code = atomic_exchange(errnum, 0);

    errno = code ? code : errno;
    return code != 0;
}

static ssize_t f_write(int fd, const void *data, size_t len)
{
    return fails(&fail_write) ? -1 : write(fd, data, len);
}

static int f_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(&fail_rename) ? -1 : ps_store_io_system.renameat(from_dir, from, to_dir, to);
}

static int f_syncfs(int fd)
{
    return fails(&fail_syncfs) ? -1 : 0;
}

static struct ps_store_io failing_io;

static int setup(void **state)
{
    failing_io = ps_store_io_system;
    failing_io.openat = f_openat;
    failing_io.write = f_write;
    failing_io.renameat = f_renameat;
    failing_io.syncfs = f_syncfs;
    *state = kit_new(false, &failing_io);
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

/* Files of earlier tests stay: each test has bytes of its own. */
static int clean(void **state)
{
    struct kit *kit = *state;

    ps_testpg_sql(kit->pg, "truncate sample, scan, job, submission, idempotency, missing, upload cascade");
    return 0;
}

static int files_in_store(struct kit *kit)
{
    PS_FREE char *command = ps_strf("find %s/store -type f | wc -l", ps_testpg_dir(kit->pg));
    FILE *pipe = popen(command, "r");
    int n = -1;

    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &n), 1);
    pclose(pipe);
    return n;
}

static void expect_nothing(struct kit *kit, int files_before)
{
    assert_int_equal(kit_count(kit, "sample"), 0);
    assert_int_equal(kit_count(kit, "submission"), 0);
    assert_int_equal(kit_count(kit, "job"), 0);
    assert_int_equal(files_in_store(kit), files_before);
}

static void expect_retry_works(struct kit *kit, const char *const *texts, size_t n, int files_before)
{
    struct ps_ingest_request request;
    int fd;

    assert_int_equal(kit_submit(kit, texts, n, "", &request), 0);
    assert_int_equal(kit_count(kit, "sample"), n);
    assert_int_equal(kit_count(kit, "submission"), n);
    assert_int_equal(files_in_store(kit), files_before + (int)n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(request.results[i].code, 0);
        assert_int_equal(ps_store_open_sample(kit->store, request.results[i].sha256, &fd, NULL), 0);
        close(fd);
    }
    ps_ingest_request_fini(&request);
}

static void the_store_fails(void **state)
{
    static const char *const texts[][3] = {
        {"a1", "a2", "a3"}, {"b1", "b2", "b3"}, {"c1", "c2", "c3"}, {"d1", "d2", "d3"}};
    static const struct {
        atomic_int *what;
        int errnum, code;
    } cases[] = {{&fail_syncfs, EIO, PS_ERR_IO},
                 {&fail_rename, EIO, PS_ERR_IO},
                 {&fail_write, ENOSPC, PS_ERR_NOSPACE},
                 {&fail_syncfs, ENOSPC, PS_ERR_NOSPACE}};
    struct kit *kit = *state;

    for (size_t i = 0; i < PS_ARRAY_N(cases); i++) {
        struct ps_ingest_request request;
        int files = files_in_store(kit);

        (void)clean(state);
        atomic_store(cases[i].what, cases[i].errnum);
        assert_int_equal(kit_submit(kit, texts[i], 3, "", &request), cases[i].code);
        assert_int_equal(request.results_n, 0);
        assert_true(request.error.text[0] != '\0');
        ps_ingest_request_fini(&request);
        expect_nothing(kit, files);
        expect_retry_works(kit, texts[i], 3, files);
    }
}

/* A deferred trigger runs inside COMMIT, after everything else went well. */
static void on_commit(struct kit *kit, const char *statement)
{
    PS_FREE char *sql =
        ps_strf("create function spoil() returns trigger language plpgsql as $$ begin %s; return null; "
                "end $$; create constraint trigger spoil after insert on sample deferrable initially "
                "deferred for each row execute function spoil()",
                statement);

    ps_testpg_sql(kit->pg, sql);
}

static void commit_fails(void **state)
{
    static const char *const texts[] = {"e1", "e2"};
    struct kit *kit = *state;
    struct ps_ingest_request request;
    int files = files_in_store(kit);

    on_commit(kit, "raise exception 'full' using errcode = 'disk_full'");
    assert_int_equal(kit_submit(kit, texts, 2, "", &request), PS_ERR_NOSPACE);
    ps_ingest_request_fini(&request);
    expect_nothing(kit, files);
    ps_testpg_sql(kit->pg, "drop function spoil cascade");
    expect_retry_works(kit, texts, 2, files);
}

/* Nobody knows whether it was committed: not acknowledged, but the files stay, because the rows may be there. */
static void commit_has_no_answer(void **state)
{
    static const char *const texts[] = {"f1", "f2"};
    struct kit *kit = *state;
    struct ps_ingest_request request;
    int files = files_in_store(kit);

    on_commit(kit, "perform pg_terminate_backend(pg_backend_pid())");
    assert_int_equal(kit_submit(kit, texts, 2, "", &request), PS_ERR_UNAVAILABLE);
    ps_ingest_request_fini(&request);
    assert_int_equal(files_in_store(kit), files + 2);
    ps_testpg_sql(kit->pg, "drop function spoil cascade");
    expect_retry_works(kit, texts, 2, files);
}

/* Requests while the database is away say so; the first one after it is back is served. */
static void the_database_goes_and_comes(void **state)
{
    static const char *const texts[] = {"g1"}, *const more[] = {"g2"};
    struct kit *kit = *state;
    struct ps_ingest_request request;
    int files = files_in_store(kit), code = PS_ERR_UNAVAILABLE;

    assert_int_equal(kit_submit(kit, texts, 1, "", &request), 0);
    ps_ingest_request_fini(&request);
    ps_testpg_stop(kit->pg);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kit_submit(kit, more, 1, "", &request), PS_ERR_UNAVAILABLE);
        ps_ingest_request_fini(&request);
    }
    assert_int_equal(files_in_store(kit), files + 1);
    ps_testpg_continue(kit->pg);
    for (int i = 0; i < 10000 && code == PS_ERR_UNAVAILABLE; i++) { /* each try takes part of the backoff */
        code = kit_submit(kit, more, 1, "", &request);
        ps_ingest_request_fini(&request);
        usleep(1000);
    }
    assert_int_equal(code, 0);
    assert_int_equal(kit_count(kit, "sample"), 2);
}

/* Restarts in the middle of a stream: what was acknowledged is there, the rest can be sent again, no file twice. */
static void restarts_in_the_middle(void **state)
{
    enum { BATCHES = 40, FILES = 50 };
    struct kit *kit = *state;
    static struct ps_ingest_request requests[BATCHES];
    static struct ps_buf bodies[BATCHES];
    char key[BATCHES][16];
    int pending = 0, restarts = 0;

    for (unsigned i = 0; i < BATCHES; i++) {
        ps_buf_init(&bodies[i], PS_BATCH_BYTES);
        for (unsigned k = 0; k < FILES; k++) {
            PS_FREE char *text = ps_strf("stream %u %u", i, k);

            kit_put(&bodies[i], k, "\"name\":\"s\"", text, strlen(text));
        }
        snprintf(key[i], sizeof(key[i]), "stream %u", i);
        requests[i] = kit_body(&bodies[i], key[i]);
        requests[i].arg = kit;
        requests[i].done = kit_done;
        requests[i].owner_id = requests[i].team_id = 1;
        assert_int_equal(ps_ingest_send(kit->ingest, &requests[i]), 0);
        pending++;
    }
    for (int answers = 0; pending > 0; answers++) {
        struct ps_ingest_request *request = kit_wait(kit);

        if (request->code == 0) {
            assert_int_equal(request->results_n, FILES);
            pending--;
        } else {
            size_t i = (size_t)(request - requests);

            assert_int_equal(request->code, PS_ERR_UNAVAILABLE);
            ps_ingest_request_fini(request);
            *request = kit_body(&bodies[i], key[i]);
            request->arg = kit;
            request->done = kit_done;
            request->owner_id = request->team_id = 1;
            assert_int_equal(ps_ingest_send(kit->ingest, request), 0);
            usleep(500); /* a client would wait for Retry-After */
        }
        if (restarts < 2 && answers >= 5 + 10 * restarts) {
            restarts++;
            ps_testpg_stop(kit->pg);
            ps_testpg_continue(kit->pg);
        }
    }
    assert_int_equal(kit_count(kit, "sample"), BATCHES * FILES);
    assert_int_equal(kit_count(kit, "submission"), BATCHES * FILES);
    for (unsigned i = 0; i < BATCHES; i++) {
        ps_ingest_request_fini(&requests[i]);
        ps_buf_fini(&bodies[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_store_fails, clean),
        cmocka_unit_test_setup(commit_fails, clean),
        cmocka_unit_test_setup(commit_has_no_answer, clean),
        cmocka_unit_test_setup(the_database_goes_and_comes, clean),
        cmocka_unit_test_setup(restarts_in_the_middle, clean),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
