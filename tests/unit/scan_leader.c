/* Which master leads: two leaders of one process against a PostgreSQL of the test's own. */
#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/scan/leader.h"
#include "tests/pg/testpg.h"

#define WAIT_MS  20000
#define STALE_MS 1500

struct fixture {
    struct ps_testpg *pg_server;
};

static int start_server(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pg_server = ps_testpg_start_migrated(false);
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

static struct ps_leader *make(struct fixture *f, const char *holder)
{
    struct ps_leader *leader = NULL;
    const struct ps_leader_settings settings = {
        .conninfo = ps_testpg_conninfo(f->pg_server), .holder = holder, .stale_ms = STALE_MS};

    assert_int_equal(ps_leader_new(&leader, &settings), 0);
    assert_int_equal(ps_leader_start(leader), 0);
    return leader;
}

static void wait_epoch(const struct ps_leader *leader, bool leads)
{
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;

    while ((ps_leader_epoch(leader) != 0) != leads) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)poll(NULL, 0, 5); /* a look every 5 ms, until the deadline */
    }
}

/* The second waits while the first lives, and follows at once when it goes. */
static void a_successor_follows_at_once(void **state)
{
    struct fixture *f = *state;
    struct ps_leader *a = make(f, "a");

    wait_epoch(a, true);
    uint64_t epoch = ps_leader_epoch(a);
    struct ps_leader *b = make(f, "b");
    uint64_t end_ms = ps_clock_mono_ms() + 2 * STALE_MS; /* a renews: b must not get impatient */
    while (ps_clock_mono_ms() < end_ms) {
        assert_int_equal(ps_leader_epoch(b), 0);
        (void)poll(NULL, 0, 20);
    }
    ps_leader_free(&a);
    wait_epoch(b, true);
    assert_int_equal(ps_leader_epoch(b), epoch + 1);
    assert_int_equal(ps_testpg_one(f->pg_server, "select epoch from master_epoch"), epoch + 1);
    assert_int_equal(ps_testpg_one(f->pg_server, "select (holder = 'b')::int from master_epoch"), 1);
    ps_leader_free(&b);
}

/* A holder that does not renew is stopped: its backends are ended, and the epoch raised. It holds a lock and a
 * transaction, as a master that was stopped in the middle of a commit. */
static void a_stopped_holder_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct ps_pg *lock = NULL, *writer = NULL;
    char app[PS_LEADER_APP_MAX];
    PS_PG_PARAMS struct ps_pg_params params;

    ps_leader_app(app, "stopped");
    assert_int_equal(ps_pg_new(&lock, ps_testpg_conninfo(f->pg_server), app), 0);
    assert_int_equal(ps_pg_new(&writer, ps_testpg_conninfo(f->pg_server), app), 0);
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, PS_LEADER_LOCK);
    assert_int_equal(ps_pg_exec(lock, PS_Q_LEADER_LOCK, &params, NULL, NULL), 0);
    ps_pg_params_clear(&params);
    ps_pg_put_text(&params, "stopped");
    assert_int_equal(ps_pg_exec(lock, PS_Q_LEADER_TAKE, &params, NULL, NULL), 0);
    long long epoch = ps_testpg_one(f->pg_server, "select epoch from master_epoch");
    ps_pg_params_clear(&params);
    ps_pg_put_i64(&params, epoch);
    assert_int_equal(ps_pg_begin(writer, NULL), 0);
    assert_int_equal(ps_pg_exec(writer, PS_Q_COLLECT_EPOCH, &params, NULL, NULL), 0);

    struct ps_leader *b = make(f, "b");
    uint64_t begin_ms = ps_clock_mono_ms();
    wait_epoch(b, true);
    assert_true(ps_clock_mono_ms() - begin_ms <
                8000); /* far below idle_in_transaction_session_timeout: it was ended */
    assert_int_equal(ps_leader_epoch(b), epoch + 1);
    assert_int_equal(ps_pg_commit(writer, NULL), PS_ERR_UNAVAILABLE);
    assert_int_not_equal(ps_pg_exec(lock, PS_Q_LEADER_LOOK, NULL, NULL, NULL), 0);
    ps_pg_free(&lock);
    ps_pg_free(&writer);
    ps_leader_free(&b);
}

/* Someone raises the epoch while we believe that we lead: a suspicion is enough to notice at once. */
static void the_superseded_step_down(void **state)
{
    struct fixture *f = *state;
    struct ps_leader *a = make(f, "a");

    wait_epoch(a, true);
    uint64_t epoch = ps_leader_epoch(a), end_ms = ps_clock_mono_ms() + WAIT_MS;
    ps_testpg_sql(f->pg_server, "update master_epoch set epoch = epoch + 1, holder = 'x', seen_at = now()");
    ps_leader_suspect(a, epoch);
    while (ps_leader_epoch(a) == epoch) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)poll(NULL, 0, 5);
    }
    wait_epoch(a, true); /* nobody holds the lock: it is a's again, in a new epoch */
    assert_int_equal(ps_leader_epoch(a), epoch + 2);
    ps_leader_free(&a);
}

/* The database restarts: the lock is taken again in the same epoch. */
static void the_epoch_outlives_the_database(void **state)
{
    struct fixture *f = *state;
    struct ps_leader *a = make(f, "a");

    wait_epoch(a, true);
    uint64_t epoch = ps_leader_epoch(a), end_ms = ps_clock_mono_ms() + WAIT_MS;
    ps_testpg_stop(f->pg_server);
    ps_testpg_continue(f->pg_server);
    ps_leader_suspect(a, epoch);
    while (ps_testpg_one(f->pg_server, "select count(*) from pg_locks where locktype = 'advisory'") == 0) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)poll(NULL, 0, 20);
    }
    assert_int_equal(ps_leader_epoch(a), epoch);
    ps_leader_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_successor_follows_at_once),
        cmocka_unit_test(a_stopped_holder_is_replaced),
        cmocka_unit_test(the_superseded_step_down),
        cmocka_unit_test(the_epoch_outlives_the_database),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
