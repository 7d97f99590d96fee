/* master/web/stream.h: one event stream; private to streams.c, stream_out.c, stream_read.c. */
#ifndef PS_MASTER_WEB_STREAM_H
#define PS_MASTER_WEB_STREAM_H

#include "base/bytes.h"
#include "master/scan/events.h"
#include "master/web/server.h"
#include "master/web/streams.h"

enum ps_stream_state {
    PS_STREAM_STARTING, /* asks the database where now is */
    PS_STREAM_READING,  /* a query is under way, or waits until the client has read */
    PS_STREAM_RETRYING, /* the database failed: again at retry_ms */
    PS_STREAM_LIVE,     /* follows the bus */
    PS_STREAM_LAGGED,   /* gets nothing until the client has read what it was sent */
    PS_STREAM_DONE,     /* the last byte is on its way */
};

#define PS_STREAM_MAGIC 0x50575354u

struct ps_stream {
    h2o_generator_t super;
    uint32_t magic;
    struct ps_streams *streams; /* NULL once the server has ended */
    struct ps_call *call;
    struct ps_stream_ask ask; /* batch is owned */
    enum ps_stream_state state;
    uint64_t cursor;      /* seq of the last SCAN event that it has had, or need not have */
    uint64_t lines;       /* NDJSON: written so far */
    uint64_t until_ms;    /* NDJSON: when it ends without a line */
    uint64_t retry_ms;    /* RETRYING; LIVE on a standby: when to look at the database */
    uint64_t sent_ms;     /* when something was sent last */
    struct ps_buf out;    /* not sent yet */
    struct ps_buf flying; /* in h2o's hands */
    bool sending;         /* flying is not through yet */
    bool reading;         /* a query is under way */
    bool ending;          /* end it once flying is through */
    bool held_over;       /* held was not enough: read the database again */
    size_t held_n;
    struct ps_event
        *held[PS_STREAM_HELD_N]; /* SCAN events that came while it was reading; a reference each */
    struct ps_stream *prev, *next;
};

/* The bus's nudge; it lies in the loop's queue at most once. */
struct ps_streams_wake {
    struct ps_web_post post;
    atomic_bool pending;
    struct ps_streams *streams;
};

struct ps_streams {
    struct ps_web *web;
    struct ps_stream *all;
    size_t n;
    struct ps_events_sub *sub; /* while there is a stream */
    struct ps_streams_wake wake;
    h2o_timeout_entry_t tick; /* linked while there is a stream */
    uint64_t taken;           /* events from the bus, since start */
    uint64_t lagged;          /* times that a client was too slow, since start */
};

/* ---- stream_out.c ---- */

/* Begins the answer of an SSE stream. */
void ps_stream_begin(struct ps_stream *self);
/* Gives an event to a stream: as its state and filter will have it. */
void ps_stream_take(struct ps_stream *self, struct ps_event *event);
/* Writes a SCAN event that was read; false when there is no room: then the stream has become LAGGED. */
bool ps_stream_put_scan(struct ps_stream *self, uint64_t seq, const char *json, size_t json_len);
void ps_stream_put_lagged(struct ps_stream *self);
/* Sends what there is to send, or answers an NDJSON call that has something. */
void ps_stream_flush(struct ps_stream *self);
/* Ends it with what it has. */
void ps_stream_end(struct ps_stream *self);

/* ---- stream_read.c ---- */

/* Asks where now is, or reads on from the cursor: whatever is next. */
void ps_stream_read(struct ps_stream *self);

#endif
