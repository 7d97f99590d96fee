/* broker/core/stray.h: what workers have in their hands of jobs that the core can't place: leases and results of an
 * earlier boot whose job no master has submitted again yet, and second results of one job.
 *
 * A stray result goes to the master like any other; a stray lease waits until the job is submitted, and is adopted
 * then. Leases are remembered for PS_STRAY_MS while a master is there, results of workers until the master's word.
 *
 * Invariant: at most strays_max; names (job, boot, seq) are there once. */
#ifndef PS_BROKER_CORE_STRAY_H
#define PS_BROKER_CORE_STRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct ps_core;

#define PS_STRAY_MS 60000

struct ps_stray {
    uint64_t job; /* key of the index */
    uint64_t boot, seq;
    uint64_t since_ms; /* core time */
    uint32_t kept;     /* block with a result's record; 0: none, or a lease */
    uint32_t kept_bytes;
    uint32_t chain;      /* next in the index */
    uint32_t session;    /* who has it; 0: nobody any more */
    uint32_t prev, next; /* oldest first */
    bool result;         /* a result, else a lease */
    bool running;        /* lease: an engine had the sample by READY's word */
};

struct ps_stray *ps_stray_at(const struct ps_core *core, uint32_t stray);
/* The one of that name, 0 when there is none. */
uint32_t ps_stray_find(const struct ps_core *core, uint64_t job, uint64_t boot, uint64_t seq);
/* Remembers one (or finds it: then it is renewed). record is kept for a result when not empty and within the budget.
 * Returns its number; 0 at the limit or without memory. */
uint32_t ps_stray_add(struct ps_core *core, const struct ps_stray *like, struct ps_bytes record);
void ps_stray_drop(struct ps_core *core, uint32_t stray);
/* The job is settled (or dropped): tells every worker that has something of it. */
void ps_strays_settle(struct ps_core *core, uint64_t job);
/* A new job: adopts what is there of it. */
void ps_strays_adopt(struct ps_core *core, uint32_t job);
/* A session ends: its leases are forgotten, its results stay as long as there is a copy. */
void ps_strays_leave(struct ps_core *core, uint32_t session);
/* Passes every kept result to the master that has just come. */
void ps_strays_resend(struct ps_core *core);
void ps_strays_tick(struct ps_core *core);

#endif
