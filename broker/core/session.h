/* broker/core/session.h: who talks to the broker: masters and workers, and which connection is theirs now.
 *
 * A session begins with HELLO and ends with BYE, silence, a full backlog, a breach of the protocol or a newer one of
 * the same peer. Its connection may go and come back on another (HELLO with the session's token) without that end.
 *
 * Invariants: held_n is the length of held; a peer number belongs to at most one session; a worker's offers are in
 * their engines' ready lists exactly when tier >= 0 and they have no problem. */
#ifndef PS_BROKER_CORE_SESSION_H
#define PS_BROKER_CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/engine.h"
#include "proto/messages.h"

struct ps_core;

#define PS_PAUSE_MS 500
#define PS_REFS_MAX 256 /* names of jobs and leases gathered for one peer before they are sent */

/* Lease names on their way to a worker. */
struct ps_refs {
    struct ps_part_lease_ref *at; /* owned, PS_REFS_MAX of them, NULL before the first */
    uint32_t n;
};

/* What a worker says of one engine. */
struct ps_offer {
    struct ps_part_offer part; /* its texts lie in the session's block */
    uint32_t session;
    uint16_t engine;
    bool ready;                   /* in the engine's list of the session's tier */
    struct ps_offer *prev, *next; /* there */
};

struct ps_session {
    uint64_t pool; /* the pool writes here when the session is over: id must stay 0 then */
    uint64_t id;   /* what peers call it: a counter and the place in the pool */
    uint8_t token[PS_TOKEN_BYTES];
    char name[PS_NAME_MAX + 1]; /* what it calls itself: quote it */
    enum ps_role role;
    uint32_t peer;       /* its connection; 0 while it is away */
    uint32_t who;        /* opened it: see struct ps_event */
    uint32_t prev, next; /* in the list of all sessions */
    uint64_t heard_ms;   /* last sign of life, core time */
    uint64_t sent_ms;    /* when it was last sent something */
    uint64_t epoch;      /* master: highest it named */

    /* worker */
    bool ready;                 /* READY came */
    uint64_t paused_ms;         /* gets nothing new until then: it gave a lease back; 0: not so */
    bool quiet;                 /* some heartbeats are missing: no new leases, but not dead yet */
    bool bounce;                /* to be sent away, so that it comes back with its results */
    int tier;                   /* place in ready lists, -1: none */
    uint32_t slots, window;     /* its words */
    uint32_t held, held_last;   /* leases in its hands, oldest first */
    uint32_t held_n, running_n; /* how many; running by the last heartbeat and not ended since */
    uint32_t named_n;           /* running at the last heartbeat, ended since or not: FLEET tells these */
    uint32_t alone_n;           /* leases of suspects among them */
    uint32_t beat;              /* heartbeats with names so far; names in leases refer to it */
    uint32_t allow_max_ms;      /* longest run time with margin among its leases since it was last empty */
    uint64_t unread_ms;         /* until then it may not have read CANCEL for a lease with a limit */
    uint32_t unread_allow_ms;   /* how long those might run, at most */
    uint64_t progress_ms;       /* when it last brought a result, began to run something or fetched */
    uint64_t done_n, lost_n;    /* in this session */
    struct ps_offer *offers;    /* owned */
    uint32_t offers_n;
    struct ps_engine_set can;                      /* engines it offers without a problem */
    char *texts;                                   /* owned: isolation and the offers' texts */
    struct ps_bytes isolation;                     /* in texts */
    struct ps_refs accepted, committed, cancelled; /* to be sent at the end of the turn */
    uint32_t refs_next;                            /* next session that has some to send */
    bool refs_listed;
    uint32_t fetch_first, fetch_last, fetch_n; /* pieces it asked for */
    uint32_t flight_bytes;                     /* asked of the master and not passed on */
    uint32_t asked_bytes;                      /* of derived files: asked of it and not come */
    uint64_t keep_ms;                          /* when it last spoke of one; core time; 0: never */
    bool wants;                                /* stands in the queue of those that may ask for a piece */
    uint32_t want_prev, want_next;             /* there */
};

struct ps_session *ps_session_at(const struct ps_core *core, uint32_t session);
/* The session of an id that a peer gave; 0 when it is not (any more). */
uint32_t ps_session_find(const struct ps_core *core, uint64_t id);
bool ps_session_token_is(const struct ps_session *session, struct ps_bytes token);

/* HELLO: opens, resumes or refuses. */
void ps_session_hello(struct ps_core *core, uint32_t peer, const struct ps_msg_HELLO *hello);

enum ps_session_end {
    PS_END_CLEAN, /* nothing that it held is to blame */
    PS_END_LOST   /* what ran is suspect */
};
/* Ends it: its leases go back to the queue, its results stay with the broker. reason is for people. */
void ps_session_end(struct ps_core *core, uint32_t session, enum ps_session_end how, const char *reason);
/* Says REFUSED and BYE in one: ends the session cleanly because of what it did. */
void ps_session_refuse(struct ps_core *core, uint32_t session, const char *code, const char *reason);
/* Ends all sessions of who, 0 excepted. */
void ps_sessions_ban(struct ps_core *core, uint32_t who);
/* The connection is gone, the session waits for another. */
void ps_session_detach(struct ps_core *core, uint32_t session);

/* Any sign of life. */
void ps_session_heard(struct ps_core *core, uint32_t session);
/* It gave a lease back without a result: nothing new for PS_PAUSE_MS, so that the same job does not go to and fro. */
void ps_session_pause(struct ps_core *core, uint32_t session);
/* It does what it is there for. */
void ps_session_progress(struct ps_core *core, uint32_t session);
/* When a lease that it holds and does not run is given up, unless it makes progress before. */
uint64_t ps_session_stall_ms(const struct ps_session *session);
/* Looks again how busy it is and moves its offers accordingly. Call after every change of what it depends on. */
void ps_session_refresh(struct ps_core *core, uint32_t session);
/* Its offers anew, with its isolation. 0, PS_ERR_LIMIT (too many engines in the fleet) or PS_ERR_NOMEM. */
int ps_session_offers(struct ps_core *core, uint32_t session, struct ps_list_offer list,
                      struct ps_bytes isolation);
void ps_session_offers_clear(struct ps_core *core, uint32_t session);
struct ps_offer *ps_session_offer(const struct ps_session *session, uint16_t engine);

/* Tells a master, at the end of the turn, that a job is in our hands. */
void ps_session_accepted(struct ps_core *core, uint32_t session, struct ps_part_lease_ref ref);
/* Tells a worker, at the end of the turn, that a result may be forgotten or a lease is to be dropped. */
void ps_session_committed(struct ps_core *core, uint32_t session, struct ps_part_lease_ref ref);
void ps_session_cancelled(struct ps_core *core, uint32_t session, struct ps_part_lease_ref ref);
void ps_sessions_flush(struct ps_core *core);
/* Ends those that are silent, sends PULSEs. */
void ps_sessions_tick(struct ps_core *core);
/* Sends those away whose results have to be said again. */
void ps_sessions_bounce(struct ps_core *core);
void ps_sessions_stop(struct ps_core *core, const char *reason);
/* Frees what a session owns: for ps_core_free. */
void ps_session_fini(struct ps_session *session);

#endif
