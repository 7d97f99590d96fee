/* Engines that run programs: the manifest adapter with real programs, in the real jail. Most tests use a manifest whose
 * program is a shell that runs the sample itself: so a sample is a hostile program, and what it manages to do it says in
 * lines that begin with WALL. Each of those attacks is tried with all walls, and with some of them missing. */
#include "tests/flow/host_rig.h"

#include <grp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PIDS_MAX 64

/* ---- engines ---- */

struct tools {
    struct rig *rig;
    char *dir; /* of the engine, and what belongs to it: readable by the account that it runs under */
};

static const char shell[] = "[engine]\n"
                            "kind = evilness\n"
                            "deadline = 20s\n"
                            "[run]\n"
                            "command = /bin/sh {sample}\n"
                            "environment = SPOT={engine}\n"
                            "[exit]\n"
                            "clean = 0\n"
                            "malicious = 1\n"
                            "suspicious = 2\n"
                            "incomplete = 3\n"
                            "unsupported = 4\n"
                            "error = 5\n"
                            "[match]\n"
                            "malicious = ^WALL (?<label>\\S+)\n"
                            "error = ^error: \n"
                            "[grants]\n"
                            "programs = /bin/cat\n"
                            "programs = /bin/rm\n"
                            "programs = /bin/sleep\n"
                            "programs = /usr/bin/python3\n";

static void write_text(const struct tools *tools, const char *name, const char *text)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_replace(unit_path(path, tools->dir, name), text, strlen(text), 0644), 0);
}

static struct tools *tools_new(void)
{
    struct tools *tools = calloc(1, sizeof(*tools));

    assert_non_null(tools);
    tools->rig = rig_new("manifest");
    (void)snprintf(strrchr(tools->rig->plugin, '/'), 16,
                   "/adapter.so"); /* beside where manifest.so would be */
    tools->dir = unit_dir_make();
    assert_int_equal(chmod(tools->dir, 0755), 0);
    return tools;
}

/* Starts the engine that manifest describes, without waiting. */
static void start(struct tools *tools, const char *manifest, unsigned slots, const char *const *options)
{
    /* The host's own self-test has the engine look at an English sentence, which a shell can't run. */
    const char *all[RIG_WORDS_MAX] = {"--self-test=none"};
    struct rig *rig = tools->rig;
    char file[UNIT_PATH_MAX];
    struct ps_host_conf conf = {.program = rig->program,
                                .engine = "tool",
                                .plugin = rig->plugin,
                                .file = unit_path(file, tools->dir, "tool.engine"),
                                .tmp = rig->dir,
                                .options = all,
                                .options_n = 1,
                                .slots = slots};
    struct ps_error error = {0};

    write_text(tools, "tool.engine", manifest);
    while (*options && conf.options_n < RIG_WORDS_MAX)
        all[conf.options_n++] = *options++;
    if (ps_host_start(&rig->host, &conf, rig_now(rig), &error) != 0)
        fail_msg("the engine host does not start: %s", error.text);
}

static struct tools *loaded(const char *manifest, const char *const *options)
{
    struct tools *tools = tools_new();

    start(tools, manifest, 1, options);
    (void)rig_wait(tools->rig, PS_HOST_LOADED);
    return tools;
}

static void tools_free(struct tools *tools)
{
    rig_free(tools->rig);
    unit_dir_remove(tools->dir);
    free(tools);
}

/* Why the engine that manifest describes can't be offered. The text is the rig's. */
static const char *refusal(struct tools *tools, const char *manifest)
{
    start(tools, manifest, 1, RIG_NONE);
    (void)rig_wait(tools->rig, PS_HOST_FAILED);
    return tools->rig->failed;
}

static void expect_unharmed(struct tools *tools)
{
    assert_int_equal(rig_scan(tools->rig, "exit 0", 20000), PS_OUTCOME_UNDETECTED);
    assert_string_equal(tools->rig->reason, "");
}

#define expect_reason(tools, part)                                           \
    do {                                                                     \
        if (!strstr((tools)->rig->reason, part))                             \
            fail_msg("\"%s\" is not in \"%s\"", part, (tools)->rig->reason); \
    } while (0)

/* ---- walls ---- */

