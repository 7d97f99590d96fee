/* broker/core/queue.h: jobs that wait: per engine and band, fair between owners, earliest deadline first for each.
 *
 *   engine, band --> flows (one per owner, heap by that owner's virtual time)
 *                      flow --> slots (by deadline) --> jobs (first come, first served)
 *
 * An owner's virtual time in a band grows with every lease it gets there, whatever the engine: who has had least
 * comes first. Deadlines are rounded down to slots of 64 ms, coarser the further away they are (at most 1/128 of the
 * time left), so that putting a job in costs the same with ten jobs as with a million. Suspects wait apart and come
 * first: their lease is to run alone.
 *
 * Invariant: a queued job is in one slot of the flow (its engine, band, owner), or in its engine's list of suspects;
 * a flow exists only with jobs in it and is then in its band's heap; an owner exists only while it has jobs. */
#ifndef PS_BROKER_CORE_QUEUE_H
#define PS_BROKER_CORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/outcome.h"

struct ps_core;

#define PS_SLOT_FINENESS 128 /* a slot is no wider than 1/128 of the time to its deadline */
#define PS_AGING_SHARE   8   /* one pick in so many goes to a lower band whose turn waited too long */

/* Someone's share. */
struct ps_owner {
    uint64_t id;                /* the master's number; key of the index */
    uint64_t spent[PS_BANDS_N]; /* virtual time per band, in leases */
    uint32_t chain;             /* next in the index */
    uint32_t jobs_n;            /* jobs that belong to it, in any state */
    uint32_t flows[PS_BANDS_N]; /* first of its flows in that band */
};

/* What an owner wants of an engine in a band. */
struct ps_flow {
    struct ps_heap_node node; /* by the owner's virtual time */
    uint64_t key;             /* owner, engine, band: key of the index */
    uint32_t chain;           /* next in the index */
    uint32_t owner;
    uint32_t prev, next;  /* flows of the same owner and band */
    uint32_t first, last; /* slots, earliest deadline first */
    uint16_t engine;
    uint8_t band;
};

/* Jobs of a flow that are due at about the same time. */
struct ps_slot {
    uint32_t deadline; /* units of 64 ms, rounded down */
    uint32_t flow;
    uint32_t prev, next;  /* in the flow */
    uint32_t first, last; /* jobs */
};

/* What an engine would do next, and how it compares with other engines'. */
struct ps_pick {
    uint32_t job;   /* 0: nothing */
    uint32_t rank;  /* smaller first: the band, or 0 for a lower band that has its turn */
    uint64_t spent; /* the owner's virtual time */
    uint32_t deadline;
};

struct ps_owner *ps_owner_at(const struct ps_core *core, uint32_t owner);
/* Finds or makes it; 0 at the limit or without memory. */
uint32_t ps_owner_get(struct ps_core *core, uint64_t id);
void ps_owner_join(struct ps_core *core, uint32_t owner);    /* a job more */
void ps_owner_leave(struct ps_core *core, uint32_t owner);   /* a job less; the last one ends it */
void ps_owner_release(struct ps_core *core, uint32_t owner); /* ends it when it has no jobs */

/* Puts a queued job in its place: among the suspects when it lost leases. 0 or PS_ERR_NOMEM. */
int ps_queue_put(struct ps_core *core, uint32_t job);
void ps_queue_remove(struct ps_core *core, uint32_t job);
/* What engine has to offer now. */
struct ps_pick ps_queue_peek(const struct ps_core *core, uint16_t engine);
/* Books a lease of an owner in a band. Call once for what goes out together. */
void ps_queue_charge(struct ps_core *core, uint32_t owner, uint8_t band, uint32_t leases_n);
/* Age in ms of the oldest job at the front of the engine's flows; 0 without jobs. */
uint64_t ps_queue_oldest_ms(const struct ps_core *core, uint16_t engine);

#endif
