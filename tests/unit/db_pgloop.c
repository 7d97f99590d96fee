/* The pool on an h2o loop: pipelined queries, errors of one that leave the others alone, limits, a stuck database and
 * one that goes away. */
#include <signal.h>

#include <h2o.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg.h"
#include "db/pgloop.h"
#include "tests/pg/testpg.h"
#include "tests/unit/unit.h"

#define WAIT_MS 30000

struct seen {
    int n;       /* callbacks */
    int ok;      /* with code 0 */
    int last;    /* code */
    int64_t row; /* first column of the first row */
};

static void on_done(void *arg, int code, const PGresult *result, const struct ps_error *error)
{
    struct seen *seen = arg;

    assert_true((code == 0) == (result != NULL));
    assert_true(code == 0 || error->text[0] != '\0');
    seen->n++;
    seen->ok += code == 0;
    seen->last = code;
    if (code == 0)
        seen->row = ps_row_i64(result, 0, 0);
}

struct rig {
    struct ps_testpg *server;
    h2o_loop_t *loop;
};

static int setup(void **state)
{
    struct rig *rig = PS_NEW(struct rig);

    rig->server = ps_testpg_start_migrated(false);
    rig->loop = h2o_evloop_create();
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    ps_testpg_free(&rig->server);
    h2o_evloop_run(rig->loop, 0); /* frees the sockets that were closed last */
    h2o_evloop_destroy(rig->loop);
    free(rig);
    return 0;
}

static struct ps_pgloop *pool_new(struct rig *rig, const struct ps_pgloop_config *more)
{
    struct ps_pgloop_config config = *more;
    struct ps_pgloop *pool;
    struct ps_error error;

    config.conninfo = ps_testpg_conninfo(rig->server);
    config.app = "db_pgloop";
    assert_int_equal(ps_pgloop_new(&pool, rig->loop, &config, &error), 0);
    return pool;
}

static void run_until(struct rig *rig, const struct seen *seen, int n)
{
    uint64_t until_ms = ps_clock_mono_ms() + WAIT_MS;

    while (seen->n < n) {
        assert_true(ps_clock_mono_ms() < until_ms);
        h2o_evloop_run(rig->loop, 100);
    }
}

static void run_until_ok(struct rig *rig, struct ps_pgloop *pool)
{
    uint64_t until_ms = ps_clock_mono_ms() + WAIT_MS;

    while (!ps_pgloop_ok(pool, NULL)) {
        assert_true(ps_clock_mono_ms() < until_ms);
        h2o_evloop_run(rig->loop, 100);
    }
}

/* Asks whether a sample with that hash is known; never fails by itself. */
static int ask(struct ps_pgloop *pool, struct seen *seen, struct ps_pgloop_query **ret_query)
{
    PS_PG_ARRAY struct ps_pg_array hashes;
    PS_PG_PARAMS struct ps_pg_params params;
    uint8_t sha256[32] = {7};

    ps_pg_array_init(&hashes, PS_PG_BYTEA);
    ps_pg_params_init(&params);
    ps_pg_array_bytes(&hashes, sha256, 32);
    ps_pg_put_array(&params, &hashes);
    return ps_pgloop_query(pool, PS_Q_INGEST_STILL_UNKNOWN, &params, on_done, seen, ret_query);
}

/* More than fit in flight wait their turn; each is answered once. */
static void queries_are_answered(void **state)
{
    struct ps_pgloop *pool =
        pool_new(*state, &(struct ps_pgloop_config){.connections_n = 2, .pipeline_n = 4});
    struct seen seen = {0};

    for (int i = 0; i < 200; i++)
        assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(seen.n, 0);
    run_until(*state, &seen, 200);
    assert_int_equal(seen.ok, 200);
    assert_int_equal(ps_pgloop_stats(pool).done, 200);
    ps_pgloop_free(&pool);
}

static void an_error_leaves_the_others_alone(void **state)
{
    struct ps_pgloop *pool = pool_new(*state, &(struct ps_pgloop_config){.connections_n = 1});
    PS_PG_PARAMS struct ps_pg_params params;
    struct seen seen = {0}, bad = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, 4711); /* no such account */
    ps_pg_put_text(&params, "k");
    ps_pg_put_bytea(&params, "d", 1);
    ps_pg_put_bytea(&params, "r", 1);
    run_until_ok(*state, pool);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ps_pgloop_query(pool, PS_Q_INGEST_REMEMBER, &params, on_done, &bad, NULL), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    run_until(*state, &seen, 2);
    assert_int_equal(seen.ok, 2);
    assert_int_equal(bad.n, 1);
    assert_int_equal(bad.last, PS_ERR_CONFLICT);
    ps_pgloop_free(&pool);
}

