/* Chunked, resumable uploads.
 * POST /api/v1/uploads, PATCH, GET, HEAD, DELETE /api/v1/uploads/{id}.
 * Rights: signed in; an upload is its maker's. Limits: max_sample_bytes by declared size, before any byte is sent;
 * PS_UPLOAD_CHUNK_BYTES a chunk. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/mem.h"
#include "master/web/header.h"
#include "master/web/inlet.h"
#include "master/web/route.h"
#include "master/web/text.h"

/* Path argument 0 as an upload's id. Answers 404 when it can't be one. */
static int take_id(struct ps_call *call, char ret_id[PS_STORE_UPLOAD_ID_MAX + 1])
{
    struct ps_bytes id = call->args[0];

    if (id.len <= PS_STORE_UPLOAD_ID_MAX) {
        memcpy(ret_id, id.at, id.len);
        ret_id[id.len] = '\0';
        if (ps_store_upload_id_valid(ret_id))
            return 0;
    }
    ps_call_problem(call, 404, "not-found", "there is no such upload");
    return PS_ERR_NOTFOUND;
}

/* ---- POST ---- */

static void answer_new(struct ps_inlet *self)
{
    ps_call_json(self->call, 201,
                 json_pack("{s:s, s:i, s:i}", "id", self->upload_id, "offset", 0, "chunk_bytes",
                           (int)PS_WEB_CHUNK_BYTES));
}

void ps_post_uploads(struct ps_call *call)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = ps_inlet_new(call, PS_INGEST_UPLOAD_NEW, answer_new);
    uint8_t random[16];

    if (!inlet || ps_header_of_body(call, &inlet->file) != 0 || ps_header_check_size(call, &inlet->file) != 0)
        return;
    randombytes_buf(random, sizeof(random));
    ps_hex_encode(inlet->upload_id, random, sizeof(random));
    inlet->request.upload_id = inlet->upload_id;
    inlet->request.files = &inlet->file;
    inlet->request.files_n = 1;
    ps_inlet_send(&inlet);
}

/* ---- PATCH ---- */

static void set_offset(struct ps_call *call, uint64_t offset)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)offset);
    ps_call_set_header(call, "upload-offset", text);
}

static void answer_chunk(struct ps_inlet *self)
{
    const struct ps_ingest_request *request = &self->request;
    json_t *json;

    set_offset(self->call, request->upload_offset);
    if (request->code) {
        ps_call_problem_n(self->call, 409, "offset", "offset", request->upload_offset, "%s",
                          request->error.text);
        return;
    }
    if (request->upload_complete && request->results[0].code) {
        ps_inlet_problem(self->call, &request->results[0]);
        return;
    }
    json = request->upload_complete ? ps_inlet_receipt(&request->results[0]) : json_object();
    (void)json_object_set_new(json, "offset", json_integer((json_int_t)request->upload_offset));
    ps_call_json(self->call, 200, json);
}

void ps_patch_upload(struct ps_call *call)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = NULL;
    struct ps_bytes body, offset = ps_call_header(call, "upload-offset");
    char id[PS_STORE_UPLOAD_ID_MAX + 1];
    uint64_t at;

    if (take_id(call, id) != 0)
        return;
    if (ps_web_u64(offset, &at) != 0) {
        ps_call_problem(call, 400, "upload-offset", "the header Upload-Offset must say where these bytes go");
        return;
    }
    if (ps_call_body(call, PS_UPLOAD_CHUNK_BYTES, &body) != 0)
        return;
    inlet = ps_inlet_new(call, PS_INGEST_UPLOAD_CHUNK, answer_chunk);
    if (!inlet || ps_inlet_copy(inlet, body) != 0)
        return;
    memcpy(inlet->upload_id, id, sizeof(id));
    inlet->request.upload_id = inlet->upload_id;
    inlet->request.offset = at;
    ps_inlet_send(&inlet);
}

/* ---- GET, HEAD ---- */

static void answer_complete(struct ps_call *call, const PGresult *result)
{
    uint64_t size = (uint64_t)ps_row_i64(result, 0, 0);
    struct ps_bytes sha256 = ps_row_bytes(result, 0, 2);
    char hex[PS_SHA256_HEX] = "";

    if (sha256.len == PS_SHA256_BYTES)
        ps_hex_encode(hex, sha256.at, sha256.len);
    set_offset(call, size);
    ps_call_json(call, 200,
                 json_pack("{s:I, s:I, s:b, s:s, s:I, s:I}", "offset", (json_int_t)size, "size",
                           (json_int_t)size, "complete", 1, "sha256", hex, "submission",
                           (json_int_t)ps_row_i64(result, 0, 1), "scan",
                           (json_int_t)ps_row_i64(result, 0, 3)));
}

static void upload_read(struct ps_call *call, const PGresult *result)
{
    char id[PS_STORE_UPLOAD_ID_MAX + 1];
    uint64_t offset = 0;

    if (take_id(call, id) != 0)
        return;
    if (ps_row_n(result) == 0) {
        ps_call_problem(call, 404, "not-found", "there is no such upload");
        return;
    }
    if (!ps_row_null(result, 0, 1)) {
        answer_complete(call, result);
        return;
    }
    int r = ps_store_upload_size(call->web->settings.store, id, &offset); /* one look at a local directory */
    if (r) {
        ps_call_error(call, r, NULL);
        return;
    }
    set_offset(call, offset);
    ps_call_json(call, 200,
                 json_pack("{s:I, s:I, s:b}", "offset", (json_int_t)offset, "size",
                           (json_int_t)ps_row_i64(result, 0, 0), "complete", 0));
}

void ps_get_upload(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    char id[PS_STORE_UPLOAD_ID_MAX + 1];

    if (take_id(call, id) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_text(&params, id);
    ps_pg_put_i64(&params, call->account_id);
    ps_call_query(call, PS_Q_WEB_UPLOAD, &params, upload_read);
}

/* ---- DELETE ---- */

static void answer_gone(struct ps_inlet *self)
{
    ps_call_empty(self->call, 204);
}

void ps_delete_upload(struct ps_call *call)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = NULL;
    char id[PS_STORE_UPLOAD_ID_MAX + 1];

    if (take_id(call, id) != 0)
        return;
    inlet = ps_inlet_new(call, PS_INGEST_UPLOAD_DROP, answer_gone);
    if (!inlet)
        return;
    memcpy(inlet->upload_id, id, sizeof(id));
    inlet->request.upload_id = inlet->upload_id;
    ps_inlet_send(&inlet);
}
