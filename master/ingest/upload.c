/* Thread upload: rows and files of chunked uploads, their running hashes, and the hand-over of complete ones. */
#include <unistd.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/ingest/ingest_private.h"

#define UPLOADS_N 10000 /* under way in the database: then PS_ERR_BUSY */
#define KEPT_N    256   /* running hashes kept; a forgotten upload is read again at its end */
#define IDLE_MS   60000
#define SWEEP_MS  600000

/* An upload under way, as far as it is remembered. */
struct upload {
    UT_hash_handle hh; /* in the order of their last use */
    char id[PS_STORE_UPLOAD_ID_MAX + 1];
    int64_t owner_id;
    struct ps_ingest_file file; /* what was asked at its begin; owns its json */
    struct ps_sha256 *hash;     /* owned; of the first hashed bytes */
    uint64_t hashed;            /* bytes */
};

/* A complete upload on its way through thread ingest. */
struct handover {
    UT_hash_handle hh;
    struct ps_ingest_request request; /* kind FILES, of one file */
    struct ps_ingest_file file;       /* owns its json */
    struct ps_ingest_request *outer;  /* the chunk that made it complete */
    struct ps_uploads *uploads;
    char id[PS_STORE_UPLOAD_ID_MAX + 1];
};

struct ps_uploads {
    struct ps_ingest *ingest;
    struct ps_pg *pg;           /* owned */
    struct ps_resolve *resolve; /* owned */
    struct upload *kept;        /* uthash by id */
    uint64_t sweep_at_ms;
    pthread_mutex_t lock;       /* guards handovers: both threads touch it */
    struct handover *handovers; /* uthash by id: what thread ingest has now */
};