/* What a hostile program tries. Each says WALL when it gets through. */
static const char *const attacks[] = {
    "cat /etc/shadow && echo WALL shadow; exit 0",
    "for p in /proc/[0-9]*/environ; do [ $p = /proc/self/environ ] || cat $p 2>/dev/null; done |"
    " while read -r l; do case $l in *PHAGESCAN_TEST_BUILD*) echo WALL environ;; esac; done; exit 0",
    "/usr/bin/id && echo WALL exec; exit 0",
    "python3 -c 'import os\n"
    "mine = os.environ[\"TMPDIR\"] + \"/mine\"\n"
    "to = os.open(mine, os.O_WRONLY | os.O_CREAT, 0o700)\n"
    "os.write(to, open(\"/bin/cat\", \"rb\").read())\n"
    "os.close(to)\n"
    "os.execv(mine, [mine, \"/dev/null\"])' && echo WALL exec-own; exit 0",
    "echo x > /etc/ps-test && echo WALL write-etc; echo x > /ps-test && echo WALL write-root;"
    " echo x > $SPOT/ps-test && echo WALL write-engine; exit 0",
    "python3 -c 'import socket\n"
    "for f in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n"
    "    for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):\n"
    "        try:\n"
    "            socket.socket(f, k)\n"
    "            print(\"WALL socket\")\n"
    "        except OSError: pass'; exit 0",
    "python3 -c 'import ctypes\n"
    "libc = ctypes.CDLL(None)\n"
    "print(\"WALL unshare\" if libc.unshare(0x10000000) == 0 else \"\")'; exit 0",
    "for i in 1 2 3; do kill -9 $((PPID + i - 2)) 2>/dev/null; done; kill -9 -1 2>/dev/null; exit 0",
};

static void try_attacks(const char *const *options)
{
    struct tools *tools = loaded(shell, options);

    for (size_t i = 0; i < PS_ARRAY_N(attacks); i++) {
        enum ps_outcome outcome = rig_scan(tools->rig, attacks[i], 20000);

        if (outcome == PS_OUTCOME_MALICIOUS)
            fail_msg("attack %zu got through: %s", i, tools->rig->label);
        expect_unharmed(tools);
    }
    tools_free(tools);
}

static void attacks_fail_behind_all_walls(void **state)
{
    (void)state;
    try_attacks(RIG_NONE);
}

static void attacks_fail_with_the_first_landlock(void **state)
{
    (void)state;
    try_attacks(RIG_WORDS("--landlock-abi=2"));
}

static void attacks_fail_behind_the_root_alone(void **state)
{
    (void)state;
    try_attacks(RIG_WORDS("--landlock-abi=0"));
}

static void attacks_fail_behind_landlock_alone(void **state)
{
    (void)state;
    try_attacks(RIG_WORDS("--wall-off=root"));
}

static void attacks_fail_without_namespaces(void **state)
{
    (void)state;
    if (geteuid() == 0) /* engines are nobody's then, and this test's files are not */
        try_attacks(RIG_WORDS("--wall-off=user-ns,mount-ns,net-ns,ipc-ns,uts-ns,pid-ns"));
}

/* What the attacks prove: without these walls they get through. */
static void attacks_work_where_nothing_stops_them(void **state)
{
    static const size_t working[] = {2, 3, 5};
    struct tools *tools = loaded(shell, RIG_WORDS("--wall-off=seccomp,landlock,root"));

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(working); i++)
        if (rig_scan(tools->rig, attacks[working[i]], 20000) != PS_OUTCOME_MALICIOUS)
            fail_msg("attack %zu does nothing even without walls: %s", working[i], tools->rig->reason);
    tools_free(tools);
}

/* A missing wall is named, with consent or without. */
static void missing_walls_are_named(void **state)
{
    struct tools *tools = loaded(shell, RIG_WORDS("--wall-off=root", "--landlock-abi=0"));
    const char *walls = ps_host_info(tools->rig->host)->walls;

    (void)state;
    assert_non_null(strstr(walls, "no Landlock"));
    assert_non_null(strstr(walls, "no root directory of its own"));
    tools_free(tools);
}

/* ---- programs that misbehave ---- */

