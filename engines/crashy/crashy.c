/* engines/crashy/crashy.c: the test engine: does what the sample's first line tells it, above all what no
 * engine should. For tests of the host, the jail and all that is above them; not installed. The commands:
 * README.md. */
#include "engines/crashy/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN  256
#define BIG_BYTES     65536
#define FLOOD_N       10000
#define GRANDCHILDREN 4

struct scan {
    const struct ps_engine_sample *sample;
    const struct ps_engine_report *report;
    const char *argument; /* rest of the line; "" */
};

/* Settings make it fail before a sample is there: fail_probe, fail_open, die_open, die_warm, die_enter, and
 * version and definitions to be what a test wants. */
struct crashy {
    const struct ps_engine_conf *conf;
};

static const char *setting(const struct ps_engine_conf *conf, const char *key)
{
    return conf && conf->setting ? conf->setting(conf, key) : NULL;
}

static enum ps_found do_segv(struct scan *scan)
{
    volatile int *nowhere = NULL;

    (void)scan;
    *nowhere = 1; // NOLINT(clang-analyzer-core.NullDereference): that is what it is for
    return PS_FOUND_FAILURE;
}

static enum ps_found do_abort(struct scan *scan)
{
    (void)scan;
    abort();
}

static enum ps_found do_exit(struct scan *scan)
{
    _exit(atoi(scan->argument));
}

static void __attribute__((noreturn)) hang(void)
{
    for (;;)
        (void)pause(); /* until killed */
}

static void __attribute__((noreturn)) spin(void)
{
    volatile unsigned turns = 0;

    for (;;)
        turns++;
}

static enum ps_found do_hang(struct scan *scan)
{
    (void)scan;
    hang();
}

static enum ps_found do_spin(struct scan *scan)
{
    (void)scan;
    spin();
}

/* All that a process may ignore it ignores: only SIGKILL ends it. */
static enum ps_found do_hang_ignore(struct scan *scan)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_IGN); /* refused for two of them */
    (void)scan;
    hang();
}

/* Grandchildren in sessions of their own, which killing the process group misses. They are named so that a
 * test can look for those left over. */
static enum ps_found do_fork_hang(struct scan *scan)
{
    for (int i = 0; i < GRANDCHILDREN; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            scan->report->reason(scan->report->host, "fork: %s", strerror(errno));
            return PS_FOUND_UNDETECTED;
        }
        if (!pid) {
            (void)setsid();
            (void)prctl(PR_SET_NAME, "crashy-orphan");
            hang();
        }
    }
    hang();
}

static enum ps_found do_flood_traits(struct scan *scan)
{
    char *json = malloc(BIG_BYTES), key[32];

    if (!json)
        return PS_FOUND_FAILURE;
    memset(json, 'x', BIG_BYTES);
    json[0] = json[BIG_BYTES - 1] = '"';
    for (int i = 0; i < FLOOD_N; i++) {
        (void)snprintf(key, sizeof(key), "flood_%d", i);
        (void)scan->report->trait(scan->report->host, key, json, BIG_BYTES);
    }
    free(json);
    return PS_FOUND_UNDETECTED;
}

static enum ps_found do_flood_findings(struct scan *scan)
{
    char label[32];

    for (int i = 0; i < FLOOD_N; i++) {
        (void)snprintf(label, sizeof(label), "Flood.%d", i);
        (void)scan->report->finding(scan->report->host, PS_FOUND_SUSPICIOUS, label);
    }
    return PS_FOUND_SUSPICIOUS;
}

static enum ps_found do_bad_json(struct scan *scan)
{
    static const char bad[] = "{\"open\": [1, 2", nul[] = "\"a\0b\"";

    (void)scan->report->trait(scan->report->host, "bad", bad, sizeof(bad) - 1);
    (void)scan->report->trait(scan->report->host, "nul", nul, sizeof(nul) - 1);
    (void)scan->report->trait(scan->report->host, "\xff\xfe not a key", "1", 1);
    return PS_FOUND_UNDETECTED;
}

