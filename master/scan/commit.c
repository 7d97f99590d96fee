#include "master/scan/commit.h"

#include "base/outcome.h"
#include "master/scan/commit_private.h"

#define REASONS_SEPARATOR '\x1f' /* between reasons on their way into string_to_array; no reason has it */

int ps_commit_new(struct ps_commit **ret_self, struct ps_pg *pg, struct ps_events *events)
{
    PS_CLEANUP(ps_commit_free) struct ps_commit *self = PS_NEW(struct ps_commit);

    if (!self)
        return PS_ERR_NOMEM;
    self->pg = pg;
    self->events = events;
    self->sums = ps_alloc(PS_COMMIT_N, sizeof(*self->sums));
    if (!self->sums || ps_names_new(&self->names) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

static void drop_rows(struct ps_commit *self)
{
    ps_pg_clear(&self->scan_rows);
    ps_pg_clear(&self->answer_rows);
}

void ps_commit_free(struct ps_commit **self_p)
{
    struct ps_commit *self = PS_TAKE(*self_p);

    if (!self)
        return;
    drop_rows(self);
    ps_names_free(&self->names);
    free(self->sums);
    free(self);
}

static int look_up_names(struct ps_commit *self, struct ps_error *reterr)
{
    int r = ps_pg_ready(self->pg, reterr);

    /* After a reconnect it may be another database, restored from an older copy: ids are asked for anew. */
    if (r == 0 && ps_pg_backend(self->pg) != self->backend) {
        ps_names_clear(self->names);
        self->backend = ps_pg_backend(self->pg);
    }
    for (size_t i = 0; i < self->entries_n && r == 0; i++) {
        struct entry *e = &self->entries[i];
        const struct ps_finding *f = e->finding;
        if (f->kind != PS_FINDING_RESULT)
            continue;
        r = ps_names_build(self->names, self->pg, f->engine, f->version, f->definitions, f->origin,
                           &e->build_id, reterr);
        if (r == 0)
            r = ps_names_worker(self->names, self->pg, f->worker, &e->worker_id, reterr);
    }
    return r;
}

static void mark_fresh(struct ps_commit *self, const PGresult *updated)
{
    for (int row = 0; row < ps_row_n(updated); row++) {
        struct entry *e = commit_entry_find(self, (uint64_t)ps_row_i64(updated, row, 0));
        if (!e)
            continue;
        e->fresh = true;
        e->engine_id = (int16_t)ps_row_i64(updated, row, 1);
    }
}

/* The engine type is asked for the type; without its word another's will do. */
static void take_type(struct touched *scan, const struct ps_finding *f)
{
    if (f->type[0] && (!scan->type || strcmp(f->engine, "type") == 0))
        scan->type = f->type;
}

/* Rows and entries are both in the order of scans. */
static void match_scans(struct ps_commit *self)
{
    size_t at = 0;

    for (int row = 0; row < ps_row_n(self->scan_rows); row++) {
        uint64_t id = (uint64_t)ps_row_i64(self->scan_rows, row, 0);
        struct touched scan = {.id = id, .row = row};
        while (at < self->entries_n && self->entries[at].finding->job / PS_JOB_ORDINALS < id)
            at++;
        scan.first_n = at;
        for (; at < self->entries_n && self->entries[at].finding->job / PS_JOB_ORDINALS == id; at++) {
            scan.entries_n++;
            if (!self->entries[at].fresh)
                continue;
            scan.fresh_n++;
            take_type(&scan, self->entries[at].finding);
        }
        if (scan.fresh_n == 0)
            continue;
        int64_t left = ps_row_i64(self->scan_rows, row, 1) - (int64_t)scan.fresh_n;
        scan.pending = left > 0 ? (unsigned)left : 0;
        scan.sample_id = (uint64_t)ps_row_i64(self->scan_rows, row, 2);
        self->scans[self->scans_n++] = scan;
    }
}

/* First half: in our epoch, results by compare-and-set, scans locked. */
static int write_results(struct ps_commit *self, uint64_t epoch, struct ps_error *reterr)
{
    COMMIT_ARRAYS struct commit_arrays results, lost, ids;
    PS_PG_PARAMS struct ps_pg_params epoch_params;

    commit_put_results(self, &results);
    commit_put_lost(self, &lost);
    commit_put_scan_ids(self, &ids);
    ps_pg_params_init(&epoch_params);
    ps_pg_put_i64(&epoch_params, (int64_t)epoch);

    struct ps_pg_step steps[] = {
        {.query = PS_Q_COLLECT_EPOCH, .params = &epoch_params},
        {.query = PS_Q_COLLECT_SCANS, .params = &ids.params},
        {.query = PS_Q_COLLECT_RESULTS, .params = &results.params},
        {.query = PS_Q_COLLECT_LOST, .params = &lost.params},
    };
    size_t n = self->lost_n > 0 ? PS_ARRAY_N(steps) : PS_ARRAY_N(steps) - 1;
    int r = ps_pg_run(self->pg, steps, n, false, NULL, reterr);
    if (r < 0)
        return r;
    if (ps_row_n(steps[0].result) == 0)
        r = ps_error_set(reterr, PS_ERR_STALE, "another master leads");
    if (r == 0) {
        self->scan_rows = PS_TAKE(steps[1].result);
        mark_fresh(self, steps[2].result);
        match_scans(self);
    }
    ps_pg_steps_clear(steps, n);
    return r;
}

static int read_answers(struct ps_commit *self, struct ps_error *reterr)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8};
    COMMIT_ARRAYS struct commit_arrays ids;
    size_t n = 0;

    commit_arrays_init(&ids, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < self->scans_n; i++)
        if (self->scans[i].pending == 0) {
            ps_pg_array_i64(&ids.at[0], (int64_t)self->scans[i].id);
            n++;
        }
    return n > 0 ? ps_pg_exec(self->pg, PS_Q_COLLECT_ANSWERS, &ids.params, &self->answer_rows, reterr) : 0;
}

