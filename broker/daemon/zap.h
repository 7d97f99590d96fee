/* broker/daemon/zap.h: the door: a thread that answers libzmq's question (ZAP, RFC 27) whether a key may connect, and logs
 * who was turned away at the door for whatever reason.
 *
 * A thread of its own, so that a busy broker does not let handshakes time out. */
#ifndef PS_BROKER_DAEMON_ZAP_H
#define PS_BROKER_DAEMON_ZAP_H

#include "base/err.h"
#include "broker/daemon/allowed.h"

#define PS_ZAP_DOMAIN     "phagescan"            /* masters and workers */
#define PS_ZAP_DOMAIN_MDP "phagescan-mdp"        /* peers of the Majordomo front */
#define PS_ZAP_MONITOR    "inproc://broker-door" /* where the ROUTER tells of handshakes */
#define PS_ZAP_LOG_MAX    10                     /* lines a second about strangers; more are counted */

struct ps_zap;

/* Binds and starts the thread; before any socket with CURVE is bound. context and allowed are lent until
 * ps_zap_free. One in a context. 0; PS_ERR_NOMEM; PS_ERR_IO with a sentence. */
int ps_zap_new(struct ps_zap **ret_self, void *context, struct ps_allowed *allowed, struct ps_error *reterr);
/* Ends the thread. The ROUTER is closed before. */
void ps_zap_free(struct ps_zap **self_p);

#endif
