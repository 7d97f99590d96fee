/* Which broker a job goes to: by the sample's hash, by the engine's where it has a limit, and what waits for whom. */
#include "unit.h"

#include "base/mem.h"
#include "master/scan/brokers.h"

#define LIMITS  "licensed\0" /* the literal's own NUL ends the list */
#define DEAD_MS 1000
#define SAMPLES 400
/* Three times dead, run time, margin; samples are small. */
#define PASS_MS  (3 * DEAD_MS + PS_BROKERS_RUN_MS + PS_BROKERS_MARGIN_MS)
#define START_MS (3 * PS_BROKERS_DEAD_MS + PS_BROKERS_RUN_MS + PS_BROKERS_MARGIN_MS)

static const char *const names[] = {"ipc:///a.sock", "ipc:///b.sock", "tcp://c:8481"};

static int set_up(void **state)
{
    struct ps_brokers *brokers = NULL;

    assert_int_equal(ps_brokers_new(&brokers, names, 3), 0);
    ps_brokers_begin(brokers, 0);
    for (unsigned i = 0; i < 3; i++)
        ps_brokers_opened(brokers, i, DEAD_MS, LIMITS);
    *state = brokers;
    return 0;
}

static int tear_down(void **state)
{
    struct ps_brokers *brokers = *state;

    ps_brokers_free(&brokers);
    return 0;
}

static int pick(struct ps_brokers *brokers, const char *engine, unsigned sample, uint64_t scan,
                uint64_t now_ms)
{
    uint8_t sha256[PS_SHA256_BYTES] = {(uint8_t)sample, (uint8_t)(sample >> 8)};

    return ps_brokers_pick(
        brokers, &(struct ps_brokers_job){.engine = engine, .sha256 = sha256, .scan = scan, .size = 3},
        now_ms);
}

