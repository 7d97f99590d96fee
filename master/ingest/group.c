#include "master/ingest/group.h"

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg.h"

void ps_group_init(struct ps_group *self, uint64_t max_sample_bytes)
{
    memset(self, 0, sizeof(*self));
    self->max_sample_bytes = max_sample_bytes;
    ps_pg_copy_init(&self->rows);
    ps_pg_array_init(&self->tags, PS_PG_TEXT);
    ps_buf_init(&self->text, 1u << 20);
}

/* What a commit builds. */
static void forget_index(struct ps_group *self)
{
    HASH_CLEAR(hh, self->samples_by_hash);
    HASH_CLEAR(hh, self->scans_by_key);
    free(self->samples);
    free(self->scans);
    self->samples = NULL;
    self->scans = NULL;
    self->samples_n = self->scans_n = self->scans_cap = 0;
    self->bytes_n = self->known_n = self->joined_n = self->scans_new_n = self->jobs_n = 0;
    self->maybe_committed = false;
}

void ps_group_clear(struct ps_group *self)
{
    forget_index(self);
    self->requests_n = self->items_n = 0;
    self->read_us = self->hash_us = self->store_us = self->db_us = 0;
}

void ps_group_fini(struct ps_group *self)
{
    forget_index(self);
    free(self->items);
    self->items = NULL;
    self->items_n = self->items_cap = 0;
    ps_pg_copy_fini(&self->rows);
    ps_pg_array_fini(&self->tags);
    ps_buf_fini(&self->text);
}

static int index_samples(struct ps_group *self)
{
    if (!(self->samples = ps_alloc(PS_MAX(self->items_n, 1u), sizeof(*self->samples))))
        return PS_ERR_NOMEM;
    for (size_t i = 0; i < self->items_n; i++) {
        struct ps_group_item *item = &self->items[i];
        struct ps_group_sample *sample = NULL;

        if (!ps_group_item_live(item))
            continue;
        HASH_FIND(hh, self->samples_by_hash, item->result->sha256, 32, sample);
        if (!sample) {
            sample = &self->samples[self->samples_n++];
            memcpy(sample->sha256, item->result->sha256, 32);
            HASH_ADD(hh, self->samples_by_hash, sha256, 32, sample);
        }
        item->sample = (size_t)(sample - self->samples);
        if (item->request->kind != PS_INGEST_RESCAN) {
            sample->submitted = true;
            if (!sample->bytes)
                sample->bytes = item->file;
        }
    }
    return 0;
}

static int ask_known(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array hashes;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_array_init(&hashes, PS_PG_BYTEA);
    ps_pg_params_init(&params);
    for (size_t i = 0; i < self->samples_n; i++)
        ps_pg_array_bytes(&hashes, self->samples[i].sha256, 32);
    ps_pg_put_array(&params, &hashes);
    if ((code = ps_pg_exec(pg, PS_Q_INGEST_KNOWN, &params, &result, reterr)) != 0)
        return code;
    for (int row = 0; row < ps_row_n(result); row++) {
        struct ps_group_sample *sample = &self->samples[ps_row_i64(result, row, 0) - 1];

        sample->known = true;
        sample->id = ps_row_i64(result, row, 1);
    }
    return 0;
}

/* Rescans name samples that have to be there. */
static int refuse_unknown(struct ps_group *self)
{
    for (size_t i = 0; i < self->items_n; i++) {
        struct ps_group_item *item = &self->items[i];

        if (!ps_group_item_live(item) || item->request->kind != PS_INGEST_RESCAN ||
            self->samples[item->sample].known)
            continue;
        item->result->code = PS_ERR_NOTFOUND;
        if (!item->result->text && !(item->result->text = ps_strf("there is no such sample")))
            return PS_ERR_NOMEM;
    }
    return 0;
}

static int grow_scans(struct ps_group *self, size_t found)
{
    /* All that were found, and one for each file: uthash points into the array, so it must not move later. */
    self->scans_cap = self->items_n + found;
    self->scans = ps_alloc(PS_MAX(self->scans_cap, 1u), sizeof(*self->scans));
    return self->scans ? 0 : PS_ERR_NOMEM;
}

static struct ps_group_scan *find_scan(struct ps_group *self, size_t sample, int32_t set_id, int32_t band)
{
    struct ps_group_scan_key key = {(int64_t)sample, set_id, band};
    struct ps_group_scan *scan = NULL;

    /* clang 14 loses sight of key in uthash's macro. NOLINTNEXTLINE */
    HASH_FIND(hh, self->scans_by_key, &key, sizeof(key), scan);
    return scan;
}

