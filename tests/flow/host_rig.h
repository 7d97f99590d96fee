/* tests/flow/host_rig.h: a session of one engine host, for tests: starts a host, waits for events.
 *
 * The environment names the build: PHAGESCAN_TEST_BUILD. The enginehost is plain, whatever the test is. */
#ifndef PS_TESTS_HOST_RIG_H
#define PS_TESTS_HOST_RIG_H

#include "tests/unit/unit.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "worker/host/host.h"

#define RIG_WAIT_MS   30000 /* what does not come within this fails the test */
#define RIG_WORDS_MAX 16

struct rig {
    struct ps_host *host;
    char *dir; /* temporary files */
    char plugin[UNIT_PATH_MAX], program[UNIT_PATH_MAX];
    uint64_t shift_ms;        /* how far the host's clock is ahead of the system's: a session that slept */
    pid_t child;              /* of the last READY */
    unsigned readies, haves;  /* seen */
    char exit[PS_TEXT_MAX];   /* of the last EXITED */
    char failed[PS_TEXT_MAX]; /* of FAILED */
    char gone[PS_TEXT_MAX];   /* of GONE; "" before */
    struct ps_host_result result; /* a copy of the last one; its texts: */
    char label[PS_LABEL_MAX + 1], reason[PS_TEXT_MAX + 1];
};

static inline uint64_t rig_now(const struct rig *rig)
{
    return ps_clock_mono_ms() + rig->shift_ms;
}

/* The next event; fails the test when none comes. */
static inline struct ps_host_event rig_event(struct rig *rig)
{
    uint64_t until_ms = rig_now(rig) + RIG_WAIT_MS;
    struct pollfd at = {.fd = ps_host_fd(rig->host), .events = POLLIN};
    struct ps_host_event event = {0};

    while (ps_host_step(rig->host, rig_now(rig), &event) != 1) {
        uint64_t now_ms = rig_now(rig), due_ms = PS_MIN(ps_host_due_ms(rig->host), until_ms);

        if (now_ms >= until_ms)
            fail_msg("no event of the engine host came");
        (void)poll(&at, 1, due_ms > now_ms ? (int)(due_ms - now_ms) : 0); /* interrupted: step again */
    }
    switch (event.kind) {
    case PS_HOST_READY:
        rig->child = event.pid;
        rig->readies++;
        break;
    case PS_HOST_HAVE:
        rig->haves++;
        break;
    case PS_HOST_EXITED:
        (void)snprintf(rig->exit, sizeof(rig->exit), "%s", event.text);
        break;
    case PS_HOST_FAILED:
        (void)snprintf(rig->failed, sizeof(rig->failed), "%s", event.text);
        break;
    case PS_HOST_GONE:
        (void)snprintf(rig->gone, sizeof(rig->gone), "%s", event.text);
        break;
    case PS_HOST_RESULT:
        rig->result = *event.result;
        (void)snprintf(rig->label, sizeof(rig->label), "%s", event.result->label);
        (void)snprintf(rig->reason, sizeof(rig->reason), "%s", event.result->reason);
        break;
    case PS_HOST_LOADED:
    case PS_HOST_PROBED:
        break;
    }
    return event;
}

/* Takes events until one of that kind. */
static inline struct ps_host_event rig_wait(struct rig *rig, enum ps_host_event_kind kind)
{
    struct ps_host_event event;

    do {
        event = rig_event(rig);
        if (event.kind == PS_HOST_GONE && kind != PS_HOST_GONE)
            fail_msg("the engine host is gone: %s, %s", rig->failed, event.text);
    } while (event.kind != kind);
    return event;
}

static inline struct rig *rig_new(const char *engine)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(build);
    assert_non_null(rig);
    rig->dir = unit_dir_make();
    assert_true(snprintf(rig->plugin, UNIT_PATH_MAX, "%s/engines/%s/%s.so", build, engine, engine) <
                UNIT_PATH_MAX);
    (void)unit_path(rig->program, build, "worker/host/phagescan-enginehost");
    return rig;
}

