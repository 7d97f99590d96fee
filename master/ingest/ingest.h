/* master/ingest/ingest.h: how samples get in: hash, store, one transaction, acknowledge.
 *
 * Two threads. `ingest` gathers the requests that wait into a group, hashes, asks which samples are known,
 * writes the others to the store, makes them durable (db/store/store.h), writes all rows in one transaction
 * and only then calls the completions. `upload` appends chunks and hashes long uploads, and hands a complete
 * one to `ingest`. Everything that makes a scan goes through the one thread `ingest`, so that scan ids commit
 * in their order.
 *
 * A request is sent by any thread. Its completion is called exactly once, on one of the two threads: it must
 * not block (web posts it to its loop). The caller keeps the request, and all that it lends, alive and
 * untouched until then; from then on it is the caller's again, and ps_ingest_request_fini releases what
 * ingest put into it.
 *
 * Overload is refused at the door: ps_ingest_send gives PS_ERR_BUSY over queue_n requests or queue_bytes of
 * bodies. While the database is away requests fail with PS_ERR_UNAVAILABLE, on a full disk with
 * PS_ERR_NOSPACE; neither needs a restart. A master without an epoch (standby) answers PS_ERR_UNAVAILABLE. */
#ifndef PS_MASTER_INGEST_INGEST_H
#define PS_MASTER_INGEST_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "db/store/store.h"
#include "master/ingest/batchbody.h"

#define PS_IDEMPOTENCY_KEY_BYTES 128
#define PS_UPLOAD_CHUNK_BYTES    (16u << 20)

enum ps_ingest_kind {
    PS_INGEST_FILES,        /* files[], each with its bytes (or upload): samples, submissions, scans */
    PS_INGEST_BODY,         /* body is a whole POST /batch; ingest reads it and fills files */
    PS_INGEST_UPLOAD_NEW,   /* files[0] without bytes: checks it and makes the row of upload_id */
    PS_INGEST_UPLOAD_CHUNK, /* body at offset of upload_id; the last one ingests it: results[0] */
    PS_INGEST_UPLOAD_DROP,  /* gives upload_id up */
    PS_INGEST_RESCAN,   /* files[], each a known sample named by sha256: new scans, cause 2, no submission */
    PS_INGEST_BACKFILL, /* up to backfill_n scans that missed the engine backfill_engine: new scans, cause 3
                         */
};

/* What became of one file. */
struct ps_ingest_result {
    int code;   /* 0, or PS_ERR_INVALID (text says why), PS_ERR_LIMIT, PS_ERR_NOTFOUND, PS_ERR_CONFLICT */
    uint64_t n; /* the file's n */
    uint8_t sha256[32]; /* of the bytes that came */
    int64_t submission; /* its row; 0 for a rescan */
    int64_t scan;       /* its scan, new or joined */
    bool known;         /* the sample was there before */
    char *text;         /* owned; NULL when code is 0; one sentence */
};

struct ps_ingest_request {
    enum ps_ingest_kind kind;
    int64_t owner_id, team_id;    /* who asks: 1, 1 for the local user */
    struct ps_ingest_file *files; /* FILES, UPLOAD_NEW, RESCAN: the caller's array; BODY: made by ingest */
    size_t files_n;
    struct ps_bytes body;        /* BODY, UPLOAD_CHUNK: borrowed */
    const char *idempotency_key; /* FILES, BODY: NULL, or up to PS_IDEMPOTENCY_KEY_BYTES */
    uint8_t digest[32];          /* with a key and FILES: SHA-256 of what was asked; BODY: ingest hashes */
    const char *upload_id;       /* UPLOAD_*: chosen by the caller (random) */
    uint64_t offset;             /* UPLOAD_CHUNK: where body goes */
    const char *backfill_engine; /* BACKFILL */
    uint32_t backfill_n;         /* BACKFILL: at most so many scans (limit 1,000) */
    void (*done)(struct ps_ingest_request *self); /* the completion; never NULL */
    void *arg;                                    /* the caller's */