static void the_queue_has_an_end(void **state)
{
    struct ps_pgloop *pool =
        pool_new(*state, &(struct ps_pgloop_config){.connections_n = 1, .pipeline_n = 1, .waiting_n = 3});
    struct ps_pgloop_query *query;
    struct seen seen = {0}, gone = {0};

    run_until_ok(*state, pool);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ask(pool, &gone, &query), 0);
    assert_int_equal(ask(pool, &seen, NULL), PS_ERR_BUSY);
    ps_pgloop_forget(query);
    run_until(*state, &seen, 3);
    while (ps_pgloop_stats(pool).in_flight)
        h2o_evloop_run(((struct rig *)*state)->loop, 100);
    assert_int_equal(gone.n, 0);
    assert_int_equal(ps_pgloop_stats(pool).busy, 1);
    /* What is under way when the pool goes is told so. */
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    ps_pgloop_free(&pool);
    assert_int_equal(seen.n, 5);
    assert_int_equal(seen.last, PS_ERR_CANCELLED);
}

/* The server waits for a lock: its own timeout ends the query. A server that is stopped: ours does. */
static void a_stuck_query_times_out(void **state)
{
    struct rig *rig = *state;
    struct ps_pgloop *pool =
        pool_new(rig, &(struct ps_pgloop_config){.connections_n = 1, .timeout_ms = 1000});
    PS_CLEANUP(ps_pg_free) struct ps_pg *pg = NULL;
    struct seen seen = {0};
    struct ps_error error;
    pid_t backend;

    run_until_ok(rig, pool);
    assert_int_equal(ps_pg_new(&pg, ps_testpg_conninfo(rig->server), "locker"), 0);
    assert_int_equal(ps_pg_script(pg, "begin; lock table sample", &error), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    run_until(rig, &seen, 1);
    assert_int_equal(seen.last, PS_ERR_TIMEOUT);
    assert_true(ps_pgloop_ok(pool, NULL));
    ps_pg_rollback(pg);

    backend = (pid_t)ps_testpg_one(rig->server,
                                   "select pid from pg_stat_activity where application_name = 'db_pgloop'");
    assert_int_equal(kill(backend, SIGSTOP), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    run_until(rig, &seen, 3);
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_int_equal(seen.ok, 0);
    assert_int_equal(ps_pgloop_stats(pool).timeouts, 2);
    run_until_ok(rig, pool);
    assert_int_equal(ask(pool, &seen, NULL), 0);
    run_until(rig, &seen, 4);
    assert_int_equal(seen.ok, 1);
    ps_pgloop_free(&pool);
}

static void a_lost_database_comes_back(void **state)
{
    struct rig *rig = *state;
    struct ps_pgloop *pool = pool_new(rig, &(struct ps_pgloop_config){.connections_n = 2});
    struct seen seen = {0};
    const char *detail = NULL;
    int code;

    run_until_ok(rig, pool);
    ps_testpg_stop(rig->server);
    while (ps_pgloop_ok(pool, &detail))
        h2o_evloop_run(rig->loop, 100);
    assert_true(detail[0] != '\0');
    code = ask(pool, &seen, NULL); /* refused, or told so when the next attempt has failed */
    if (code == 0) {
        run_until(rig, &seen, 1);
        code = seen.last;
    }
    assert_int_equal(code, PS_ERR_UNAVAILABLE);
    ps_testpg_continue(rig->server);
    run_until_ok(rig, pool);
    seen = (struct seen){0};
    assert_int_equal(ask(pool, &seen, NULL), 0);
    run_until(rig, &seen, 1);
    assert_int_equal(seen.last, 0);
    ps_pgloop_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_answered),       cmocka_unit_test(an_error_leaves_the_others_alone),
        cmocka_unit_test(the_queue_has_an_end),       cmocka_unit_test(a_stuck_query_times_out),
        cmocka_unit_test(a_lost_database_comes_back),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
