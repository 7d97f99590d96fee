#include "tests/unit/worker_roster_kit.h"

/* ---- the list ---- */

static void engines_are_found_by_listing(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_mkdirs(unit_path(path, f->engines, "nothing"), 0700), 0);
    make_engine(f, "Bad Name");
    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(ps_roster_n(f->roster), 2);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("alpha")), 0);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("beta")), 1);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("alph")), -1);
    assert_false(ps_roster_settled(f->roster));
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 2);
    assert_true(offers[0].problem.len > 0);

    load(&hosts[0]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_FAILED, .text = "no licence"});
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "exit status 1"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_true(ps_roster_settled(f->roster));
    assert_string_equal(ps_roster_walls(f->roster), "full");
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms + 5000, offers), 2);
    assert_int_equal(offers[0].problem.len, 0);
    assert_true(ps_bytes_is(offers[0].definitions, "77"));
    assert_true(ps_bytes_is(offers[0].types, "text/*"));
    assert_int_equal(offers[0].age_s, 105);
    assert_true(ps_bytes_is(offers[1].problem, "no licence"));
}

static void what_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    struct ps_error error;
    char *names[] = {(char[]){"alpha"}, (char[]){"gamma"}};

    f->only = (struct ps_opt_list){names, 2};
    assert_int_equal(make(f, &error), PS_ERR_NOTFOUND);
    assert_non_null(strstr(error.text, "gamma"));
    (void)unit_path(f->engines, f->dir, "none");
    assert_int_equal(make(f, &error), PS_ERR_NOTFOUND);
}

static void settings_go_to_their_engine(void **state)
{
    struct fixture *f = *state;
    struct ps_error error;
    char *good[] = {(char[]){"alpha.max=1"}, (char[]){"alpha.a.b=c=d"}};
    char *bad[] = {(char[]){"gamma.max=1"}, (char[]){"alpha"}, (char[]){"alpha.max"}, (char[]){"=1.2"}};

    f->settings = (struct ps_opt_list){good, 2};
    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(hosts[0].settings_n, 2);
    assert_string_equal(hosts[0].settings[0], "max=1");
    assert_string_equal(hosts[0].settings[1], "a.b=c=d");
    assert_int_equal(hosts[1].settings_n, 0);
    ps_roster_free(&f->roster);
    for (size_t i = 0; i < PS_ARRAY_N(bad); i++) {
        f->settings = (struct ps_opt_list){&bad[i], 1};
        assert_int_equal(make(f, &error), PS_ERR_INVALID);
    }
}

/* ---- deaths ---- */

static void three_deaths_in_a_minute_begin_the_backoff(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    die(f, 0);
    expect_restart_after(f, 0);
    come_up(f);
    die(f, 1);
    expect_restart_after(f, PS_ROSTER_AGAIN_MS);
    come_up(f);
    die(f, 2);
    expect_restart_after(f, PS_ROSTER_RETRY_MS);
    come_up(f);
    die(f, 3);
    expect_restart_after(f, 2 * PS_ROSTER_RETRY_MS);
    come_up(f);

    f->now_ms += PS_ROSTER_WINDOW_MS; /* a good minute makes good */
    die(f, 4);
    expect_restart_after(f, 0);
}

static void one_that_does_not_load_is_tried_again_and_again(void **state)
{
    struct fixture *f = *state;
    uint64_t wait_ms = PS_ROSTER_RETRY_MS;

    start_one(f);
    die(f, 0);
    expect_restart_after(f, 0);
    for (unsigned n = 1; n < 10; n++) {
        die(f, n);
        expect_restart_after(f, wait_ms);
        wait_ms = PS_MIN(2 * wait_ms, PS_ROSTER_BACKOFF_MAX_MS);
    }
    assert_int_equal(wait_ms, PS_ROSTER_BACKOFF_MAX_MS);
    come_up(f);
}

static void a_host_that_cannot_be_started_is_tried_again(void **state)
{
    struct fixture *f = *state;

    refuse_start = true;
    assert_int_equal(make(f, NULL), 0);
    assert_true(ps_roster_settled(f->roster));
    assert_string_equal(ps_roster_problem(f->roster, 0), "told to fail");
    assert_int_equal(ps_roster_due_ms(f->roster), f->now_ms + PS_ROSTER_RETRY_MS);
    refuse_start = false;
    f->now_ms += PS_ROSTER_RETRY_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
}

/* ---- results ---- */

static struct ps_roster_event result(struct fixture *f, struct ps_host_result *result)
{
    say(&hosts[hosts_n - 1], (struct ps_host_event){.kind = PS_HOST_RESULT, .slot = 1, .result = result});
    return step(f);
}

static void run(struct fixture *f)
{
    struct ps_host_job job = {.job = 1};

    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), 0);
}

static void a_crash_is_the_samples_fault_in_a_fresh_child_only(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result crash = {.outcome = PS_OUTCOME_FAILURE, .crashed = true};
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};
    struct ps_host_result hit = {.outcome = PS_OUTCOME_MALICIOUS, .crashed = true};
    struct ps_host_result lost = {.outcome = PS_OUTCOME_FAILURE, .lost = true};

    start_one(f);
    assert_false(ps_roster_warm(f->roster, 0, 1));
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &crash).again);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_EXITED, .slot = 1});
    assert_int_equal(step(f).kind, 0);
    assert_false(ps_roster_warm(f->roster, 0, 1));

    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &fine).again);
    assert_true(ps_roster_warm(f->roster, 0, 1));
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_EXITED, .slot = 1});
    assert_true(result(f, &crash).again);
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &crash).again);

    run(f);
    run(f);
    assert_false(result(f, &hit).again);
    assert_true(result(f, &lost).again);
}

static void nothing_runs_on_an_engine_that_is_away(void **state)
{
    struct fixture *f = *state;
    struct ps_host_job job = {.job = 1};

    start_one(f);
    die(f, 0);
    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), PS_ERR_UNAVAILABLE);
    ps_roster_kill(f->roster, 0, 1, "x", f->now_ms);
    expect_restart_after(f, 0);
    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), PS_ERR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(engines_are_found_by_listing),
        T(what_is_not_there_is_named),
        T(settings_go_to_their_engine),
        T(three_deaths_in_a_minute_begin_the_backoff),
        T(one_that_does_not_load_is_tried_again_and_again),
        T(a_host_that_cannot_be_started_is_tried_again),
        T(a_crash_is_the_samples_fault_in_a_fresh_child_only),
        T(nothing_runs_on_an_engine_that_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
