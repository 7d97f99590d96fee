/* worker/host/launcher.h: who keeps root when phagescan-worker is started as root, so that engines run under
 * an account of their own.
 *
 * main calls ps_launcher_fork before any thread, socket or czmq call, then ps_account_become ("services").
 * The launcher (a forked copy without anything of ours but one socket pair) starts phagescan-enginehost under
 * the engines account and ends it; it opens no sample and believes little: engine names are checked, plug-ins
 * must lie below the directories given at the fork, options come from a closed list. It dies with the worker,
 * and every zygote with it.
 *
 * As an ordinary user there is no launcher: zygotes are started by the worker itself, under its own uid, and
 * the walls say "weaker: engines run under your own account". */
#ifndef PS_WORKER_LAUNCHER_H
#define PS_WORKER_LAUNCHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "worker/host/account.h"

struct ps_launcher;

#define PS_LAUNCHER_HOSTS_MAX 512  /* zygotes alive at once */
#define PS_LAUNCHER_DIRS_MAX  16   /* plug-in directories */
#define PS_LAUNCHER_REPLY_MS  5000 /* the launcher answers within this, or counts as dead */

struct ps_launcher_conf {
    const char *program;            /* path of phagescan-enginehost */
    const char *const *plugin_dirs; /* plug-ins must lie below one of these; plugin_dirs_n of them */
    size_t plugin_dirs_n;
    const char
        *own_dir;    /* one of these that is the operator's own: what lies there must be root's, and nobody
                            else's to write (trust.h); NULL for none */
    const char *tmp; /* made if missing, emptied, given to the engines account; one directory a zygote */
    struct ps_account engines; /* who zygotes run as; must not be root */
};

/* Forks the launcher; the caller must be root and single-threaded. 0 with *ret_self (for
 * ps_host_conf.launcher), PS_ERR_DENIED when not root, PS_ERR_INVALID. The thread that calls must live as
 * long as the launcher. */
int ps_launcher_fork(struct ps_launcher **ret_self, const struct ps_launcher_conf *conf,
                     struct ps_error *reterr);
/* Ends the launcher and all its zygotes. Free the hosts first. */
void ps_launcher_free(struct ps_launcher **self_p);

/* For host.c. Starts the zygote of conf (launcher and tmp in it are ignored) with control (borrowed) as its control
 * socket. *ret_instance names it from here on; *ret_pidfd (the caller's) is readable when it has ended. Waits for the
 * launcher's answer, at most PS_LAUNCHER_REPLY_MS. 0 or a ps_err with the story. */
struct ps_host_conf;
int ps_launcher_start(struct ps_launcher *self, const struct ps_host_conf *conf, int control,
                      uint32_t *ret_instance, pid_t *ret_pid, int *ret_pidfd, struct ps_error *reterr);
/* Kills it when it still lives, waits for it, removes its directory, forgets the instance. *ret_status: its wait status. 0,
 * PS_ERR_TIMEOUT or PS_ERR_CLOSED when the launcher does not answer. */
int ps_launcher_end(struct ps_launcher *self, uint32_t instance, int *ret_status);

#endif
