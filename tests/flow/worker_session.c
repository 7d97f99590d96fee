/* A worker's life with its broker: greeting, leases, samples, results, reconnects, the end. */
#include "tests/flow/worker_rig.h"

#define ENGINES "noop,crashy,hashes"

static void start(struct rig *rig)
{
    rig_start(rig, RIG_ARGS("--engines", ENGINES, "--slots", "2"));
    RIG_WAIT(rig, rig->readies == 1);
}

/* Hands the worker a job that keeps a slot until it is killed. */
static void hang(struct rig *rig, uint64_t job)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "CRASHY hang\n%u", (unsigned)job);
    rig_lease_all(rig, rig_content(rig, text, 0),
                  &(struct rig_lease){.job = job, .engine = "crashy", .run_ms = 60000}, 1);
    RIG_WAIT(rig, rig_runs(rig, job));
}

/* ---- greeting ---- */

static void it_says_what_it_is(void **state)
{
    struct rig *rig = *state;

    start(rig);
    assert_int_equal(rig->slots, 2);
    assert_int_equal(rig->window, 64);
    assert_string_not_equal(rig->isolation, "");
    assert_int_equal(rig->offers_n, 3);
    assert_int_equal(rig->held_n, 0);
    assert_int_equal(rig->uncommitted_n, 0);
    for (size_t i = 0; i < rig->offers_n; i++)
        assert_string_equal(rig->offers[i].problem, "");
    assert_int_equal(rig_offer(rig, "hashes")->kind, PS_KIND_METADATA);
    assert_int_equal(rig_offer(rig, "noop")->kind, PS_KIND_EVILNESS);
    RIG_WAIT(rig, rig->beats >= 3);
}

static void the_window_grows_with_the_slots(void **state)
{
    struct rig *rig = *state;

    rig_start(rig, RIG_ARGS("--engines", "noop", "--slots", "20"));
    RIG_WAIT(rig, rig->readies == 1);
    assert_int_equal(rig->slots, 20);
    assert_int_equal(rig->window, 80);
}

static void an_engine_that_does_not_load_is_offered_with_its_problem(void **state)
{
    struct rig *rig = *state;

    rig_start(rig,
              RIG_ARGS("--engines", "noop,crashy", "--slots", "1", "--set", "crashy.fail_probe=no licence"));
    RIG_WAIT(rig, rig->readies == 1);
    assert_string_equal(rig_offer(rig, "noop")->problem, "");
    assert_non_null(strstr(rig_offer(rig, "crashy")->problem, "no licence"));

    rig_lease(rig, rig_content(rig, "x", 0), 1, "crashy");
    assert_non_null(strstr(rig_expect(rig, 1, PS_OUTCOME_CANCELLED)->reason, "not available"));
    rig_lease(rig, rig_content(rig, "x", 0), 2, "nonesuch");
    (void)rig_expect(rig, 2, PS_OUTCOME_CANCELLED);
}

static unsigned long uid_of(pid_t pid)
{
    char path[64];
    PS_BUF struct ps_buf text;
    const char *line;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    ps_buf_init(&text, 65536);
    assert_int_equal(ps_file_read(path, &text), 0);
    line = strstr(ps_buf_text(&text), "Uid:");
    assert_non_null(line);
    return strtoul(line + strlen("Uid:"), NULL, 10);
}

/* Only root can: two accounts that every Debian has stand for ours. */
static void started_as_root_it_gives_root_up(void **state)
{
    struct rig *rig = *state;
    char socket[UNIT_PATH_MAX];

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(rig->broker.dir, 0711), 0);
    assert_int_equal(chmod(unit_path(socket, rig->broker.dir, "broker"), 0666), 0);
    rig_start(rig, RIG_ARGS("--engines", "crashy", "--slots", "1", "--account-services", "daemon",
                            "--account-engines", "games"));
    RIG_WAIT(rig, rig->readies == 1);
    assert_int_not_equal(uid_of(rig->pid), 0);
    rig_lease(rig, rig_content(rig, "CRASHY malicious", 100000), 1, "crashy");
    (void)rig_expect(rig, 1, PS_OUTCOME_MALICIOUS);
    rig->commit = true;
    rig_commit(rig, 1);
    assert_int_equal(kill(rig->pid, SIGTERM), 0);
    assert_int_equal(rig_wait_end(rig), 0);
}

/* ---- samples and results ---- */

