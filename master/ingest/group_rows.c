/* The transaction of a group: epoch, scans that are joined, rows by COPY, answers to keep, COMMIT. */
#include "base/mem.h"
#include "base/utf8.h"
#include "db/pg.h"
#include "master/ingest/group.h"
#include "master/ingest/replay.h"

#define REMEMBER_STEPS (PS_PG_STEPS_MAX - 2)

int ps_group_draw_ids(struct ps_pg *pg, size_t samples_n, size_t scans_n, size_t submissions_n,
                      int64_t ret_first[3], struct ps_error *reterr)
{
    size_t wanted[3] = {samples_n, scans_n, submissions_n};
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_params_init(&params);
    for (int i = 0; i < 3; i++)
        ps_pg_put_i64(&params, (int64_t)wanted[i]);
    if ((code = ps_pg_exec(pg, PS_Q_INGEST_IDS, &params, &result, reterr)) != 0)
        return code;
    for (int i = 0; i < 3; i++) {
        int64_t first = ps_row_i64(result, 0, 2 * i), last = ps_row_i64(result, 0, 2 * i + 1);

        if (wanted[i] > 0 && last - first + 1 != (int64_t)wanted[i])
            return ps_error_set(reterr, PS_ERR_AGAIN, "database: somebody else drew ids in between");
        ret_first[i] = first;
    }
    return 0;
}

/* begin and the epoch, with more steps of the caller's behind them, in one round trip. */
static int begin_with(struct ps_pg *pg, uint64_t epoch, struct ps_pg_step *more, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    struct ps_pg_step steps[3] = {{.query = PS_Q_INGEST_BEGIN},
                                  {.query = PS_Q_INGEST_EPOCH, .params = &params}};
    size_t n = 2;
    int code;

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, (int64_t)epoch);
    if (more)
        steps[n++] = *more;
    code = ps_pg_run(pg, steps, n, false, NULL, reterr);
    if (code == 0 && ps_row_n(steps[1].result) != 1)
        code = ps_error_set(reterr, PS_ERR_STALE, "another master has taken over");
    if (code)
        ps_pg_rollback(pg);
    if (code == 0 && more)
        more->result = PS_TAKE(steps[2].result);
    ps_pg_steps_clear(steps, n);
    return code;
}

int ps_group_begin(struct ps_pg *pg, uint64_t epoch, struct ps_error *reterr)
{
    return begin_with(pg, epoch, NULL, reterr);
}

/* A scan to be joined, in the order of ids, as the database answers. */
struct wanted {
    int64_t id;
    size_t scan; /* index into scans */
};

static int compare_wanted(const void *a, const void *b)
{
    int64_t x = ((const struct wanted *)a)->id, y = ((const struct wanted *)b)->id;

    return x < y ? -1 : x > y;
}

/* Ids for the new scans. One that was to be joined and has ended meanwhile is not among held: it is made anew. */
static void settle_scans(struct ps_group *self, const struct wanted *wanted, size_t n, const PGresult *held)
{
    int row = 0;

    for (size_t i = 0; i < n; i++) {
        struct ps_group_scan *scan = &self->scans[wanted[i].scan];

        while (row < ps_row_n(held) && ps_row_i64(held, row, 0) < wanted[i].id)
            row++;
        if (row < ps_row_n(held) && ps_row_i64(held, row, 0) == wanted[i].id)
            continue;
        scan->joined = false;
        scan->cause = 1;
    }
    for (size_t i = 0; i < self->scans_n; i++)
        if (!self->scans[i].joined)
            self->scans[i].id = self->first_scan + (int64_t)i;
}

/* Begins, and holds the scans to be joined. */
static int begin_and_join(struct ps_group *self, struct ps_group_env *env, struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array ids;
    PS_PG_PARAMS struct ps_pg_params params;
    struct ps_pg_step join = {.query = PS_Q_INGEST_JOIN, .params = &params};
    PS_FREE struct wanted *wanted = ps_alloc(self->scans_n + 1, sizeof(*wanted));
    size_t n = 0;
    int code;

    ps_pg_array_init(&ids, PS_PG_INT8);
    ps_pg_params_init(&params);
    if (!wanted)
        return PS_ERR_NOMEM;
    for (size_t i = 0; i < self->scans_n; i++)
        if (self->scans[i].joined && self->scans[i].plan)
            wanted[n++] = (struct wanted){self->scans[i].id, i};
    qsort(wanted, n, sizeof(*wanted), compare_wanted);
    for (size_t i = 0; i < n; i++)
        ps_pg_array_i64(&ids, wanted[i].id);
    ps_pg_put_array(&params, &ids);
    if ((code = begin_with(env->pg, env->epoch, n ? &join : NULL, reterr)) != 0)
        return code;
    settle_scans(self, wanted, n, join.result);
    ps_pg_clear(&join.result);
    return 0;
}

