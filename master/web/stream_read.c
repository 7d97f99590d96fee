/* A stream's way back: what is in the database behind its cursor. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/scan/brief.h"
#include "master/web/shapes.h"
#include "master/web/stream.h"

#define RETRY_MS 1000

static void forget_held(struct ps_stream *self)
{
    while (self->held_n > 0)
        ps_event_unref(&self->held[--self->held_n]);
    self->held_over = false;
}

/* What came on the bus while the last page was read, in its order. */
static void take_held(struct ps_stream *self)
{
    struct ps_event *held[PS_STREAM_HELD_N];
    size_t n = self->held_n;

    for (size_t i = 0; i < n; i++)
        held[i] = self->held[i];
    self->held_n = 0;
    for (size_t i = 0; i < n; i++) {
        ps_stream_take(self, held[i]);
        ps_event_unref(&held[i]);
    }
}

/* An NDJSON call whose time is over is answered with what it has, and where to go on. */
static bool time_is_over(const struct ps_stream *self)
{
    return !self->ask.sse && ps_clock_mono_ms() >= self->until_ms;
}

/* The database has nothing more for it. */
static void caught_up(struct ps_stream *self)
{
    if (self->held_over) {
        ps_stream_read(self);
        return;
    }
    self->state = PS_STREAM_LIVE;
    self->retry_ms = ps_clock_mono_ms() + PS_STREAM_POLL_MS;
    take_held(self);
}

static void go_on(struct ps_stream *self, bool more)
{
    if (!more)
        caught_up(self);
    else if (!time_is_over(self))
        ps_stream_read(self);
    if (!self->reading && time_is_over(self))
        ps_stream_end(self);
    else
        ps_stream_flush(self);
}

static void failed(struct ps_call *call, int code, const struct ps_error *error)
{
    struct ps_stream *self = call->state;

    self->reading = false;
    if (self->state == PS_STREAM_DONE)
        return;
    if (!self->ask.sse) {
        self->state = PS_STREAM_DONE;
        ps_call_error(call, code, error ? error->text : NULL);
        return;
    }
    self->state = PS_STREAM_RETRYING;
    self->retry_ms = ps_clock_mono_ms() + RETRY_MS;
}

static void now_is(struct ps_call *call, const PGresult *result)
{
    struct ps_stream *self = call->state;

    self->reading = false;
    if (self->state == PS_STREAM_DONE)
        return;
    self->cursor = (uint64_t)ps_row_i64(result, 0, 0);
    self->ask.from_now = false;
    if (self->ask.sse) /* sets the id that a browser sends when it comes again, and is no event to it */
        ps_buf_putf(&self->out, "id: %llu\n\n", (unsigned long long)self->cursor);
    go_on(self, false);
}

/* False when there was no room for it, or no memory: then it comes later. */
static bool put_row(struct ps_stream *self, const PGresult *result, int row)
{
    PS_FREE char *json = ps_shape_scan_event(result, row, 1);

    if (json)
        return ps_stream_put_scan(self, (uint64_t)ps_shape_brief_seq(result, row, 1), json, strlen(json));
    failed(self->call, PS_ERR_NOMEM, NULL);
    return false;
}

/* One row at least: its first column is the newest seq of all, the rest is null when the window holds nothing. */
static void page_read(struct ps_call *call, const PGresult *result)
{
    struct ps_stream *self = call->state;
    uint64_t top = (uint64_t)ps_row_i64(result, 0, 0);
    uint64_t end = self->cursor + PS_STREAM_WINDOW;
    int n = ps_row_null(result, 0, 1) ? 0 : ps_row_n(result);

    self->reading = false;
    if (self->state == PS_STREAM_DONE)
        return;
    for (int i = 0; i < n; i++)
        if (!put_row(self, result, i)) {
            ps_stream_flush(self);
            return;
        }
    if (n < PS_STREAM_PAGE)
        self->cursor = PS_MAX(self->cursor, PS_MIN(end, top)); /* nothing else in the window */
    go_on(self, self->cursor < top);
}

static void read_page(struct ps_stream *self)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, (int64_t)self->cursor);
    ps_pg_put_i32(&params, PS_STREAM_PAGE);
    ps_pg_put_text(&params, self->ask.batch);
    ps_pg_put_i32(&params, PS_STREAM_WINDOW);
    ps_call_query(self->call, PS_Q_WEB_EVENTS_PAGE, &params, page_read);
}

void ps_stream_read(struct ps_stream *self)
{
    bool full = self->ask.sse ? self->sending && self->out.len > PS_STREAM_BYTES / 4
                              : self->lines > 0 && self->lines + PS_STREAM_PAGE > self->ask.limit;

    self->state = self->ask.from_now ? PS_STREAM_STARTING : PS_STREAM_READING;
    if (full)
        return;        /* goes on when the client has read; an NDJSON call is answered with what it has */
    forget_held(self); /* what was published before now is in what is read now */
    self->reading = true;
    self->call->failed = failed;
    if (self->ask.from_now)
        ps_call_query(self->call, PS_Q_WEB_EVENTS_NEWEST, NULL, now_is);
    else
        read_page(self);
}
