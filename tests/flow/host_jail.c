/* The engine host with a real zygote, real children and the test engine crashy, which does what it is told. As root
 * (where engines then run as nobody) and as an ordinary user. */
#include "tests/flow/host_rig.h"

#include <grp.h>

#define GRANDCHILDREN 4 /* of crashy's fork-hang */
#define PIDS_MAX      64

static int crashy_with(void **state, unsigned slots, const char *const *options)
{
    struct rig *rig = rig_new("crashy");

    rig_start(rig, "crashy", slots, options, RIG_NONE);
    (void)rig_wait(rig, PS_HOST_LOADED);
    *state = rig;
    return 0;
}

static int set_up(void **state)
{
    return crashy_with(state, 1, RIG_WORDS("--memory=64M", "--tmp-bytes=1M", "--tmp-inodes=64"));
}

static int set_up_four(void **state)
{
    return crashy_with(state, 4, RIG_NONE);
}

static int tear_down(void **state)
{
    rig_free(*state);
    return 0;
}

/* The next job of the same slot works, in a child that is another one or the same. */
static void expect_unharmed(struct rig *rig)
{
    assert_int_equal(rig_scan(rig, "harmless", 5000), PS_OUTCOME_UNDETECTED);
    assert_true(rig->result.counted);
    assert_string_equal(rig->reason, "");
}

static void a_loaded_host_says_what_it_is(void **state)
{
    struct rig *rig = *state;
    const struct ps_host_info *info = ps_host_info(rig->host);

    assert_string_equal(info->engine, "crashy");
    assert_int_equal(info->kind, PS_KIND_EVILNESS);
    assert_string_equal(info->version, "1");
    assert_int_equal(info->run_ms, 2000);
    assert_true(strcmp(info->walls, "full") == 0 || strncmp(info->walls, "weaker: ", 8) == 0);
}

static void a_child_is_ready_ahead_of_need(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(ps_host_spawn(rig->host, 0, ps_clock_mono_ms()), 0);
    (void)rig_wait(rig, PS_HOST_READY);
    assert_true(rig_alive(rig->child));
    assert_true(rig_descends(rig->child, ps_host_info(rig->host)->pid));
    assert_int_equal(rig_scan(rig, "CRASHY malicious Test.Label", 5000), PS_OUTCOME_MALICIOUS);
    assert_string_equal(rig->label, "Test.Label");
    assert_int_equal(rig->readies, 1);
    assert_int_equal(rig->haves, 1);
}

static void outcomes_come_as_the_engine_meant_them(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_scan(rig, "CRASHY suspicious", 5000), PS_OUTCOME_SUSPICIOUS);
    assert_int_equal(rig_scan(rig, "CRASHY harmless", 5000), PS_OUTCOME_HARMLESS);
    assert_int_equal(rig_scan(rig, "CRASHY incomplete half of it", 5000), PS_OUTCOME_INCOMPLETE);
    assert_string_equal(rig->reason, "half of it");
    assert_int_equal(rig_scan(rig, "CRASHY failure no luck", 5000), PS_OUTCOME_FAILURE);
    assert_false(rig->result.crashed);
    assert_int_equal(rig_scan(rig, "CRASHY lie", 5000), PS_OUTCOME_FAILURE);
    assert_int_equal(rig->readies, 1);
}

static void a_crash_is_a_failure_and_the_next_job_unharmed(void **state)
{
    static const char *const deaths[][2] = {{"CRASHY segv", "SIGSEGV"},
                                            {"CRASHY abort", "SIGABRT"},
                                            {"CRASHY exit 3", "exit status 3"},
                                            {"CRASHY exit 0", "exit status 0"}};
    struct rig *rig = *state;

    for (size_t i = 0; i < PS_ARRAY_N(deaths); i++) {
        assert_int_equal(rig_scan(rig, deaths[i][0], 5000), PS_OUTCOME_FAILURE);
        assert_true(rig->result.crashed);
        assert_non_null(strstr(rig->reason, deaths[i][1]));
        (void)rig_wait(rig, PS_HOST_EXITED);
        expect_unharmed(rig);
    }
}