static int copy_samples(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    ps_pg_copy_clear(&self->rows);
    for (size_t i = 0; i < self->samples_n; i++) {
        const struct ps_group_sample *sample = &self->samples[i];

        if (sample->known || !sample->bytes)
            continue;
        ps_pg_copy_row(&self->rows, 3);
        ps_pg_copy_i64(&self->rows, sample->id);
        ps_pg_copy_bytes(&self->rows, sample->sha256, 32);
        ps_pg_copy_i64(&self->rows, (int64_t)sample->bytes->size);
    }
    return self->rows.rows ? ps_pg_copy(pg, PS_Q_INGEST_COPY_SAMPLE, &self->rows, reterr) : 0;
}

static int copy_scans(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    ps_pg_copy_clear(&self->rows);
    for (size_t i = 0; i < self->scans_n; i++) {
        const struct ps_group_scan *scan = &self->scans[i];

        if (scan->joined)
            continue;
        ps_pg_copy_row(&self->rows, 9);
        ps_pg_copy_i64(&self->rows, scan->id);
        ps_pg_copy_i64(&self->rows, self->samples[scan->key.sample].id);
        ps_pg_copy_i64(&self->rows, scan->owner_id);
        ps_pg_copy_i32(&self->rows, scan->plan->set_id);
        ps_pg_copy_i16(&self->rows, scan->plan->profile_id);
        ps_pg_copy_i16(&self->rows, scan->cause);
        ps_pg_copy_i16(&self->rows, (int16_t)scan->key.band);
        ps_pg_copy_i32(&self->rows, scan->plan->deadline_ms);
        ps_pg_copy_i16(&self->rows, scan->plan->engines_n);
    }
    return self->rows.rows ? ps_pg_copy(pg, PS_Q_INGEST_COPY_SCAN, &self->rows, reterr) : 0;
}

static int copy_jobs(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    ps_pg_copy_clear(&self->rows);
    for (size_t i = 0; i < self->scans_n; i++) {
        const struct ps_group_scan *scan = &self->scans[i];

        for (int ordinal = 0; !scan->joined && ordinal < scan->plan->engines_n; ordinal++) {
            ps_pg_copy_row(&self->rows, 3);
            ps_pg_copy_i64(&self->rows, scan->id * 256 + ordinal);
            ps_pg_copy_i16(&self->rows, scan->plan->engines[ordinal]);
            ps_pg_copy_bool(&self->rows, scan->plan->required[ordinal]);
        }
    }
    return self->rows.rows ? ps_pg_copy(pg, PS_Q_INGEST_COPY_JOB, &self->rows, reterr) : 0;
}

/* Text that a user gave, as a value of a row: valid UTF-8 without NUL, at most max bytes. */
static void put_text(struct ps_group *self, struct ps_bytes text, size_t max)
{
    ps_buf_clear(&self->text);
    ps_utf8_put_clean(&self->text, (const char *)text.at, text.len);
    ps_pg_copy_bytes(&self->rows, self->text.data,
                     ps_utf8_cut((const char *)self->text.data, self->text.len, max));
    if (ps_buf_error(&self->text))
        self->rows.buf.error = ps_buf_error(&self->text);
}

static void put_text_or_null(struct ps_group *self, struct ps_bytes text, size_t max)
{
    if (text.len)
        put_text(self, text, max);
    else
        ps_pg_copy_null(&self->rows);
}

/* What stands after the last slash: names are for people, paths have a column of their own. */
static struct ps_bytes base_name(struct ps_bytes name)
{
    const uint8_t *slash = name.len ? memrchr(name.at, '/', name.len) : NULL;

    if (slash) {
        name.len -= (size_t)(slash + 1 - name.at);
        name.at = slash + 1;
    }
    return name.len ? name : PS_BYTES_LIT("unnamed");
}

static void put_tags(struct ps_group *self, const struct ps_ingest_file *file)
{
    if (file->tags_n == 0) {
        ps_pg_copy_null(&self->rows);
        return;
    }
    ps_pg_array_clear(&self->tags);
    for (size_t i = 0; i < file->tags_n; i++) {
        ps_buf_clear(&self->text);
        ps_utf8_put_clean(&self->text, (const char *)file->tags[i].at, file->tags[i].len);
        ps_pg_array_bytes(&self->tags, self->text.data,
                          ps_utf8_cut((const char *)self->text.data, self->text.len, PS_TAG_BYTES));
    }
    ps_pg_copy_array(&self->rows, &self->tags);
}

