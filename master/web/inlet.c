#include "master/web/inlet.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct ps_inlet *ps_inlet_new(struct ps_call *call, enum ps_ingest_kind kind,
                              void (*answer)(struct ps_inlet *self))
{
    struct ps_inlet *self = PS_NEW(struct ps_inlet);

    if (!self) {
        ps_call_error(call, PS_ERR_NOMEM, NULL);
        return NULL;
    }
    ps_call_ref(call);
    self->call = call;
    self->answer = answer;
    self->request.kind = kind;
    self->request.owner_id = call->account_id;
    self->request.team_id = call->team_id;
    ps_ingest_file_init(&self->file);
    return self;
}

void ps_inlet_free(struct ps_inlet **self_p)
{
    struct ps_inlet *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_ingest_request_fini(&self->request);
    ps_ingest_file_fini(&self->file);
    ps_call_unref(self->call);
    free(self->body);
    free(self);
}

int ps_inlet_copy(struct ps_inlet *self, struct ps_bytes body)
{
    self->body = ps_alloc(body.len + 1, 1);
    if (!self->body) {
        ps_call_error(self->call, PS_ERR_NOMEM, NULL);
        return PS_ERR_NOMEM;
    }
    memcpy(self->body, body.at, body.len);
    self->request.body = (struct ps_bytes){self->body, body.len};
    return 0;
}

/* A chunk that did not fit says where it should begin: that is its handler's to tell. */
static bool tells_itself(const struct ps_ingest_request *request)
{
    return request->code == 0 ||
           (request->code == PS_ERR_CONFLICT && request->kind == PS_INGEST_UPLOAD_CHUNK);
}

static void back(struct ps_web_post *post)
{
    struct ps_inlet *self = PS_CONTAINER_OF(post, struct ps_inlet, post);

    if (tells_itself(&self->request))
        self->answer(self);
    else
        ps_call_error(self->call, self->request.code, self->request.error.text);
    ps_inlet_free(&self);
}

/* On ingest's thread. */
static void done(struct ps_ingest_request *request)
{
    struct ps_inlet *self = PS_CONTAINER_OF(request, struct ps_inlet, request);

    ps_web_post(self->call->web, &self->post);
}

void ps_inlet_send(struct ps_inlet **self_p)
{
    struct ps_inlet *self = PS_TAKE(*self_p);
    int r;

    self->post.run = back;
    self->request.done = done;
    r = ps_ingest_send(self->call->web->settings.ingest, &self->request);
    if (!r)
        return;
    ps_call_error(self->call, r,
                  r == PS_ERR_BUSY
                      ? "too much is on its way in already: send less at once, and this again soon"
                      : NULL);
    ps_inlet_free(&self);
}

json_t *ps_inlet_receipt(const struct ps_ingest_result *result)
{
    char hex[PS_SHA256_HEX];

    ps_hex_encode(hex, result->sha256, PS_SHA256_BYTES);
    return json_pack("{s:s, s:I, s:I, s:b}", "sha256", hex, "submission", (json_int_t)result->submission,
                     "scan", (json_int_t)result->scan, "known", (int)result->known);
}

void ps_inlet_problem(struct ps_call *call, const struct ps_ingest_result *result)
{
    ps_call_error(call, result->code, result->text);
}