static void a_hang_ends_at_its_deadline(void **state)
{
    static const char *const hangs[] = {"CRASHY hang", "CRASHY hang-ignore", "CRASHY spin"};
    struct rig *rig = *state;

    for (size_t i = 0; i < PS_ARRAY_N(hangs); i++) {
        assert_int_equal(rig_scan(rig, hangs[i], 200), PS_OUTCOME_TIMEOUT);
        assert_true(rig->result.timed_out);
        assert_false(rig->result.crashed);
        assert_string_equal(rig->reason, "not done after 200 ms");
        /* Deadlines are whole milliseconds: one may begin within the first of them. */
        assert_in_range(rig->result.run_us, 199000, 5000000);
        expect_unharmed(rig);
    }
    /* How much of a processor it gets in that time is the machine's business: on a busy one it needs longer. */
    for (uint32_t ms = 300; ms == 300 || (rig->result.cpu_us < 50000 && ms < 10000); ms *= 2)
        assert_int_equal(rig_scan(rig, "CRASHY spin", ms), PS_OUTCOME_TIMEOUT);
    assert_in_range(rig->result.cpu_us, 50000, 10000000);
}

static void sockets_and_processes_are_refused(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_scan(rig, "CRASHY socket", 5000), PS_OUTCOME_FAILURE);
    assert_non_null(strstr(rig->reason, "system call filter"));
    assert_int_equal(rig_scan(rig, "CRASHY fork-hang", 5000), PS_OUTCOME_FAILURE);
    assert_non_null(strstr(rig->reason, "system call filter"));
    expect_unharmed(rig);
}

static void files_outside_are_out_of_reach(void **state)
{
    static const char *const paths[] = {"/etc/passwd",          "/proc/1/environ", "/",
                                        "/tmp/../etc/hostname", "/dev/null",       "/proc/self/maps"};
    struct rig *rig = *state;
    char text[128];

    for (size_t i = 0; i < PS_ARRAY_N(paths); i++) {
        (void)snprintf(text, sizeof(text), "CRASHY read %s", paths[i]);
        assert_int_equal(rig_scan(rig, text, 5000), PS_OUTCOME_UNDETECTED);
        assert_non_null(strstr(rig->reason, "the wall holds"));
    }
}

static void memory_is_bounded(void **state)
{
    struct rig *rig = *state;
    unsigned mib = 0;

    assert_int_equal(rig_scan(rig, "CRASHY alloc", 20000), PS_OUTCOME_INCOMPLETE);
    assert_int_equal(sscanf(rig->reason, "refused after %u MiB", &mib), 1);
    assert_in_range(mib, 16, 80);
    expect_unharmed(rig);
}

/* Twice: the second finds as much room as the first, for the directory was emptied between. */
static void temporary_files_are_bounded_and_wiped(void **state)
{
    struct rig *rig = *state;
    unsigned mib = 99;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(rig_scan(rig, "CRASHY fill-tmp", 20000), PS_OUTCOME_INCOMPLETE);
        assert_int_equal(sscanf(rig->reason, "refused after %u MiB", &mib), 1);
        assert_int_equal(mib, 1);
    }
    assert_int_equal(rig->readies, 1);
}

static void floods_are_bounded(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_scan(rig, "CRASHY flood-traits", 20000), PS_OUTCOME_INCOMPLETE);
    assert_in_range(rig->result.traits_len, 1, PS_TRAITS_MAX);
    assert_int_equal(rig_scan(rig, "CRASHY flood-findings", 20000), PS_OUTCOME_SUSPICIOUS);
    assert_string_equal(rig->label, "Flood.0");
    assert_int_equal(rig_scan(rig, "CRASHY bad-json", 20000), PS_OUTCOME_INCOMPLETE);
    expect_unharmed(rig);
}

static void a_cancelled_job_ends_its_child(void **state)
{
    struct rig *rig = *state;
    pid_t child;

    rig_run(rig, 0, 7, "CRASHY hang", 60000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    child = rig->child;
    ps_host_kill(rig->host, 0, "nobody wants it", ps_clock_mono_ms());
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_CANCELLED);
    assert_string_equal(rig->reason, "nobody wants it");
    assert_false(rig_alive(child));
    expect_unharmed(rig);
}

/* Somebody's kill -9, once, is not the sample's fault. */
static void a_child_killed_from_outside_is_replaced(void **state)
{
    struct rig *rig = *state;

    rig_run(rig, 0, 7, "CRASHY slow 300", 20000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    assert_int_equal(kill(rig->child, SIGKILL), 0);
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->readies, 2);
    assert_int_equal(rig->haves, 1);
    assert_string_equal(rig->exit, "killed by SIGKILL");
}