static int copy_submissions(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    int64_t id = self->first_submission;

    ps_pg_copy_clear(&self->rows);
    for (size_t i = 0; i < self->items_n; i++) {
        struct ps_group_item *item = &self->items[i];
        const struct ps_ingest_file *file = item->file;

        if (!ps_group_item_live(item))
            continue;
        item->result->scan = self->scans[item->scan].id;
        item->result->known = self->samples[item->sample].known;
        item->result->submission = 0;
        if (item->request->kind == PS_INGEST_RESCAN)
            continue;
        item->result->submission = id++;
        ps_pg_copy_row(&self->rows, 10);
        ps_pg_copy_i64(&self->rows, item->result->submission);
        ps_pg_copy_i64(&self->rows, self->samples[item->sample].id);
        ps_pg_copy_i64(&self->rows, item->result->scan);
        ps_pg_copy_i64(&self->rows, item->request->owner_id);
        ps_pg_copy_i64(&self->rows, item->request->team_id);
        ps_pg_copy_i16(&self->rows, (int16_t)file->visibility);
        put_text(self, base_name(file->name), PS_NAME_BYTES);
        put_text_or_null(self, file->source_path, PS_SOURCE_PATH_BYTES);
        put_text_or_null(self, file->batch, PS_BATCH_ID_BYTES);
        put_tags(self, file);
    }
    return self->rows.rows ? ps_pg_copy(pg, PS_Q_INGEST_COPY_SUBMISSION, &self->rows, reterr) : 0;
}

/* Answers to be kept, and uploads that are complete: small statements, some at a time in one round trip. */
struct tail {
    struct ps_pg_params params[REMEMBER_STEPS];
    struct ps_buf packed[REMEMBER_STEPS];
    struct ps_pg_step steps[REMEMBER_STEPS];
    size_t n;
};

static void tail_clear(struct tail *tail)
{
    ps_pg_steps_clear(tail->steps, tail->n);
    for (size_t i = 0; i < tail->n; i++) {
        ps_pg_params_fini(&tail->params[i]);
        ps_buf_fini(&tail->packed[i]);
    }
    tail->n = 0;
}

static int tail_run(struct tail *tail, struct ps_pg *pg, struct ps_error *reterr)
{
    int code = tail->n ? ps_pg_run(pg, tail->steps, tail->n, false, NULL, reterr) : 0;

    tail_clear(tail);
    return code;
}

static struct ps_pg_params *tail_next(struct tail *tail, enum ps_query_id query)
{
    size_t i = tail->n++;

    ps_pg_params_init(&tail->params[i]);
    ps_buf_init(&tail->packed[i], PS_PG_VALUES_BYTES);
    tail->steps[i] = (struct ps_pg_step){.query = query, .params = &tail->params[i]};
    return &tail->params[i];
}

static void remember(struct tail *tail, const struct ps_ingest_request *request)
{
    struct ps_pg_params *params = tail_next(tail, PS_Q_INGEST_REMEMBER);
    struct ps_buf *packed = &tail->packed[tail->n - 1];

    ps_replay_pack(request, packed);
    ps_pg_put_i64(params, request->owner_id);
    ps_pg_put_text(params, request->idempotency_key);
    ps_pg_put_bytea(params, request->digest, sizeof(request->digest));
    ps_pg_put_bytea_lent(params, packed->data, packed->len);
    if (ps_buf_error(packed))
        params->overflow = true;
}

static int write_tail(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    struct tail *tail = PS_NEW(struct tail);
    int code = tail ? 0 : PS_ERR_NOMEM;

    for (size_t i = 0; i < self->requests_n && code == 0; i++) {
        if (self->requests[i]->idempotency_key)
            remember(tail, self->requests[i]);
        if (tail->n == REMEMBER_STEPS)
            code = tail_run(tail, pg, reterr);
    }
    for (size_t i = 0; i < self->items_n && code == 0; i++) {
        const struct ps_group_item *item = &self->items[i];

        if (!ps_group_item_live(item) || !item->file->upload_id)
            continue;
        struct ps_pg_params *params = tail_next(tail, PS_Q_INGEST_UPLOAD_DONE);
        ps_pg_put_text(params, item->file->upload_id);
        ps_pg_put_i64(params, item->result->submission);
        if (tail->n == REMEMBER_STEPS)
            code = tail_run(tail, pg, reterr);
    }
    if (code == 0)
        code = tail_run(tail, pg, reterr);
    if (tail)
        tail_clear(tail);
    free(tail);
    return code;
}

int ps_group_write_rows(struct ps_group *self, struct ps_group_env *env, struct ps_error *reterr)
{
    int code = begin_and_join(self, env, reterr);

    if (code)
        return code;
    if ((code = copy_samples(self, env->pg, reterr)) == 0 &&
        (code = copy_scans(self, env->pg, reterr)) == 0 && (code = copy_jobs(self, env->pg, reterr)) == 0 &&
        (code = copy_submissions(self, env->pg, reterr)) == 0 &&
        (code = write_tail(self, env->pg, reterr)) == 0) {
        code = ps_pg_commit(env->pg, reterr);
        self->maybe_committed = code == PS_ERR_UNAVAILABLE;
    }
    if (code)
        ps_pg_rollback(env->pg);
    return code;
}
