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
#include <sys/types.h>

#include "base/err.h"

struct ps_launcher;

#define PS_LAUNCHER_HOSTS_MAX 512  /* zygotes alive at once */
#define PS_LAUNCHER_DIRS_MAX  16   /* plug-in directories */
#define PS_LAUNCHER_REPLY_MS  5000 /* the launcher answers within this, or counts as dead */

struct ps_account {
    uid_t uid;
    gid_t gid;
};

struct ps_launcher_conf {
    const char *program;            /* path of phagescan-enginehost */
    const char *const *plugin_dirs; /* plug-ins must lie below one of these; plugin_dirs_n of them */
    size_t plugin_dirs_n;
    const char *tmp; /* made if missing, emptied, given to the engines account; one directory a zygote */
    struct ps_account engines; /* who zygotes run as; must not be root */
};

/* Looks an account up by name (its primary group with it). 0; PS_ERR_NOTFOUND with a sentence. */
int ps_account_find(const char *name, struct ps_account *ret_account, struct ps_error *reterr);
/* Becomes that account for good: groups, gid, uid, and checks that there is no way back. 0 or PS_ERR_DENIED.
 */
int ps_account_become(struct ps_account account, struct ps_error *reterr);

/* Forks the launcher; the caller must be root and single-threaded. 0 with *ret_self (for
 * ps_host_conf.launcher), PS_ERR_DENIED when not root, PS_ERR_INVALID. The thread that calls must live as
 * long as the launcher. */
int ps_launcher_fork(struct ps_launcher **ret_self, const struct ps_launcher_conf *conf,
                     struct ps_error *reterr);
/* Ends the launcher and all its zygotes. Free the hosts first. */
void ps_launcher_free(struct ps_launcher **self_p);

#endif