static void a_child_killed_again_and_again_is_a_failure(void **state)
{
    struct rig *rig = *state;

    rig_run(rig, 0, 7, "CRASHY hang", 20000);
    for (int i = 0; i <= PS_HOST_RERUNS; i++) {
        char state_letter = 0;

        (void)rig_wait(rig, PS_HOST_READY);
        if (i == 0)
            (void)rig_wait(rig, PS_HOST_HAVE);
        /* HAVE is not repeated: the second time it is asleep in its hang when it has the sample. */
        RIG_UNTIL(rig_parent(rig->child, &state_letter) && state_letter == 'S');
        if (i > 0) {
            struct ps_host_event event;

            (void)ps_host_step(rig->host, ps_clock_mono_ms(), &event);
        }
        assert_int_equal(kill(rig->child, SIGKILL), 0);
    }
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_FAILURE);
}

static void a_dead_zygote_is_reported_and_its_jobs_lost(void **state)
{
    struct rig *rig = *state;
    pid_t pids[PIDS_MAX];
    size_t n;

    for (unsigned slot = 0; slot < 4; slot++)
        rig_run(rig, slot, slot, "CRASHY hang", 60000);
    while (rig->haves < 4)
        (void)rig_event(rig);
    n = rig_descendants(ps_host_info(rig->host)->pid, pids, PIDS_MAX);
    assert_true(n >= 4);
    assert_int_equal(kill(ps_host_info(rig->host)->pid, SIGKILL), 0);
    for (int i = 0; i < 4; i++) {
        (void)rig_wait(rig, PS_HOST_RESULT);
        assert_int_equal(rig->result.outcome, PS_OUTCOME_FAILURE);
        assert_true(rig->result.lost);
        assert_false(rig->result.crashed);
    }
    (void)rig_wait(rig, PS_HOST_GONE);
    assert_non_null(strstr(rig->gone, "SIGKILL"));
    for (size_t i = 0; i < n; i++)
        RIG_UNTIL(!rig_alive(pids[i]));
    assert_false(ps_host_idle(rig->host, 0));
    assert_int_equal(ps_host_spawn(rig->host, 0, ps_clock_mono_ms()), PS_ERR_UNAVAILABLE);
}

/* A minute's stop of the worker is not the sample's fault; a hang stays one. */
static void a_session_that_slept_puts_deadlines_off(void **state)
{
    struct rig *rig = *state;

    rig_run(rig, 0, 1, "CRASHY slow 700", 2000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    rig->shift_ms += 60000;
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_UNDETECTED);
    rig_run(rig, 0, 2, "CRASHY hang", 300);
    (void)rig_wait(rig, PS_HOST_HAVE);
    rig->shift_ms += 1500;
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_TIMEOUT);
}

/* Slots do not see each other: while three hang, crash and fill their disk, the fourth works. */
static void slots_do_not_disturb_each_other(void **state)
{
    struct rig *rig = *state;

    rig_run(rig, 1, 1, "CRASHY hang", 60000);
    rig_run(rig, 2, 2, "CRASHY spin", 60000);
    rig_run(rig, 3, 3, "CRASHY segv", 60000);
    for (int i = 0; i < 20; i++) {
        rig_run(rig, 0, 100, "harmless", 20000);
        do
            (void)rig_wait(rig, PS_HOST_RESULT);
        while (rig->result.job != 100);
        assert_int_equal(rig->result.outcome, PS_OUTCOME_UNDETECTED);
    }
    assert_true(ps_host_idle(rig->host, 0));
    assert_false(ps_host_idle(rig->host, 1));
}

/* ---- hosts of their own ---- */

static struct rig *start_with(const char *const *options)
{
    void *state = NULL;

    (void)crashy_with(&state, 1, options);
    return state;
}

static void expect_grandchildren_die(const char *const *options)
{
    struct rig *rig = start_with(options);
    pid_t pids[PIDS_MAX];
    size_t n = 0;

    rig_run(rig, 0, 1, "CRASHY fork-hang", 1500);
    (void)rig_wait(rig, PS_HOST_HAVE);
    RIG_UNTIL((n = rig_descendants(rig->child, pids, PIDS_MAX)) >= GRANDCHILDREN);
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_TIMEOUT);
    assert_false(rig_alive(rig->child));
    for (size_t i = 0; i < n; i++)
        assert_false(rig_alive(pids[i]));
    expect_unharmed(rig);
    rig_free(rig);
}

static void grandchildren_die_with_their_pid_namespace(void **state)
{
    (void)state;
    expect_grandchildren_die(RIG_WORDS("--wall-off=seccomp"));
}

