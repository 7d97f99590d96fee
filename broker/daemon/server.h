/* broker/daemon/server.h: the loop around the core: drain the socket, take a turn, flush, wait. */
#ifndef PS_BROKER_DAEMON_SERVER_H
#define PS_BROKER_DAEMON_SERVER_H

#include "base/err.h"
#include "broker/daemon/settings.h"

struct ps_guard;
struct ps_server;

#define PS_SERVER_RETRY_MS  5 /* a peer that takes no more is tried again so soon */
#define PS_SERVER_LINGER_MS 1000

/* Listens. signal_fd: a signalfd; SIGHUP reads the allowed keys again,
 * all others mean that it is time to end; lent. 0, PS_ERR_CONFLICT when a broker listens there already,
 * or another error with a sentence. */
int ps_server_new(struct ps_server **ret_self, struct ps_broker_settings *settings, int signal_fd,
                  struct ps_error *reterr);
void ps_server_free(struct ps_server **self_p);
/* Who guards its door; lent, until ps_server_free. */
struct ps_guard *ps_server_guard(const struct ps_server *self);
/* Serves until a signal comes. 0; PS_ERR_NOMEM when memory ran out: start again, all comes back. */
int ps_server_run(struct ps_server *self, struct ps_error *reterr);

#endif
