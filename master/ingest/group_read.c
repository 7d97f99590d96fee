/* From a request to items: parse, check, hash, resolve. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "master/ingest/group.h"

#define FILES_STEP 256

static int grow_items(struct ps_group *self, size_t more)
{
    size_t cap = self->items_cap;

    while (cap < self->items_n + more)
        cap = cap ? 2 * cap : 1024;
    if (cap > self->items_cap) {
        if (ps_realloc(&self->items, cap, sizeof(*self->items)) != 0)
            return PS_ERR_NOMEM;
        self->items_cap = cap;
    }
    return 0;
}

/* Reads the files of a body until its end or the first bad header, which is kept in cut_error. */
static int read_body(struct ps_ingest_request *request)
{
    struct ps_ingest_file file;
    struct ps_batch batch;
    size_t cap = 0;
    int code;

    ps_batch_init(&batch, request->body);
    request->own_files = true;
    while ((code = ps_batch_next(&batch, &file, &request->cut_error)) == 1) {
        if (request->files_n == cap) {
            cap += cap ? cap : FILES_STEP;
            if (ps_realloc(&request->files, cap, sizeof(*request->files)) != 0) {
                ps_ingest_file_fini(&file);
                return PS_ERR_NOMEM;
            }
        }
        request->files[request->files_n++] = file;
    }
    if (code == PS_ERR_NOMEM)
        return code;
    request->cut = code != 0;
    request->cut_at = batch.at;
    return 0;
}

static int refuse(struct ps_ingest_result *result, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct ps_ingest_result *result, int code, const char *fmt, ...)
{
    char text[PS_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* cut when too long */
    va_end(args);
    result->code = code;
    result->text = ps_strf("%s", text);
    return result->text ? 0 : PS_ERR_NOMEM;
}

static int hash_item(struct ps_group *self, const struct ps_ingest_file *file,
                     struct ps_ingest_result *result)
{
    uint64_t from_us = ps_clock_mono_us();
    int code = ps_sha256(result->sha256, file->data.at, file->data.len);

    self->hash_us += ps_clock_mono_us() - from_us;
    if (code)
        return code;
    if (file->has_sha256 && memcmp(file->sha256, result->sha256, 32) != 0) {
        char declared[PS_SHA256_HEX], got[PS_SHA256_HEX];

        ps_hex_encode(declared, file->sha256, 32);
        ps_hex_encode(got, result->sha256, 32);
        return refuse(result, PS_ERR_INVALID, "the bytes have the SHA-256 %s, declared was %s", got,
                      declared);
    }
    return 0;
}

/* 0 and an item, or 0 and a refusal in the result, or an error of the whole request. */
static int read_file(struct ps_group *self, struct ps_group_env *env, struct ps_ingest_request *request,
                     const struct ps_ingest_file *file, struct ps_ingest_result *result,
                     struct ps_error *reterr)
{
    bool rescan = request->kind == PS_INGEST_RESCAN;
    struct ps_error why = {0};
    const struct ps_plan *plan;
    int code;

    result->n = file->n;
    if (!rescan && file->size > self->max_sample_bytes)
        return refuse(result, PS_ERR_LIMIT, "%llu bytes are more than the limit of %llu for a sample",
                      (unsigned long long)file->size, (unsigned long long)self->max_sample_bytes);
    if (rescan || file->upload_id)
        memcpy(result->sha256, file->sha256, 32);
    else if ((code = hash_item(self, file, result)) != 0 || result->code != 0)
        return code;
    code = ps_resolve_file(env->resolve, env->pg, file, &plan, &why);
    if (code == PS_ERR_INVALID || code == PS_ERR_LIMIT)
        return refuse(result, code, "%s", why.text);
    if (code) {
        if (reterr)
            *reterr = why;
        return code;
    }
    self->items[self->items_n++] = (struct ps_group_item){.request = request,
                                                          .file = file,
                                                          .result = result,
                                                          .plan = plan,
                                                          .sample = SIZE_MAX,
                                                          .scan = SIZE_MAX};
    return 0;
}

int ps_group_add(struct ps_group *self, struct ps_group_env *env, struct ps_ingest_request *request,
                 struct ps_error *reterr)
{
    uint64_t from_us = ps_clock_mono_us(), hash_us = self->hash_us;
    size_t items_n = self->items_n;
    int code = 0;

    if (self->requests_n >= PS_GROUP_REQUESTS_N)
        return ps_error_set(reterr, PS_ERR_BUSY, "too many requests in a group");
    if (request->kind == PS_INGEST_BODY && !request->own_files)
        code = read_body(request);
    ps_ingest_results_free(request);
    if (code == 0 &&
        (!(request->results = ps_alloc(PS_MAX(request->files_n, 1u), sizeof(*request->results))) ||
         grow_items(self, request->files_n) != 0))
        code = PS_ERR_NOMEM;
    if (code)
        (void)ps_error_set(reterr, code, "ingest: %s", ps_err_text(code));
    request->results_n = code ? 0 : request->files_n;
    for (size_t i = 0; i < request->files_n && code == 0; i++)
        code = read_file(self, env, request, &request->files[i], &request->results[i], reterr);
    self->read_us += ps_clock_mono_us() - from_us - (self->hash_us - hash_us);
    if (code) {
        self->items_n = items_n;
        ps_ingest_results_free(request);
        return code;
    }
    self->requests[self->requests_n++] = request;
    return 0;
}