static void small_samples_travel_inside(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY malicious Bad.Thing", 0);
    const struct rig_lease leases[] = {
        {.job = 1, .engine = "crashy"}, {.job = 2, .engine = "noop"}, {.job = 3, .engine = "hashes"}};
    const struct rig_result *result;

    start(rig);
    rig_lease_all(rig, content, leases, 3);
    result = rig_expect(rig, 1, PS_OUTCOME_MALICIOUS);
    assert_string_equal(result->label, "Bad.Thing");
    assert_string_equal(result->engine, "crashy");
    assert_string_equal(result->worker, "rig");
    assert_int_equal(result->boot, rig->boot);
    assert_int_equal(result->seq, 1);
    assert_true(result->counted);
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    assert_true(rig_expect(rig, 3, PS_OUTCOME_DESCRIBED)->traits_len > 50);
    assert_int_equal(rig->fetches, 0);
}

static void an_empty_sample_is_scanned(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig_lease(rig, rig_content(rig, "", 0), 1, "crashy");
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->fetches, 0);
}

/* One sample crosses once, whatever is done with it. */
static void a_large_sample_crosses_once(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY malicious", 3 * 1024 * 1024 + 5);
    const struct rig_lease leases[] = {
        {.job = 1, .engine = "crashy"}, {.job = 2, .engine = "noop"}, {.job = 3, .engine = "hashes"}};

    start(rig);
    rig_lease_all(rig, content, leases, 3);
    (void)rig_expect(rig, 1, PS_OUTCOME_MALICIOUS);
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    (void)rig_expect(rig, 3, PS_OUTCOME_DESCRIBED);
    assert_int_equal(rig->fetched_bytes, content->len);

    rig_lease(rig, content, 4, "crashy");
    (void)rig_expect(rig, 4, PS_OUTCOME_MALICIOUS);
    assert_int_equal(rig->fetched_bytes, content->len);
}

static void one_over_64_mib_goes_through_a_file(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY suspicious", 65 * 1024 * 1024);

    start(rig);
    rig_lease(rig, content, 1, "crashy");
    (void)rig_expect(rig, 1, PS_OUTCOME_SUSPICIOUS);
    assert_int_equal(rig->fetched_bytes, content->len);
}

static void a_sample_that_is_gone_is_a_failure(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig->gone = true;
    rig_lease(rig, rig_content(rig, "", 100000), 1, "crashy");
    assert_string_equal(rig_expect(rig, 1, PS_OUTCOME_FAILURE)->reason, "the store lost it");
}

static void wrong_bytes_are_a_failure_after_two_attempts(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "", 100000);

    start(rig);
    rig->bad_chunks = true;
    rig_lease(rig, content, 1, "crashy");
    assert_non_null(strstr(rig_expect(rig, 1, PS_OUTCOME_FAILURE)->reason, "SHA-256"));
    assert_int_equal(rig->fetched_bytes, 2 * content->len);
}

/* The budget holds two of these: the third waits, and meanwhile the worker asks for no more. */
static void samples_that_find_no_room_lower_the_credit(void **state)
{
    struct rig *rig = *state;

    rig_start(rig, RIG_ARGS("--engines", "crashy", "--slots", "2", "--memfd-budget", "128M"));
    RIG_WAIT(rig, rig->readies == 1);
    rig->commit = true;
    for (uint64_t job = 1; job <= 3; job++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "CRASHY slow 300\n%u", (unsigned)job);
        rig_lease(rig, rig_content(rig, text, 50 * 1024 * 1024), job, "crashy");
    }
    RIG_WAIT(rig, rig->credits > 0);
    assert_in_range(rig->window, 1, 3);
    for (uint64_t job = 1; job <= 3; job++)
        (void)rig_expect(rig, job, PS_OUTCOME_UNDETECTED);
    RIG_WAIT(rig, rig->window == 64);
}

/* ---- engines that misbehave ---- */

static void a_crash_harms_nobody_else(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *bad = rig_content(rig, "CRASHY segv", 0), *good = rig_content(rig, "fine", 0);

    start(rig);
    for (uint64_t job = 1; job <= 20; job++)
        rig_lease(rig, job == 7 || job == 12 ? bad : good, job, "crashy");
    for (uint64_t job = 1; job <= 20; job++)
        if (job == 7 || job == 12)
            assert_non_null(strstr(rig_expect(rig, job, PS_OUTCOME_FAILURE)->reason, "SIGSEGV"));
        else
            (void)rig_expect(rig, job, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->results_n, 20);
}

static void one_that_hangs_times_out(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY hang-ignore", 0);

    start(rig);
    rig_lease_all(rig, content, &(struct rig_lease){.job = 1, .engine = "crashy", .run_ms = 300}, 1);
    rig_lease(rig, rig_content(rig, "fine", 0), 2, "crashy");
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    assert_true(rig_expect(rig, 1, PS_OUTCOME_TIMEOUT)->run_us >= 300000);
}

static void a_suspect_runs_alone(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig_lease(rig, rig_content(rig, "CRASHY slow 300", 0), 1, "crashy");
    rig_lease_all(rig, rig_content(rig, "CRASHY slow 10", 0),
                  &(struct rig_lease){.job = 2, .engine = "crashy", .alone = true}, 1);
    rig_lease(rig, rig_content(rig, "fine", 0), 3, "noop");
    (void)rig_expect(rig, 3, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->results[0].job, 1);
    assert_int_equal(rig->results[1].job, 2);
    assert_int_equal(rig->results[2].job, 3);
}

