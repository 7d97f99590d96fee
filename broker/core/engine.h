/* broker/core/engine.h: engines by name: who offers them, what waits for them, how many may run.
 *
 * An engine exists while a job or an offer names it; the table holds PS_ENGINES_MAX, and one that nobody needs makes
 * room for a new one. 'Active' is an engine with jobs that wait, a worker with credit and room under its limit: only
 * those does the scheduler look at.
 *
 * Invariant: workers_n counts the offers without a problem; absent_ms is meaningful while it is 0. */
#ifndef PS_BROKER_CORE_ENGINE_H
#define PS_BROKER_CORE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/outcome.h"
#include "proto/limits.h"

struct ps_core;
struct ps_offer;

#define PS_ENGINE_USUAL_N 32 /* run times that make the usual one */
#define PS_TIERS_N        4  /* how busy a worker with credit is: see ps_session_refresh */
#define PS_ENGINE_SETS    ((PS_ENGINES_MAX + 64) / 64) /* words of a set of engines */

struct ps_engine_set {
    uint64_t bits[PS_ENGINE_SETS];
};

static inline void ps_engine_set_put(struct ps_engine_set *set, uint16_t engine, bool in)
{
    uint64_t bit = (uint64_t)1 << (engine & 63);

    set->bits[engine >> 6] = in ? set->bits[engine >> 6] | bit : set->bits[engine >> 6] & ~bit;
}

static inline bool ps_engine_set_has(const struct ps_engine_set *set, uint16_t engine)
{
    return set->bits[engine >> 6] >> (engine & 63) & 1;
}

/* How many are in both. */
static inline unsigned ps_engine_set_common(const struct ps_engine_set *a, const struct ps_engine_set *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PS_ENGINE_SETS; i++)
        n += (unsigned)__builtin_popcountll(a->bits[i] & b->bits[i]);
    return n;
}

struct ps_engine {
    char name[PS_NAME_MAX + 1];         /* NUL-terminated; may hold no NUL inside: the codec refuses them */
    bool known;                         /* this place of the table is in use */
    uint32_t offers_n;                  /* offers, also with a problem */
    uint32_t workers_n;                 /* offers without a problem */
    struct ps_offer *ready[PS_TIERS_N]; /* offers of workers with credit, least busy tier first (utlist DL) */
    struct ps_heap bands[PS_BANDS_N];   /* flows */
    uint32_t suspects, suspects_last;   /* jobs that lost leases */
    uint32_t picks_n;      /* samples taken from its queue: every PS_AGING_SHARE-th is for aged ones */
    uint32_t limit_n;      /* leases at most in the fleet; 0: no limit. The smaller of these two: */
    uint32_t limit_conf_n; /* by configuration; and what offers say of their licences */
    uint32_t ghosts_n;     /* leases that were taken from workers who may not know: see licence.h */
    uint64_t ghosts_ms;    /* until then, core time */
    uint64_t absent_ms;    /* since when nobody offers it, core time */
    uint32_t queued_n, leased_n, pending_n; /* jobs by state */
    uint64_t done_n, lost_n;                /* since the broker started */
    uint32_t usual_ms, ran_n; /* moving average of run times, and of how many (the last few weigh most) */
};

struct ps_engine *ps_engine_at(struct ps_core *core, uint16_t engine);
/* Finds or makes it. 0 when the table is full of engines in use; numbers begin with 1. */
uint16_t ps_engine_get(struct ps_core *core, struct ps_bytes name);
/* 0 when there is none of that name. */
uint16_t ps_engine_find(struct ps_core *core, struct ps_bytes name);
/* Some job that waits for it; 0: none does. */
uint32_t ps_engine_queued(const struct ps_core *core, uint16_t engine);
/* Looks again whether it is active. Call after every change of its queue, ready lists and leases. */
void ps_engine_refresh(struct ps_core *core, uint16_t engine);
/* An offer without a problem came or went. */
void ps_engine_offered(struct ps_core *core, uint16_t engine, bool more);
/* A result of it came that took run_us: its usual time moves. */
void ps_engine_ran(struct ps_core *core, uint16_t engine, uint64_t run_us);
/* True when it has had no worker for longer than the grace. */
bool ps_engine_absent(struct ps_core *core, uint16_t engine);
/* Decides what waits for engines that are absent, as far as the result credit allows. */
void ps_engines_settle(struct ps_core *core);

#endif
