/* cli/up/supervisor.h: runs PostgreSQL, broker, master and worker on one machine, starts again what ends, and
 * tells how they are (desk.h). One thread, one poll loop. */
#ifndef PS_CLI_UP_SUPERVISOR_H
#define PS_CLI_UP_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/layout.h"

#define PS_UP_STOP_MS 15000 /* a process that was told to stop gets a stronger word after this */

#define PS_UP_LOCK "up.lock" /* in the state directory, held (flock) while a supervisor lives */

struct ps_up_settings {
    bool background;      /* detach once everything is ready */
    bool verbose;         /* copy the processes' logs to standard error */
    char *port;           /* web port, as text, or NULL: the master's default */
    char *signatures;     /* signature directory for the worker, or NULL */
    char *slots;          /* worker's slots, or NULL */
    uint64_t patience_ms; /* who waits for readiness gives up after so long */
};

/* Runs until it is told to stop (SIGTERM, SIGINT, "stop"). ready_fd: gets "ready\n" when all are ready for
 * the first time, or why it can't start, as a line; -1 for none; closed then. Returns 0 or what stopped it from
 * starting. */
int ps_supervisor_run(const struct ps_layout *layout, const struct ps_up_settings *settings, int ready_fd,
                      struct ps_error *reterr);

#endif