/* Starts an engine host for engine with these options and settings (NULL-ended lists), slots of them. */
static inline void rig_start(struct rig *rig, const char *engine, unsigned slots, const char *const *options,
                             const char *const *settings)
{
    struct ps_host_conf conf = {.program = rig->program,
                                .engine = engine,
                                .plugin = rig->plugin,
                                .tmp = rig->dir,
                                .settings = settings,
                                .options = options,
                                .slots = slots};
    struct ps_error error = {0};

    while (options[conf.options_n])
        conf.options_n++;
    while (settings[conf.settings_n])
        conf.settings_n++;
    if (ps_host_start(&rig->host, &conf, rig_now(rig), &error) != 0)
        fail_msg("the engine host does not start: %s", error.text);
}

#define RIG_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RIG_NONE       ((const char *const[]){NULL})

static inline void rig_free(struct rig *rig)
{
    ps_host_free(&rig->host);
    unit_dir_remove(rig->dir);
    free(rig);
}

/* Runs text as a sample in slot, without waiting. */
static inline void rig_run(struct rig *rig, unsigned slot, uint64_t job, const char *text, uint32_t run_ms)
{
    uint8_t sha256[32];
    struct ps_host_job wanted = {
        .job = job, .sha256 = sha256, .size = strlen(text), .type = "text/plain", .run_ms = run_ms};

    assert_int_equal(ps_sha256(sha256, text, strlen(text)), 0);
    assert_int_equal(ps_file_memfd("sample", text, strlen(text), &wanted.fd), 0);
    assert_int_equal(ps_host_run(rig->host, slot, &wanted, rig_now(rig)), 0);
    (void)close(wanted.fd); /* the host has its own */
}

/* Runs text in slot 0 and waits for its result. */
static inline enum ps_outcome rig_scan(struct rig *rig, const char *text, uint32_t run_ms)
{
    static uint64_t job = 100;

    rig_run(rig, 0, ++job, text, run_ms);
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.job, job);
    return rig->result.outcome;
}

/* ---- processes ---- */

/* Parent of pid and the letter of its state; 0 when there is no such process. */
static inline pid_t rig_parent(pid_t pid, char *ret_state)
{
    char path[64], text[512], *at;
    int parent = 0, fd;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strrchr(text, ')');
    return at && sscanf(at + 1, " %c %d", ret_state, &parent) == 2 ? parent : 0;
}

static inline bool rig_descends(pid_t pid, pid_t ancestor)
{
    char state;

    for (int depth = 0; depth < 20 && pid > 1; depth++) {
        pid = rig_parent(pid, &state);
        if (pid == ancestor)
            return true;
    }
    return false;
}

/* All living descendants of ancestor; at most max. */
static inline size_t rig_descendants(pid_t ancestor, pid_t *ret_pids, size_t max)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t n = 0;

    assert_non_null(proc);
    while ((entry = readdir(proc))) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;

        if (pid > 0 && n < max && rig_descends(pid, ancestor))
            ret_pids[n++] = pid;
    }
    (void)closedir(proc);
    return n;
}

static inline bool rig_alive(pid_t pid)
{
    char state = 0;

    return rig_parent(pid, &state) != 0 && state != 'Z';
}

/* Waits until cond, looking again every few milliseconds; what it waits for sends no event. */
#define RIG_UNTIL(cond)                                            \
    do {                                                           \
        uint64_t rig_until_ms_ = ps_clock_mono_ms() + RIG_WAIT_MS; \
        while (!(cond)) {                                          \
            if (ps_clock_mono_ms() > rig_until_ms_)                \
                fail_msg("never came true: %s", #cond);            \
            (void)poll(NULL, 0, 2);                                \
        }                                                          \
    } while (0)

#endif
