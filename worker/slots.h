/* worker/slots.h: the leases of a worker from their arrival to their end, and the S places where they run.
 *
 * Pure: no I/O, no clock; what has to be done is asked of a table of functions, so that tests bring their own.
 * It belongs to the session's thread. Life of a job:
 *
 *     BYTES --(sample is here)--> TYPE --(type known, or not to be had)--> QUEUED --(slot free)--> RUNNING --> ended
 *                                                                            |  ^                    |
 *                                      (engine away, or busy) PARKED, HELD <-+  +----(once more)-----+
 *
 * Rules:
 *   - At most S jobs run at once, whatever their engines. They go in order of arrival, which is the broker's; but a job
 *     of a better band passes those of the next one that came up to PS_JOB_BAND_MS before it.
 *   - A lease marked alone runs while nothing else does: when it is the earliest, nothing else starts until it ended.
 *   - An engine with a filter waits for the sample's type when it is not known: from the lease of the type engine
 *     when there is one, else from a run of our own that nobody hears of. A type that does not match ends the job
 *     as type-unsupported. No type engine, or no answer from it: the engine runs.
 *   - An engine that may run N times at once here has no more: its further jobs are HELD, in their order, and those of
 *     other engines pass them.
 *   - A job whose engine is away is given back, so that another worker can have it; but one that was started already
 *     waits for the engine to come back: what kills its engine shall not go round the fleet.
 *   - A run that says nothing about the sample (its child had served others before it died, the whole engine went
 *     away) is repeated, up to PS_JOB_STARTS_MAX runs.
 *
 * Invariant: a job's sample is pinned as long as the job is here. A job is in the heap when QUEUED and in a slot when
 * RUNNING or DROPPED, and nowhere else. */
#ifndef PS_WORKER_SLOTS_H
#define PS_WORKER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/outcome.h"
#include "proto/limits.h"
#include "worker/cache.h"

#define PS_SLOTS_MAX      64    /* slots of a worker */
#define PS_JOB_STARTS_MAX 3     /* runs of a job, the first included */
#define PS_JOB_BAND_MS    10000 /* head start of a band before the next one */
#define PS_JOB_TYPING_MS  10000 /* run time of a typing run of our own */

struct ps_slots;
struct ps_task;

enum ps_job_state {
    PS_JOB_BYTES,   /* waits for its sample */
    PS_JOB_TYPE,    /* waits for its sample's type */
    PS_JOB_QUEUED,  /* waits for a slot */
    PS_JOB_PARKED,  /* its engine went away under it */
    PS_JOB_HELD,    /* its engine runs as often at once as it may */
    PS_JOB_RUNNING, /* an engine has it */
    PS_JOB_DROPPED, /* as RUNNING, but nobody wants its result */
};

/* A job, for reading. */
struct ps_job {
    uint64_t boot, seq, job; /* the lease; all 0 for a typing run of our own */
    unsigned engine;         /* by its number in the roster */
    uint32_t run_ms, band;   /* as leased */
    bool alone;              /* as leased */
    bool typing;             /* a run of our own, for the type: no result */
    enum ps_job_state state;
    unsigned slot;              /* where it runs */
    unsigned starts;            /* so far */
    uint64_t arrived_us;        /* monotonic */
    uint64_t started_us;        /* monotonic; of the last start */
    struct ps_sample *sample;   /* pinned by its task */
    struct ps_task *task;       /* all jobs on this sample */
    struct ps_heap_node node;   /* QUEUED: by arrival + its band's delay */
    struct ps_job *prev, *next; /* in the task */
    UT_hash_handle hh;          /* by job */
};

/* One lease as it came. */
struct ps_job_ask {
    uint64_t boot, seq, job;
    unsigned engine;
    uint32_t run_ms, band;
    bool alone;
};

/* How a run ended. */
struct ps_job_end {
    bool again;           /* it says nothing about the sample: run it once more */
    const char *type;     /* what the type engine found; NULL or "" for nothing */
    const void *finished; /* passed on to report */
};

