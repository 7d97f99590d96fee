/* Started as root: the launcher keeps root, the session is one account (here daemon), engines another (nobody). Without
 * root there is nothing to test: skipped. */
#include "tests/flow/host_rig.h"

#include "base/bytes.h"
#include "worker/host/launcher.h"

#define SKIPPED  77
#define PIDS_MAX 64

struct stage {
    struct rig *rig;
    struct ps_launcher *launcher;
    char *manifests; /* an engine directory that only root writes to */
};

static const struct ps_account engines = {65534, 65534}, services = {1, 1};

/* The launcher in this process, which is root and stays it, unless the test drops it. */
static struct stage *stage_launch(struct rig *rig)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    char tmp[UNIT_PATH_MAX], dirs[UNIT_PATH_MAX];
    char *manifests = unit_dir_make();
    const char *plugin_dirs[] = {dirs, manifests};
    struct ps_launcher_conf conf = {.plugin_dirs = plugin_dirs, .plugin_dirs_n = 2, .engines = engines};
    struct ps_error error = {0};

    assert_non_null(stage);
    stage->rig = rig;
    stage->manifests = manifests;
    assert_int_equal(chmod(manifests, 0755), 0);
    conf.program = stage->rig->program;
    conf.tmp = unit_path(tmp, stage->rig->dir, "launcher");
    (void)unit_path(dirs, getenv("PHAGESCAN_TEST_BUILD"), "engines");
    if (ps_launcher_fork(&stage->launcher, &conf, &error) != 0)
        fail_msg("%s", error.text);
    return stage;
}

static struct stage *stage_new(void)
{
    return stage_launch(rig_new("crashy"));
}

static int start(struct stage *stage, const char *plugin, const char *const *options, struct ps_error *reterr)
{
    struct ps_host_conf conf = {.program = "/nowhere/ignored",
                                .engine = "crashy",
                                .plugin = plugin ? plugin : stage->rig->plugin,
                                .options = options,
                                .settings = RIG_WORDS("version=7"),
                                .settings_n = 1,
                                .slots = 1,
                                .launcher = stage->launcher};

    while (options[conf.options_n])
        conf.options_n++;
    return ps_host_start(&stage->rig->host, &conf, ps_clock_mono_ms(), reterr);
}

static void stage_free(struct stage *stage)
{
    ps_host_free(&stage->rig->host);
    ps_launcher_free(&stage->launcher);
    rig_free(stage->rig);
    unit_dir_remove(stage->manifests);
    free(stage);
}

static int set_up(void **state)
{
    struct stage *stage = stage_new();
    struct ps_error error = {0};

    if (start(stage, NULL, RIG_WORDS("--memory=64M"), &error) != 0)
        fail_msg("%s", error.text);
    (void)rig_wait(stage->rig, PS_HOST_LOADED);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    stage_free(*state);
    return 0;
}

static uid_t uid_of(pid_t pid)
{
    PS_BUF struct ps_buf text;
    char path[64];
    const char *at;
    unsigned uid = 0;

    ps_buf_init(&text, 65536);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid); /* fits */
    assert_int_equal(ps_file_read(path, &text), 0);
    at = strstr(ps_buf_text(&text), "\nUid:");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\nUid: %u", &uid), 1);
    return uid;
}

static void engines_run_under_their_own_account(void **state)
{
    struct stage *stage = *state;
    struct rig *rig = stage->rig;

    assert_string_equal(ps_host_info(rig->host)->version, "7");
    assert_null(strstr(ps_host_info(rig->host)->walls, "account"));
    assert_int_equal(rig_scan(rig, "CRASHY malicious A.Name", 5000), PS_OUTCOME_MALICIOUS);
    assert_int_equal(uid_of(ps_host_info(rig->host)->pid), engines.uid);
    assert_int_equal(uid_of(rig->child), engines.uid);
    assert_int_equal(rig_scan(rig, "CRASHY segv", 5000), PS_OUTCOME_FAILURE);
    assert_int_equal(rig_scan(rig, "CRASHY hang-ignore", 200), PS_OUTCOME_TIMEOUT);
    assert_int_equal(rig_scan(rig, "harmless", 5000), PS_OUTCOME_UNDETECTED);
}