int ps_uploads_new(struct ps_uploads **ret_self, struct ps_ingest *ingest)
{
    PS_CLEANUP(ps_uploads_free) struct ps_uploads *self = PS_NEW(struct ps_uploads);

    if (!self)
        return PS_ERR_NOMEM;
    (void)pthread_mutex_init(&self->lock, NULL); /* cannot fail with default attributes */
    self->ingest = ingest;
    if (ps_pg_new(&self->pg, ingest->conninfo, ingest->app) != 0 || ps_resolve_new(&self->resolve) != 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

static void forget(struct ps_uploads *self, struct upload *upload)
{
    if (!upload)
        return;
    HASH_DEL(self->kept, upload);
    ps_ingest_file_fini(&upload->file);
    ps_sha256_free(&upload->hash);
    free(upload);
}

void ps_uploads_free(struct ps_uploads **self_p)
{
    struct ps_uploads *self = *self_p;

    if (!self)
        return;
    while (self->kept)
        forget(self, self->kept);
    ps_pg_free(&self->pg);
    ps_resolve_free(&self->resolve);
    pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

static struct upload *find(struct ps_uploads *self, const char *id)
{
    struct upload *upload = NULL;

    HASH_FIND_STR(self->kept, id, upload);
    return upload;
}

/* Remembers an upload; the one that was not used for longest goes. Takes file on success. */
static int keep(struct ps_uploads *self, const struct ps_ingest_request *request, struct ps_ingest_file *file,
                struct upload **ret_upload)
{
    struct upload *upload = PS_NEW(struct upload);

    if (!upload || ps_sha256_new(&upload->hash) != 0) {
        free(upload);
        return PS_ERR_NOMEM;
    }
    if (HASH_COUNT(self->kept) >= KEPT_N)
        forget(self, self->kept);
    memcpy(upload->id, request->upload_id,
           strlen(request->upload_id) + 1); /* its length was checked at the door */
    upload->owner_id = request->owner_id;
    upload->file = *file;
    memset(file, 0, sizeof(*file));
    HASH_ADD_STR(self->kept, id, upload);
    *ret_upload = upload;
    return 0;
}

static int insert_row(struct ps_uploads *self, const struct ps_ingest_request *request,
                      struct ps_error *reterr)
{
    const struct ps_ingest_file *file = &request->files[0];
    PS_FREE char *json = json_dumps(file->json, JSON_COMPACT);
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_params_init(&params);
    if (!json)
        return ps_error_set(reterr, PS_ERR_NOMEM, "upload: out of memory");
    ps_pg_put_text(&params, request->upload_id);
    ps_pg_put_i64(&params, request->owner_id);
    ps_pg_put_i64(&params, (int64_t)file->size);
    if (file->has_sha256)
        ps_pg_put_bytea(&params, file->sha256, 32);
    else
        ps_pg_put_null(&params);
    ps_pg_put_text(&params, json);
    ps_pg_put_i64(&params, UPLOADS_N);
    if ((code = ps_pg_exec(self->pg, PS_Q_INGEST_UPLOAD_NEW, &params, &result, reterr)) != 0)
        return code;
    if (ps_row_n(result) == 0)
        return ps_error_set(reterr, PS_ERR_BUSY, "%d uploads are under way already", UPLOADS_N);
    return 0;
}

static int do_new(struct ps_uploads *self, struct ps_ingest_request *request, struct ps_error *reterr)
{
    const struct ps_ingest_file *file = &request->files[0];
    uint64_t max = self->ingest->config.max_sample_bytes;
    const struct ps_plan *plan;
    int code;

    if (!file->json)
        return ps_error_set(reterr, PS_ERR_INVALID, "upload: not read from a header");
    if (file->size > max)
        return ps_error_set(reterr, PS_ERR_LIMIT, "%llu bytes are more than the limit of %llu for a sample",
                            (unsigned long long)file->size, (unsigned long long)max);
    if ((code = ps_resolve_refresh(self->resolve, self->pg, false, reterr)) != 0 ||
        (code = ps_resolve_file(self->resolve, self->pg, file, &plan, reterr)) != 0 ||
        (code = ps_store_room(self->ingest->config.store, file->size, reterr)) != 0)
        return code;
    return insert_row(self, request, reterr);
}

/* A row as it was asked for at the begin. Answers by itself (1) when the upload is complete since long. */
static int load(struct ps_uploads *self, struct ps_ingest_request *request, struct upload **ret_upload,
                struct ps_error *reterr)
{
    struct ps_ingest_file file;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_params_init(&params);
    ps_pg_put_text(&params, request->upload_id);
    ps_pg_put_i64(&params, request->owner_id);
    if ((code = ps_pg_exec(self->pg, PS_Q_INGEST_UPLOAD_GET, &params, &result, reterr)) != 0)
        return code;
    if (ps_row_n(result) != 1)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "there is no such upload");
    request->upload_size = (uint64_t)ps_row_i64(result, 0, 0);
    if (!ps_row_null(result, 0, 3)) {
        struct ps_bytes sha256 = ps_row_bytes(result, 0, 5);

        if (sha256.len != 32 || !(request->results = PS_NEW(struct ps_ingest_result)))
            return ps_error_set(reterr, PS_ERR_NOMEM, "upload: out of memory");
        request->results_n = 1;
        memcpy(request->results[0].sha256, sha256.at, 32);
        request->results[0].submission = ps_row_i64(result, 0, 3);
        request->results[0].scan = ps_row_i64(result, 0, 4);
        request->upload_offset = request->upload_size;
        request->upload_complete = request->replayed = true;
        return 1;
    }
    if ((code = ps_batch_header(ps_row_json(result, 0, 2), false, &file, reterr)) != 0)
        return ps_error_wrap(reterr, PS_ERR_CORRUPT, "upload's row");
    code = keep(self, request, &file, ret_upload);
    ps_ingest_file_fini(&file);
    return code ? ps_error_set(reterr, code, "upload: out of memory") : 0;
}

/* On thread ingest, or on this one when it was not sent. */
static void handover_end(struct handover *handover, int code, const struct ps_error *error)
{
    struct ps_uploads *self = handover->uploads;
    struct ps_ingest_request *outer = handover->outer;
    struct ps_ingest_result *result = handover->request.results;
    struct ps_error why = {0};

    pthread_mutex_lock(&self->lock);
    HASH_DEL(self->handovers, handover);
    pthread_mutex_unlock(&self->lock);
    if (code == 0 && result->code != 0) { /* refused: of a whole request it is a failure */
        code = ps_error_set(&why, result->code, "%s", result->text ? result->text : "");
        error = &why;
    }
    if (code == 0) {
        outer->results = PS_TAKE(handover->request.results);
        outer->results_n = 1;
        outer->upload_complete = true;
    }
    ps_ingest_request_fini(&handover->request);
    ps_ingest_file_fini(&handover->file);
    ps_ingest_finish(self->ingest, outer, code, error);
    free(handover);
}

static void on_handover_done(struct ps_ingest_request *request)
{
    handover_end(request->arg, request->code, &request->error);
}

/* The hash of a whole upload. Its bytes reach the disk here and not in the group's time. */
static int hash_whole(struct ps_uploads *self, struct upload *upload, uint8_t ret_sha256[32],
                      struct ps_error *reterr)
{
    PS_CLOSE int fd = -1;
    uint64_t size = 0;
    int code = ps_store_upload_open(self->ingest->config.store, upload->id, &fd);

    if (code == 0 && fdatasync(fd) != 0)
        code = PS_ERR_IO;
    if (code == 0 && upload->hashed == upload->file.size) {
        ps_sha256_final(upload->hash, ret_sha256);
        upload->hashed = 0;
    } else if (code == 0) {
        code = ps_sha256_fd(ret_sha256, &size, fd);
        if (code == 0 && size != upload->file.size)
            code = PS_ERR_CORRUPT;
    }
    return code ? ps_error_set(reterr, code, "upload: reading it again: %s", ps_err_text(code)) : 0;
}

static int drop_row(struct ps_uploads *self, const char *id, int64_t owner_id, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_params_init(&params);
    ps_pg_put_text(&params, id);
    ps_pg_put_i64(&params, owner_id);
    if ((code = ps_pg_exec(self->pg, PS_Q_INGEST_UPLOAD_DROP, &params, &result, reterr)) != 0)
        return code;
    if (ps_row_n(result) != 1)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "there is no such upload");
    return ps_store_upload_remove(self->ingest->config.store, id);
}

/* The last chunk is there: 1 when thread ingest has it now and will answer. */
static int complete(struct ps_uploads *self, struct upload *upload, struct ps_ingest_request *request,
                    struct ps_error *reterr)
{
    struct handover *handover = NULL;
    uint8_t sha256[32];
    int code = hash_whole(self, upload, sha256, reterr);

    if (code)
        return code;
    if (upload->file.has_sha256 && memcmp(sha256, upload->file.sha256, 32) != 0) {
        (void)drop_row(self, upload->id, upload->owner_id, NULL); /* else it expires in a day */
        forget(self, upload);
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "the bytes do not have the SHA-256 that was declared; the upload is discarded");
    }
    if (!(handover = PS_NEW(struct handover)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "upload: out of memory");
    memcpy(handover->id, upload->id, sizeof(handover->id));
    handover->uploads = self;
    handover->outer = request;
    handover->file = upload->file;
    memset(&upload->file, 0, sizeof(upload->file)); /* its json has moved */
    forget(self, upload);
    memcpy(handover->file.sha256, sha256, 32);
    handover->file.has_sha256 = true;
    handover->file.upload_id = handover->id;
    handover->request = (struct ps_ingest_request){.kind = PS_INGEST_FILES,
                                                   .owner_id = request->owner_id,
                                                   .team_id = request->team_id,
                                                   .files = &handover->file,
                                                   .files_n = 1,
                                                   .done = on_handover_done,
                                                   .arg = handover};
    pthread_mutex_lock(&self->lock);
    HASH_ADD_STR(self->handovers, id, handover);
    pthread_mutex_unlock(&self->lock);
    if ((code = ps_ingest_send_inner(self->ingest, &handover->request)) != 0) {
        struct ps_error error;

        (void)ps_error_set(&error, code, "upload: %s", ps_err_text(code));
        handover_end(handover, code, &error);
    }
    return 1;
}

static bool in_handover(struct ps_uploads *self, const char *id)
{
    struct handover *handover = NULL;

    pthread_mutex_lock(&self->lock);
    HASH_FIND_STR(self->handovers, id, handover);
    pthread_mutex_unlock(&self->lock);
    return handover != NULL;
}

/* 1: it is answered elsewhere. */
static int do_chunk(struct ps_uploads *self, struct ps_ingest_request *request, struct ps_error *reterr)
{
    struct ps_store *store = self->ingest->config.store;
    struct upload *upload = find(self, request->upload_id);
    uint64_t end = request->offset + request->body.len;
    int code;

    if (in_handover(self, request->upload_id))
        return ps_error_set(reterr, PS_ERR_BUSY, "the upload is complete and is being taken in; ask again");
    if (upload && upload->owner_id != request->owner_id)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "there is no such upload");
    if (!upload && (code = load(self, request, &upload, reterr)) != 0) {
        if (code == 1) {
            ps_ingest_finish(self->ingest, request, 0, NULL);
            return 1;
        }
        return code;
    }
    assert(upload); /* found, or loaded, or we had returned */
    request->upload_size = upload->file.size;
    if (end < request->offset || end > upload->file.size)
        return ps_error_set(reterr, PS_ERR_INVALID, "the chunk ends after the %llu bytes that were declared",
                            (unsigned long long)upload->file.size);
    if ((code = ps_store_room(store, request->body.len, reterr)) != 0)
        return code;
    code = ps_store_upload_append(store, upload->id, request->offset, request->body.at, request->body.len,
                                  &request->upload_offset, reterr);
    if (code == 0 && upload->hashed == request->offset) {
        ps_sha256_update(upload->hash, request->body.at, request->body.len);
        upload->hashed = end;
    }
    /* The last chunk once more: its answer was lost, or its group failed. */
    if (code == PS_ERR_CONFLICT && end == upload->file.size && request->upload_offset == end)
        code = 0;
    if (code == 0 && request->upload_offset == upload->file.size)
        code = complete(self, upload, request, reterr);
    return code;
}

