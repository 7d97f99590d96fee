/* A batch before and around its transaction: sorting, and what becomes parameters. */
#include "base/bytes.h"
#include "base/outcome.h"
#include "master/scan/commit_private.h"

static int by_job(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->finding->job != y->finding->job)
        return x->finding->job < y->finding->job ? -1 : 1;
    /* A worker's word before a decision about it, and nothing else tells two answers to one job apart. */
    return (int)x->finding->kind - (int)y->finding->kind;
}

static int by_lost(const void *a, const void *b)
{
    const struct ps_finding *x = *(const struct ps_finding *const *)a,
                            *y = *(const struct ps_finding *const *)b;

    if (x->job != y->job)
        return x->job < y->job ? -1 : 1;
    return x->lost == y->lost ? 0 : x->lost > y->lost ? -1 : 1;
}

static void thin_out(struct ps_commit *self)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->entries_n; i++)
        if (kept == 0 || self->entries[kept - 1].finding->job != self->entries[i].finding->job)
            self->entries[kept++] = self->entries[i];
    self->entries_n = kept;

    kept = 0;
    for (size_t i = 0; i < self->lost_n; i++)
        if (kept == 0 || self->lost[kept - 1]->job != self->lost[i]->job)
            self->lost[kept++] = self->lost[i];
    self->lost_n = kept;
}

void commit_take(struct ps_commit *self, struct ps_finding *const *findings, size_t n)
{
    assert(n <= PS_COMMIT_N);
    self->entries_n = self->lost_n = self->scans_n = self->sums_n = 0;
    for (size_t i = 0; i < n; i++)
        if (findings[i]->kind == PS_FINDING_LOST)
            self->lost[self->lost_n++] = findings[i];
        else
            self->entries[self->entries_n++] = (struct entry){.finding = findings[i]};
    self->given_n = self->entries_n;
    self->lost_given_n = self->lost_n;
    qsort(self->entries, self->entries_n, sizeof(self->entries[0]), by_job);
    qsort(self->lost, self->lost_n, sizeof(void *), by_lost);
    thin_out(self);
}

struct entry *commit_entry_find(struct ps_commit *self, uint64_t job)
{
    size_t low = 0, high = self->entries_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t at = self->entries[middle].finding->job;
        if (at == job)
            return &self->entries[middle];
        if (at < job)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void commit_arrays_init(struct commit_arrays *self, const enum ps_pg_type *types, size_t n)
{
    assert(n <= COMMIT_ARRAYS_N);
    memset(self, 0, sizeof(*self));
    ps_pg_params_init(&self->params);
    for (size_t i = 0; i < n; i++) {
        ps_pg_array_init(&self->at[i], types[i]);
        ps_pg_put_array(&self->params, &self->at[i]);
    }
}

void commit_arrays_fini(struct commit_arrays *self)
{
    for (size_t i = 0; i < COMMIT_ARRAYS_N; i++)
        ps_pg_array_fini(&self->at[i]);
    ps_pg_params_fini(&self->params);
}

/* Rows have signed numbers; what a worker claims may not fit. */
static int64_t clamp(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void put_text(struct ps_pg_array *array, const char *text)
{
    ps_pg_array_text(array, text[0] ? text : NULL);
}

static void put_id(struct ps_pg_array *array, int32_t id)
{
    if (id)
        ps_pg_array_i32(array, id);
    else
        ps_pg_array_null(array);
}

static void put_time(struct ps_pg_array *array, const struct ps_finding *f, uint64_t us)
{
    if (f->kind == PS_FINDING_RESULT)
        ps_pg_array_i64(array, clamp(us));
    else
        ps_pg_array_null(array);
}

void commit_put_results(const struct ps_commit *self, struct commit_arrays *ret)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT2, PS_PG_BOOL, PS_PG_INT4,
                                            PS_PG_INT4, PS_PG_INT8, PS_PG_INT8, PS_PG_INT8,
                                            PS_PG_TEXT, PS_PG_TEXT, PS_PG_TEXT};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < self->entries_n; i++) {
        const struct entry *e = &self->entries[i];
        const struct ps_finding *f = e->finding;
        ps_pg_array_i64(&ret->at[0], clamp(f->job));
        ps_pg_array_i16(&ret->at[1], (int16_t)f->outcome);
        ps_pg_array_bool(&ret->at[2], f->kind == PS_FINDING_RESULT && f->counted);
        put_id(&ret->at[3], e->build_id);
        put_id(&ret->at[4], e->worker_id);
        put_time(&ret->at[5], f, f->wait_us);
        put_time(&ret->at[6], f, f->run_us);
        put_time(&ret->at[7], f, f->cpu_us);
        put_text(&ret->at[8], f->label);
        put_text(&ret->at[9], f->reason);
        put_text(&ret->at[10], f->traits);
    }
}

