/* What a committed batch means for those who watch. Nothing here can fail the batch: an event that can't be made
 * becomes LAGGED, after which everyone reads the database. */
#include "base/outcome.h"
#include "master/scan/commit_private.h"

#define SUBMISSIONS_MAX 1000 /* named in one event; the statement's limit */

static void publish(struct ps_commit *self, enum ps_event_kind kind, uint64_t seq, uint64_t scan, char *json,
                    const char *const *batches, size_t batches_n)
{
    struct ps_event *event = NULL;

    if (json && ps_event_new(&event, kind, seq, scan, json, strlen(json), batches, batches_n) == 0)
        ps_events_publish(self->events, &event);
    else
        ps_events_publish_lagged(self->events);
}

static struct ps_bytes sha256_of(const struct ps_commit *self, const struct touched *scan)
{
    return ps_row_bytes(self->scan_rows, scan->row, 3);
}

static void tell_results(struct ps_commit *self, const struct touched *scan)
{
    struct ps_bytes sha256 = sha256_of(self, scan);

    if (sha256.len != PS_SHA256_BYTES)
        return;
    for (size_t i = 0; i < scan->entries_n; i++) {
        const struct entry *e = &self->entries[scan->first_n + i];
        if (e->fresh)
            publish(self, PS_EVENT_RESULT, 0, scan->id,
                    ps_brief_result_event(scan->id, sha256.at, e->finding->engine, e->finding->outcome,
                                          e->finding->label, scan->pending),
                    NULL, 0);
    }
}

/* The submissions of one scan out of rows that are in the order of scans; row is moved behind them. */
struct told {
    struct ps_brief_submission submissions[SUBMISSIONS_MAX];
    const char *batches[SUBMISSIONS_MAX];
    size_t submissions_n, batches_n;
};

static void take_batch(struct told *told, const char *batch)
{
    if (!batch || told->batches_n == PS_EVENT_BATCH_MAX)
        return;
    for (size_t i = 0; i < told->batches_n; i++)
        if (strcmp(told->batches[i], batch) == 0)
            return;
    told->batches[told->batches_n++] = batch;
}

static void take_submissions(struct told *told, const PGresult *rows, uint64_t scan)
{
    int n = ps_row_n(rows), low = 0, high = n;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((uint64_t)ps_row_i64(rows, middle, 0) < scan)
            low = middle + 1;
        else
            high = middle;
    }
    told->submissions_n = told->batches_n = 0;
    for (int row = low; row < n && (uint64_t)ps_row_i64(rows, row, 0) == scan; row++) {
        if (told->submissions_n == SUBMISSIONS_MAX)
            break;
        struct ps_brief_submission *s = &told->submissions[told->submissions_n++];
        *s = (struct ps_brief_submission){
            .id = (uint64_t)ps_row_i64(rows, row, 1),
            .name = ps_row_text(rows, row, 2),
            .source_path = ps_row_text(rows, row, 3),
            .batch = ps_row_text(rows, row, 4),
        };
        take_batch(told, s->batch);
    }
}

static void tell_scan(struct ps_commit *self, const struct touched *scan, const struct told *told)
{
    const PGresult *rows = self->scan_rows;
    const struct ps_verdict_sum *sum = scan->sum;
    struct ps_bytes sha256 = sha256_of(self, scan);
    const char *reasons[PS_VERDICT_REASONS_MAX];

    for (size_t i = 0; i < sum->reasons_n; i++)
        reasons[i] = sum->reasons[i];
    const struct ps_brief brief = {
        .id = scan->id,
        .verdict = sum->verdict,
        .positives = sum->positives,
        .total = sum->total,
        .failed = sum->failed,
        .incomplete = sum->incomplete,
        .label = sum->label,
        .reasons = reasons,
        .reasons_n = sum->reasons_n,
        .type = scan->type ? scan->type : ps_row_text(rows, scan->row, 8),
        .profile = ps_row_text(rows, scan->row, 6),
        .cause = (unsigned)ps_row_i64(rows, scan->row, 5),
        .submitted_us = ps_row_time_us(rows, scan->row, 7),
        .finished_us = scan->finished_us,
        .seq = scan->seq,
    };
    if (sha256.len == PS_SHA256_BYTES)
        publish(self, PS_EVENT_SCAN, scan->seq, scan->id,
                ps_brief_scan_event(&brief, sha256.at, (uint64_t)ps_row_i64(rows, scan->row, 4),
                                    told->submissions, told->submissions_n),
                told->batches, told->batches_n);
}

static int by_seq(const void *a, const void *b)
{
    const struct touched *x = *(const struct touched *const *)a, *y = *(const struct touched *const *)b;

    return x->seq == y->seq ? 0 : x->seq < y->seq ? -1 : 1;
}

static int read_submissions(struct ps_commit *self, const struct touched *const *done, size_t n,
                            PGresult **ret)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT8};
    COMMIT_ARRAYS struct commit_arrays ids;

    commit_arrays_init(&ids, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < n; i++) {
        ps_pg_array_i64(&ids.at[0], (int64_t)done[i]->id);
        ps_pg_array_i64(&ids.at[1], (int64_t)done[i]->sample_id);
    }
    return ps_pg_exec(self->pg, PS_Q_COLLECT_SUBMISSIONS, &ids.params, ret, NULL);
}

void commit_tell(struct ps_commit *self)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    const struct touched *done[PS_COMMIT_N];
    size_t done_n = 0;

    if (!ps_events_watched(self->events))
        return;
    for (size_t i = 0; i < self->scans_n; i++) {
        tell_results(self, &self->scans[i]);
        if (self->scans[i].sum)
            done[done_n++] = &self->scans[i];
    }
    if (done_n == 0)
        return;
    qsort(done, done_n, sizeof(void *), by_seq);

    PS_FREE struct told *told = PS_NEW(struct told);
    if (!told || read_submissions(self, done, done_n, &rows) < 0) {
        ps_events_publish_lagged(self->events);
        return;
    }
    for (size_t i = 0; i < done_n; i++) {
        take_submissions(told, rows, done[i]->id);
        tell_scan(self, done[i], told);
    }
}