static void grandchildren_die_without_a_pid_namespace(void **state)
{
    (void)state;
    expect_grandchildren_die(RIG_WORDS("--wall-off=seccomp,pid-ns"));
    expect_grandchildren_die(RIG_WORDS("--wall-off=seccomp,pid-ns,mount-ns,user-ns,net-ns,ipc-ns,uts-ns"));
}

/* With one of the two walls around files, they are out of reach; with neither, not: so both are real. */
static void each_wall_around_files_holds_alone(void **state)
{
    static const struct {
        const char *off, *landlock, *weaker;
        enum ps_outcome outcome;
    } cases[] = {
        {"--wall-off=root", "--landlock-abi=100", "no root directory", PS_OUTCOME_UNDETECTED},
        {"--wall-off=root", "--landlock-abi=2", "Landlock ABI 2 of", PS_OUTCOME_UNDETECTED},
        {"--wall-off=root", "--landlock-abi=1", "Landlock ABI 1 of", PS_OUTCOME_UNDETECTED},
        {"--wall-off=oom", "--landlock-abi=0", "no Landlock", PS_OUTCOME_UNDETECTED},
        {"--wall-off=root", "--landlock-abi=0", "no Landlock", PS_OUTCOME_MALICIOUS},
    };

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(cases); i++) {
        struct rig *rig = start_with(RIG_WORDS(cases[i].off, cases[i].landlock));

        assert_non_null(strstr(ps_host_info(rig->host)->walls, "weaker: "));
        assert_non_null(strstr(ps_host_info(rig->host)->walls, cases[i].weaker));
        assert_int_equal(rig_scan(rig, "CRASHY read /etc/passwd", 5000), cases[i].outcome);
        rig_free(rig);
    }
}

/* Debian 12's kernel, or a container without namespaces: all that is promised holds there too. */
static void it_works_where_the_kernel_gives_little(void **state)
{
    static const char *const poor[][4] = {
        {"--landlock-abi=2"},
        {"--landlock-abi=0"},
        {"--wall-off=user-ns,mount-ns,pid-ns,net-ns,ipc-ns,uts-ns", "--landlock-abi=2"},
        {"--wall-off=pid-ns"},
        {"--wall-off=mount-ns"},
        {"--wall-off=user-ns,mount-ns,pid-ns,net-ns,ipc-ns,uts-ns,landlock,limits,oom,dumpable,capabilities"},
    };

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(poor); i++) {
        struct rig *rig = start_with(poor[i]);

        assert_int_equal(strncmp(ps_host_info(rig->host)->walls, "weaker: ", 8), 0);
        expect_unharmed(rig);
        assert_int_equal(rig_scan(rig, "CRASHY segv", 5000), PS_OUTCOME_FAILURE);
        assert_non_null(strstr(rig->reason, "SIGSEGV"));
        assert_int_equal(rig_scan(rig, "CRASHY abort", 5000), PS_OUTCOME_FAILURE);
        assert_non_null(strstr(rig->reason, "SIGABRT"));
        assert_int_equal(rig_scan(rig, "CRASHY socket", 5000), PS_OUTCOME_FAILURE);
        assert_int_equal(rig_scan(rig, "CRASHY hang-ignore", 200), PS_OUTCOME_TIMEOUT);
        expect_unharmed(rig);
        rig_free(rig);
    }
}

static void find_file(const char *dir, const char *name, bool *ret_found)
{
    DIR *at = opendir(dir);
    struct dirent *entry;

    while (at && (entry = readdir(at))) {
        char path[1024];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        *ret_found = *ret_found || strcmp(entry->d_name, name) == 0;
        assert_true(snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path));
        if (entry->d_type == DT_DIR)
            find_file(path, name, ret_found);
    }
    if (at)
        (void)closedir(at);
}

/* On a shared disk: wiped after each job, and a killed child's too. */
static void directories_on_disk_are_wiped(void **state)
{
    struct rig *rig = start_with(RIG_WORDS("--wall-off=root", "--tmp-bytes=1M"));
    bool found = false;

    (void)state;
    assert_int_equal(rig_scan(rig, "CRASHY fill-tmp", 20000), PS_OUTCOME_INCOMPLETE);
    assert_int_equal(strncmp(rig->reason, "refused after 1 MiB", 19), 0);
    find_file(rig->dir, "slot-0", &found);
    assert_true(found);
    found = false;
    find_file(rig->dir, "fill", &found);
    assert_false(found);
    ps_host_kill(rig->host, 0, "done", ps_clock_mono_ms());
    (void)rig_wait(rig, PS_HOST_EXITED);
    find_file(rig->dir, "slot-0", &found);
    assert_false(found);
    rig_free(rig);
}

