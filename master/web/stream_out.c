/* A stream's output: what is written, when it is sent, when a client is too slow. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/stream.h"

static struct ps_stream *stream_of(h2o_generator_t *generator)
{
    struct ps_stream *self = PS_CONTAINER_OF(generator, struct ps_stream, super);

    PS_CHECK_MAGIC(self, PS_STREAM_MAGIC);
    return self;
}

static void send_out(struct ps_stream *self, h2o_send_state_t state)
{
    struct ps_buf flying = self->flying;

    ps_buf_clear(&flying);
    self->flying = self->out;
    self->out = flying;
    self->sent_ms = ps_clock_mono_ms();
    self->sending = state == H2O_SEND_STATE_IN_PROGRESS;
    h2o_iovec_t part = h2o_iovec_init(self->flying.data, self->flying.len);
    h2o_send(self->call->req, &part, part.len ? 1 : 0, state);
}

static void finish(struct ps_stream *self)
{
    self->state = PS_STREAM_DONE;
    send_out(self, H2O_SEND_STATE_FINAL);
}

/* What was sent is through. */
static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct ps_stream *self = stream_of(generator);

    (void)req;
    self->sending = false;
    if (self->ending) {
        finish(self);
        return;
    }
    if (self->state == PS_STREAM_LAGGED && self->out.len == 0) {
        ps_stream_put_lagged(self);
        self->state = PS_STREAM_READING;
    }
    if (self->state == PS_STREAM_READING && !self->reading)
        ps_stream_read(self);
    ps_stream_flush(self);
}

static void on_stop(h2o_generator_t *generator, h2o_req_t *req)
{
    struct ps_stream *self = stream_of(generator);

    (void)req;
    self->state = PS_STREAM_DONE; /* the client has gone; the call's end frees it */
}

void ps_stream_begin(struct ps_stream *self)
{
    h2o_req_t *req = self->call->req;

    self->call->answered = true;
    self->call->web->answers[2]++;
    self->super.proceed = on_proceed;
    self->super.stop = on_stop;
    req->res.status = 200;
    req->res.reason = "OK";
    req->compress_hint = H2O_COMPRESS_HINT_DISABLE; /* it would hold events back */
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("text/event-stream"));
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
    h2o_start_response(req, &self->super);
    ps_buf_put_text(&self->out, "retry: 2000\n\n");
    send_out(self, H2O_SEND_STATE_IN_PROGRESS);
}

/* ---- what is written ---- */

static void put_event(struct ps_stream *self, enum ps_event_kind kind, uint64_t seq, const char *json,
                      size_t len)
{
    if (self->ask.sse) {
        if (seq)
            ps_buf_putf(&self->out, "id: %llu\n", (unsigned long long)seq);
        ps_buf_putf(&self->out, "event: %s\ndata: ", ps_event_word(kind));
    }
    ps_buf_put(&self->out, json, len);
    ps_buf_put_text(&self->out, self->ask.sse ? "\n\n" : "\n");
    self->lines++;
}

static bool has_room(const struct ps_stream *self, size_t len)
{
    static const size_t frame = 128; /* id, event, data, newlines */

    return self->out.len + len + frame <= PS_STREAM_BYTES && self->lines < self->ask.limit;
}

/* An NDJSON call is full: its answer says where to go on. A client of a stream is too slow: it is left alone until it
 * has read what it was sent. */
static void overflow(struct ps_stream *self)
{
    if (self->ask.sse && self->streams)
        self->streams->lagged++;
    self->state = PS_STREAM_LAGGED;
}

bool ps_stream_put_scan(struct ps_stream *self, uint64_t seq, const char *json, size_t json_len)
{
    if (!has_room(self, json_len)) {
        overflow(self);
        return false;
    }
    put_event(self, PS_EVENT_SCAN, seq, json, json_len);
    self->cursor = seq;
    return true;
}

void ps_stream_put_lagged(struct ps_stream *self)
{
    static const char json[] = "{\"event\":\"lagged\"}";

    if (self->ask.sse)
        put_event(self, PS_EVENT_LAGGED, 0, json, sizeof(json) - 1);
}

static void take_scan(struct ps_stream *self, struct ps_event *event)
{
    if (event->seq <= self->cursor)
        return;
    if (self->state != PS_STREAM_LIVE) {
        if (self->held_n == PS_STREAM_HELD_N)
            self->held_over = true;
        else
            self->held[self->held_n++] = ps_event_ref(event);
    } else if (!self->ask.batch || ps_event_in_batch(event, self->ask.batch)) {
        (void)ps_stream_put_scan(self, event->seq, event->json, event->json_len); /* no room: LAGGED now */
    } else {
        self->cursor = event->seq;
    }
}

static void take_live(struct ps_stream *self, const struct ps_event *event)
{
    if (!self->ask.sse || (self->ask.batch && !ps_event_in_batch(event, self->ask.batch)))
        return;
    if (has_room(self, event->json_len))
        put_event(self, event->kind, 0, event->json, event->json_len);
    else
        overflow(self);
}

/* The bus lost events: live ones are gone, SCAN events are in the database. */
static void take_lagged(struct ps_stream *self)
{
    if (self->state == PS_STREAM_LIVE)
        self->state = PS_STREAM_READING;
    else
        self->held_over = true;
    ps_stream_put_lagged(self);
    if (self->state == PS_STREAM_READING && !self->reading)
        ps_stream_read(self);
}

void ps_stream_take(struct ps_stream *self, struct ps_event *event)
{
    if (self->state == PS_STREAM_DONE || self->state == PS_STREAM_LAGGED || !self->call->req)
        return;
    if (event->kind == PS_EVENT_SCAN)
        take_scan(self, event);
    else if (event->kind == PS_EVENT_LAGGED)
        take_lagged(self);
    else
        take_live(self, event);
}

/* ---- when it is sent ---- */

static void answer_lines(struct ps_stream *self)
{
    char seq[24];

    if (self->ask.from_now) { /* stopped before it could be told where now is */
        self->state = PS_STREAM_DONE;
        ps_call_error(self->call, PS_ERR_CANCELLED, NULL);
        return;
    }
    (void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)self->cursor);
    self->state = PS_STREAM_DONE;
    ps_call_set_header(self->call, "phagescan-seq", seq);
    ps_call_data(self->call, 200, "application/x-ndjson", self->out.data, self->out.len);
}

void ps_stream_flush(struct ps_stream *self)
{
    if (self->state == PS_STREAM_DONE || !self->call->req)
        return;
    if (!self->ask.sse) {
        if (self->lines > 0 && !self->reading)
            answer_lines(self);
    } else if (self->out.len && !self->sending) {
        send_out(self, H2O_SEND_STATE_IN_PROGRESS);
    }
}

void ps_stream_end(struct ps_stream *self)
{
    if (self->state == PS_STREAM_DONE || !self->call->req)
        return;
    if (!self->ask.sse)
        answer_lines(self);
    else if (self->sending)
        self->ending = true;
    else
        finish(self);
}
