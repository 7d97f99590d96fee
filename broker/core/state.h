/* broker/core/state.h: the core's insides, all nouns together. For broker/core/ alone. */
#ifndef PS_BROKER_CORE_STATE_H
#define PS_BROKER_CORE_STATE_H

#include "base/err.h"
#include "base/mem.h"
#include "broker/core/block.h"
#include "broker/core/core.h"
#include "broker/core/engine.h"
#include "broker/core/fleet.h"
#include "broker/core/index.h"
#include "broker/core/job.h"
#include "broker/core/keep.h"
#include "broker/core/lease.h"
#include "broker/core/licence.h"
#include "broker/core/life.h"
#include "broker/core/names.h"
#include "broker/core/pool.h"
#include "broker/core/queue.h"
#include "broker/core/sample.h"
#include "broker/core/schedule.h"
#include "broker/core/session.h"
#include "broker/core/straggler.h"
#include "broker/core/stray.h"
#include "broker/core/transfer.h"
#include "proto/codec.h"

/* What is known of a connection. */
struct ps_connection {
    uint32_t session;    /* 0: none */
    uint32_t who;        /* of its last message */
    uint64_t refused_ms; /* when it was last told to say HELLO; such a word is not repeated within a second */
};

struct ps_core {
    struct ps_core_options options; /* limits is NULL here: they are in the engines */
    struct ps_actions actions;
    bool failed; /* memory ran out in the middle: useless from now on */

    /* Core time stands still while the broker sleeps (stopped, or the machine suspended): so every deadline moves with
     * it. */
    uint64_t now_ms;   /* core time of this event */
    uint64_t last_ms;  /* the caller's time of the last event */
    uint64_t slept_ms; /* caller's time less core time */
    uint64_t start_ms; /* core time of birth */

    struct ps_connection *connections; /* owned; by peer number */

    struct ps_pool samples, jobs, leases, owners, flows, slots, sessions, strays, fetches;
    struct ps_index sample_by_sha, job_by_id, owner_by_id, flow_by_key, stray_by_job;
    struct ps_blocks inlines, results; /* two budgets */

    uint32_t idle_first, idle_last, idle_n; /* samples without jobs, oldest first */
    struct ps_names types;                  /* MIME types */

    struct ps_names engine_names;
    struct ps_engine engines[PS_ENGINES_MAX + 1]; /* by number in engine_names */
    struct ps_engine_set active;                  /* see engine.h */

    struct ps_heap due;                     /* leases by deadline */
    uint32_t pending_first, pending_last;   /* leases that wait for the master */
    uint64_t seq;                           /* last lease's counter */
    uint32_t queued_n, leased_n, pending_n; /* jobs by state */
    uint64_t band_spent[PS_BANDS_N];        /* virtual time of the owner served last: where new ones begin */

    uint32_t session_first; /* all sessions */
    uint32_t workers_n, masters_n;
    uint64_t session_serial; /* counter in session ids */
    uint32_t refs_first;     /* sessions that have names to be sent */
    bool bounce;             /* some session is to be sent away */

    bool licences;                  /* some engine has a limit */
    uint32_t master;                /* the session that leads; 0: none */
    uint64_t epoch;                 /* the highest that was named */
    uint64_t master_since_ms;       /* when it began to lead */
    uint32_t grant;                 /* result credit */
    uint32_t flight_bytes;          /* pieces asked of the master and not passed on; see transfer.h */
    uint32_t want_first, want_last; /* sessions that may ask for one */

    uint32_t stray_first, stray_last; /* oldest first */
    uint64_t strays_ms;               /* when they were last looked through */
    uint64_t stragglers_ms;           /* when they are looked for next */
    uint32_t unsettled;               /* engine to begin with in the next ps_engines_settle */
    bool settle;                      /* jobs were queued that no worker can do: don't wait for the tick */
    struct ps_fleet fleet;
    struct ps_part_lease scratch[PS_ENGINES_MAX]; /* a JOB in the making */

    uint64_t committed_n, lost_n, late_n, buried_n, unavailable_n, expired_n, cancelled_n, requeued_n,
        copied_n;
    uint64_t refused_beats_n, refused_epochs_n, dropped_chunks_n;
    uint64_t denied_n; /* by the door, as it said last */
};

/* Memory ran out where nothing can be refused any more. */
void ps_core_fail(struct ps_core *core);
/* Sends to a session, when it has a connection. */
void ps_core_send(struct ps_core *core, uint32_t session, const struct ps_msg *msg);
void ps_core_pass(struct ps_core *core, uint32_t session, struct ps_bytes record, void *carry);
/* Logs. Peer text goes through PS_LOGQ. */
void ps_core_log(struct ps_core *core, enum ps_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Now, in units of 64 ms. */
static inline uint32_t ps_core_units(const struct ps_core *core)
{
    return (uint32_t)(core->now_ms >> PS_TICK_SHIFT);
}

/* Jobs that take up result credit. */
static inline uint32_t ps_core_outstanding(const struct ps_core *core)
{
    return core->leased_n + core->pending_n;
}

/* Says again to the master that leads all that it may not have heard. */
void ps_master_resend(struct ps_core *core);
/* What masters and workers say; in from_master.c and from_worker.c. */
void ps_from_master(struct ps_core *core, uint32_t session, const struct ps_event *event);
void ps_from_worker(struct ps_core *core, uint32_t session, const struct ps_event *event);
void ps_submit(struct ps_core *core, uint32_t session, const struct ps_msg_SUBMIT *msg); /* in submit.c */
/* A heartbeat, from whatever connection. */
void ps_from_beat(struct ps_core *core, const struct ps_event *event);

#endif
