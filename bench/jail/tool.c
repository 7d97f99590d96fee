/* bench/jail/tool.c: an engine that does nothing but run /usr/bin/true: what the jail of an external tool costs a call.
 * Of the bench only; never installed. */
#include "engines/engine.h"

#include <spawn.h>
#include <stddef.h>
#include <sys/wait.h>

#define PROGRAM "/usr/bin/true"

static enum ps_found tool_scan(void *engine, const struct ps_engine_sample *sample,
                               const struct ps_engine_report *report)
{
    static char name[] = PROGRAM;
    static char *const argv[] = {name, NULL}, *const environment[] = {NULL};
    int status = 0, rc;
    pid_t pid;

    (void)engine;
    (void)sample;
    rc = posix_spawn(&pid, PROGRAM, NULL, NULL, argv, environment);
    if (rc == 0 && waitpid(pid, &status, 0) == pid && status == 0)
        return PS_FOUND_UNDETECTED;
    report->reason(report->host, "%s: posix_spawn gave %d, the program's status is %d", PROGRAM, rc, status);
    return PS_FOUND_FAILURE;
}

static const char *const programs[] = {PROGRAM, NULL};
static const struct ps_engine_grants grants = {.programs = programs};

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "tool",
    .kind = PS_ENGINE_EVILNESS,
    .licence = "MPL-2.0",
    .grants = &grants,
    .scan = tool_scan,
};