/* What slots asks for. None may call back into slots. */
struct ps_slots_io {
    void *context;
    /* Gives job to its engine's child in slot. 0; PS_ERR_UNAVAILABLE: the engine is away, ps_slots_engine follows
     * when it is back; anything else ends the job as a failure. */
    int (*run)(void *context, const struct ps_job *job, unsigned slot);
    /* Stops the job in its slot; ps_slots_finish follows. */
    void (*kill)(void *context, const struct ps_job *job);
    /* The job ended and its lease wants this result. */
    void (*report)(void *context, const struct ps_job *job, const void *finished);
    /* The job ended without a run; CANCELLED gives the lease back to the broker. */
    void (*settle)(void *context, const struct ps_job *job, enum ps_outcome outcome, const char *reason);
    /* Drops a pin and nulls the pointer. */
    void (*unpin)(void *context, struct ps_sample **sample_p);
    /* True when a child of that engine idles in that slot. */
    bool (*warm)(void *context, unsigned engine, unsigned slot);
    /* The engine's globs of MIME types; "" for all. */
    const char *(*types)(void *context, unsigned engine);
    /* The type engine's number, or -1 when there is none that could run now. */
    int (*typer)(void *context);
    /* False: the engine may not run once more at this time. Asked again when one of its jobs ended, and after
     * ps_slots_engine. */
    bool (*has_room)(void *context, unsigned engine);
};

/* slots_n places, at most limit_n leases. io is copied. 0, PS_ERR_NOMEM or PS_ERR_INVALID. */
int ps_slots_new(struct ps_slots **ret_self, unsigned slots_n, size_t limit_n, const struct ps_slots_io *io);
/* Frees all; unpins, reports nothing. */
void ps_slots_free(struct ps_slots **self_p);

/* Takes n leases on a sample. Takes one pin on it, *sample_p is nulled. type is what the broker knows, or empty.
 * At the limit the rest is left out: the first *ret_taken were taken. 0 or PS_ERR_NOMEM (none taken). */
int ps_slots_add(struct ps_slots *self, struct ps_sample **sample_p, struct ps_bytes type,
                 const struct ps_job_ask *asks, size_t n, uint64_t now_us, size_t *ret_taken);
/* The job is here under an older lease: it answers this one from now on. False: it is not here. */
bool ps_slots_rebind(struct ps_slots *self, uint64_t job, uint64_t boot, uint64_t seq);
/* The sample became READY or FAILED: its jobs go on, or end as a failure with its reason. */
void ps_slots_sample(struct ps_slots *self, const struct ps_sample *sample);
/* An engine came back, or may have room again. */
void ps_slots_engine(struct ps_slots *self, unsigned engine);
/* Starts what can start. */
void ps_slots_step(struct ps_slots *self, uint64_t now_us);
/* The run in slot is over. */
void ps_slots_finish(struct ps_slots *self, unsigned slot, const struct ps_job_end *end);
/* The lease is not wanted any more: dropped, or killed when it runs. With boot 0 whatever its lease is. False:
 * not here. */
bool ps_slots_cancel(struct ps_slots *self, uint64_t boot, uint64_t seq, uint64_t job);
/* Gives back all that do not run; returns how many. */
size_t ps_slots_give_back(struct ps_slots *self, const char *reason);

/* The sample's type as far as it is known, by the broker or by us; "" when it is not. */
const char *ps_slots_type(const struct ps_job *job);
size_t ps_slots_held(const struct ps_slots *self);      /* leases here */
unsigned ps_slots_running(const struct ps_slots *self); /* busy slots */
/* The job in a slot; NULL when it is free. */
const struct ps_job *ps_slots_job(const struct ps_slots *self, unsigned slot);
/* Walks the leases here (no typing runs, none dropped): NULL first, then the last one got. Nothing may change
 * meanwhile. */
const struct ps_job *ps_slots_next(const struct ps_slots *self, const struct ps_job *last);

#endif