static void worn_out_children_are_replaced(void **state)
{
    struct rig *rig = start_with(RIG_WORDS("--recycle=3"));

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(rig_scan(rig, "harmless", 20000), PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->readies, 4);
    assert_string_equal(rig->exit, "exit status 0");
    rig_free(rig);
}

static void expect_failed(const char *const *settings, const char *said)
{
    struct rig *rig = rig_new("crashy");

    rig_start(rig, "crashy", 1, RIG_NONE, settings);
    while (rig->gone[0] == '\0')
        (void)rig_event(rig);
    if (!strstr(rig->failed, said))
        fail_msg("\"%s\" does not say \"%s\"", rig->failed, said);
    rig_free(rig);
}

static void an_engine_that_does_not_start_says_why(void **state)
{
    struct rig *rig;

    (void)state;
    expect_failed(RIG_WORDS("fail_probe=no licence"), "no licence");
    expect_failed(RIG_WORDS("fail_open=1"), "told to fail");
    expect_failed(RIG_WORDS("die_open=1"), "SIGABRT");
    expect_failed(RIG_WORDS("die_warm=1"), "SIGABRT");
    expect_failed(RIG_WORDS("die_enter=1"), "self-test");
    rig = rig_new("noop");
    rig_start(rig, "crashy", 1, RIG_NONE, RIG_NONE);
    while (rig->gone[0] == '\0')
        (void)rig_event(rig);
    assert_non_null(strstr(rig->failed, "is the engine noop, not crashy"));
    rig_free(rig);
}

/* The session of the next test, in a process of its own. */
static void __attribute__((noreturn)) hang_and_say(struct rig *rig, int to)
{
    rig_start(rig, "crashy", 1, RIG_NONE, RIG_NONE);
    (void)rig_wait(rig, PS_HOST_LOADED);
    rig_run(rig, 0, 1, "CRASHY hang-ignore", 600000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    if (write(to, "!", 1) != 1)
        _exit(1);
    for (;;)
        (void)pause();
}

/* A session that is killed takes everything with it. */
static void nothing_outlives_the_session(void **state)
{
    struct rig *rig = rig_new("crashy");
    pid_t pids[PIDS_MAX], session;
    size_t n = 0;
    int ready[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    session = fork();
    if (session == 0)
        hang_and_say(rig, ready[1]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    n = rig_descendants(session, pids, PIDS_MAX);
    assert_true(n >= 2);
    assert_int_equal(kill(session, SIGKILL), 0);
    assert_int_equal(waitpid(session, NULL, 0), session);
    for (size_t i = 0; i < n; i++)
        RIG_UNTIL(!rig_alive(pids[i]));
    rig_free(rig);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_loaded_host_says_what_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_is_ready_ahead_of_need, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outcomes_come_as_the_engine_meant_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_crash_is_a_failure_and_the_next_job_unharmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hang_ends_at_its_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sockets_and_processes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_outside_are_out_of_reach, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(temporary_files_are_bounded_and_wiped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(floods_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_job_ends_its_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_killed_from_outside_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_killed_again_and_again_is_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_zygote_is_reported_and_its_jobs_lost, set_up_four, tear_down),
        cmocka_unit_test_setup_teardown(a_session_that_slept_puts_deadlines_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slots_do_not_disturb_each_other, set_up_four, tear_down),
        cmocka_unit_test(grandchildren_die_with_their_pid_namespace),
        cmocka_unit_test(grandchildren_die_without_a_pid_namespace),
        cmocka_unit_test(each_wall_around_files_holds_alone),
        cmocka_unit_test(it_works_where_the_kernel_gives_little),
        cmocka_unit_test(directories_on_disk_are_wiped),
        cmocka_unit_test(worn_out_children_are_replaced),
        cmocka_unit_test(an_engine_that_does_not_start_says_why),
        cmocka_unit_test(nothing_outlives_the_session),
    };

    return cmocka_run_group_tests_name(geteuid() == 0 ? "host_jail as root" : "host_jail as a user", tests,
                                       NULL, NULL);
}

/* As root all of it once more as an ordinary user, in a process of its own. */
int main(void)
{
    int failed = run_all(), status = 0;
    pid_t pid;

    if (geteuid() != 0)
        return failed;
    pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0)
            _exit(99);
        (void)setenv("TMPDIR", "/tmp", 1);
        exit(run_all());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 1;
    return failed + WEXITSTATUS(status);
}
