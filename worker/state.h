/* worker/state.h: what session.c, talk.c and work.c share: the session's state. Included by those three only. */
#ifndef PS_WORKER_STATE_H
#define PS_WORKER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/peer/beat.h"
#include "proto/peer/peer.h"
#include "worker/cache.h"
#include "worker/keeper.h"
#include "worker/results.h"
#include "worker/roster.h"
#include "worker/session.h"
#include "worker/settings.h"
#include "worker/slots.h"

/* An order of an operator's, while it is under way. */
struct ps_worker_order {
    uint64_t order;                  /* the master's number for it; 0: this place is free */
    unsigned engine;                 /* by its number in the roster */
    uint32_t verb;                   /* enum ps_order_verb */
    char before[PS_VERSION_MAX + 1]; /* definitions when it came */
    bool over;                       /* the answer is known, and waits to be sent */
    bool done;                       /* with over: as in ORDERED */
    char text[PS_TEXT_MAX + 1];      /* with over: likewise */
};

struct ps_session {
    const struct ps_worker_settings *settings;
    int signal_fd, epoll_fd;
    struct ps_peer *peer;
    struct ps_beat *beat;
    struct ps_roster *roster; /* lent */
    struct ps_slots *slots;
    struct ps_cache *cache;
    struct ps_results *results;
    struct ps_keeper *keeper; /* results whose files are on their way */
    int typer;                /* number of the engine `type`, -1: not here */
    uint32_t window;          /* W: leases at most, while nothing presses */
    uint32_t credit;          /* leases at most, as the broker knows it */
    uint64_t now_us;          /* monotonic, of this turn */
    bool peer_woke;           /* the peer has something, in this turn */
    bool roster_woke;         /* the engines have */
    uint64_t started_us;      /* monotonic, of the session's begin */
    uint64_t boot;            /* the broker's */
    uint64_t id;              /* of our session with it */
    uint32_t dead_ms;     /* the broker's word: silence after which a worker counts as gone; 0 before it */
    uint64_t alone_us;    /* monotonic; without a session until then, what waits is given back; 0: not so */
    uint64_t late_ms;     /* this turn began so much too late: we were stopped */
    bool welcome;         /* a session is open: READY may go, or has gone */
    bool ready;           /* READY has gone in this session */
    bool told_ready;      /* the ready descriptor was written */
    bool offers_changed;  /* OFFERS are due */
    bool running_changed; /* the heartbeat is to name other leases */
    bool have[PS_SLOTS_MAX]; /* the slot's child has its sample: the lease runs */
    bool draining;
    uint64_t drain_until_us; /* monotonic */
    bool over;               /* leave the loop */
    int error;               /* why, when not by a signal */
    uint64_t refused_n;      /* leases not taken: over the window, or without memory */
    struct ps_worker_order orders[PS_SESSION_ORDERS_N]; /* those with an answer still to come */
    char refusal[PS_NAME_MAX + 1];                      /* code of the last REFUSED that was logged */
};

/* So much waits for the master's commit that nothing is started and no lease is asked for. There is room left for the
 * results of all that is held. */
static inline bool ps_session_is_full(const struct ps_session *self)
{
    return ps_results_bytes(self->results) > PS_SESSION_RESULT_BYTES ||
           ps_keeper_bytes(self->keeper) > PS_KEEPER_BYTES ||
           ps_results_n(self->results) + ps_keeper_n(self->keeper) + self->window >= PS_WINDOW_MAX;
}

/* ---- talk.c: with the broker ---- */

/* Handles what the broker said, a bounded piece. */
void ps_talk_listen(struct ps_session *self);
/* Sends what is due: READY, OFFERS, CREDIT, FETCH, results, the heartbeat's list. */
void ps_talk_say(struct ps_session *self);

/* ---- work.c: with slots, cache and engines ---- */

extern const struct ps_slots_io ps_work_io; /* for slots; context is the session */

/* A JOB came: its leases go to the slots, or are answered at once. */
void ps_work_take(struct ps_session *self, const struct ps_msg_JOB *msg);
/* Handles what engines did, a bounded piece. */
void ps_work_engines(struct ps_session *self);
/* Moves cache, slots and results with files on. */
void ps_work_step(struct ps_session *self);

/* ---- orders.c: what operators want done with engines ---- */

/* An ORDER came. */
void ps_orders_take(struct ps_session *self, const struct ps_msg_ORDER *msg);
/* The engine has come UP, gone DOWN or stays as it was: orders that waited for it have their answer. */
void ps_orders_engine(struct ps_session *self, const struct ps_roster_event *event);
/* Sends answers that are known, as far as there is room. */
void ps_orders_say(struct ps_session *self);

#endif
