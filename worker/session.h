/* worker/session.h: the worker's one thread of work: what the broker says goes to cache and slots, what engines bring
 * goes back to the broker. It never blocks and parses no sample. */
#ifndef PS_WORKER_SESSION_H
#define PS_WORKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/peer/where.h"

#define PS_SESSION_TURN_N        256   /* messages, and events of engines, handled before the others' turn */
#define PS_SESSION_SETTLE_MS     3000  /* READY waits so long for the slower engines, */
#define PS_SESSION_LOAD_MS       20000 /* and so long for the first */
#define PS_SESSION_BACKLOG_BYTES (4u << 20)  /* waiting to be sent: above, no FETCH and no RESULT is added */
#define PS_SESSION_RESULT_BYTES  (64u << 20) /* uncommitted results: above, no job is started */
#define PS_SESSION_WINDOW_MIN    64 /* leases: the larger of this and PS_SESSION_WINDOW_SLOTS a slot */
#define PS_SESSION_WINDOW_SLOTS  4

#define PS_SESSION_ORDERS_N 16 /* orders under way; another is refused */

struct ps_session;
struct ps_worker_settings;
struct ps_roster;

struct ps_session_conf {
    const struct ps_worker_settings *settings;
    struct ps_peer_where where;
    struct ps_roster *roster; /* lent for the session's life */
    size_t cached_samples_n;  /* descriptors that the cache may use */
    int signal_fd;            /* a signalfd of SIGTERM and SIGINT */
};

/* 0, or a ps_err with a sentence. */
int ps_session_new(struct ps_session **ret_self, const struct ps_session_conf *conf, struct ps_error *reterr);
void ps_session_free(struct ps_session **self_p);
/* Works until a signal ended it: the first drains (credit 0, what waits is given back, what runs is finished and
 * committed, at most settings.drain_ms), a second one ends it at once. 0; or a ps_err when it can't go on. */
int ps_session_run(struct ps_session *self);

#endif
