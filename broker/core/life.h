/* broker/core/life.h: the life of a job, as a table of (state, event).
 *
 *            SUBMIT                 JOB to a worker             RESULT, to the master
 *   (none) ---------> QUEUED ----------------------> LEASED -------------------------> REPORTED
 *                      | ^  ^------------------------- | |                                 |
 *          buried or   | |     free: cancelled lease,  | | lost while running:             | COMMITTED
 *          unavailable | |     worker gone, restarted  | | blamed, runs alone next,        v
 *                      v |                             | | the third time: DECIDED       (none)
 *                   DECIDED <----------------------------+          ^
 *                      |                                            |
 *                      +--- COMMITTED ------------------------------+      CANCEL: from everywhere to (none) */
#ifndef PS_BROKER_CORE_LIFE_H
#define PS_BROKER_CORE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct ps_core;

enum ps_life_event {
    PS_LIFE_LEASE,  /* the scheduler, or a worker that came back, gives it to session as (boot, seq) */
    PS_LIFE_REPORT, /* a worker brought its result */
    PS_LIFE_COMMIT, /* the master has it in the database */
    PS_LIFE_CANCEL, /* the master does not want it any more */
    PS_LIFE_FREE,   /* its lease ended and is not to blame */
    PS_LIFE_LOSE,   /* its lease ended while it ran */
    PS_LIFE_DECIDE, /* the broker ends it with outcome and reason */
    PS_LIFE_EVENTS_N
};

struct ps_life {
    uint32_t session;       /* LEASE, REPORT: the worker */
    uint64_t boot, seq;     /* LEASE, REPORT: the lease's name */
    uint32_t allow_ms;      /* LEASE: from its start to its end */
    bool alone;             /* LEASE: nothing else runs with it */
    bool running;           /* LEASE: it runs already */
    struct ps_bytes record; /* REPORT: what to pass on and keep */
    bool passed;            /* REPORT: the master has it already */
    bool dead;              /* FREE: its worker died */
    bool ended;             /* FREE: its worker says so itself: it runs nowhere */
    bool tell;              /* FREE, LOSE: the worker may still have it and must drop it */
    uint32_t outcome;       /* DECIDE */
    const char *reason;     /* LOSE, DECIDE: a sentence */
};

/* What the table says for the job's state. A pair without a row does nothing. */
void ps_life(struct ps_core *core, uint32_t job, enum ps_life_event event, const struct ps_life *args);
/* Decides a queued job that lost too many leases, or its scan's time with them; false when it may go on. last: where
 * and why it was lost last, NULL when that is not known any more. */
bool ps_life_is_over(struct ps_core *core, uint32_t job, const char *last);
/* Passes all that waits for a commit to the master that has just come. */
void ps_life_resend(struct ps_core *core);

#endif