static struct ps_group_scan *add_scan(struct ps_group *self, size_t sample, int32_t set_id, int32_t band,
                                      bool shared)
{
    struct ps_group_scan *scan = &self->scans[self->scans_n++];

    scan->key = (struct ps_group_scan_key){(int64_t)sample, set_id, band};
    if (shared)
        HASH_ADD(hh, self->scans_by_key, key, sizeof(scan->key), scan);
    return scan;
}

/* Unfinished scans of the samples that are known: these submissions may join. */
static int ask_open(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array ids;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    PS_FREE size_t *samples = ps_alloc(self->samples_n + 1, sizeof(*samples));
    size_t n = 0;
    int code;

    ps_pg_array_init(&ids, PS_PG_INT8);
    ps_pg_params_init(&params);
    if (!samples)
        return PS_ERR_NOMEM;
    for (size_t i = 0; i < self->samples_n; i++) {
        if (self->samples[i].known && self->samples[i].submitted) {
            ps_pg_array_i64(&ids, self->samples[i].id);
            samples[n++] = i;
        }
    }
    if (n == 0)
        return grow_scans(self, 0);
    ps_pg_put_array(&params, &ids);
    if ((code = ps_pg_exec(pg, PS_Q_INGEST_OPEN, &params, &result, reterr)) != 0)
        return code;
    if ((code = grow_scans(self, (size_t)ps_row_n(result))) != 0)
        return code;
    for (int row = 0; row < ps_row_n(result); row++) {
        size_t sample = samples[ps_row_i64(result, row, 0) - 1];
        int32_t set_id = (int32_t)ps_row_i64(result, row, 2), band = (int32_t)ps_row_i64(result, row, 3);

        if (find_scan(self, sample, set_id, band)) /* the newest comes first, and is good enough */
            continue;
        struct ps_group_scan *scan = add_scan(self, sample, set_id, band, true);
        scan->joined = true;
        scan->id = ps_row_i64(result, row, 1);
    }
    return 0;
}

/* The scan for a file. A submission joins one of the same sample and engines that is at least as urgent; a rescan is
 * always new, since it is asked for when something has changed. */
static struct ps_group_scan *scan_for(struct ps_group *self, const struct ps_group_item *item)
{
    bool rescan = item->request->kind == PS_INGEST_RESCAN;
    int32_t band = rescan && item->file->band == PS_BAND_BATCH ? PS_BAND_RESCAN : (int32_t)item->file->band;
    struct ps_group_scan *scan = NULL;

    for (int32_t urgent = 0; !rescan && !scan && urgent <= band; urgent++)
        scan = find_scan(self, item->sample, item->plan->set_id, urgent);
    if (!scan) {
        scan = add_scan(self, item->sample, item->plan->set_id, band, !rescan);
        scan->cause = rescan ? 2 : 1;
    }
    if (!scan->plan) {
        scan->plan = item->plan;
        scan->owner_id = item->request->owner_id;
    }
    return scan;
}

static void index_scans(struct ps_group *self)
{
    for (size_t i = 0; i < self->items_n; i++)
        if (ps_group_item_live(&self->items[i]))
            self->items[i].scan = (size_t)(scan_for(self, &self->items[i]) - self->scans);
}

/* Draws the ids of samples and submissions, and of scans: also one for each that is to be joined, in case it ends
 * before we hold it. */
static int draw(struct ps_group *self, struct ps_pg *pg, struct ps_error *reterr)
{
    size_t samples_n = 0, submissions_n = 0;
    int64_t first[3];
    int code;

    for (size_t i = 0; i < self->samples_n; i++)
        samples_n += !self->samples[i].known && self->samples[i].submitted;
    for (size_t i = 0; i < self->items_n; i++)
        submissions_n +=
            ps_group_item_live(&self->items[i]) && self->items[i].request->kind != PS_INGEST_RESCAN;
    if ((code = ps_group_draw_ids(pg, samples_n, self->scans_n, submissions_n, first, reterr)) != 0)
        return code;
    self->first_sample = first[0];
    self->first_scan = first[1];
    self->first_submission = first[2];
    for (size_t i = 0; i < self->samples_n; i++)
        if (!self->samples[i].known && self->samples[i].submitted)
            self->samples[i].id = first[0]++;
    return 0;
}

static int store_samples(struct ps_group *self, struct ps_store *store, struct ps_store_batch *batch,
                         struct ps_error *reterr)
{
    int code;

