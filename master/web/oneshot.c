/* POST /api/v1/submissions?name=&profile=&engines=&batch=&tags=&priority=&source_path=&visibility=&sha256=
 * One sample, its bytes are the body.
 * Rights: signed in. Limits: PS_WEB_ONESHOT_BYTES and max_sample_bytes; a Content-Length is needed. */
#include "base/mem.h"
#include "master/web/header.h"
#include "master/web/inlet.h"
#include "master/web/route.h"

static void answer(struct ps_inlet *self)
{
    const struct ps_ingest_result *result = &self->request.results[0];

    if (result->code)
        ps_inlet_problem(self->call, result);
    else
        ps_call_json(self->call, 201, ps_inlet_receipt(result));
}

void ps_post_submissions(struct ps_call *call)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = NULL;
    struct ps_bytes body;

    if (ps_call_body(call, PS_WEB_ONESHOT_BYTES, &body) != 0)
        return;
    inlet = ps_inlet_new(call, PS_INGEST_FILES, answer);
    if (!inlet || ps_header_of_query(call, body.len, &inlet->file) != 0 ||
        ps_header_check_size(call, &inlet->file) != 0 || ps_inlet_copy(inlet, body) != 0)
        return;
    inlet->file.data = inlet->request.body;
    inlet->request.body = (struct ps_bytes){0};
    inlet->request.files = &inlet->file;
    inlet->request.files_n = 1;
    ps_inlet_send(&inlet);
}
