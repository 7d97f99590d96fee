/* The door: queueing, charging, starting and stopping. */
#include "master/ingest/ingest.h"

#include <string.h>

#include "base/mem.h"
#include "db/pg.h"
#include "master/ingest/ingest_private.h"

#define MAX_SAMPLE_BYTES (512ull << 20)
#define QUEUE_BYTES      (256u << 20)
#define QUEUE_N          1000
#define GROUP_FILES      4096
#define GROUP_BYTES      (32u << 20)
#define INNER_N          1024 /* what thread upload may have under way with thread ingest */

void ps_ingest_results_free(struct ps_ingest_request *request)
{
    for (size_t i = 0; request->results && i < request->results_n; i++)
        free(request->results[i].text);
    free(request->results);
    request->results = NULL;
    request->results_n = 0;
}

void ps_ingest_request_fini(struct ps_ingest_request *request)
{
    ps_ingest_results_free(request);
    if (!request->own_files)
        return;
    for (size_t i = 0; i < request->files_n; i++)
        ps_ingest_file_fini(&request->files[i]);
    free(request->files);
    request->files = NULL;
    request->files_n = 0;
    request->own_files = false;
}

void ps_ingest_finish(struct ps_ingest *self, struct ps_ingest_request *request, int code,
                      const struct ps_error *error)
{
    request->code = code;
    if (code && error)
        request->error = *error;
    if (code)
        ps_ingest_results_free(request);
    if (request->charged) {
        request->charged = false;
        atomic_fetch_sub(&self->queued_n, 1);
        atomic_fetch_sub(&self->queued_bytes, request->charged_bytes);
    }
    pthread_mutex_lock(&self->stats_lock);
    self->stats.failed += code != 0;
    self->stats.replays += request->replayed;
    pthread_mutex_unlock(&self->stats_lock);
    request->done(request);
}

static bool is_upload(const struct ps_ingest_request *request)
{
    return request->kind == PS_INGEST_UPLOAD_NEW || request->kind == PS_INGEST_UPLOAD_CHUNK ||
           request->kind == PS_INGEST_UPLOAD_DROP;
}

static size_t bytes_of(const struct ps_ingest_request *request)
{
    size_t bytes = request->body.len;

    for (size_t i = 0; request->files && i < request->files_n; i++)
        bytes += request->files[i].data.len;
    return bytes;
}

/* Our own callers' mistakes and what they should have refused. */
static int check(const struct ps_ingest_request *request)
{
    size_t body_max = request->kind == PS_INGEST_BODY ? PS_BATCH_BYTES : PS_UPLOAD_CHUNK_BYTES;

    if (!request->done || (is_upload(request) && !request->upload_id) ||
        (is_upload(request) && !ps_store_upload_id_valid(request->upload_id)) ||
        (request->kind == PS_INGEST_UPLOAD_NEW && request->files_n != 1) ||
        (request->kind == PS_INGEST_BACKFILL && !request->backfill_engine))
        return PS_ERR_INVALID;
    if (request->body.len > body_max || request->files_n > PS_BATCH_FILES ||
        (request->idempotency_key && strlen(request->idempotency_key) > PS_IDEMPOTENCY_KEY_BYTES))
        return PS_ERR_LIMIT;
    return 0;
}

int ps_ingest_send(struct ps_ingest *self, struct ps_ingest_request *request)
{
    size_t bytes = bytes_of(request);
    int code = check(request);

    if (code)
        return code;
    if (atomic_load(&self->stopping))
        return PS_ERR_CLOSED;
    /* One request larger than all of the queue may pass alone. */
    if (atomic_fetch_add(&self->queued_n, 1) >= self->config.queue_n)
        code = PS_ERR_BUSY;
    if (atomic_fetch_add(&self->queued_bytes, bytes) + bytes > PS_MAX(self->config.queue_bytes, bytes))
        code = PS_ERR_BUSY;
    request->charged_bytes = bytes;
    request->charged = true;
    if (code == 0)
        code = ps_mailbox_send(is_upload(request) ? self->upload_inbox : self->inbox, request);
    if (code) {
        request->charged = false;
        atomic_fetch_sub(&self->queued_n, 1);
        atomic_fetch_sub(&self->queued_bytes, bytes);
        pthread_mutex_lock(&self->stats_lock);
        self->stats.busy += code == PS_ERR_BUSY;
        pthread_mutex_unlock(&self->stats_lock);
    }
    return code;
}