static void what_a_program_says_is_what_counts(void **state)
{
    struct tools *tools = loaded(shell, RIG_NONE);
    static const struct {
        const char *text;
        enum ps_outcome outcome;
        const char *label, *reason;
    } cases[] = {
        {"echo WALL Thing; exit 1", PS_OUTCOME_MALICIOUS, "Thing", ""},
        {"echo WALL Thing; exit 0", PS_OUTCOME_MALICIOUS, "Thing",
         "contradiction: the exit status says clean"},
        {"exit 1", PS_OUTCOME_MALICIOUS, "unnamed", "exit status 1 says malicious, no line does"},
        {"exit 2", PS_OUTCOME_SUSPICIOUS, "unnamed", ""},
        {"echo half of it; exit 3", PS_OUTCOME_INCOMPLETE, "", "exit status 3 says incomplete: half of it"},
        {"exit 4", PS_OUTCOME_TYPE_UNSUPPORTED, "", "exit status 4 says unsupported"},
        {"exit 5", PS_OUTCOME_FAILURE, "", "exit status 5 says error: it wrote nothing"},
        {"echo 'error: no database'; exit 0", PS_OUTCOME_FAILURE, "", "error: no database"},
        {"echo one; echo two; exit 77", PS_OUTCOME_FAILURE, "", "exit status 77 and this output: one|two"},
        {"kill -SEGV $$", PS_OUTCOME_FAILURE, "", "killed by signal 11"},
        {"while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done",
         PS_OUTCOME_FAILURE, "", "it wrote too much"},
        {"echo WALL First; while :; do echo 0123456789012345678901234567890123456789; done",
         PS_OUTCOME_MALICIOUS, "First", "found, but it wrote too much"},
    };

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(cases); i++) {
        assert_int_equal(rig_scan(tools->rig, cases[i].text, 20000), cases[i].outcome);
        assert_string_equal(tools->rig->label, cases[i].label);
        expect_reason(tools, cases[i].reason);
    }
    expect_unharmed(tools);
    tools_free(tools);
}

static void a_hang_is_a_timeout_and_leaves_nothing(void **state)
{
    struct tools *tools = loaded(shell, RIG_NONE);
    pid_t pids[PIDS_MAX];
    pid_t host;

    (void)state;
    expect_unharmed(tools);
    host = getpid();
    assert_int_equal(rig_scan(tools->rig, "trap '' TERM INT HUP; sleep 600 & sleep 600", 300),
                     PS_OUTCOME_TIMEOUT);
    expect_unharmed(tools);
    for (size_t i = 0, n = rig_descendants(host, pids, PIDS_MAX); i < n; i++) {
        char path[64], name[32] = "";
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pids[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, name, sizeof(name) - 1) >= 0)
            assert_null(strstr(name, "sleep"));
        if (fd >= 0)
            (void)close(fd);
    }
    tools_free(tools);
}

/* Who stays behind in the background ends with the scan, and its scan is not kept waiting. */
static void what_stays_behind_ends(void **state)
{
    struct tools *tools = loaded(shell, RIG_NONE);
    uint64_t from_ms = ps_clock_mono_ms();

    (void)state;
    assert_int_equal(rig_scan(tools->rig, "sleep 600 & exit 0", 20000), PS_OUTCOME_UNDETECTED);
    assert_true(ps_clock_mono_ms() - from_ms < 15000);
    assert_int_equal(
        rig_scan(tools->rig, "for p in /proc/[0-9]*; do n=$((n + 1)); done; exit $((n > 3))", 20000),
        PS_OUTCOME_UNDETECTED); /* the child, the shell, and no sleep */
    tools_free(tools);
}

/* Where no pid namespace ends them: the child notices that something is left and makes room for another one. */
static void what_stays_behind_ends_without_a_namespace(void **state)
{
    struct tools *tools = loaded(shell, RIG_WORDS("--wall-off=pid-ns,root"));
    pid_t pids[PIDS_MAX];

    (void)state;
    assert_int_equal(rig_scan(tools->rig, "sleep 600 & (sleep 600 &) ; exit 0", 20000),
                     PS_OUTCOME_UNDETECTED);
    (void)rig_wait(tools->rig, PS_HOST_EXITED);
    RIG_UNTIL(rig_descendants(getpid(), pids, PIDS_MAX) <= 1); /* the zygote */
    expect_unharmed(tools);
    tools_free(tools);
}