/* Somebody kills the engine host: what it had in hands is done all the same, and the engine comes back. */
static void a_killed_engine_host_is_started_again(void **state)
{
    struct rig *rig = *state;
    char command[128];
    unsigned lists;

    rig_start(rig, RIG_ARGS("--engines", "crashy", "--slots", "1"));
    RIG_WAIT(rig, rig->readies == 1);
    rig_lease(rig, rig_content(rig, "CRASHY slow 300", 0), 1, "crashy");
    RIG_WAIT(rig, rig_runs(rig, 1));
    lists = rig->offer_lists;
    (void)snprintf(command, sizeof(command), "kill -9 $(pgrep -P %d)", (int)rig->pid);
    assert_int_equal(system(command), 0);
    RIG_WAIT(rig, rig->offer_lists > lists && rig_offer(rig, "crashy")->problem[0] == '\0');
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
    rig_lease(rig, rig_content(rig, "fine", 0), 2, "crashy");
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
}

/* ---- cancel, commit ---- */

static void cancelled_jobs_are_dropped_and_killed(void **state)
{
    struct rig *rig = *state;
    struct ps_part_lease_ref refs[3];

    start(rig);
    hang(rig, 1);
    hang(rig, 2);
    rig_lease(rig, rig_content(rig, "fine", 0), 3, "noop"); /* waits: both slots are taken */
    for (uint64_t job = 1; job <= 3; job++)
        refs[job - 1] = (struct ps_part_lease_ref){.boot = rig->boot, .seq = job, .job = job};
    rig_say(rig, PS_MSG(CANCEL, .leases = {.items = refs, .n = 3}));
    rig_lease(rig, rig_content(rig, "fine", 0), 4, "noop");
    (void)rig_expect(rig, 4, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->results_n, 1);
    RIG_WAIT(rig, rig->running_n == 0);
}

/* The job was settled by somebody else: the one who still runs it stops. */
static void a_committed_job_is_not_run_on(void **state)
{
    struct rig *rig = *state;

    start(rig);
    hang(rig, 1);
    rig_commit(rig, 1);
    RIG_WAIT(rig, rig->running_n == 0);
    assert_null(rig_result(rig, 1));
}

/* ---- lost sessions ---- */

static void hang_up(struct rig *rig)
{
    unsigned hellos = rig->hellos, readies = rig->readies;

    broker_hang_up(&rig->broker);
    broker_listen(&rig->broker);
    RIG_WAIT(rig, rig->hellos > hellos && rig->readies > readies);
}

static void results_are_kept_until_committed(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig_lease(rig, rig_content(rig, "fine", 0), 1, "noop");
    rig_lease(rig, rig_content(rig, "fine too", 0), 2, "noop");
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    rig_commit(rig, 1);
    rig_lease(rig, rig_content(rig, "fine", 0), 3,
              "noop"); /* answered: then the COMMITTED before has arrived, too */
    (void)rig_expect(rig, 3, PS_OUTCOME_UNDETECTED);
    rig_commit(rig, 3);
    rig_lease(rig, rig_content(rig, "fine", 0), 4, "noop");
    (void)rig_expect(rig, 4, PS_OUTCOME_UNDETECTED);
    rig_commit(rig, 4);
    rig->results_n = 0;

    hang_up(rig);
    assert_true(rig->uncommitted_n <= 2); /* 4's commit may have been lost with the connection */
    assert_int_equal(rig->uncommitted[0].job, 2);
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    assert_null(rig_result(rig, 1));
    assert_null(rig_result(rig, 3));
}

static void leases_live_on_under_a_new_broker(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig_lease_all(rig, rig_content(rig, "CRASHY slow 1500", 0),
                  &(struct rig_lease){.job = 1, .engine = "crashy", .run_ms = 10000}, 1);
    RIG_WAIT(rig, rig_runs(rig, 1));
    rig->boot = 7002;
    rig->refuse_old = true;
    hang_up(rig);
    assert_int_equal(rig->held_n, 1);
    assert_int_equal(rig->held[0].job, 1);
    assert_int_equal(rig->held[0].boot, 7001);
    assert_true(rig->held[0].running);
    assert_int_equal(rig_expect(rig, 1, PS_OUTCOME_UNDETECTED)->boot, 7001);

    rig_lease(rig, rig_content(rig, "fine", 0), 2, "noop");
    assert_int_equal(rig_expect(rig, 2, PS_OUTCOME_UNDETECTED)->boot, 7002);
}

