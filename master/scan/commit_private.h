/* master/scan/commit_private.h: what the files commit*.c share. */
#ifndef PS_MASTER_SCAN_COMMIT_PRIVATE_H
#define PS_MASTER_SCAN_COMMIT_PRIVATE_H

#include "base/mem.h"
#include "master/scan/brief.h"
#include "master/scan/commit.h"
#include "master/scan/names.h"
#include "master/scan/verdict.h"

/* A finding of the batch that wants to be final; one for each job. */
struct entry {
    const struct ps_finding *finding; /* lent */
    int32_t build_id, worker_id;      /* 0: null */
    int16_t engine_id;                /* of the job, when fresh */
    bool fresh;                       /* this transaction made it final */
};

/* A scan that the batch touches. */
struct touched {
    uint64_t id, sample_id;
    int row;                    /* in the result of collect_scans */
    size_t first_n, entries_n;  /* its entries */
    unsigned fresh_n;           /* of these, made final now */
    unsigned pending;           /* left after this */
    const char *type;           /* MIME type found by this batch; NULL: none. Lent by a finding */
    struct ps_verdict_sum *sum; /* when it is complete: into sums */
    uint64_t seq;               /* when it is complete */
    int64_t finished_us;
};

struct ps_commit {
    struct ps_pg *pg;         /* lent */
    struct ps_events *events; /* lent */
    struct ps_names *names;
    int backend; /* of the connection that names were asked of */

    /* The batch in work; all memory is kept for the next. */
    struct entry entries[PS_COMMIT_N]; /* by job */
    size_t entries_n;
    const struct ps_finding *lost[PS_COMMIT_N]; /* by job, the highest count of each */
    size_t lost_n;
    size_t lost_given_n;               /* before repetitions were dropped */
    size_t given_n;                    /* results and decisions, before repetitions were dropped */
    struct touched scans[PS_COMMIT_N]; /* by id */
    size_t scans_n;
    struct ps_verdict_sum *sums; /* of complete scans; PS_COMMIT_N, allocated at first use */
    size_t sums_n;
    PGresult *scan_rows;   /* collect_scans */
    PGresult *answer_rows; /* collect_answers: lends labels to sums */
};

/* commit_batch.c: sorts and thins out the findings into entries and lost. */
void commit_take(struct ps_commit *self, struct ps_finding *const *findings, size_t n);
/* commit_batch.c: parameters of the statements that write results. The arrays belong to the caller. */
#define COMMIT_ARRAYS_N 11
struct commit_arrays {
    struct ps_pg_array at[COMMIT_ARRAYS_N];
    struct ps_pg_params params;
};
void commit_arrays_init(struct commit_arrays *self, const enum ps_pg_type *types, size_t n);
void commit_arrays_fini(struct commit_arrays *self);
#define COMMIT_ARRAYS PS_CLEANUP(commit_arrays_fini)
void commit_put_results(const struct ps_commit *self, struct commit_arrays *ret);
void commit_put_lost(const struct ps_commit *self, struct commit_arrays *ret);
void commit_put_scan_ids(const struct ps_commit *self, struct commit_arrays *ret);
void commit_put_missing(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n);
void commit_put_poison(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n);
void commit_put_artifacts(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n);
/* The entry of a job, or NULL. */
struct entry *commit_entry_find(struct ps_commit *self, uint64_t job);

/* commit_tell.c: the events of a committed batch. */
void commit_tell(struct ps_commit *self);

#endif
