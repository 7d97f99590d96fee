/* master/ingest/group.h: what ingest takes in at once: some requests, the files in them, the different samples and
 * scans among those, and what it took to make them durable. For the files of master/ingest/ only; one thread.
 *
 * Life of a group: init; add each request (group_read.c: parse, hash, resolve); commit (group.c: ask the database what
 * is known, store; group_rows.c: write the rows); clear. A group that failed may be committed again. */
#ifndef PS_MASTER_INGEST_GROUP_H
#define PS_MASTER_INGEST_GROUP_H

#include <uthash.h>

#include "db/params.h"
#include "master/ingest/ingest.h"
#include "master/ingest/resolve.h"

#define PS_GROUP_REQUESTS_N 256

struct ps_pg;

/* A sample that the group names, once. */
struct ps_group_sample {
    UT_hash_handle hh;
    uint8_t sha256[32];
    int64_t id;                         /* its row: there already (known) or new */
    const struct ps_ingest_file *bytes; /* a file that brings them; NULL in rescans */
    bool known;                         /* has a committed row */
    bool submitted;                     /* some file of it is a submission, which may join a scan */
};

/* What makes two wishes for a scan the same. Compared as bytes: no padding. */
struct ps_group_scan_key {
    int64_t sample; /* index into samples */
    int32_t set_id;
    int32_t band;
};

/* A scan that the group makes or joins. */
struct ps_group_scan {
    UT_hash_handle hh;
    struct ps_group_scan_key key;
    int64_t id;
    int64_t owner_id;
    const struct ps_plan *plan; /* NULL for one that was found in the database and nobody wants */
    int16_t cause;
    bool joined; /* it was there */
};

/* A file that is to be taken in, unless its result says that it was refused. */
struct ps_group_item {
    struct ps_ingest_request *request;
    const struct ps_ingest_file *file;
    struct ps_ingest_result *result;
    const struct ps_plan *plan;
    size_t sample; /* index into samples */
    size_t scan;   /* index into scans */
};

struct ps_group {
    struct ps_ingest_request *requests[PS_GROUP_REQUESTS_N];
    size_t requests_n;
    struct ps_group_item *items;
    size_t items_n, items_cap;
    struct ps_group_sample *samples; /* array, made anew by each commit */
    size_t samples_n;
    struct ps_group_sample *samples_by_hash; /* uthash over samples */
    struct ps_group_scan *scans;             /* array, made anew by each commit */
    size_t scans_n, scans_cap;
    struct ps_group_scan *scans_by_key;                 /* uthash over scans, but not rescans */
    int64_t first_sample, first_scan, first_submission; /* ids drawn */
    uint64_t max_sample_bytes;
    struct ps_pg_copy rows;                                   /* scratch, kept for its memory */
    struct ps_buf text;                                       /* scratch for cleaned texts */
    struct ps_pg_array tags;                                  /* scratch */
    uint64_t read_us, hash_us, store_us, db_us;               /* where the time went, since clear */
    uint64_t bytes_n, known_n, joined_n, scans_new_n, jobs_n; /* what the commit brought */
    bool maybe_committed; /* COMMIT had no answer: the rows may be there */
};

/* What a group needs besides. */
struct ps_group_env {
    struct ps_pg *pg;
    struct ps_store *store;
    struct ps_resolve *resolve;
    uint64_t epoch;
};

void ps_group_init(struct ps_group *self, uint64_t max_sample_bytes);
void ps_group_fini(struct ps_group *self);
/* Empty again; keeps the memory. */
void ps_group_clear(struct ps_group *self);

/* Reads a request of kind FILES, BODY or RESCAN into the group: its results are allocated, and what is refused says so
 * in them. A failure is of this request alone (or of the database, while resolving): it is not in the group then. */
int ps_group_add(struct ps_group *self, struct ps_group_env *env, struct ps_ingest_request *request,
                 struct ps_error *reterr);

/* Takes it all in, durably. On success all results are final and *ret_news says what came. PS_ERR_AGAIN and
 * PS_ERR_CONFLICT: somebody was in between, try again; PS_ERR_STALE: the epoch is no longer ours; else as in
 * ingest.h. */
int ps_group_commit(struct ps_group *self, struct ps_group_env *env, struct ps_ingest_news *ret_news,
                    struct ps_error *reterr);

/* group_rows.c: the whole transaction. */
int ps_group_write_rows(struct ps_group *self, struct ps_group_env *env, struct ps_error *reterr);
/* Draws ids: the first of each kind in ret_first (samples, scans, submissions), the others follow without a gap.
 * PS_ERR_AGAIN when somebody else drew in between. */
int ps_group_draw_ids(struct ps_pg *pg, size_t samples_n, size_t scans_n, size_t submissions_n,
                      int64_t ret_first[3], struct ps_error *reterr);
/* Begins a transaction in this epoch. PS_ERR_STALE: rolled back. */
int ps_group_begin(struct ps_pg *pg, uint64_t epoch, struct ps_error *reterr);

/* True for items that were not refused. */
static inline bool ps_group_item_live(const struct ps_group_item *item)
{
    return item->result->code == 0;
}

#endif