static void a_fork_bomb_takes_its_own_slot_only(void **state)
{
    struct tools *tools = tools_new();
    struct rig *rig = tools->rig;
    unsigned results = 0;

    (void)state;
    start(tools, shell, 2, RIG_WORDS("--threads=64"));
    (void)rig_wait(rig, PS_HOST_LOADED);
    rig_run(rig, 0, 1, "b() { b & b & wait; }; b 2>/dev/null; while :; do :; done", 2000);
    rig_run(rig, 1, 2, "i=0; while [ $i -lt 50 ]; do cat /dev/null || exit 1; i=$((i + 1)); done; exit 0",
            20000);
    while (results < 2) {
        (void)rig_wait(rig, PS_HOST_RESULT);
        results++;
        if (rig->result.job == 2)
            assert_int_equal(rig->result.outcome, PS_OUTCOME_UNDETECTED);
        else
            assert_int_not_equal(rig->result.outcome, PS_OUTCOME_MALICIOUS);
    }
    expect_unharmed(tools);
    tools_free(tools);
}

static void a_full_directory_is_empty_for_the_next(void **state)
{
    struct tools *tools = loaded(shell, RIG_WORDS("--tmp-bytes=1M"));

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            rig_scan(tools->rig,
                     "[ -e $TMPDIR/big ] && echo WALL left-over;"
                     "cat /usr/lib/x86_64-linux-gnu/lib* /usr/lib/aarch64-linux-gnu/lib* > $TMPDIR/big"
                     " 2>/dev/null; exit 0",
                     20000),
            PS_OUTCOME_UNDETECTED);
        expect_unharmed(tools);
    }
    tools_free(tools);
}

/* ---- how samples are given ---- */

static const char counting[] = "[engine]\n"
                               "kind = metadata\n"
                               "[run]\n"
                               "sample = %s\n"
                               "command = /usr/bin/sha256sum %s\n"
                               "[exit]\n"
                               "clean = 0\n"
                               "[match]\n"
                               "trait = ^(?<digest>[0-9a-f]{64}) \n"
                               "%s";

static void expect_digest(const char *sample, const char *argument, const char *more,
                          const char *const *options)
{
    char manifest[1024];
    struct tools *tools;

    (void)snprintf(manifest, sizeof(manifest), counting, sample, argument, more);
    tools = loaded(manifest, options);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig_scan(tools->rig, "abc", 20000), PS_OUTCOME_DESCRIBED);
        assert_non_null(
            strstr(tools->rig->result.traits,
                   "\"digest\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""));
    }
    tools_free(tools);
}

static void a_sample_comes_as_it_is_wanted(void **state)
{
    (void)state;
    expect_digest("fd", "{sample}", "", RIG_NONE);
    expect_digest("file", "{sample}", "", RIG_NONE);
    expect_digest("stream", "", "", RIG_NONE);
    expect_digest("fd", "{sample}", "", RIG_WORDS("--wall-off=root"));
    expect_digest("file", "{sample}", "", RIG_WORDS("--wall-off=root"));
    expect_digest("fd", "{sample}", "", RIG_WORDS("--landlock-abi=0"));
    expect_digest("fd", "{sample}", "", RIG_WORDS("--wall-off=pid-ns"));
}

static void a_daemons_account_finds_the_copy(void **state)
{
    struct tools *tools = tools_new();
    char manifest[1024], exchange[UNIT_PATH_MAX];

    (void)state;
    (void)snprintf(
        manifest, sizeof(manifest),
        "[engine]\nkind = evilness\n[run]\nsample = file\n"
        "command = /usr/bin/python3 -c 'import os, sys; s = os.stat(sys.argv[1]); "
        "print(\"OK\" if s.st_mode & 4 and sys.argv[1].startswith(sys.argv[2]) else \"NO\")' {sample} "
        "{engine}/exchange/phagescan-\n"
        "[match]\nclean = ^OK$\nmalicious = ^MALICIOUS$\n[grants]\nexchange = {engine}/exchange\n");
    assert_int_equal(mkdir(unit_path(exchange, tools->dir, "exchange"), 0777), 0);
    assert_int_equal(chmod(exchange, 0777), 0);
    start(tools, manifest, 1, RIG_NONE);
    (void)rig_wait(tools->rig, PS_HOST_LOADED);
    assert_int_equal(rig_scan(tools->rig, "abc", 20000), PS_OUTCOME_UNDETECTED);
    assert_int_equal(rmdir(exchange), 0); /* nothing was left in it */
    tools_free(tools);
}