static void a_job_that_is_leased_again_answers_the_new_lease(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY slow 300", 0);

    start(rig);
    rig_lease(rig, content, 1, "crashy");
    RIG_WAIT(rig, rig_runs(rig, 1));
    rig_lease(rig, content, 1, "crashy");
    assert_int_equal(rig_expect(rig, 1, PS_OUTCOME_UNDETECTED)->seq, 2);
    assert_int_equal(rig->results_n, 1);

    rig_lease(rig, content, 1, "crashy"); /* the result is there: it is said again, and nothing is run */
    RIG_WAIT(rig, rig->results_n == 2);
    assert_int_equal(rig->results[1].seq, 3);
    assert_int_equal(rig->results[1].run_us, rig->results[0].run_us);
}

static void a_fetch_goes_on_in_a_new_session(void **state)
{
    struct rig *rig = *state;
    const struct rig_content *content = rig_content(rig, "CRASHY malicious", 1024 * 1024);

    start(rig);
    rig->no_chunks = true;
    rig_lease(rig, content, 1, "crashy");
    RIG_WAIT(rig, rig->fetches == 1);
    rig->no_chunks = false;
    hang_up(rig);
    (void)rig_expect(rig, 1, PS_OUTCOME_MALICIOUS);
    assert_int_equal(rig->fetched_bytes, content->len);
}

/* The broker is silent for longer than it may be: the worker works on, comes back and tells. */
static void a_silent_broker_is_left_and_found_again(void **state)
{
    struct rig *rig = *state;
    uint64_t until_ms;
    unsigned hellos;

    start(rig);
    rig_lease(rig, rig_content(rig, "CRASHY slow 200", 0), 1, "crashy");
    RIG_WAIT(rig, rig_runs(rig, 1));
    hellos = rig->hellos;
    rig->deaf = true;
    until_ms = ps_clock_mono_ms() + 2 * RIG_DEAD_MS;
    RIG_WAIT(rig, ps_clock_mono_ms() >= until_ms);
    rig->deaf = false;
    RIG_WAIT(rig, rig->hellos > hellos);
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
}

/* ---- the end ---- */

static void a_drain_finishes_gives_back_and_says_bye(void **state)
{
    struct rig *rig = *state;

    start(rig);
    rig->commit = true;
    rig_lease(rig, rig_content(rig, "CRASHY slow 500", 0), 1, "crashy");
    rig_lease(rig, rig_content(rig, "CRASHY slow 501", 0), 2, "crashy");
    rig_lease(rig, rig_content(rig, "fine", 0), 3, "noop");
    RIG_WAIT(rig, rig_runs(rig, 1) && rig_runs(rig, 2));
    assert_int_equal(kill(rig->pid, SIGTERM), 0);
    (void)rig_expect(rig, 3, PS_OUTCOME_CANCELLED);
    assert_int_equal(rig->window, 0);
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig_wait_end(rig), 0);
    RIG_WAIT(rig, rig->byes == 1);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    struct rig *rig = *state;

    start(rig);
    hang(rig, 1);
    assert_int_equal(kill(rig->pid, SIGTERM), 0);
    RIG_WAIT(rig, rig->window == 0);
    assert_int_equal(kill(rig->pid, SIGINT), 0);
    assert_int_equal(rig_wait_end(rig), 0);
    assert_null(rig_result(rig, 1));
}

static void it_ends_without_a_broker_too(void **state)
{
    struct rig *rig = *state;

    start(rig);
    broker_hang_up(&rig->broker);
    assert_int_equal(kill(rig->pid, SIGTERM), 0);
    assert_int_equal(rig_wait_end(rig), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_says_what_it_is),
        T(the_window_grows_with_the_slots),
        T(an_engine_that_does_not_load_is_offered_with_its_problem),
        T(started_as_root_it_gives_root_up),
        T(small_samples_travel_inside),
        T(an_empty_sample_is_scanned),
        T(a_large_sample_crosses_once),
        T(one_over_64_mib_goes_through_a_file),
        T(a_sample_that_is_gone_is_a_failure),
        T(wrong_bytes_are_a_failure_after_two_attempts),
        T(samples_that_find_no_room_lower_the_credit),
        T(a_crash_harms_nobody_else),
        T(one_that_hangs_times_out),
        T(a_suspect_runs_alone),
        T(a_killed_engine_host_is_started_again),
        T(cancelled_jobs_are_dropped_and_killed),
        T(a_committed_job_is_not_run_on),
        T(results_are_kept_until_committed),
        T(leases_live_on_under_a_new_broker),
        T(a_job_that_is_leased_again_answers_the_new_lease),
        T(a_fetch_goes_on_in_a_new_session),
        T(a_silent_broker_is_left_and_found_again),
        T(a_drain_finishes_gives_back_and_says_bye),
        T(a_second_signal_ends_it_at_once),
        T(it_ends_without_a_broker_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
