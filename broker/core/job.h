/* broker/core/job.h: jobs: one sample x one engine, from SUBMIT to COMMITTED.
 *
 * Invariant: a job is in the index once, in its sample's list once, and, by its state, in exactly one more place:
 * queued: in the queue; leased: its lease is in a session's list; reported or decided: its lease is in the pending
 * list. Counters per state (core, engine, sample) are changed by ps_job_state alone. */
#ifndef PS_BROKER_CORE_JOB_H
#define PS_BROKER_CORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

struct ps_core;

enum ps_job_state {
    PS_JOB_QUEUED,   /* waits for a worker */
    PS_JOB_LEASED,   /* in a worker's hands */
    PS_JOB_REPORTED, /* its result is with the master; the lease's clock stands */
    PS_JOB_DECIDED,  /* the broker's own word is with the master */
    PS_JOB_STATES_N
};

/* A sample that kills its worker faster than a heartbeat comes is never named running: so the tenth worker that dies
 * with a job counts against it all the same. */
#define PS_FREED_MAX 10

#define PS_RUN_SHIFT  3 /* run times are kept in units of 8 ms */
#define PS_TICK_SHIFT 6 /* deadlines and waiting times are kept in units of 64 ms, in 32 bits: eight years */

/* With half the alignment, which a million waiting jobs would pay for. */
typedef uint64_t ps_job_id __attribute__((aligned(4)));

/* 52 bytes: a million of them wait in memory. */
struct ps_job {
    ps_job_id id;          /* the master's number, unique for ever */
    uint32_t chain;        /* next in the index */
    uint32_t sample;       /* what to scan */
    uint32_t sibling_prev; /* others of that sample, in order of arrival; the first one's is the last */
    uint32_t sibling_next; /* 0: it is the last */
    uint32_t prev, next;   /* queued: neighbours in a slot or among the suspects */
    uint32_t place;        /* queued: slot, 0 among the suspects; else: lease */
    uint32_t since;        /* when it was queued first, units of 64 ms of core time */
    uint32_t run : 22;     /* run time asked for, units of 8 ms, rounded up; 0: the engine's own */
    uint32_t band : 2;     /* enum ps_band */
    uint32_t state : 3;    /* enum ps_job_state */
    uint32_t freed : 4;    /* leases since the last loss whose worker died before a heartbeat named them */
    uint16_t owner;        /* whose: place in the owners' pool */
    uint16_t time_s;       /* the scan's time, rounded up; 0: no limit. Its end from since on orders a band */
    uint16_t ran;          /* units of 64 ms that lost leases ran: the scan's time, used up */
    uint8_t engine;        /* place in the engines' table */
    uint8_t lost;          /* leases lost so far */
};

struct ps_job *ps_job_at(const struct ps_core *core, uint32_t job);
/* 0 when the core does not know it. */
uint32_t ps_job_find(const struct ps_core *core, uint64_t id);
/* Moves the counters from the state it had to the one given. */
void ps_job_state(struct ps_core *core, struct ps_job *job, enum ps_job_state state);
/* The run time that was asked for; 0: none. */
uint32_t ps_job_asked_ms(const struct ps_job *job);
/* When its scan's time would be over if it had run from the beginning: units of 64 ms of core time. */
uint32_t ps_job_deadline(const struct ps_job *job);
/* What is left of its scan's time: the deadline less what lost leases ran, 0 when it is used up. Waiting does not count,
 * and a scan without a deadline has UINT32_MAX. */
uint32_t ps_job_left_ms(const struct ps_job *job);
/* How long it may run at that worker now: what was asked for, else the engine's own word, else ours; and not beyond its
 * scan's time. */
uint32_t ps_job_run_ms(const struct ps_core *core, const struct ps_job *job, uint32_t session);
/* Takes the job out of the index and its sample, uncounts it and forgets it. It must be in no queue and have no lease. */
void ps_job_drop(struct ps_core *core, uint32_t job);
/* Enters a job whose fields but links are set into the index, its sample's list and the counters, as queued but not
 * yet in the queue. 0 or PS_ERR_NOMEM (then it is given back). */
int ps_job_enter(struct ps_core *core, uint32_t job);

#endif
