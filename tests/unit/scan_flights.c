/* Drive's book of what is in the broker's hands. */
#include "tests/unit/unit.h"

#include "base/err.h"
#include "master/scan/flights.h"
#include "proto/limits.h"

#define JOB(scan, ordinal) ((uint64_t)(scan)*PS_JOB_ORDINALS + (ordinal))

static int set_up(void **state)
{
    return ps_flights_new((struct ps_flights **)state);
}

static int tear_down(void **state)
{
    ps_flights_free((struct ps_flights **)state);
    return 0;
}

static void send(struct ps_flights *f, uint64_t scan, unsigned band, size_t jobs_n, uint64_t now_ms)
{
    uint64_t jobs[256];

    for (size_t i = 0; i < jobs_n; i++)
        jobs[i] = JOB(scan, i);
    assert_int_equal(ps_flights_send(f, scan, band, jobs, jobs_n, now_ms), 0);
}

static void a_flight_ends_with_its_last_job(void **state)
{
    struct ps_flights *f = *state;

    send(f, 1, 0, 2, 0);
    send(f, 2, 1, 256, 0);
    assert_int_equal(ps_flights_jobs_n(f, 0), 2);
    assert_int_equal(ps_flights_jobs_n(f, 1), 256);
    assert_false(ps_flights_settle(f, JOB(1, 1)));
    assert_false(ps_flights_settle(f, JOB(1, 1))); /* a repeated word */
    assert_false(ps_flights_settle(f, JOB(1, 7))); /* no job of it */
    assert_false(ps_flights_settle(f, JOB(9, 0))); /* a stranger */
    assert_int_equal(ps_flights_jobs_n(f, 0), 1);
    assert_true(ps_flights_settle(f, JOB(1, 0)));
    assert_false(ps_flights_has(f, 1));
    assert_int_equal(ps_flights_jobs_n(f, 0), 0);
    for (unsigned i = 0; i < 255; i++)
        assert_false(ps_flights_settle(f, JOB(2, i)));
    assert_true(ps_flights_settle(f, JOB(2, 255)));
    assert_int_equal(ps_flights_n(f), 0);
}

static void the_refused_come_again_oldest_first(void **state)
{
    struct ps_flights *f = *state;
    uint64_t scans[4];

    send(f, 1, 1, 2, 10);
    send(f, 2, 1, 2, 11);
    send(f, 3, 1, 2, 12);
    ps_flights_refuse(f, JOB(2, 0));
    ps_flights_refuse(f, JOB(1, 0));
    ps_flights_refuse(f, JOB(1, 1));
    ps_flights_accept(f, JOB(1, 1)); /* taken in part: still to be sent again */
    ps_flights_accept(f, JOB(3, 0));
    assert_int_equal(ps_flights_again_n(f, 1), 2);
    assert_int_equal(ps_flights_again(f, 1, scans, 4), 2);
    assert_int_equal(scans[0], 2);
    assert_int_equal(scans[1], 1);
    send(f, 2, 1, 1, 20); /* one of its jobs was done meanwhile */
    assert_int_equal(ps_flights_again_n(f, 1), 1);
    assert_int_equal(ps_flights_jobs_n(f, 1), 5);
    ps_flights_end(f, 1);
    assert_int_equal(ps_flights_again_n(f, 1), 0);
    assert_int_equal(ps_flights_jobs_n(f, 1), 3);
}

static void the_unanswered_are_overdue(void **state)
{
    struct ps_flights *f = *state;

    send(f, 1, 0, 1, 10);
    send(f, 2, 0, 1, 20);
    send(f, 3, 0, 1, 30);
    ps_flights_accept(f, JOB(1, 0));
    assert_int_equal(ps_flights_overdue(f, 30), 1);
    assert_int_equal(ps_flights_again_n(f, 0), 1);
    assert_true(ps_flights_settle(f, JOB(2, 0))); /* its result came after all */
    assert_int_equal(ps_flights_again_n(f, 0), 0);
    assert_int_equal(ps_flights_overdue(f, 31), 1);
    ps_flights_clear(f);
    assert_int_equal(ps_flights_n(f), 0);
    assert_int_equal(ps_flights_jobs_n(f, 0), 0);
    assert_int_equal(ps_flights_again_n(f, 0), 0);
    assert_int_equal(ps_flights_overdue(f, 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_flight_ends_with_its_last_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_refused_come_again_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_unanswered_are_overdue, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
