/* master/scan/drive_private.h: what the files drive*.c share. */
#ifndef PS_MASTER_SCAN_DRIVE_PRIVATE_H
#define PS_MASTER_SCAN_DRIVE_PRIVATE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/ingest/ingest.h"
#include "master/scan/brokers.h"
#include "master/scan/drive.h"
#include "master/scan/flights.h"

/* A priority band, as drive sees it. */
struct drive_band {
    uint32_t window;   /* jobs that may be in the broker's hands */
    uint64_t cursor;   /* every unfinished scan up to this id was seen */
    bool more;         /* there may be scans behind the cursor */
    uint64_t again_ms; /* the broker was busy: not before this */
};

struct ps_drive {
    struct ps_hub *hub; /* lent */
    struct ps_pg *pg;
    pthread_t thread;
    bool started;
    struct ps_flights *flights;
    struct drive_band bands[PS_BANDS_N];
    struct ps_brokers *brokers;
    uint64_t epoch;         /* in which the book was made */
    uint64_t sweep_ms;      /* next look behind a cursor */
    unsigned sweeps_n;      /* such looks so far: bands take turns */
    uint64_t look_ms;       /* next look without news */
    uint64_t idle_since_ms; /* the broker has no job but we think it has; 0: it has */
    bool failing;           /* the database failed: logged once */

    /* Orders that a link had no room for, oldest first: each scan of a pull may go to several brokers. */
    struct ps_order *unsent[PS_DRIVE_PULL_N * PS_BROKERS_MAX];
    size_t unsent_n;

    /* Engines. */
    uint64_t engines_ms;      /* next renewal of seen_at; 0: now */
    struct ps_ingest *ingest; /* lent; NULL: no back-fill */
    uint32_t backfill_per_s;
    uint64_t backfill_ms;           /* next look for engines with something to back-fill */
    unsigned backfills_n;           /* such looks that found something: engines take turns */
    struct ps_ingest_request asked; /* ingest's while asking */
    char asked_engine[PS_NAME_MAX + 1];
    atomic_bool asking; /* the request is in ingest's hands */
};

/* drive_feed.c: gives the broker what it has room for. True when there is more to do at once. A negative *ret_code is
 * the database's. */
bool drive_feed(struct ps_drive *self, uint64_t now_ms, int *ret_code, struct ps_error *reterr);
/* Forgets what is in the broker's hands: all of it is read and sent anew. */
void drive_forget(struct ps_drive *self);
/* Offers orders that link had no room for. True when none is left. */
bool drive_flush(struct ps_drive *self);

/* drive_engines.c: tells the table of brokers whose workers serve what. */
void drive_serve(struct ps_drive *self);
/* What is due about engines. 0 or the database's error. */
int drive_engines(struct ps_drive *self, uint64_t now_ms, struct ps_error *reterr);

#endif