static void a_zygote_that_is_killed_is_reported_and_can_be_started_again(void **state)
{
    struct stage *stage = *state;
    struct rig *rig = stage->rig;
    struct ps_error error = {0};

    rig_run(rig, 0, 1, "CRASHY hang", 60000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    assert_int_equal(kill(ps_host_info(rig->host)->pid, SIGKILL), 0);
    (void)rig_wait(rig, PS_HOST_GONE);
    assert_true(rig->result.lost);
    assert_non_null(strstr(rig->gone, "SIGKILL"));
    ps_host_free(&rig->host);
    assert_int_equal(start(stage, NULL, RIG_NONE, &error), 0);
    (void)rig_wait(rig, PS_HOST_LOADED);
    assert_int_equal(rig_scan(rig, "harmless", 5000), PS_OUTCOME_UNDETECTED);
}

static void what_weakens_the_jail_is_refused(void **state)
{
    static const char *const options[] = {"--wall-off=seccomp", "--landlock-abi=0", "--account=root",
                                          "--control=5",        "--child-stderr",   "--try"};
    static const char *const plugins[] = {"/etc/passwd", "/tmp/engines/x.so", "../x.so", ""};
    struct stage *stage = stage_new();
    struct ps_error error = {0};
    char path[UNIT_PATH_MAX];

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(options); i++)
        assert_int_equal(start(stage, NULL, RIG_WORDS(options[i]), &error), PS_ERR_DENIED);
    for (size_t i = 0; i < PS_ARRAY_N(plugins); i++)
        assert_int_equal(start(stage, plugins[i], RIG_NONE, &error), PS_ERR_DENIED);
    (void)unit_path(path, getenv("PHAGESCAN_TEST_BUILD"), "engines/../worker/x.so");
    assert_int_equal(start(stage, path, RIG_NONE, &error), PS_ERR_DENIED);
    assert_null(stage->rig->host);
    stage_free(stage);
}

/* A manifest's program runs under the engines' account as well, in the same jail. */
static void programs_run_under_the_engines_account(void **state)
{
    static const char manifest[] =
        "[engine]\nkind = metadata\n[run]\ncommand = /usr/bin/id -u\n[exit]\nclean = 0\n"
        "[match]\ntrait = ^(?<uid>\\d+)$\n";
    struct stage *stage = stage_new();
    char plugin[UNIT_PATH_MAX], file[UNIT_PATH_MAX];
    struct ps_host_conf conf = {
        .program = "/nowhere/ignored",
        .engine = "who",
        .plugin = unit_path(plugin, getenv("PHAGESCAN_TEST_BUILD"), "engines/manifest/adapter.so"),
        .file = unit_path(file, stage->manifests, "who.engine"),
        .slots = 1,
        .launcher = stage->launcher};
    struct ps_error error = {0};

    (void)state;
    assert_int_equal(ps_file_replace(file, manifest, sizeof(manifest) - 1, 0644), 0);
    if (ps_host_start(&stage->rig->host, &conf, ps_clock_mono_ms(), &error) != 0)
        fail_msg("%s", error.text);
    (void)rig_wait(stage->rig, PS_HOST_LOADED);
    assert_int_equal(rig_scan(stage->rig, "any", 20000), PS_OUTCOME_DESCRIBED);
    assert_string_equal(stage->rig->result.traits, "{\"uid\":65534}");
    stage_free(stage);
}

static void root_is_no_account(void **state)
{
    const char *dirs[] = {"/tmp"};
    struct ps_launcher_conf conf = {
        .program = "/bin/true", .plugin_dirs = dirs, .plugin_dirs_n = 1, .tmp = "/tmp/x"};
    struct ps_launcher *launcher = NULL;
    struct ps_account root = {0, 0};
    struct ps_error error = {0};

    (void)state;
    assert_int_equal(ps_launcher_fork(&launcher, &conf, &error), PS_ERR_INVALID);
    assert_int_equal(ps_account_become(root, &error), PS_ERR_DENIED);
    assert_int_equal(ps_account_find("no-such-account-here", &root, &error), PS_ERR_NOTFOUND);
    assert_int_equal(ps_account_find("nobody", &root, &error), 0);
    assert_int_equal(root.uid, 65534);
}

/* The session of the next test, in a process of its own: a third account, which has no power over its zygotes but by
 * asking. */
static void __attribute__((noreturn)) hang_and_say(struct rig *rig, int to)
{
    struct stage *stage = stage_launch(rig);
    struct ps_error error = {0};

    if (ps_account_become(services, &error) || start(stage, NULL, RIG_NONE, &error))
        _exit(1);
    (void)rig_wait(rig, PS_HOST_LOADED);
    rig_run(rig, 0, 1, "CRASHY hang-ignore", 600000);
    (void)rig_wait(rig, PS_HOST_HAVE);
    if (write(to, "!", 1) != 1)
        _exit(1);
    for (;;)
        (void)pause();
}

static void all_ends_with_the_session(void **state)
{
    struct rig *rig = rig_new("crashy");
    pid_t session, pids[PIDS_MAX];
    int ready[2];
    size_t n;
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    session = fork();
    if (session == 0)
        hang_and_say(rig, ready[1]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    assert_int_equal(uid_of(session), services.uid);
    n = rig_descendants(session, pids, PIDS_MAX);
    assert_true(n >= 3);
    assert_int_equal(kill(session, SIGKILL), 0);
    assert_int_equal(waitpid(session, NULL, 0), session);
    for (size_t i = 0; i < n; i++)
        RIG_UNTIL(!rig_alive(pids[i]));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(engines_run_under_their_own_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_zygote_that_is_killed_is_reported_and_can_be_started_again, set_up,
                                        tear_down),
        cmocka_unit_test(what_weakens_the_jail_is_refused),
        cmocka_unit_test(programs_run_under_the_engines_account),
        cmocka_unit_test(root_is_no_account),
        cmocka_unit_test(all_ends_with_the_session),
    };

    if (geteuid() != 0)
        return SKIPPED;
    return cmocka_run_group_tests_name("host_launcher", tests, NULL, NULL);
}