static struct ps_verdict_answer answer_of(const PGresult *rows, int row)
{
    const char *origin = ps_row_text(rows, row, 7);

    return (struct ps_verdict_answer){
        .engine = ps_row_text(rows, row, 1),
        .kind = (unsigned)ps_row_i64(rows, row, 2),
        .required = ps_row_bool(rows, row, 3),
        .counted = ps_row_bool(rows, row, 4),
        .outcome = (unsigned)ps_row_i64(rows, row, 5),
        .label = ps_row_text(rows, row, 6),
        .origin = origin ? origin : "",
    };
}

/* Answers come in the order of jobs, so of scans. */
static void sum_up(struct ps_commit *self)
{
    struct ps_verdict_answer answers[PS_VERDICT_ENGINES_MAX];
    int row = 0, rows_n = ps_row_n(self->answer_rows);

    for (size_t i = 0; i < self->scans_n; i++) {
        struct touched *scan = &self->scans[i];
        size_t n = 0;
        if (scan->pending > 0)
            continue;
        for (; row < rows_n; row++) {
            uint64_t of = (uint64_t)ps_row_i64(self->answer_rows, row, 0) / PS_JOB_ORDINALS;
            if (of != scan->id)
                break;
            if (n < PS_ARRAY_N(answers))
                answers[n++] = answer_of(self->answer_rows, row);
        }
        scan->sum = &self->sums[self->sums_n++];
        ps_verdict_sum_up(answers, n, scan->sum);
    }
}

static void put_pending(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT2, PS_PG_TEXT};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    *ret_n = 0;
    for (size_t i = 0; i < self->scans_n; i++) {
        const struct touched *scan = &self->scans[i];
        if (scan->sum)
            continue;
        ps_pg_array_i64(&ret->at[0], (int64_t)scan->id);
        ps_pg_array_i16(&ret->at[1], (int16_t)scan->pending);
        ps_pg_array_text(&ret->at[2], scan->type);
        (*ret_n)++;
    }
}

static void put_reasons(struct ps_pg_array *array, const struct ps_verdict_sum *sum)
{
    char text[PS_VERDICT_REASONS_MAX * PS_VERDICT_REASON_MAX];
    size_t len = 0;

    for (size_t i = 0; i < sum->reasons_n; i++) {
        if (i > 0)
            text[len++] = REASONS_SEPARATOR;
        for (const char *at = sum->reasons[i]; *at; at++)
            text[len++] = *at == REASONS_SEPARATOR ? '?' : *at; /* a label may hold anything */
    }
    ps_pg_array_bytes(array, text, len);
}

static void put_verdicts(const struct ps_commit *self, struct commit_arrays *ret)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT2, PS_PG_INT2, PS_PG_INT2, PS_PG_INT2,
                                            PS_PG_INT2, PS_PG_TEXT, PS_PG_TEXT, PS_PG_TEXT};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < self->scans_n; i++) {
        const struct touched *scan = &self->scans[i];
        const struct ps_verdict_sum *sum = scan->sum;
        if (!sum)
            continue;
        ps_pg_array_i64(&ret->at[0], (int64_t)scan->id);
        ps_pg_array_i16(&ret->at[1], (int16_t)sum->verdict);
        ps_pg_array_i16(&ret->at[2], (int16_t)sum->positives);
        ps_pg_array_i16(&ret->at[3], (int16_t)sum->total);
        ps_pg_array_i16(&ret->at[4], (int16_t)sum->failed);
        ps_pg_array_i16(&ret->at[5], (int16_t)sum->incomplete);
        ps_pg_array_text(&ret->at[6], sum->label);
        put_reasons(&ret->at[7], sum);
        ps_pg_array_text(&ret->at[8], scan->type);
    }
}

