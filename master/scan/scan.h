/* master/scan/scan.h: everything between a committed submission and its verdict, as one thing to start and
 * stop.
 *
 * Threads: link (a socket to a broker) and feed (pieces of samples for its workers), one of each for every broker,
 * drive (unfinished jobs to the brokers), collect (results to the database, verdicts, events), leader (which master does it). Each of
 * the last three has a PostgreSQL connection of its own. While the database or the broker is away they wait
 * and resume by themselves. */
#ifndef PS_MASTER_SCAN_SCAN_H
#define PS_MASTER_SCAN_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/outcome.h"
#include "proto/peer/where.h"

struct ps_events;
struct ps_fleet;
struct ps_ingest;
struct ps_orders;
struct ps_store;

#define PS_SCAN_GRANT_N    4096 /* results on their way from leases to rows */
#define PS_SCAN_BACKFILL_S 50   /* back-filled scans a second */

struct ps_scan_settings {
    const char *conninfo;       /* libpq connection string; copied */
    const char *const *brokers; /* their endpoints, 1 to PS_BROKERS_MAX (post.h), each once; copied */
    size_t brokers_n;
    const struct ps_peer_where *where; /* how they are spoken to: keys are copied, the context is lent */
    struct ps_store *store;            /* the sample store, lent: only read from here */
    const char *name;                  /* host and pid: epoch holder and peer name; copied */
    bool standby;                /* for the log only: a standby and a master that finds another do the same */
    uint64_t stale_ms;           /* leader.h; 0 for its default */
    uint32_t grant;              /* results that may be under way; 0: PS_SCAN_GRANT_N */
    uint32_t window[PS_BANDS_N]; /* jobs in the broker's hands, per band; 0: drive.h's default */
    uint32_t backfill_per_s;     /* 0: PS_SCAN_BACKFILL_S */
    uint32_t longest_run_ms;     /* of any engine, with several brokers; 0: brokers.h's default */
};

/* What the threads did since the start, for /status and /metrics. Plain values, approximate among each other.
 */
struct ps_scan_stats {
    uint64_t epoch;      /* 0: does not lead */
    bool database_ok;    /* the collecting connection works */
    bool broker_ok;      /* a session is open */
    uint64_t submitted;  /* jobs sent to the broker, repeats included */
    uint64_t in_hand;    /* jobs in the broker's hands */
    uint64_t waiting;    /* results that wait for their transaction */
    uint64_t results;    /* results made final */
    uint64_t repeated;   /* results that came late or twice, dropped */
    uint64_t verdicts;   /* scans finished */
    uint64_t batches;    /* transactions of collect */
    uint64_t lost;       /* leases lost */
    uint64_t backfilled; /* scans made by backfill */
    uint64_t chunks;     /* pieces of samples sent */
};

struct ps_scan;

/* Makes everything, starts nothing: events and fleet are there from now on. */
int ps_scan_new(struct ps_scan **ret_self, const struct ps_scan_settings *settings, struct ps_error *reterr);
/* Starts the threads. The database need not be there yet. */
int ps_scan_start(struct ps_scan *self, struct ps_error *reterr);
/* Stops the threads and waits for them: what is collected is committed, what is not stays with the broker. */
void ps_scan_stop(struct ps_scan *self);
/* Stops first. Subscribers must be gone. */
void ps_scan_free(struct ps_scan **self_p);

/* Where back-fill is asked for, and who is told of every change of the epoch (ps_ingest_set_epoch). Lent;
 * call it before start. NULL: no back-fill. The order of a master's life: ps_scan_new, ps_ingest_start (its
 * news go to ps_scan_nudge), ps_scan_use_ingest, ps_scan_start ... ps_scan_stop, ps_ingest_stop,
 * ps_scan_free. */
void ps_scan_use_ingest(struct ps_scan *self, struct ps_ingest *ingest);

/* Ingest has committed scans of these bands (a bit each): drive looks at once. Any thread, cheap, never
 * waits. Without it they are found by the next sweep (within a second). */
void ps_scan_nudge(struct ps_scan *self, uint32_t bands);

struct ps_events *ps_scan_events(struct ps_scan *self); /* lent */
struct ps_fleet *ps_scan_fleet(struct ps_scan *self);   /* lent */
struct ps_orders *ps_scan_orders(struct ps_scan *self); /* lent */
/* The application_name of these threads' connections: one for each life of a master. Ingest takes the same, so that a
 * successor ends all that may write. Lent. */
const char *ps_scan_app(const struct ps_scan *self);
/* The database refused this epoch to someone: the leader looks at once. Any thread, never waits. */
void ps_scan_suspect(struct ps_scan *self, uint64_t epoch);
/* The epoch in which this master leads, 0 when it does not. Any thread. */
uint64_t ps_scan_epoch(const struct ps_scan *self);
bool ps_scan_leads(const struct ps_scan *self);
void ps_scan_stats(struct ps_scan *self, struct ps_scan_stats *ret_stats);

#endif