    for (size_t i = 0; i < self->samples_n; i++)
        if (!self->samples[i].known && self->samples[i].bytes)
            self->bytes_n += self->samples[i].bytes->size;
    code = self->bytes_n ? ps_store_room(store, self->bytes_n, reterr) : 0;
    for (size_t i = 0; i < self->samples_n && code == 0; i++) {
        const struct ps_group_sample *sample = &self->samples[i];

        if (sample->known || !sample->bytes)
            continue;
        code = sample->bytes->upload_id
                   ? ps_store_batch_adopt(batch, sample->sha256, sample->bytes->upload_id, reterr)
                   : ps_store_batch_put(batch, sample->sha256, sample->bytes->data.at,
                                        sample->bytes->data.len, reterr);
    }
    return code ? code : ps_store_batch_sync(batch, reterr);
}

/* After a failure: may the files go that were renamed into place? Only when it is certain that no row names them and
 * that no other master has taken over, who might have stored the same sample since. */
static bool certainly_unknown(struct ps_group *self, struct ps_group_env *env)
{
    PS_PG_ARRAY struct ps_pg_array hashes;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    bool certain;

    ps_pg_array_init(&hashes, PS_PG_BYTEA);
    ps_pg_params_init(&params);
    if (self->maybe_committed || ps_group_begin(env->pg, env->epoch, NULL) != 0)
        return false;
    for (size_t i = 0; i < self->samples_n; i++)
        if (!self->samples[i].known)
            ps_pg_array_bytes(&hashes, self->samples[i].sha256, 32);
    ps_pg_put_array(&params, &hashes);
    certain = ps_pg_exec(env->pg, PS_Q_INGEST_STILL_UNKNOWN, &params, &result, NULL) == 0 &&
              ps_row_n(result) == 1 && ps_row_i64(result, 0, 0) == 0;
    ps_pg_rollback(env->pg);
    return certain;
}

/* Store, then rows: the order that makes an acknowledgement true. */
static int make_durable(struct ps_group *self, struct ps_group_env *env, struct ps_error *reterr)
{
    PS_CLEANUP(ps_store_batch_free) struct ps_store_batch *batch = NULL;
    uint64_t from_us = ps_clock_mono_us();
    int code = ps_store_batch_new(env->store, &batch, reterr);

    if (code)
        return code;
    code = store_samples(self, env->store, batch, reterr);
    self->store_us += ps_clock_mono_us() - from_us;
    if (code == 0) {
        from_us = ps_clock_mono_us();
        code = ps_group_write_rows(self, env, reterr);
        self->db_us += ps_clock_mono_us() - from_us;
    }
    if (code == 0)
        ps_store_batch_keep(batch);
    else if (ps_store_batch_files(batch) > 0 && certainly_unknown(self, env))
        ps_store_batch_undo(batch);
    return code;
}

static void fill_results(struct ps_group *self, struct ps_ingest_news *news)
{
    memset(news, 0, sizeof(*news));
    for (size_t i = 0; i < self->scans_n; i++) {
        const struct ps_group_scan *scan = &self->scans[i];

        if (!scan->joined) {
            news->bands |= 1u << scan->key.band;
            news->scans_n++;
            self->jobs_n += (uint64_t)scan->plan->engines_n;
        }
    }
    self->scans_new_n = news->scans_n;
    for (size_t i = 0; i < self->items_n; i++) {
        struct ps_group_item *item = &self->items[i];

        if (!ps_group_item_live(item))
            continue;
        self->known_n += item->result->known;
        self->joined_n += self->scans[item->scan].joined;
        news->submissions_n += item->result->submission != 0;
    }
    if (news->submissions_n > 0) {
        news->first_submission = self->first_submission;
        news->last_submission = self->first_submission + (int64_t)news->submissions_n - 1;
    }
}

int ps_group_commit(struct ps_group *self, struct ps_group_env *env, struct ps_ingest_news *ret_news,
                    struct ps_error *reterr)
{
    uint64_t from_us = ps_clock_mono_us();
    int code;

    forget_index(self);
    if ((code = index_samples(self)) == 0 && (code = ask_known(self, env->pg, reterr)) == 0 &&
        (code = refuse_unknown(self)) == 0 && (code = ask_open(self, env->pg, reterr)) == 0) {
        index_scans(self);
        code = draw(self, env->pg, reterr);
    }
    self->db_us += ps_clock_mono_us() - from_us;
    if (code == 0)
        code = make_durable(self, env, reterr);
    if (code == PS_ERR_NOMEM)
        return ps_error_set(reterr, code, "ingest: out of memory");
    if (code == 0)
        fill_results(self, ret_news);
    return code;
}