/* Memory that is used, until there is no more. */
static enum ps_found do_alloc(struct scan *scan)
{
    const size_t step = 16UL << 20;
    size_t bytes = 0;
    void *piece;

    while ((piece = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) !=
           MAP_FAILED) {
        memset(piece, 1, step);
        bytes += step;
    }
    scan->report->reason(scan->report->host, "refused after %zu MiB: %s", bytes >> 20, strerror(errno));
    return PS_FOUND_INCOMPLETE;
}

static enum ps_found do_fill_tmp(struct scan *scan)
{
    static char block[BIG_BYTES];
    char path[4096];
    size_t bytes = 0;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/fill", scan->sample->tmpdir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && (n = write(fd, block, sizeof(block))) > 0)
        bytes += (size_t)n;
    scan->report->reason(scan->report->host, "refused after %zu MiB: %s", bytes >> 20, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return PS_FOUND_INCOMPLETE;
}

/* A wall that holds is undetected with the reason, one that doesn't is malicious. */
static enum ps_found wall(struct scan *scan, int fd, const char *label)
{
    if (fd < 0) {
        scan->report->reason(scan->report->host, "the wall holds: %s", strerror(errno));
        return PS_FOUND_UNDETECTED;
    }
    (void)close(fd);
    (void)scan->report->finding(scan->report->host, PS_FOUND_MALICIOUS, label);
    return PS_FOUND_MALICIOUS;
}

static enum ps_found do_read(struct scan *scan)
{
    return wall(scan, open(scan->argument, O_RDONLY | O_CLOEXEC), "Wall.Read");
}

static enum ps_found do_socket(struct scan *scan)
{
    return wall(scan, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "Wall.Socket");
}

/* Bears a name meanwhile, by which a test counts such runs from outside. */
static enum ps_found do_slow(struct scan *scan)
{
    long ms = atol(scan->argument);
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    char name[16] = "";

