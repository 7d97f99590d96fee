/* engines/crashy/crashy.c: the test engine: does what the sample's first line tells it, above all what no
 * engine should. For tests of the host, the jail and all that is above them; not installed. The commands:
 * README.md. */
#include "engines/crashy/crashy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 256

/* Settings make it fail before a sample is there: fail_probe, fail_open, die_open, die_warm, die_enter; or with a later
 * one: die_job=N. version and definitions are what a test wants. */
struct crashy {
    const struct ps_engine_conf *conf;
    long die_job; /* the scan of a child that kills it; 0 for none */
    long scans;   /* of this child */
};

static const char *setting(const struct ps_engine_conf *conf, const char *key)
{
    return conf && conf->setting ? conf->setting(conf, key) : NULL;
}

/* Dies when the setting is there: of a SIGSEGV when it is "segv", else of abort. */
static void die_if(const struct ps_engine_conf *conf, const char *key)
{
    const char *how = setting(conf, key);

    if (!how)
        return;
    if (!strcmp(how, "segv"))
        (void)raise(SIGSEGV);
    abort();
}

enum ps_found crashy_held(struct scan *scan)
{
    scan->report->reason(scan->report->host, "the wall holds: %s", strerror(errno));
    return PS_FOUND_UNDETECTED;
}

enum ps_found crashy_through(struct scan *scan, const char *label)
{
    (void)scan->report->finding(scan->report->host, PS_FOUND_MALICIOUS, label);
    return PS_FOUND_MALICIOUS;
}

enum ps_found crashy_wall(struct scan *scan, long rc, const char *label)
{
    return rc < 0 ? crashy_held(scan) : crashy_through(scan, label);
}

static const struct crashy_command *find_command(const char *name)
{
    static const struct crashy_command *const tables[] = {crashy_ends,   crashy_bombs, crashy_reach,
                                                          crashy_kernel, crashy_lies,  crashy_files};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct crashy_command *command = tables[i]; command->name; command++)
            if (!strcmp(name, command->name))
                return command;
    return NULL;
}

static enum ps_found crashy_scan(void *engine, const struct ps_engine_sample *sample,
                                 const struct ps_engine_report *report)
{
    static const char word[] = "CRASHY ";
    char line[LINE_MAX_LEN] = "", *command = line + sizeof(word) - 1, *space;
    const struct crashy_command *known;
    struct crashy *self = engine;
    struct scan scan = {.sample = sample, .report = report, .argument = ""};
    ssize_t n = pread(sample->fd, line, sizeof(line) - 1, 0);

    if (self->die_job && ++self->scans == self->die_job)
        abort();
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
    known = find_command(command);
    if (known)
        return known->run(&scan);
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

    die_if(conf, "die_open");
    if (!self || setting(conf, "fail_open")) {
        free(self);
        (void)snprintf(err, err_max, "told to fail");
        return -1;
    }
    self->conf = conf;
    self->die_job = setting(conf, "die_job") ? atol(setting(conf, "die_job")) : 0;
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
    die_if(self->conf, "die_warm");
    return 0;
}

static int crashy_enter(void *engine, const char *tmpdir, char *err, size_t err_max)
{
    struct crashy *self = engine;

    (void)tmpdir;
    (void)err;
    (void)err_max;
    die_if(self->conf, "die_enter");
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
