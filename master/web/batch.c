/* POST /api/v1/batch: many samples in one body (master/ingest/batchbody.h).
 * Rights: signed in. Limits: PS_BATCH_BYTES, PS_BATCH_FILES; Idempotency-Key of PS_IDEMPOTENCY_KEY_BYTES.
 *
 * The answer has a line per file, in order. A body that turns bad in the middle: the lines before it stand. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "master/web/inlet.h"
#include "master/web/route.h"

#define ANSWER_MAX (16u << 20) /* 4,096 lines have at most about 2 MiB */

static void put_problem(struct ps_buf *out, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

    ps_buf_putf(out, "%s\n", text ? text : "{\"problem\":{\"status\":503,\"code\":\"memory\"}}");
    free(text);
    json_decref(line);
}

static void put_result(struct ps_buf *out, const struct ps_ingest_result *result)
{
    char hex[PS_SHA256_HEX];

    if (result->code) {
        put_problem(out, json_pack("{s:I, s:o}", "n", (json_int_t)result->n, "problem",
                                   ps_call_problem_json(result->code, result->text)));
        return;
    }
    ps_hex_encode(hex, result->sha256, PS_SHA256_BYTES);
    ps_buf_putf(out, "{\"n\":%llu,\"sha256\":\"%s\",\"submission\":%lld,\"scan\":%lld,\"known\":%s}\n",
                (unsigned long long)result->n, hex, (long long)result->submission, (long long)result->scan,
                result->known ? "true" : "false");
}

static void answer(struct ps_inlet *self)
{
    const struct ps_ingest_request *request = &self->request;
    PS_BUF struct ps_buf out = {0};

    ps_buf_init(&out, ANSWER_MAX);
    for (size_t i = 0; i < request->results_n; i++)
        put_result(&out, &request->results[i]);
    if (request->cut)
        put_problem(&out, json_pack("{s:n, s:I, s:o}", "n", "at", (json_int_t)request->cut_at, "problem",
                                    ps_call_problem_json(request->cut_error.code, request->cut_error.text)));
    if (request->replayed)
        ps_call_set_header(self->call, "idempotency-replayed", "true");
    if (ps_buf_error(&out))
        ps_call_error(self->call, PS_ERR_NOMEM,
                      NULL); /* it is stored; the same key asks for the answer again */
    else
        ps_call_data(self->call, 200, "application/x-ndjson", out.data, out.len);
}

static int read_key(struct ps_inlet *self)
{
    struct ps_bytes key = ps_call_header(self->call, "idempotency-key");

    if (!key.at)
        return 0;
    if (key.len == 0 || key.len > PS_IDEMPOTENCY_KEY_BYTES || !ps_utf8_valid((const char *)key.at, key.len)) {
        ps_call_problem(self->call, 400, "idempotency-key",
                        "Idempotency-Key is a text of 1 to %d bytes in UTF-8", PS_IDEMPOTENCY_KEY_BYTES);
        return PS_ERR_INVALID;
    }
    memcpy(self->key, key.at, key.len);
    self->request.idempotency_key = self->key;
    return 0;
}

void ps_post_batch(struct ps_call *call)
{
    PS_CLEANUP(ps_inlet_free) struct ps_inlet *inlet = NULL;
    struct ps_bytes body;

    if (ps_call_body(call, PS_BATCH_BYTES, &body) != 0)
        return;
    inlet = ps_inlet_new(call, PS_INGEST_BODY, answer);
    if (!inlet || read_key(inlet) != 0 || ps_inlet_copy(inlet, body) != 0)
        return;
    ps_inlet_send(&inlet);
}