static int do_drop(struct ps_uploads *self, struct ps_ingest_request *request, struct ps_error *reterr)
{
    int code;

    if (in_handover(self, request->upload_id))
        return ps_error_set(reterr, PS_ERR_CONFLICT, "the upload is complete and is being taken in");
    code = drop_row(self, request->upload_id, request->owner_id, reterr);
    if (code == 0)
        forget(self, find(self, request->upload_id));
    return code;
}

static void work(struct ps_uploads *self, struct ps_ingest_request *request)
{
    struct ps_error error = {0};
    int code;

    if (atomic_load(&self->ingest->stopping))
        code = ps_error_set(&error, PS_ERR_CANCELLED, "the master stops");
    else if (atomic_load(&self->ingest->epoch) == 0)
        code = ps_error_set(&error, PS_ERR_UNAVAILABLE, "this master is a standby: it does not write");
    else if (request->kind == PS_INGEST_UPLOAD_NEW)
        code = do_new(self, request, &error);
    else if (request->kind == PS_INGEST_UPLOAD_CHUNK)
        code = do_chunk(self, request, &error);
    else
        code = do_drop(self, request, &error);
    if (code != 1)
        ps_ingest_finish(self->ingest, request, code, &error);
}

/* Uploads that nobody has finished within a day, and rows of those that were. */
static void sweep(struct ps_uploads *self)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    uint64_t now_ms = ps_clock_mono_ms();

    if (now_ms < self->sweep_at_ms || atomic_load(&self->ingest->epoch) == 0)
        return;
    self->sweep_at_ms = now_ms + SWEEP_MS;
    if (ps_pg_exec(self->pg, PS_Q_INGEST_UPLOAD_EXPIRE, NULL, &result, NULL) != 0)
        return; /* the next sweep tries again */
    for (int row = 0; row < ps_row_n(result); row++) {
        const char *id = ps_row_text(result, row, 0);

        forget(self, find(self, id));
        (void)ps_store_upload_remove(self->ingest->config.store, id); /* a leftover costs space only */
    }
}

void *ps_uploads_worker(void *arg)
{
    struct ps_ingest *ingest = arg;
    int code = 0;

    while (code != PS_ERR_CLOSED) {
        void *msg = NULL;

        code = ps_mailbox_wait(ingest->upload_inbox, &msg, IDLE_MS);
        if (msg)
            work(ingest->uploads, msg);
        sweep(ingest->uploads);
    }
    return NULL;
}
