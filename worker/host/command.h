/* worker/host/command.h: starting phagescan-enginehost: its command line and its bare surroundings. The session and the
 * launcher. */
#ifndef PS_HOST_COMMAND_H
#define PS_HOST_COMMAND_H

#include <sys/types.h>

#include "worker/host/host.h"

#define PS_SPAWN_CONTROL_FD 3 /* where the zygote finds its control socket */

/* True for [a-z0-9_-]+ of at most PS_NAME_MAX bytes. */
bool ps_spawn_name_valid(const char *name);
/* Command line of a zygote: NULL-ended, freed by ps_spawn_argv_free. tmpdir: its own. own_account: it runs under another
 * uid than the session. 0, PS_ERR_LIMIT or PS_ERR_NOMEM. */
int ps_spawn_argv(const struct ps_host_conf *conf, const char *tmpdir, bool own_account, char ***ret_argv);
void ps_spawn_argv_free(char ***argv_p);
/* The environment of a zygote: nothing inherited. Static, NULL-ended. */
char *const *ps_spawn_environ(void);
/* Spawns conf's zygote from this process with control (borrowed) as its control socket. *ret_pidfd: readable when it has
 * ended. Whoever called waits for it. 0 or a ps_err. */
int ps_spawn_here(const struct ps_host_conf *conf, const char *tmpdir, int control, pid_t *ret_pid,
                  int *ret_pidfd, struct ps_error *reterr);

#endif
