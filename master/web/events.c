/* GET /api/v1/events?batch=&after=seq&limit=&wait_ms=
 * Rights: signed in. Limits: PS_WEB_STREAMS_MAX streams; limit 1,000 lines, wait_ms 60 s (NDJSON).
 *
 * With Accept: text/event-stream an endless stream; else NDJSON: what there is, or the first that comes. */
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/streams.h"
#include "master/web/text.h"

#define LINES_MAX   1000
#define WAIT_MAX_MS 60000
#define WAIT_MS     25000

static bool wants_stream(struct ps_call *call)
{
    struct ps_bytes accept = ps_call_header(call, "accept");

    return h2o_strstr((const char *)accept.at, accept.len, H2O_STRLIT("text/event-stream")) != SIZE_MAX;
}

/* Where to go on: ?after=, else what a browser sends when it comes again. */
static int read_cursor(struct ps_call *call, struct ps_stream_ask *ask)
{
    struct ps_bytes last = ps_call_header(call, "last-event-id");

    ask->resumed = ask->sse && last.at && ps_web_u64(last, &ask->after) == 0 && ask->after <= INT64_MAX / 2;
    if (ask->resumed)
        return 0;
    ask->after = 0;
    ask->from_now = !ps_call_param(call, "after").at;
    return ps_call_param_u64(call, "after", 0, INT64_MAX / 2, 0, &ask->after);
}

void ps_get_events(struct ps_call *call)
{
    struct ps_stream_ask ask = {.sse = wants_stream(call)};
    struct ps_bytes batch;

    if (ps_call_is_head(call)) {
        ps_call_data(call, 200, ask.sse ? "text/event-stream" : "application/x-ndjson", "", 0);
        return;
    }
    if (read_cursor(call, &ask) || ps_call_param_u64(call, "limit", 1, LINES_MAX, LINES_MAX, &ask.limit) ||
        ps_call_param_u64(call, "wait_ms", 0, WAIT_MAX_MS, WAIT_MS, &ask.wait_ms) ||
        ps_call_param_text(call, "batch", PS_BATCH_ID_BYTES, &batch))
        return;
    ask.batch = (const char *)batch.at;
    ps_streams_open(call->web->streams, call, &ask);
}