void commit_put_lost(const struct ps_commit *self, struct commit_arrays *ret)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT2};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < self->lost_n; i++) {
        ps_pg_array_i64(&ret->at[0], clamp(self->lost[i]->job));
        ps_pg_array_i16(&ret->at[1], (int16_t)PS_MIN(self->lost[i]->lost, (uint32_t)INT16_MAX));
    }
}

void commit_put_scan_ids(const struct ps_commit *self, struct commit_arrays *ret)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8};
    uint64_t last = 0;

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    for (size_t i = 0; i < self->entries_n; i++) {
        uint64_t scan = self->entries[i].finding->job / PS_JOB_ORDINALS;
        if (i == 0 || scan != last)
            ps_pg_array_i64(&ret->at[0], (int64_t)scan);
        last = scan;
    }
}

void commit_put_missing(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n)
{
    static const enum ps_pg_type types[] = {PS_PG_INT2, PS_PG_INT8};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    *ret_n = 0;
    for (size_t i = 0; i < self->entries_n; i++) {
        const struct entry *e = &self->entries[i];
        if (!e->fresh || e->finding->outcome != PS_OUTCOME_UNAVAILABLE)
            continue;
        ps_pg_array_i16(&ret->at[0], e->engine_id);
        ps_pg_array_i64(&ret->at[1], (int64_t)(e->finding->job / PS_JOB_ORDINALS));
        (*ret_n)++;
    }
}

/* How the engine host says that a child ended by itself with the sample in its hands (worker/host/slot.c). */
static bool tells_of_crash(const char *reason)
{
    static const char *const beginnings[] = {"the engine was killed by ", "the engine was stopped by ",
                                             "the engine ended without an answer"};

    for (size_t i = 0; i < PS_ARRAY_N(beginnings); i++)
        if (strncmp(reason, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

/* What goes into the poison ledger: the child died of the sample, or span on it until its time was up. A timeout that
 * used little processor time says something of the machine, not of the sample. */
static bool poisons(const struct ps_finding *f)
{
    if (f->kind != PS_FINDING_RESULT || f->version[0] == '\0')
        return false;
    if (f->outcome == PS_OUTCOME_TIMEOUT)
        return f->run_us > 0 && f->cpu_us >= f->run_us / 2;
    return f->outcome == PS_OUTCOME_FAILURE && tells_of_crash(f->reason);
}

void commit_put_poison(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8, PS_PG_INT2, PS_PG_TEXT};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    *ret_n = 0;
    for (size_t s = 0; s < self->scans_n; s++)
        for (size_t i = 0; i < self->scans[s].entries_n; i++) {
            const struct entry *e = &self->entries[self->scans[s].first_n + i];
            if (!e->fresh || !poisons(e->finding))
                continue;
            ps_pg_array_i64(&ret->at[0], (int64_t)self->scans[s].sample_id);
            ps_pg_array_i16(&ret->at[1], e->engine_id);
            ps_pg_array_text(&ret->at[2], e->finding->version);
            (*ret_n)++;
        }
}

void commit_put_artifacts(const struct ps_commit *self, struct commit_arrays *ret, size_t *ret_n)
{
    static const enum ps_pg_type types[] = {PS_PG_INT8,  PS_PG_INT2, PS_PG_BOOL, PS_PG_INT8,
                                            PS_PG_BYTEA, PS_PG_TEXT, PS_PG_TEXT};

    commit_arrays_init(ret, types, PS_ARRAY_N(types));
    *ret_n = 0;
    for (size_t i = 0; i < self->entries_n; i++) {
        const struct ps_finding *f = self->entries[i].finding;
        if (!self->entries[i].fresh)
            continue;
        for (size_t n = 0; n < f->files_n; n++, (*ret_n)++) {
            const struct ps_derived *file = &f->files[n];
            ps_pg_array_i64(&ret->at[0], clamp(f->job));
            ps_pg_array_i16(&ret->at[1], (int16_t)n);
            ps_pg_array_bool(&ret->at[2], file->picture);
            ps_pg_array_i64(&ret->at[3], clamp(file->size));
            ps_pg_array_bytes(&ret->at[4], file->sha256, PS_SHA256_BYTES);
            ps_pg_array_text(&ret->at[5], file->name);
            put_text(&ret->at[6], file->mime);
        }
    }
}