/* A scanner of the host takes the copy away while the program looks: the program's "clean" is worth nothing. */
static void a_sample_that_vanishes_is_never_clean(void **state)
{
    static const char *const ways[] = {"rm \"$1\"", "echo cleaned > \"$1\"", "exit 0"};
    static const enum ps_outcome outcomes[] = {PS_OUTCOME_FAILURE, PS_OUTCOME_FAILURE, PS_OUTCOME_UNDETECTED};

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(ways); i++) {
        struct tools *tools = tools_new();
        char manifest[1024];

        (void)snprintf(
            manifest, sizeof(manifest),
            "[engine]\nkind = evilness\n[run]\nsample = file\ncommand = /bin/sh {engine}/look.sh {sample}\n"
            "[exit]\nclean = 0\nmalicious = 1\n[grants]\nprograms = /bin/rm\n");
        write_text(tools, "look.sh", "exit 0\n"); /* for the self-test */
        start(tools, manifest, 1, RIG_NONE);
        (void)rig_wait(tools->rig, PS_HOST_LOADED);
        write_text(tools, "look.sh", ways[i]);
        assert_int_equal(rig_scan(tools->rig, "abc", 20000), outcomes[i]);
        if (outcomes[i] == PS_OUTCOME_FAILURE)
            expect_reason(tools, "removed by an on-access scanner");
        tools_free(tools);
    }
}

/* ---- a daemon ---- */

struct daemon {
    char path[UNIT_PATH_MAX];
    int listener;
    pthread_t thread;
};

/* Answers every connection with a line, until its listener is shut down. */
static void *serve(void *arg)
{
    const struct daemon *daemon = arg;
    int client;

    while ((client = accept(daemon->listener, NULL, NULL)) >= 0) {
        (void)send(client, "FOUND Daemon.Thing\n", 19,
                   MSG_NOSIGNAL); /* who only looks whether it is there is gone */
        (void)close(client);
    }
    return NULL;
}

