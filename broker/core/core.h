/* broker/core/core.h: the broker without sockets and without a clock: (now, event) in, actions out.
 *
 * The daemon feeds it what peers said, in order, and closes each batch with a TURN; the core tells what to send, to
 * whom, through the functions of struct ps_actions, called from inside ps_core_step. It allocates only to grow, never
 * reads encoded bytes (a record it passes on or keeps is opaque to it), and does the same again for the same events.
 * One thread at a time. broker/README.md has the life of a job as a picture.
 *
 * Invariants: ps_core_check. */
#ifndef PS_BROKER_CORE_CORE_H
#define PS_BROKER_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/log.h"
#include "proto/messages.h"

/* A limit on how many leases of an engine there may be in the whole fleet: a licence. */
struct ps_core_limit {
    const char *engine; /* copied */
    uint32_t leases_n;  /* at most */
};

/* Every number has a default from ps_core_options_init. */
struct ps_core_options {
    uint64_t boot;                     /* this broker's boot id: random, never 0 */
    uint8_t secret[32];                /* random: makes session tokens, mixes hash keys */
    uint32_t jobs_max;                 /* jobs in memory; above: BUSY */
    uint32_t owners_max;               /* owners with queued jobs; above: BUSY */
    uint32_t workers_max, masters_max; /* sessions; above: REFUSED full */
    uint32_t peers_max;                /* peer numbers are 1..peers_max */
    uint32_t leases_max;               /* leases, results and decisions in memory; above: nothing is leased */
    uint32_t strays_max;               /* leases and results of jobs that no master submitted yet */
    uint64_t inline_budget_bytes;      /* samples' bytes kept; above: BUSY */
    uint64_t result_budget_bytes;      /* uncommitted results kept; above: nothing is leased */
    uint32_t transfer_bytes;           /* pieces asked for and not yet passed on, per worker */
    uint32_t transfer_total;           /* the same, of all workers */
    uint32_t beat_ms, dead_ms;         /* told to peers; silence of dead_ms ends a session */
    uint32_t engine_grace_ms;          /* an engine without a worker for so long: unavailable */
    uint32_t run_ms;                   /* run time where neither master nor engine says one */
    uint32_t aging_ms;                 /* a job of a lower band that waited so long gets its share */
    uint32_t lost_max;                 /* so many lost leases: buried */
    const struct ps_core_limit *limits; /* per engine; lent during ps_core_new */
    size_t limits_n;
    uint32_t
        limit_hold_ms; /* nothing of a limited engine is leased before: leases of an earlier boot may run */
};

enum ps_event_kind {
    PS_EVENT_MESSAGE, /* a peer said msg */
    PS_EVENT_BAD,     /* a peer said what does not decode */
    PS_EVENT_GONE,    /* a peer's connection is no more; its session may come back on another */
    PS_EVENT_FULL,    /* a peer does not read: its session is over */
    PS_EVENT_BANNED, /* who may not be here any more: its sessions are over, and nothing that they held is to blame */
    PS_EVENT_TURN, /* a batch of events is over: schedule, and send what was gathered */
    PS_EVENT_TICK, /* a turn, and time has passed: at least every PS_CORE_TICK_MS */
    PS_EVENT_STOP  /* the broker ends: say BYE to all */
};

#define PS_CORE_TICK_MS 100 /* the daemon ticks so often */
#define PS_CORE_LATE_MS \
    2000 /* a longer gap between two events: the broker slept, and every deadline moves with it */

struct ps_event {
    enum ps_event_kind kind;
    uint32_t peer;     /* MESSAGE, BAD, GONE, FULL: which connection, 1..peers_max */
    uint32_t who;      /* MESSAGE: whose it is by proof, a number of the daemon's; 0: nobody in particular. A
                                 session goes on, and beats, only for who opened it. BANNED: of whom */
    uint64_t denied_n; /* TICK: messages that the door dropped so far, for FLEET */
    const struct ps_msg *msg; /* MESSAGE: decoded (or with lists of items) */
    struct ps_bytes record;   /* MESSAGE: the same encoded, to pass on and to keep */
    void *carry;              /* MESSAGE that carries: handle of its frame, given to pass; else NULL */
    size_t carry_bytes;       /* bytes in that frame */
};

/* What the core wants done. All of it is called from inside ps_core_step; nothing may call back into the core. What
 * is lent is lent for the call. */
struct ps_actions {
    void *ctx;
    /* Send msg to the peer, after all that was sent to it before. */
    void (*send)(void *ctx, uint32_t peer, const struct ps_msg *msg);
    /* Send a record as it came. carry, when not NULL, is the event's: its bytes may be moved out. */
    void (*pass)(void *ctx, uint32_t peer, struct ps_bytes record, void *carry);
    /* The peer has no session any more: forget it once what was sent to it is out. It may begin anew. */
    void (*drop)(void *ctx, uint32_t peer);
    /* Something happened that an operator may want to know. text is logfmt fields, already quoted. */
    void (*log)(void *ctx, enum ps_log_level level, const char *event, const char *text);
};

struct ps_core;

void ps_core_options_init(struct ps_core_options *ret_self);
/* actions is copied. 0; PS_ERR_INVALID for options out of range; PS_ERR_NOMEM. */
int ps_core_new(struct ps_core **ret_self, const struct ps_core_options *options,
                const struct ps_actions *actions, uint64_t now_ms);
void ps_core_free(struct ps_core **self_p);

/* Does what event asks at now_ms (monotonic, never less than before).
 * 0, or PS_ERR_NOMEM: then this core is no good any more. Free it and begin with a new boot id: masters and workers
 * bring back all that counts. */
int ps_core_step(struct ps_core *self, uint64_t now_ms, const struct ps_event *event);

/* True when the peer's connection belongs to a session: only others may be forgotten for their silence. */
bool ps_core_is_bound(const struct ps_core *self, uint32_t peer);

/* Numbers for tests, logs and statistics. */
struct ps_core_counts {
    uint32_t jobs, queued, leased, pending; /* now; pending: reported or decided, not committed */
    uint32_t samples, sessions, workers, strays, leases;
    uint32_t owners, fetches, engines;
    uint32_t grant;                      /* result credit */
    uint32_t flight_bytes;               /* pieces of samples asked for and not yet passed on */
    uint64_t inline_bytes, result_bytes; /* kept now */
    uint64_t committed, lost, late, buried, unavailable, expired, cancelled, requeued,
        copied;                                             /* since the start */
    uint64_t refused_beats, refused_epochs, dropped_chunks; /* since the start */
    size_t memory_bytes;                                    /* pools and blocks */
};
void ps_core_counts(const struct ps_core *self, struct ps_core_counts *ret_counts);

/* Walks everything and compares: for tests and fuzzers, O(all). NULL, or a sentence on what does not hold. */
const char *ps_core_check(const struct ps_core *self);

#endif