static struct touched *touched_find(struct ps_commit *self, uint64_t id)
{
    size_t low = 0, high = self->scans_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->scans[middle].id == id)
            return &self->scans[middle];
        if (self->scans[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void take_seqs(struct ps_commit *self, const PGresult *rows)
{
    for (int row = 0; row < ps_row_n(rows); row++) {
        struct touched *scan = touched_find(self, (uint64_t)ps_row_i64(rows, row, 0));
        if (!scan)
            continue;
        scan->seq = (uint64_t)ps_row_i64(rows, row, 1);
        scan->finished_us = ps_row_time_us(rows, row, 2);
    }
}

/* Second half: what follows from the results. */
static int write_scans(struct ps_commit *self, struct ps_error *reterr)
{
    COMMIT_ARRAYS struct commit_arrays pending, verdicts, missing, poison, artifacts;
    size_t pending_n, missing_n, poison_n, artifacts_n, n = 0, verdicts_at = SIZE_MAX;
    struct ps_pg_step steps[5] = {0};

    put_pending(self, &pending, &pending_n);
    put_verdicts(self, &verdicts);
    commit_put_missing(self, &missing, &missing_n);
    commit_put_poison(self, &poison, &poison_n);
    commit_put_artifacts(self, &artifacts, &artifacts_n);
    if (pending_n > 0)
        steps[n++] = (struct ps_pg_step){.query = PS_Q_COLLECT_PENDING, .params = &pending.params};
    if (self->sums_n > 0) {
        verdicts_at = n;
        steps[n++] = (struct ps_pg_step){.query = PS_Q_COLLECT_VERDICTS, .params = &verdicts.params};
    }
    if (missing_n > 0)
        steps[n++] = (struct ps_pg_step){.query = PS_Q_COLLECT_MISSING, .params = &missing.params};
    if (poison_n > 0)
        steps[n++] = (struct ps_pg_step){.query = PS_Q_COLLECT_POISON, .params = &poison.params};
    if (artifacts_n > 0)
        steps[n++] = (struct ps_pg_step){.query = PS_Q_COLLECT_ARTIFACTS, .params = &artifacts.params};
    if (n == 0)
        return 0;

    int r = ps_pg_run(self->pg, steps, n, false, NULL, reterr);
    if (r == 0 && verdicts_at != SIZE_MAX)
        take_seqs(self, steps[verdicts_at].result);
    ps_pg_steps_clear(steps, n);
    return r;
}

static int transact(struct ps_commit *self, uint64_t epoch, bool *ret_unsure, struct ps_error *reterr)
{
    int r = ps_pg_begin(self->pg, reterr);

    if (r < 0)
        return r;
    r = write_results(self, epoch, reterr);
    if (r == 0)
        r = read_answers(self, reterr);
    if (r == 0) {
        sum_up(self);
        r = write_scans(self, reterr);
    }
    if (r < 0) {
        ps_pg_rollback(self->pg);
        return r;
    }
    r = ps_pg_commit(self->pg, reterr);
    *ret_unsure = r == PS_ERR_UNAVAILABLE;
    return r;
}

static void count(const struct ps_commit *self, struct ps_commit_sum *ret_sum)
{
    *ret_sum = (struct ps_commit_sum){.verdicts = self->sums_n, .lost = self->lost_given_n};
    for (size_t i = 0; i < self->entries_n; i++)
        ret_sum->results += self->entries[i].fresh;
    ret_sum->repeated = self->given_n - ret_sum->results;
}

int ps_commit_write(struct ps_commit *self, struct ps_finding *const *findings, size_t n, uint64_t epoch,
                    struct ps_commit_sum *ret_sum, bool *ret_unsure, struct ps_error *reterr)
{
    *ret_unsure = false;
    commit_take(self, findings, n);
    int r = look_up_names(self, reterr);
    if (r == 0)
        r = transact(self, epoch, ret_unsure, reterr);
    if (r == 0) {
        count(self, ret_sum);
        commit_tell(self);
    }
    drop_rows(self);
    return r;
}