static void daemon_start(struct daemon *daemon, const char *dir, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)unit_path(daemon->path, dir, name);
    assert_true(strlen(daemon->path) < sizeof(at.sun_path));
    memcpy(at.sun_path, daemon->path, strlen(daemon->path));
    (void)unlink(daemon->path);
    daemon->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(daemon->listener >= 0);
    assert_int_equal(bind(daemon->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(chmod(daemon->path, 0777), 0);
    assert_int_equal(listen(daemon->listener, 8), 0);
    assert_int_equal(pthread_create(&daemon->thread, NULL, serve, daemon), 0);
}

static void daemon_stop(struct daemon *daemon)
{
    (void)shutdown(daemon->listener, SHUT_RDWR);
    (void)pthread_join(daemon->thread, NULL);
    (void)close(daemon->listener);
    (void)unlink(daemon->path);
}

static const char asking[] =
    "[engine]\nkind = evilness\n[run]\ncommand = /usr/bin/python3 {engine}/ask.py {sample} {engine}\n"
    "[exit]\nclean = 0\nmalicious = 1\nerror = 2\n[match]\nmalicious = ^(?:FOUND|WALL) (?<label>\\S+)\n"
    "[grants]\nsocket = {engine}/daemon.sock\n";

/* Asks the daemon, then tries what it was not given. */
static const char ask_script[] =
    "import socket, sys\n"
    "if b'harmless' in open(sys.argv[1], 'rb').read() or b'Phagescan' in open(sys.argv[1], 'rb').read():\n"
    "    sys.exit(0)\n"
    "s = socket.socket(socket.AF_UNIX)\n"
    "try:\n"
    "    s.connect(sys.argv[2] + '/daemon.sock')\n"
    "    print(s.makefile().readline(), end='')\n"
    "except OSError as error:\n"
    "    print(error)\n"
    "    sys.exit(2)\n"
    "for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):\n"
    "    try:\n"
    "        socket.socket(family, socket.SOCK_DGRAM)\n"
    "        print('WALL family')\n"
    "    except OSError: pass\n"
    "try:\n"
    "    socket.socket(socket.AF_UNIX).connect(sys.argv[2] + '/other.sock')\n"
    "    print('WALL other')\n"
    "except OSError: pass\n"
    "try:\n"
    "    socket.socket(socket.AF_UNIX).bind('\\0phagescan-test')\n"
    "    print('WALL bind')\n"
    "except OSError: pass\n"
    "sys.exit(1)\n";

static void a_daemon_is_reached_by_its_socket_and_no_other(void **state)
{
    struct tools *tools = tools_new();
    struct daemon daemon, other;

    (void)state;
    write_text(tools, "ask.py", ask_script);
    daemon_start(&daemon, tools->dir, "daemon.sock");
    daemon_start(&other, tools->dir,
                 "other.sock"); /* readable as a file is, but not a socket that was granted */
    start(tools, asking, 1, RIG_NONE);
    (void)rig_wait(tools->rig, PS_HOST_LOADED);
    assert_int_equal(rig_scan(tools->rig, "thing", 20000), PS_OUTCOME_MALICIOUS);
    assert_string_equal(tools->rig->label, "Daemon.Thing");
    assert_string_equal(tools->rig->reason, "");
    /* A daemon that starts again has another socket by the same name: at most one scan misses it. */
    daemon_stop(&daemon);
    assert_int_equal(rig_scan(tools->rig, "thing", 20000), PS_OUTCOME_FAILURE);
    daemon_start(&daemon, tools->dir, "daemon.sock");
    assert_int_equal(rig_scan(tools->rig, "thing", 20000), PS_OUTCOME_MALICIOUS);
    daemon_stop(&daemon);
    daemon_stop(&other);
    tools_free(tools);
}

/* ---- what is said before there are scans ---- */

static void expect_refusal(const char *manifest, const char *part)
{
    struct tools *tools = tools_new();
    const char *why = refusal(tools, manifest);

    if (!strstr(why, part))
        fail_msg("\"%s\" is not in \"%s\"", part, why);
    tools_free(tools);
}

#define ENOUGH "[run]\ncommand = /bin/sh {sample}\n[exit]\nclean = 0\nmalicious = 1\n"

static void an_engine_that_cant_be_offered_says_why(void **state)
{
    (void)state;
    expect_refusal(
        "[engine]\nkind = evilness\n[run]\ncommand = /opt/none/scanner\n[exit]\nclean = 0\nmalicious = 1\n",
        "not installed: /opt/none/scanner");
    expect_refusal("[engine]\nkind = evilness\nlicence-ends = 2020-02-29\n" ENOUGH,
                   "the licence ended on 2020-02-29");
    expect_refusal("[engine]\nkind = evilness\nneeds-root = yes\n" ENOUGH,
                   "needs privilege: it works as root only");
    expect_refusal("[engine]\nkind = evilness\n" ENOUGH "[grants]\nread = /etc/shadow\n",
                   "needs privilege: /etc/shadow");
    expect_refusal("[engine]\nkind = evilness\n" ENOUGH "[grants]\nsocket = /run/ps-none.sock\n",
                   "the daemon is not there");
    expect_refusal("[engine]\nkind = evilness\n" ENOUGH
                   "[ask]\nprobe = /bin/sh -c 'echo no database; exit 3'\n",
                   "probe: exit status 3: no database");
    expect_refusal("[engine]\nkind = evilness\n" ENOUGH "[ask]\nversion = /bin/sh -c 'echo what'\n"
                   "version-match = (?<version>\\d+)\n",
                   "version: no line of the answer matches");
    expect_refusal(
        "[engine]\nkind = evilness\n" ENOUGH
        "[ask]\nlicence = /bin/sh -c 'echo expires 2019-12-31'\nlicence-match = expires (?<ends>\\S+)\n",
        "the licence ended on 2019-12-31");
    expect_refusal(
        "[engine]\nkind = evilness\nself-test = eicar\n[run]\ncommand = /bin/sh -c 'exit 0' {sample}\n"
        "[exit]\nclean = 0\nmalicious = 1\n",
        "self-test: eicar is not found");
    expect_refusal("[engine]\nkind = evilness\n" ENOUGH "[grants]\nread = /proc\n",
                   "\"/proc\" can't be granted");
    expect_refusal(
        "[engine]\nkind = evilness\n[run]\ncommand = /bin/sh {what}\n[exit]\nclean = 0\nmalicious = 1\n",
        "{what} is not known");
    expect_refusal("[engine]\nkind = evil\n" ENOUGH, "line 2: \"evil\" is none of evilness, metadata");
}

static void what_programs_answer_is_shown(void **state)
{
    struct tools *tools =
        loaded("[engine]\nkind = metadata\nserial = yes\ndeadline = 7s\n"
               "[run]\ncommand = /usr/bin/python3 -c 'print(\"{{\\\"a\\\": [1, {{}]}\")' {sample}\n"
               "output = json\n[exit]\nclean = 0\n[ask]\n"
               "version = /bin/sh -c 'echo Tool 3.14'\nversion-match = (?<version>[0-9.]+)\n"
               "definitions = /bin/sh -c 'echo set 77 of 2026-02-03, 1234 records'\n"
               "definitions-match = set (?<definitions>\\d+) of (?<built>\\S+), (?<signatures>\\d+)\n",
               RIG_NONE);
    const struct ps_host_info *info = ps_host_info(tools->rig->host);

    (void)state;
    assert_ptr_equal(strstr(info->version, "3.14, manifest "), info->version);
    assert_string_equal(info->definitions, "77");
    assert_int_equal(info->signatures, 1234);
    assert_int_equal(info->run_ms, 7000);
    assert_true(info->age_s > 0);
    assert_int_equal(rig_scan(tools->rig, "abc", 20000), PS_OUTCOME_DESCRIBED);
    assert_string_equal(tools->rig->result.traits, "{\"a\":[1,{}]}");
    tools_free(tools);
}

/* ---- a scanner that people have ---- */

static void clamscan_by_manifest(void **state)
{
    static const char eicar[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-"
                                "ANTIVIRUS-TEST-"
                                "FILE!$H+H*";
    struct tools *tools;

    (void)state;
    if (access("/usr/bin/clamscan", X_OK) < 0)
        skip();
    tools = tools_new();
    write_text(tools, "test.hdb", "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test\n");
    start(tools,
          "[engine]\nkind = evilness\nself-test = eicar\n[run]\n"
          "command = /usr/bin/clamscan --no-summary --stdout --database={engine}/test.hdb --tempdir={tmpdir} "
          "{sample}\n"
          "[ask]\nversion = /usr/bin/clamscan --version\nversion-match = ^ClamAV (?<version>[0-9.]+)\n"
          "[exit]\nclean = 0\nmalicious = 1\nerror = 2-255\n"
          "[match]\nmalicious = : (?<label>\\S+) FOUND$\nclean = : OK$\n",
          1, RIG_NONE);
    (void)rig_wait(tools->rig, PS_HOST_LOADED);
    assert_int_equal(rig_scan(tools->rig, eicar, 20000), PS_OUTCOME_MALICIOUS);
    assert_string_equal(tools->rig->label, "Eicar-Test.UNOFFICIAL");
    assert_int_equal(rig_scan(tools->rig, "harmless", 20000), PS_OUTCOME_UNDETECTED);
    tools_free(tools);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_fail_behind_all_walls),
        cmocka_unit_test(attacks_fail_with_the_first_landlock),
        cmocka_unit_test(attacks_fail_behind_the_root_alone),
        cmocka_unit_test(attacks_fail_behind_landlock_alone),
        cmocka_unit_test(attacks_fail_without_namespaces),
        cmocka_unit_test(attacks_work_where_nothing_stops_them),
        cmocka_unit_test(missing_walls_are_named),
        cmocka_unit_test(what_a_program_says_is_what_counts),
        cmocka_unit_test(a_hang_is_a_timeout_and_leaves_nothing),
        cmocka_unit_test(what_stays_behind_ends),
        cmocka_unit_test(what_stays_behind_ends_without_a_namespace),
        cmocka_unit_test(a_fork_bomb_takes_its_own_slot_only),
        cmocka_unit_test(a_full_directory_is_empty_for_the_next),
        cmocka_unit_test(a_sample_comes_as_it_is_wanted),
        cmocka_unit_test(a_daemons_account_finds_the_copy),
        cmocka_unit_test(a_sample_that_vanishes_is_never_clean),
        cmocka_unit_test(a_daemon_is_reached_by_its_socket_and_no_other),
        cmocka_unit_test(an_engine_that_cant_be_offered_says_why),
        cmocka_unit_test(what_programs_answer_is_shown),
        cmocka_unit_test(clamscan_by_manifest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* As root, and as an ordinary user. */
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
