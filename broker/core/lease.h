/* broker/core/lease.h: leases: a job in a worker's hands, its deadline, and later its result on the way to the master.
 *
 * Every lease in a worker's hands has a deadline in the heap, looked at when it comes to the top. One that runs is
 * due when its run time and a margin have passed since a heartbeat first named it. One that waits at the worker is due
 * when that worker makes no progress (ps_session_stall_ms), at the latest at hard_ms. So a heartbeat of a thousand
 * leases moves nothing in the heap, and a worker whose session hangs while its heart beats loses them all the same.
 *
 * A straggler's job has two, each the other's twin: the first result is the job's, and the other is told to stop.
 *
 * Invariant: a lease is in one session's list and in the heap while its job is LEASED, and in the pending list and
 * not in the heap while it is REPORTED or DECIDED. */
#ifndef PS_BROKER_CORE_LEASE_H
#define PS_BROKER_CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "broker/core/life.h"
#include "proto/messages.h"

struct ps_core;
struct ps_job;

#define PS_LEASE_MARGIN_MS 10000              /* beyond the run time: hand-over, kill, the way back */
#define PS_LEASE_RATE      (1024 * 1024)      /* bytes a second at which a sample is sure to arrive */
#define PS_LEASE_MAX_MS    (6 * 3600 * 1000u) /* no lease is longer, whatever is asked for */

struct ps_lease {
    struct ps_heap_node due; /* deadline, ms of core time */
    uint64_t boot, seq;      /* the name that the worker knows it by */
    uint64_t
        hard_ms; /* core time when it ends, run or not: all ahead of it at the worker took its full time */
    uint32_t
        kept; /* block with the record of the result, or the text of the decision; 0 when there was no room */
    uint32_t kept_bytes;
    uint32_t job;
    uint32_t session;    /* who has it; 0: nobody any more (reported), or nobody ever (decided) */
    uint32_t twin;       /* the job's other lease; 0: none */
    uint32_t prev, next; /* in the session's or the pending list */
    uint32_t beat;       /* number of the last heartbeat that named it running; 0: none */
    uint32_t allow_ms;   /* from start to due */
    uint32_t outcome;    /* decided: enum ps_outcome */
    bool alone;          /* a suspect: runs while nothing else does */
    bool kept_by_worker; /* reported: no copy here, the worker has the only one */
    bool told;           /* reported: the master that leads has heard it */
    bool listed;         /* named by the READY that is being read */
};

struct ps_lease *ps_lease_at(const struct ps_core *core, uint32_t lease);
/* A leased job's lease of that name at that session: its first or its second; 0 when it has none such. */
uint32_t ps_lease_of(const struct ps_core *core, const struct ps_job *job, uint32_t session, uint64_t boot,
                     uint64_t seq);
struct ps_part_lease_ref ps_lease_ref(const struct ps_core *core, uint32_t lease);
/* It ended at its worker without a result (event FREE or LOSE): its twin goes on alone, or the job's life does. */
void ps_lease_over(struct ps_core *core, uint32_t lease, enum ps_life_event event,
                   const struct ps_life *args);
/* Its twin, if it has one, is not wanted any more: that one's worker is told, and the job's place is this. */
void ps_lease_drop_twin(struct ps_core *core, uint32_t lease);
/* Makes a lease of a job for a session (boot, seq: as given), or, with session 0, the record of a decision. It is in no
 * list yet. 0 at the limit. */
uint32_t ps_lease_new(struct ps_core *core, uint32_t job, uint32_t session, uint64_t boot, uint64_t seq);
/* Starts its clock and hands it to the session; allow_ms: how long it may run, margin included; running: it does
 * already. 0 or PS_ERR_NOMEM. */
int ps_lease_start(struct ps_core *core, uint32_t lease, uint32_t allow_ms, bool running);
/* How long a job of that run time and size may take from its start. */
uint32_t ps_lease_allow_ms(uint32_t run_ms, uint64_t size);
/* Stops its clock and takes it out of the session's list. Does nothing when it has none. */
void ps_lease_stop(struct ps_core *core, uint32_t lease);
/* Into and out of the list of those that wait for the master. */
void ps_lease_pend(struct ps_core *core, uint32_t lease);
void ps_lease_unpend(struct ps_core *core, uint32_t lease);
/* Keeps a copy of bytes with it, if the budget allows. */
void ps_lease_keep(struct ps_core *core, struct ps_lease *lease, struct ps_bytes bytes);
/* What it keeps; good until the next call that keeps or drops something. */
struct ps_bytes ps_lease_kept(const struct ps_core *core, const struct ps_lease *lease);
/* Stops, and forgets. The job must have let go of it. */
void ps_lease_drop(struct ps_core *core, uint32_t lease);
/* True when the session's last heartbeat named it. */
bool ps_lease_running(const struct ps_core *core, const struct ps_lease *lease);
/* How long ago a heartbeat first named it; 0 when none did. */
uint64_t ps_lease_ran_ms(const struct ps_core *core, const struct ps_lease *lease);
/* A heartbeat names it: the first time, its run time begins. */
void ps_lease_beat(struct ps_core *core, struct ps_lease *lease, uint32_t beat);
/* Expires what is due now. */
void ps_leases_tick(struct ps_core *core);

#endif
