/* worker/host/filter.h: the system call filter of an engine's child: a list of what is allowed, everything else kills
 * the process. Built once in the zygote, put on in each child. Engine host only. */
#ifndef PS_HOST_FILTER_H
#define PS_HOST_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct ps_filter {
    struct sock_filter *code; /* owned */
    unsigned short n;         /* instructions */
    pid_t self;               /* process id that may be signalled: the child's own, 1 in a pid namespace */
};

/* What a filter is for. */
struct ps_filter_conf {
    pid_t self; /* children see themselves as this process */
    bool trap;  /* instead of the kill, SIGSYS for ps_filter_explain (to find out what an engine needs) */
    bool
        programs; /* children run programs: exec, fork, wait; what else programs ask for is refused, not deadly */
    bool signals; /* with programs: signals reach nobody outside, so kill is allowed */
    bool sockets; /* with programs: UNIX sockets, to connect to one that the root directory shows */
    bool network; /* with programs: all sockets; for an update that was given the network */
};

/* Builds it. 0 or a ps_err with the story. */
int ps_filter_build(struct ps_filter *ret_self, const struct ps_filter_conf *conf, struct ps_error *reterr);
void ps_filter_fini(struct ps_filter *self);
/* Puts it on this process for good. no_new_privs must be set. 0 or a ps_err (errno says more). */
int ps_filter_enter(const struct ps_filter *self);
/* Installs a SIGSYS handler that names the call on standard error and exits; for filters built with trap. */
void ps_filter_explain(void);

#endif
