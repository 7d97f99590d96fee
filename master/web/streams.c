#include "master/web/streams.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/mem.h"
#include "master/web/stream.h"

#define WAVE_N 64 /* events taken from the bus at once */

/* ---- the bus ---- */

static void on_wake(void *arg)
{
    struct ps_streams *self = arg;

    if (!atomic_exchange(&self->wake.pending, true))
        ps_web_post(self->web, &self->wake.post);
}

static void hand_round(struct ps_streams *self, struct ps_event *event)
{
    struct ps_stream *stream;

    self->taken++;
    DL_FOREACH (self->all, stream)
        ps_stream_take(stream, event);
}

static void flush_all(struct ps_streams *self)
{
    struct ps_stream *stream;

    DL_FOREACH (self->all, stream)
        ps_stream_flush(stream);
}

static void take_events(struct ps_web_post *post)
{
    struct ps_streams *self = PS_CONTAINER_OF(post, struct ps_streams_wake, post)->streams;
    struct ps_event *events[WAVE_N];
    size_t n;

    atomic_store(&self->wake.pending, false);
    if (!self->sub)
        return; /* the last stream went in between */
    do {
        n = ps_events_take(self->sub, events, WAVE_N);
        for (size_t i = 0; i < n; i++) {
            hand_round(self, events[i]);
            ps_event_unref(&events[i]);
        }
        flush_all(self);
    } while (n == WAVE_N);
}

/* ---- time ---- */

static void on_time(struct ps_stream *self, bool leads, uint64_t now_ms)
{
    if (self->state == PS_STREAM_DONE || !self->call->req)
        return;
    bool look = self->state == PS_STREAM_RETRYING || (self->state == PS_STREAM_LIVE && !leads);
    if (look && now_ms >= self->retry_ms)
        ps_stream_read(self);
    if (!self->ask.sse && now_ms >= self->until_ms && !self->reading) {
        ps_stream_end(self);
    } else if (self->ask.sse && !self->sending && now_ms - self->sent_ms >= PS_STREAM_BEAT_MS) {
        ps_buf_put_text(&self->out, ":\n\n");
        ps_stream_flush(self);
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct ps_streams *self = PS_CONTAINER_OF(entry, struct ps_streams, tick);
    bool leads = ps_scan_leads(self->web->settings.scan);
    uint64_t now_ms = ps_clock_mono_ms();
    struct ps_stream *stream;

    DL_FOREACH (self->all, stream)
        on_time(stream, leads, now_ms);
    if (self->all)
        h2o_timeout_link(self->web->context.loop, &self->web->context.hundred_ms_timeout, &self->tick);
}

/* ---- streams come and go ---- */

static void leave(struct ps_streams *self)
{
    if (self->n > 0)
        return;
    ps_events_unsubscribe(ps_scan_events(self->web->settings.scan), &self->sub);
    if (h2o_timeout_is_linked(&self->tick))
        h2o_timeout_unlink(&self->tick);
}

static void stream_free(void *at)
{
    struct ps_stream *self = at;

    PS_CHECK_MAGIC(self, PS_STREAM_MAGIC);
    if (self->streams) {
        DL_DELETE(self->streams->all, self);
        self->streams->n--;
        leave(self->streams);
    }
    while (self->held_n > 0)
        ps_event_unref(&self->held[--self->held_n]);
    ps_buf_fini(&self->out);
    ps_buf_fini(&self->flying);
    free((char *)self->ask.batch);
    self->magic = 0;
    free(self);
}

static int join(struct ps_streams *self)
{
    int r = 0;

    if (!self->sub)
        r = ps_events_subscribe(ps_scan_events(self->web->settings.scan), on_wake, self, &self->sub);
    if (!r && !h2o_timeout_is_linked(&self->tick))
        h2o_timeout_link(self->web->context.loop, &self->web->context.hundred_ms_timeout, &self->tick);
    return r;
}

static struct ps_stream *stream_new(struct ps_streams *self, struct ps_call *call,
                                    const struct ps_stream_ask *ask)
{
    struct ps_stream *stream = PS_NEW(struct ps_stream);

    if (!stream)
        return NULL;
    stream->magic = PS_STREAM_MAGIC;
    stream->call = call;
    stream->ask = *ask;
    stream->ask.batch = ask->batch ? ps_strf("%s", ask->batch) : NULL;
    if (ask->batch && !stream->ask.batch) {
        free(stream);
        return NULL;
    }
    if (ask->sse)
        stream->ask.limit = UINT64_MAX;
    ps_buf_init(&stream->out, PS_STREAM_BYTES + 4096);
    ps_buf_init(&stream->flying, PS_STREAM_BYTES + 4096);
    stream->cursor = ask->after;
    stream->until_ms = ps_clock_mono_ms() + ask->wait_ms;
    stream->streams = self;
    DL_APPEND(self->all, stream);
    self->n++;
    call->state = stream;
    call->state_free = stream_free;
    return stream;
}

void ps_streams_open(struct ps_streams *self, struct ps_call *call, const struct ps_stream_ask *ask)
{
    struct ps_stream *stream;
    int r;

    if (self->n >= PS_WEB_STREAMS_MAX || atomic_load(&self->web->stopping)) {
        ps_call_problem(call, 503, "streams",
                        "%d event streams are open already: close a page, or try again later",
                        PS_WEB_STREAMS_MAX);
        return;
    }
    r = join(self);
    stream = r ? NULL : stream_new(self, call, ask);
    if (!stream) {
        leave(self);
        ps_call_error(call, r ? r : PS_ERR_NOMEM, NULL);
        return;
    }
    if (ask->sse)
        ps_stream_begin(stream);
    if (ask->resumed)
        ps_stream_put_lagged(stream);
    ps_stream_read(stream);
}

int ps_streams_new(struct ps_streams **ret_self, struct ps_web *web)
{
    struct ps_streams *self = PS_NEW(struct ps_streams);

    if (!self)
        return PS_ERR_NOMEM;
    self->web = web;
    self->wake.post.run = take_events;
    self->wake.streams = self;
    self->tick.cb = on_tick;
    *ret_self = self;
    return 0;
}

void ps_streams_end(struct ps_streams *self)
{
    struct ps_stream *stream, *next;

    DL_FOREACH_SAFE (self->all, stream, next)
        ps_stream_end(stream);
}

void ps_streams_stop(struct ps_streams *self)
{
    struct ps_stream *stream, *next;

    DL_FOREACH_SAFE (self->all, stream,
                     next) { /* their calls are still there; they have nothing to come back to */
        DL_DELETE(self->all, stream);
        stream->state = PS_STREAM_DONE;
        stream->streams = NULL;
    }
    self->n = 0;
    leave(self);
}

void ps_streams_free(struct ps_streams **self_p)
{
    free(PS_TAKE(*self_p));
}

size_t ps_streams_n(const struct ps_streams *self)
{
    return self->n;
}

uint64_t ps_streams_taken(const struct ps_streams *self)
{
    return self->taken;
}

uint64_t ps_streams_lagged(const struct ps_streams *self)
{
    return self->lagged;
}
