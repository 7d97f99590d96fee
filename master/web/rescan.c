/* POST /api/v1/samples/{sha256}/scans {"profile"?,"engines"?,"priority"?}: scans a known sample again.
 * Rights: signed in, and may see a submission of it. Limits: PS_BATCH_HEADER_BYTES of body. */
#include <string.h>

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
        ps_call_json(self->call, 201, json_pack("{s:I}", "scan", (json_int_t)result->scan));
}

static void sample_read(struct ps_call *call, const PGresult *result)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = NULL;
    uint8_t sha256[PS_SHA256_BYTES];

    if (ps_row_n(result) == 0) {
        ps_call_problem(call, 404, "not-found", "no sample with this SHA-256 was submitted");
        return;
    }
    inlet = ps_inlet_new(call, PS_INGEST_RESCAN, answer);
    if (!inlet || ps_call_arg_sha256(call, 0, sha256) != 0 || ps_header_of_rescan(call, &inlet->file) != 0)
        return;
    memcpy(inlet->file.sha256, sha256, sizeof(sha256));
    inlet->file.has_sha256 = true;
    inlet->request.files = &inlet->file;
    inlet->request.files_n = 1;
    ps_inlet_send(&inlet);
}

void ps_post_sample_scans(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    uint8_t sha256[PS_SHA256_BYTES];

    if (ps_call_arg_sha256(call, 0, sha256) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_bytea(&params, sha256, sizeof(sha256));
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    ps_call_query(call, PS_Q_WEB_READ_SAMPLE, &params, sample_read);
}
