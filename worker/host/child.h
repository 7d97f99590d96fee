/* worker/host/child.h: what a jailed child does: take a sample, have the engine scan it, say what it found, again.
 * Engine host only. */
#ifndef PS_HOST_CHILD_H
#define PS_HOST_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/host/jail.h"
#include "worker/host/plugin.h"

/* Exit statuses of a child. 128 + n: a fatal signal n of its own (see ps_exit_words). */
enum ps_child_exit {
    PS_CHILD_DONE = 0,     /* its session closed the socket, or it was recycled */
    PS_CHILD_UNFIT = 70,   /* it could not be jailed or entered: nothing was scanned */
    PS_CHILD_CONFUSED = 71 /* its session said what it can't understand */
};

/* What a child tells its zygote once, as one write to a pipe. */
struct ps_child_status {
    uint32_t ready; /* 1: jailed; 0: unfit, see text */
    int32_t pid;    /* process id as the system's /proc has it */
    char text[PS_ERROR_TEXT_MAX];
};

struct ps_child_conf {
    struct ps_plugin *plugin;
    struct ps_jail *jail;
    const char *dir;       /* its directory, made by the zygote */
    uint64_t recycle;      /* scans until it asks to be replaced */
    uint64_t growth_bytes; /* growth of its memory after which it does the same */
};

/* Runs a child after the fork: walls, status to status_fd, scans for the session at sock until it ends. Returns the exit
 * status. Descriptors are the caller's; engine host's own others must be closed by then. */
int ps_child_run(const struct ps_child_conf *conf, int sock, int status_fd);

#endif