/* All engines of a sample at one broker, samples over all of them. */
static void samples_are_shared_out(void **state)
{
    struct ps_brokers *brokers = *state;
    int had[3] = {0};

    for (unsigned i = 0; i < SAMPLES; i++) {
        int b = pick(brokers, "clamav", i, i + 1, 0);
        assert_in_range(b, 0, 2);
        assert_int_equal(pick(brokers, "yara", i, i + 1, 0), b);
        had[b]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(had[i], SAMPLES / 5, SAMPLES / 2);
}

/* What it had waits and then moves, for good; what others had stays; what is new goes to those that are there. */
static void jobs_of_one_that_went_wait_and_move(void **state)
{
    struct ps_brokers *brokers = *state;
    int before[SAMPLES], moved[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++)
        before[i] = pick(brokers, "clamav", i, i + 1, 0);
    ps_brokers_closed(brokers, 1, 100);
    for (unsigned i = 0; i < SAMPLES; i++) {
        assert_int_equal(pick(brokers, "clamav", i, i + 1, 200), before[i] == 1 ? -1 : before[i]);
        assert_true(pick(brokers, "clamav", i, SAMPLES + 1 + i, 200) != 1);
        assert_true(pick(brokers, "clamav", i, SAMPLES + 1 + i, 200) >= 0);
    }
    assert_false(ps_brokers_tick(brokers, 100 + PASS_MS - 1));
    assert_true(ps_brokers_hold(brokers, 100 + PASS_MS - 1));
    assert_true(ps_brokers_tick(brokers, 100 + PASS_MS));
    for (unsigned i = 0; i < SAMPLES; i++) {
        moved[i] = pick(brokers, "clamav", i, i + 1, 100 + PASS_MS);
        assert_true(moved[i] >= 0 && moved[i] != 1);
        assert_true(before[i] == 1 || moved[i] == before[i]);
    }
    ps_brokers_opened(brokers, 1, DEAD_MS, LIMITS);
    for (unsigned i = 0; i < SAMPLES; i++) {
        assert_int_equal(pick(brokers, "clamav", i, i + 1, 200000), moved[i]);
        assert_int_equal(pick(brokers, "clamav", i, 3 * SAMPLES + i, 200000), before[i]);
    }
}

static void one_that_returns_in_time_goes_on(void **state)
{
    struct ps_brokers *brokers = *state;
    int before[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++)
        before[i] = pick(brokers, "clamav", i, i + 1, 0);
    ps_brokers_closed(brokers, 2, 100);
    ps_brokers_opened(brokers, 2, DEAD_MS, NULL);
    assert_false(ps_brokers_tick(brokers, 100 + 2 * DEAD_MS));
    for (unsigned i = 0; i < SAMPLES; i++)
        assert_int_equal(pick(brokers, "clamav", i, i + 1, 5000), before[i]);
}

static void long_runs_and_large_samples_take_longer_to_pass(void **state)
{
    struct ps_brokers *brokers = *state;
    uint8_t sha256[PS_SHA256_BYTES] = {0};
    const struct ps_brokers_job job = {
        .engine = "clamav", .sha256 = sha256, .scan = 1, .size = 100 * 1024 * 1024, .run_ms = 600000};
    int b = ps_brokers_pick(brokers, &job, 0);

    (void)ps_brokers_tick(brokers, START_MS);
    ps_brokers_closed(brokers, (unsigned)b, START_MS);
    assert_false(ps_brokers_tick(brokers, START_MS + 3 * DEAD_MS + 600000 + PS_BROKERS_MARGIN_MS + 99000));
    assert_true(ps_brokers_tick(brokers, START_MS + 3 * DEAD_MS + 600000 + PS_BROKERS_MARGIN_MS + 101000));
}

/* Whatever the sample, and not before what a master before us gave to another has passed. */
static void a_limit_is_one_brokers(void **state)
{
    struct ps_brokers *brokers = *state;
    int home;

    assert_int_equal(pick(brokers, "licensed", 1, 1, START_MS - 1), -1);
    assert_true(ps_brokers_tick(brokers, START_MS));
    home = pick(brokers, "licensed", 1, 1, START_MS);
    assert_in_range(home, 0, 2);
    for (unsigned i = 0; i < SAMPLES; i++)
        assert_int_equal(pick(brokers, "licensed", i, i + 1, START_MS), home);

    /* New ones wait as well: the limit counts all. It moves once, and stays when the first is back. */
    ps_brokers_closed(brokers, (unsigned)home, START_MS);
    assert_int_equal(pick(brokers, "licensed", 1, 9999, START_MS + PASS_MS - 1), -1);
    assert_true(ps_brokers_tick(brokers, START_MS + PASS_MS));
    int next = pick(brokers, "licensed", 1, 9999, START_MS + PASS_MS);
    assert_true(next >= 0 && next != home);
    ps_brokers_opened(brokers, (unsigned)home, DEAD_MS, LIMITS);
    assert_int_equal(pick(brokers, "licensed", 2, 10000, START_MS + PASS_MS), next);
}

static void jobs_go_where_their_engine_is_served(void **state)
{
    struct ps_brokers *brokers = *state;

    ps_brokers_serve(brokers, "clamav", 1u << 2);
    ps_brokers_serve(brokers, "licensed", 1u << 1);
    for (unsigned i = 0; i < SAMPLES; i++)
        assert_int_equal(pick(brokers, "clamav", i, i + 1, 0), 2);
    assert_int_equal(pick(brokers, "licensed", 1, 1, START_MS), 1);
    ps_brokers_serve_none(brokers);
    assert_true(pick(brokers, "clamav", 1, 1, 0) >= 0);
}

/* Where engines are quick, or slow, an operator may say so. */
static void the_longest_run_is_a_setting(void **state)
{
    static const uint32_t runs_ms[] = {2000, 300000};

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(runs_ms); i++) {
        struct ps_brokers *brokers = NULL;
        const uint64_t start_ms = 3 * PS_BROKERS_DEAD_MS + runs_ms[i] + PS_BROKERS_MARGIN_MS;
        const uint64_t pass_ms = 3 * DEAD_MS + runs_ms[i] + PS_BROKERS_MARGIN_MS;

        assert_int_equal(ps_brokers_new(&brokers, names, 2), 0);
        ps_brokers_longest_run(brokers, runs_ms[i]);
        ps_brokers_begin(brokers, 0);
        for (unsigned b = 0; b < 2; b++)
            ps_brokers_opened(brokers, b, DEAD_MS, LIMITS);
        assert_int_equal(pick(brokers, "licensed", 1, 1, start_ms - 1), -1);
        int home = pick(brokers, "licensed", 1, 1, start_ms);
        assert_in_range(home, 0, 1);
        ps_brokers_closed(brokers, (unsigned)home, start_ms);
        (void)ps_brokers_tick(brokers, start_ms + pass_ms - 1);
        assert_int_equal(pick(brokers, "licensed", 2, 2, start_ms + pass_ms - 1), -1);
        assert_true(ps_brokers_tick(brokers, start_ms + pass_ms));
        assert_int_equal(pick(brokers, "licensed", 2, 2, start_ms + pass_ms), !home);
        ps_brokers_free(&brokers);
    }
}

static void one_broker_never_waits(void **state)
{
    struct ps_brokers *brokers = NULL;

    (void)state;
    assert_int_equal(ps_brokers_new(&brokers, names, 1), 0);
    ps_brokers_begin(brokers, 0);
    assert_int_equal(pick(brokers, "licensed", 1, 1, 0), -1); /* nobody is there */
    ps_brokers_opened(brokers, 0, DEAD_MS, LIMITS);
    assert_int_equal(pick(brokers, "licensed", 1, 1, 0), 0);
    ps_brokers_closed(brokers, 0, 1);
    assert_false(ps_brokers_hold(brokers, 2));
    ps_brokers_opened(brokers, 0, DEAD_MS, LIMITS);
    assert_int_equal(pick(brokers, "licensed", 1, 1, 3), 0);
    ps_brokers_free(&brokers);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(samples_are_shared_out),
        T(jobs_of_one_that_went_wait_and_move),
        T(one_that_returns_in_time_goes_on),
        T(long_runs_and_large_samples_take_longer_to_pass),
        T(a_limit_is_one_brokers),
        T(jobs_go_where_their_engine_is_served),
        cmocka_unit_test(the_longest_run_is_a_setting),
        cmocka_unit_test(one_broker_never_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