    /* Out, set before done. code is about the whole request: on failure there are no results and nothing was
     * stored (PS_ERR_CONFLICT: the idempotency key came with another body, or a chunk with a wrong offset).
     */
    int code;
    struct ps_error error;
    struct ps_ingest_result *results; /* owned; results_n of them, in the order of the files */
    size_t results_n;
    bool replayed;   /* the answer comes from the idempotency table */
    bool cut;        /* BODY: it turned bad at cut_at; the results before it stand */
    uint64_t cut_at; /* byte offset of the bad header */
    struct ps_error cut_error;
    uint64_t upload_offset; /* UPLOAD_CHUNK: the length now, also on PS_ERR_CONFLICT */
    uint64_t upload_size;   /* UPLOAD_CHUNK: the declared length */
    bool upload_complete;   /* UPLOAD_CHUNK: results[0] is set */
    uint32_t backfilled;    /* BACKFILL: scans made */

    /* Ingest's own. */
    bool own_files;       /* files was made by ingest */
    bool charged;         /* it counts in the queue */
    size_t charged_bytes; /* what it counts in the queue */
};

/* What a committed group brought: for those who go on from there. Called on the ingest thread; must not
 * block. */
struct ps_ingest_news {
    uint32_t bands; /* bit per band that got scans */
    size_t scans_n; /* new scans */
    size_t submissions_n;
    int64_t first_submission, last_submission; /* ids of the group, when submissions_n > 0 (gaps possible) */
};

struct ps_ingest_config {
    const char *conninfo; /* copied */
    const char *app;      /* application_name, the same as the master's scan threads have, so that a successor
                                  can end them all; copied; NULL: phagescan-master */
    struct ps_store *store;    /* borrowed; the two threads write to it */
    uint64_t max_sample_bytes; /* 0: 512 MiB */
    size_t queue_bytes;        /* 0: 256 MiB of bodies waiting or in work */
    size_t queue_n;            /* 0: 1,024 requests */
    size_t group_files;        /* 0: 4,096 files, and */
    size_t group_bytes;        /* 0: 32 MiB in one group (a single request may be larger) */
    void (*news)(void *arg, const struct ps_ingest_news *news); /* may be NULL */
    void (*stale)(void *arg,
                  uint64_t epoch); /* the database refused this epoch; may be NULL; must not block */
    void *arg;
};

struct ps_ingest;

/* Starts the threads. The database need not be there yet. */
int ps_ingest_start(struct ps_ingest **ret_self, const struct ps_ingest_config *config,
                    struct ps_error *reterr);
/* Answers what waits with PS_ERR_CANCELLED, finishes the group in work, stops the threads. */
void ps_ingest_stop(struct ps_ingest **self_p);

/* Hands a request over. 0: done will be called. PS_ERR_BUSY, PS_ERR_CLOSED, PS_ERR_INVALID, PS_ERR_LIMIT: it
 * will not. Any thread. */
int ps_ingest_send(struct ps_ingest *self, struct ps_ingest_request *request);
/* Releases results and what else ingest made. */
void ps_ingest_request_fini(struct ps_ingest_request *request);
void ps_ingest_results_free(struct ps_ingest_request *request); /* the results alone */

/* The epoch under which this master writes; 0: it does not (standby). Any thread. Takes effect with the next
 * group; a group whose epoch is no longer the database's fails with PS_ERR_UNAVAILABLE. */
void ps_ingest_set_epoch(struct ps_ingest *self, uint64_t epoch);
/* Profiles or engines changed: forget what is cached about them (else it is re-read every second). Any
 * thread. */
void ps_ingest_refresh(struct ps_ingest *self);

struct ps_ingest_stats {
    uint64_t groups, files, bytes, known, joined, scans, jobs; /* committed, since start */
    uint64_t replays, busy, failed;                            /* requests */
    uint64_t store_us, db_us, hash_us, read_us; /* where the time went: store, database, hashing, parsing */
    size_t waiting_n, waiting_bytes;            /* now */
};
struct ps_ingest_stats ps_ingest_stats(struct ps_ingest *self);

#endif