    (void)prctl(PR_GET_NAME, name);
    (void)prctl(PR_SET_NAME, "crashy-slow");
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
    (void)prctl(PR_SET_NAME, name);
    return PS_FOUND_UNDETECTED;
}

static enum ps_found find(struct scan *scan, enum ps_found what, const char *otherwise)
{
    (void)scan->report->finding(scan->report->host, what, *scan->argument ? scan->argument : otherwise);
    return what;
}

static enum ps_found do_malicious(struct scan *scan)
{
    return find(scan, PS_FOUND_MALICIOUS, "Crashy.Malicious");
}

static enum ps_found do_suspicious(struct scan *scan)
{
    return find(scan, PS_FOUND_SUSPICIOUS, "Crashy.Suspicious");
}

static enum ps_found do_harmless(struct scan *scan)
{
    return find(scan, PS_FOUND_HARMLESS, "Crashy.Harmless");
}

static enum ps_found do_incomplete(struct scan *scan)
{
    scan->report->reason(scan->report->host, "%s",
                         *scan->argument ? scan->argument : "told to be incomplete");
    return PS_FOUND_INCOMPLETE;
}

static enum ps_found do_failure(struct scan *scan)
{
    scan->report->reason(scan->report->host, "%s", *scan->argument ? scan->argument : "told to fail");
    return PS_FOUND_FAILURE;
}

/* Says nothing was found after it said what was found, and ends with a number that is no outcome. */
static enum ps_found do_lie(struct scan *scan)
{
    (void)scan->report->finding(scan->report->host, (enum ps_found)99, "Crashy.Lie\xff\n<script>");
    scan->report->reason(scan->report->host, "line one\nline two \x1b[31m\xff");
    return (enum ps_found)77;
}

static enum ps_found do_files(struct scan *scan)
{
    return ps_crashy_files(scan->report, scan->argument);
}

static enum ps_found do_picture(struct scan *scan)
{
    return ps_crashy_picture(scan->report);
}

static const struct {
    const char *name;
    enum ps_found (*run)(struct scan *scan);
} commands[] = {
    {"segv", do_segv},
    {"abort", do_abort},
    {"exit", do_exit},
    {"hang", do_hang},
    {"hang-ignore", do_hang_ignore},
    {"spin", do_spin},
    {"fork-hang", do_fork_hang},
    {"flood-traits", do_flood_traits},
    {"flood-findings", do_flood_findings},
    {"bad-json", do_bad_json},
    {"alloc", do_alloc},
    {"fill-tmp", do_fill_tmp},
    {"read", do_read},
    {"socket", do_socket},
    {"slow", do_slow},
    {"malicious", do_malicious},
    {"suspicious", do_suspicious},
    {"harmless", do_harmless},
    {"incomplete", do_incomplete},
    {"failure", do_failure},
    {"lie", do_lie},
    {"files", do_files},
    {"picture", do_picture},
};

static enum ps_found crashy_scan(void *engine, const struct ps_engine_sample *sample,
                                 const struct ps_engine_report *report)
{
    static const char word[] = "CRASHY ";
    char line[LINE_MAX_LEN] = "", *command = line + sizeof(word) - 1, *space;
    struct scan scan = {.sample = sample, .report = report, .argument = ""};
    ssize_t n = pread(sample->fd, line, sizeof(line) - 1, 0);

    (void)engine;
    if (n < 0) {
        report->reason(report->host, "the sample could not be read: %s", strerror(errno));
        return PS_FOUND_FAILURE;
    }
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, word, sizeof(word) - 1) != 0)
        return PS_FOUND_UNDETECTED;
    space = strchr(command, ' ');
    if (space) {
        *space = '\0';
        scan.argument = space + 1;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(command, commands[i].name))
            return commands[i].run(&scan);
    report->reason(report->host, "no such command");
    return PS_FOUND_FAILURE;
}

static int crashy_probe(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    if (!setting(conf, "fail_probe"))
        return 0;
    (void)snprintf(err, err_max, "told to fail: %s", setting(conf, "fail_probe"));
    return -1;
}

static int crashy_open(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    struct crashy *self = calloc(1, sizeof(*self));

    if (setting(conf, "die_open"))
        abort();
    if (!self || setting(conf, "fail_open")) {
        free(self);
        (void)snprintf(err, err_max, "told to fail");
        return -1;
    }
    self->conf = conf;
    *ret_engine = self;
    return 0;
}

static void crashy_info(void *engine, struct ps_engine_info *ret_info)
{
    struct crashy *self = engine;
    const char *version = setting(self->conf, "version"), *definitions = setting(self->conf, "definitions");

    ret_info->version = version ? version : "1";
    ret_info->definitions = definitions ? definitions : "";
    ret_info->note = "a test engine: it obeys its samples";
    ret_info->silence_counts = true;
}

static int crashy_warm(void *engine, char *err, size_t err_max)
{
    struct crashy *self = engine;

    (void)err;
    (void)err_max;
    if (setting(self->conf, "die_warm"))
        abort();
    return 0;
}

static int crashy_enter(void *engine, const char *tmpdir, char *err, size_t err_max)
{
    struct crashy *self = engine;

    (void)tmpdir;
    (void)err;
    (void)err_max;
    if (setting(self->conf, "die_enter"))
        abort();
    return 0;
}

static void crashy_close(void *engine)
{
    free(engine);
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "crashy",
    .kind = PS_ENGINE_EVILNESS,
    .licence = "MPL-2.0",
    .run_ms = 2000,
    .probe = crashy_probe,
    .open = crashy_open,
    .info = crashy_info,
    .warm = crashy_warm,
    .enter = crashy_enter,
    .scan = crashy_scan,
    .close = crashy_close,
};