int ps_ingest_send_inner(struct ps_ingest *self, struct ps_ingest_request *request)
{
    return ps_mailbox_send(self->inbox, request);
}

void ps_ingest_set_epoch(struct ps_ingest *self, uint64_t epoch)
{
    atomic_store(&self->epoch, epoch);
}

void ps_ingest_refresh(struct ps_ingest *self)
{
    atomic_store(&self->refresh, true);
}

struct ps_ingest_stats ps_ingest_stats(struct ps_ingest *self)
{
    struct ps_ingest_stats stats;

    pthread_mutex_lock(&self->stats_lock);
    stats = self->stats;
    pthread_mutex_unlock(&self->stats_lock);
    stats.waiting_n = atomic_load(&self->queued_n);
    stats.waiting_bytes = atomic_load(&self->queued_bytes);
    return stats;
}

static int fill(struct ps_ingest *self, const struct ps_ingest_config *config)
{
    self->config = *config;
    self->config.max_sample_bytes = config->max_sample_bytes ? config->max_sample_bytes : MAX_SAMPLE_BYTES;
    self->config.queue_bytes = config->queue_bytes ? config->queue_bytes : QUEUE_BYTES;
    self->config.queue_n = config->queue_n ? config->queue_n : QUEUE_N;
    self->config.group_files = config->group_files ? config->group_files : GROUP_FILES;
    self->config.group_bytes = config->group_bytes ? config->group_bytes : GROUP_BYTES;
    self->conninfo = ps_strf("%s", config->conninfo);
    self->app = ps_strf("%s", config->app ? config->app : "phagescan-master");
    ps_group_init(&self->group, self->config.max_sample_bytes);
    self->env.store = config->store;
    if (!self->conninfo || !self->app || ps_resolve_new(&self->env.resolve) != 0 ||
        ps_pg_new(&self->env.pg, self->conninfo, self->app) != 0 || ps_uploads_new(&self->uploads, self) != 0)
        return PS_ERR_NOMEM;
    if (ps_mailbox_new(&self->inbox, self->config.queue_n + INNER_N) != 0)
        return PS_ERR_NOMEM;
    return ps_mailbox_new(&self->upload_inbox, self->config.queue_n);
}

static void free_all(struct ps_ingest *self)
{
    ps_mailbox_free(&self->inbox, NULL); /* both threads have emptied their boxes */
    ps_mailbox_free(&self->upload_inbox, NULL);
    ps_uploads_free(&self->uploads);
    ps_group_fini(&self->group);
    ps_resolve_free(&self->env.resolve);
    ps_pg_free(&self->env.pg);
    pthread_mutex_destroy(&self->stats_lock);
    free(self->conninfo);
    free(self->app);
    free(self);
}

int ps_ingest_start(struct ps_ingest **ret_self, const struct ps_ingest_config *config,
                    struct ps_error *reterr)
{
    struct ps_ingest *self = PS_NEW(struct ps_ingest);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "ingest: out of memory");
    (void)pthread_mutex_init(&self->stats_lock, NULL); /* cannot fail with default attributes */
    if (fill(self, config) != 0) {
        free_all(self);
        return ps_error_set(reterr, PS_ERR_NOMEM, "ingest: out of memory");
    }
    self->ingest_runs = pthread_create(&self->ingest_thread, NULL, ps_ingest_worker, self) == 0;
    self->upload_runs = pthread_create(&self->upload_thread, NULL, ps_uploads_worker, self) == 0;
    if (!self->ingest_runs || !self->upload_runs) {
        ps_ingest_stop(&self);
        return ps_error_set(reterr, PS_ERR_NOMEM, "ingest: threads cannot be started");
    }
    *ret_self = self;
    return 0;
}

void ps_ingest_stop(struct ps_ingest **self_p)
{
    struct ps_ingest *self = *self_p;

    if (!self)
        return;
    atomic_store(&self->stopping, true);
    /* Upload first: it sends to ingest. */
    ps_mailbox_close(self->upload_inbox);
    if (self->upload_runs)
        (void)pthread_join(self->upload_thread, NULL); /* joinable and ours */
    ps_mailbox_close(self->inbox);
    if (self->ingest_runs)
        (void)pthread_join(self->ingest_thread, NULL);
    free_all(self);
    *self_p = NULL;
}
