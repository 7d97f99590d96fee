/* Every attack that the test engine knows, in the whole jail: contained, explained, and the next job unharmed. As root
 * and as an ordinary user, with the Landlock of Debian 12's kernel, with none, and where a container refuses namespaces,
 * mounts or the system call filter itself. docs/security.md shows the table. */
#include "tests/flow/host_rig.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/flow/refuse.h"

#define RUN_MS    20000
#define HANG_MS   300
#define SAID_MAX  3
#define BY_FILTER "stopped by the system call filter"
#define HELD      "the wall holds"
#define USER      65534

struct attack {
    const char *command;
    uint32_t run_ms; /* 0: RUN_MS */
    enum ps_outcome outcome;
    const char *said; /* part of the reason, or of the label when it was found out; NULL for any */
};

static const struct attack attacks[] = {
    /* files */
    {"read /etc/shadow", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"read /etc/passwd", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"read /proc/1/environ", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"read /proc/self/mem", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"read @key", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"write @key", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"remove @key", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"descriptors", 0, PS_OUTCOME_UNDETECTED, HELD},
    /* network and other processes */
    {"socket", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"tcp 9", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"udp 9", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"unix /dev/log", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"abstract x", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"sysv 1", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"ptrace", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"ptrace 1", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"peek 1", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"kill 1", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"kill-all", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    /* the kernel */
    {"mount /tmp", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"umount /tmp", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"hostname crashy", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"unshare", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"setns 1", 0, PS_OUTCOME_UNDETECTED, HELD}, /* it can't even be opened */
    {"io-uring", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"clone3", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"int80", 0, PS_OUTCOME_FAILURE, NULL},
    {"exec /bin/true", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"rights /bin/grep", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    /* bombs */
    {"alloc 65536", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
    {"alloc-shared 65536", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"memfd 65536", 0, PS_OUTCOME_UNDETECTED, HELD},
    {"fill-tmp 65536", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
    {"open-files", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
    {"fork-bomb", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"thread-bomb", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
    {"fork-hang", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    /* deaths and hangs */
    {"segv", 0, PS_OUTCOME_FAILURE, "SIGSEGV"},
    {"abort", 0, PS_OUTCOME_FAILURE, "SIGABRT"},
    {"stack", 0, PS_OUTCOME_FAILURE, "SIGSEGV"},
    {"exit 0", 0, PS_OUTCOME_FAILURE, "exit status 0"},
    {"hang", HANG_MS, PS_OUTCOME_TIMEOUT, "not done after"},
    {"hang-ignore", HANG_MS, PS_OUTCOME_TIMEOUT, "not done after"},
    {"spin-ignore", HANG_MS, PS_OUTCOME_TIMEOUT, "not done after"},
    /* reports and logs */
    {"flood-traits", 0, PS_OUTCOME_INCOMPLETE, "traits"},
    {"flood-findings", 0, PS_OUTCOME_SUSPICIOUS, "Flood.0"},
    {"bad-json", 0, PS_OUTCOME_INCOMPLETE, "is no JSON"},
    {"flood-logs", 0, PS_OUTCOME_UNDETECTED, NULL},
    {"syslog", 0, PS_OUTCOME_FAILURE, BY_FILTER},
    {"contradict", 0, PS_OUTCOME_MALICIOUS, "Crashy.Contradiction"},
    {"lie", 0, PS_OUTCOME_FAILURE, "the engine answered 77"},
    {"packet garbage", 0, PS_OUTCOME_FAILURE, "malformed packet"},
    {"packet empty", 0, PS_OUTCOME_FAILURE, NULL},
    {"packet other-job", 0, PS_OUTCOME_FAILURE, "a job that it does not have"},
    {"packet twice", 0, PS_OUTCOME_FAILURE, "malformed packet"},
    {"packet cut", 0, PS_OUTCOME_FAILURE, "malformed packet"},
    {"packet length", 0, PS_OUTCOME_FAILURE, "malformed packet"},
    {"packet list", 0, PS_OUTCOME_FAILURE, "malformed packet"},
    {"packet not-ours", 0, PS_OUTCOME_FAILURE, NULL},
    {"packet huge", 0, PS_OUTCOME_FAILURE, NULL},
    {"packet-flood", 0, PS_OUTCOME_FAILURE, "flooded the session"},
};

/* Without a root of its own a child's temporary files have no sum: it writes as many as its disk takes. */
static const struct attack attacks_on_disk[] = {
    {"fill-many 65536", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
    {"inodes", 0, PS_OUTCOME_INCOMPLETE, "refused after"},
};

static struct rig *start(const char *const *options, const char *const *settings)
{
    struct rig *rig = rig_new("crashy");

    rig_start(rig, "crashy", 1, options, settings);
    (void)rig_wait(rig, PS_HOST_LOADED);
    return rig;
}

static void plant_key(const struct rig *rig, char path[UNIT_PATH_MAX])
{
    int fd = open(unit_path(path, rig->dir, "worker.key_secret"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    (void)close(fd);
}

static void try_attack(struct rig *rig, const struct attack *attack, const char *key)
{
    const char *at = strchr(attack->command, '@');
    char text[UNIT_PATH_MAX + 64];
    enum ps_outcome outcome;

    if (at)
        (void)snprintf(text, sizeof(text), "CRASHY %.*s%s", (int)(at - attack->command), attack->command,
                       key);
    else
        (void)snprintf(text, sizeof(text), "CRASHY %s", attack->command);
    rig_run(rig, 0, 1, text, attack->run_ms ? attack->run_ms : RUN_MS); /* crashy's packets are about job 1 */
    (void)rig_wait(rig, PS_HOST_RESULT);
    outcome = rig->result.outcome;
    if (outcome != attack->outcome ||
        (attack->said && !strstr(rig->reason, attack->said) && !strstr(rig->label, attack->said)))
        fail_msg("%s: %s, label \"%s\", reason \"%s\"; wanted %s, \"%s\"", attack->command,
                 ps_outcome_word(outcome), rig->label, rig->reason, ps_outcome_word(attack->outcome),
                 attack->said ? attack->said : "");
    if (outcome == PS_OUTCOME_FAILURE || outcome == PS_OUTCOME_TIMEOUT)
        assert_true(rig->reason[0]);
    /* Whatever it was: the next job of the same slot is what it would have been. */
    if (rig_scan(rig, "harmless", RUN_MS) != PS_OUTCOME_UNDETECTED || rig->reason[0])
        fail_msg("the job after %s: \"%s\"", attack->command, rig->reason);
}

static void try_all(const char *const *options)
{
    struct rig *rig = start(options, RIG_NONE);
    pid_t zygote = ps_host_info(rig->host)->pid;
    const char *walls = ps_host_info(rig->host)->walls;
    char key[UNIT_PATH_MAX];

    plant_key(rig, key);
    for (size_t i = 0; i < PS_ARRAY_N(attacks); i++)
        try_attack(rig, &attacks[i], key);
    if (!strstr(walls, "without quota"))
        for (size_t i = 0; i < PS_ARRAY_N(attacks_on_disk); i++)
            try_attack(rig, &attacks_on_disk[i], key);
    /* One zygote has seen it all. */
    assert_true(rig_alive(zygote));
    assert_int_equal(access(key, F_OK), 0);
    rig_free(rig);
}

#define SMALL "--memory=64M", "--tmp-bytes=1M", "--tmp-inodes=64", "--threads=16"

static void every_attack_is_contained_and_the_next_job_unharmed(void **state)
{
    (void)state;
    try_all(RIG_WORDS(SMALL));
}

static void and_with_the_landlock_of_debian_12(void **state)
{
    (void)state;
    try_all(RIG_WORDS(SMALL, "--landlock-abi=2"));
}

static void and_without_landlock(void **state)
{
    (void)state;
    try_all(RIG_WORDS(SMALL, "--landlock-abi=0"));
}

/* ---- deaths outside of a scan ---- */

static void expect_failed(const char *setting, const char *said)
{
    struct rig *rig = rig_new("crashy");

    rig_start(rig, "crashy", 1, RIG_NONE, RIG_WORDS(setting));
    while (rig->gone[0] == '\0')
        (void)rig_event(rig);
    if (!strstr(rig->failed, said))
        fail_msg("\"%s\" does not say \"%s\"", rig->failed, said);
    rig_free(rig);
}

static void a_death_on_load_or_in_fork_says_so(void **state)
{
    (void)state;
    expect_failed("die_open=segv", "SIGSEGV");
    expect_failed("die_warm=segv", "SIGSEGV");
    expect_failed("die_enter=segv", "SIGSEGV");
}

static void a_death_on_the_tenth_job_costs_that_job_alone(void **state)
{
    struct rig *rig = start(RIG_NONE, RIG_WORDS("die_job=10"));

    (void)state;
    for (int i = 1; i <= 20; i++) {
        enum ps_outcome outcome = rig_scan(rig, "harmless", RUN_MS);

        assert_int_equal(outcome, i % 10 == 0 ? PS_OUTCOME_FAILURE : PS_OUTCOME_UNDETECTED);
        if (i % 10 == 0)
            assert_non_null(strstr(rig->reason, "SIGABRT"));
    }
    assert_int_equal(rig->readies, 2);
    rig_free(rig);
}

/* 16 MiB more a scan: after the third it is over 40 MiB, and the next one has a child of its own. */
static void a_child_that_grows_is_replaced(void **state)
{
    struct rig *rig = start(RIG_WORDS("--growth=40M"), RIG_NONE);

    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(rig_scan(rig, "CRASHY leak 16", RUN_MS), PS_OUTCOME_UNDETECTED);
    assert_int_equal(rig->readies, 3);
    assert_string_equal(rig->exit, "exit status 0");
    rig_free(rig);
}

/* ---- kernels that refuse ---- */

/* A story in a process that lives on a poorer kernel; its end is ours. */
static void on_a_poor_kernel(enum refuse what, CMUnitTestFunction story)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(story)};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (refuse(what) < 0)
            _exit(99);
        _exit(cmocka_run_group_tests_name("on a poor kernel", tests, NULL, NULL));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("wait status %d", status);
}

static void expect_weaker(const char *const *options, const char *const *words)
{
    struct rig *rig = start(options, RIG_NONE);
    const char *walls = ps_host_info(rig->host)->walls;

    for (size_t i = 0; words[i]; i++)
        if (!strstr(walls, words[i]))
            fail_msg("\"%s\" does not say \"%s\"", walls, words[i]);
    rig_free(rig);
}

static void without_namespaces(void **state)
{
    (void)state;
    expect_weaker(RIG_NONE, RIG_WORDS("weaker: ", "no user namespace", "no mount namespace",
                                      "no root directory", "no network namespace", "no IPC namespace",
                                      "no UTS namespace", "no pid namespace"));
    try_all(RIG_WORDS(SMALL));
    try_all(RIG_WORDS(SMALL, "--landlock-abi=2"));
}

static void without_mounts(void **state)
{
    (void)state;
    expect_weaker(RIG_NONE, RIG_WORDS("weaker: ", "no mount namespace", "no root directory"));
    try_all(RIG_WORDS(SMALL));
}

/* No filter, no engine; with consent it works, and everybody is told. */
static void without_filters(void **state)
{
    struct rig *rig = rig_new("crashy");

    (void)state;
    rig_start(rig, "crashy", 1, RIG_NONE, RIG_NONE);
    while (rig->gone[0] == '\0')
        (void)rig_event(rig);
    if (!strstr(rig->failed, "refuses a system call filter"))
        fail_msg("%s", rig->failed);
    assert_non_null(strstr(rig->failed, "unjailed"));
    rig_free(rig);
    expect_weaker(RIG_WORDS("--unjailed"), RIG_WORDS("weaker: ", "no system call filter"));
    rig = start(RIG_WORDS("--unjailed"), RIG_NONE);
    assert_int_equal(rig_scan(rig, "CRASHY segv", RUN_MS), PS_OUTCOME_FAILURE);
    assert_int_equal(rig_scan(rig, "harmless", RUN_MS), PS_OUTCOME_UNDETECTED);
    rig_free(rig);
}

static void a_container_that_refuses_namespaces_is_weaker_and_safe(void **state)
{
    (void)state;
    on_a_poor_kernel(REFUSE_NAMESPACES, without_namespaces);
}

static void a_container_that_refuses_mounts_is_weaker_and_safe(void **state)
{
    (void)state;
    on_a_poor_kernel(REFUSE_MOUNTS, without_mounts);
}

static void without_a_system_call_filter_it_takes_consent(void **state)
{
    (void)state;
    on_a_poor_kernel(REFUSE_FILTERS, without_filters);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attack_is_contained_and_the_next_job_unharmed),
        cmocka_unit_test(and_with_the_landlock_of_debian_12),
        cmocka_unit_test(and_without_landlock),
        cmocka_unit_test(a_death_on_load_or_in_fork_says_so),
        cmocka_unit_test(a_death_on_the_tenth_job_costs_that_job_alone),
        cmocka_unit_test(a_child_that_grows_is_replaced),
        cmocka_unit_test(a_container_that_refuses_namespaces_is_weaker_and_safe),
        cmocka_unit_test(a_container_that_refuses_mounts_is_weaker_and_safe),
        cmocka_unit_test(without_a_system_call_filter_it_takes_consent),
    };

    return cmocka_run_group_tests_name(geteuid() == 0 ? "jail_attacks as root" : "jail_attacks as a user",
                                       tests, NULL, NULL);
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
        if (setgroups(0, NULL) < 0 || setresgid(USER, USER, USER) < 0 || setresuid(USER, USER, USER) < 0)
            _exit(99);
        (void)setenv("TMPDIR", "/tmp", 1);
        exit(run_all());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 1;
    return failed + WEXITSTATUS(status);
}
