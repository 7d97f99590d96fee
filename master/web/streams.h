/* master/web/streams.h: event streams: who watches, and what they have had.
 *
 * A stream has a cursor: the seq of the last SCAN event that it has had. It first reads from the database what lies
 * behind the cursor, a window at a time, then follows the bus. What comes on the bus meanwhile waits in a bounded
 * list; when that overflows, the database is read again, so no SCAN event is missed, and none comes twice. A client
 * that reads too slowly stops getting anything; once it has read what it was sent it is told `lagged`, and goes on
 * from its cursor. Live events (RESULT, SUBMISSION, FLEET) may be lost then: `lagged` says so.
 *
 * The bus is subscribed to only while there is a stream: nobody makes events for nobody. Loop's thread only. */
#ifndef PS_MASTER_WEB_STREAMS_H
#define PS_MASTER_WEB_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/web/call.h"

#define PS_STREAM_BYTES   (512 * 1024) /* what waits to be read by one client; over it: lagged */
#define PS_STREAM_HELD_N  256          /* events on hold while the database is read */
#define PS_STREAM_PAGE    200          /* SCAN events read at once */
#define PS_STREAM_WINDOW  5000         /* finished scans looked at for them */
#define PS_STREAM_BEAT_MS 10000        /* a comment, when nothing else was sent for so long */
#define PS_STREAM_POLL_MS 2000         /* a standby's bus is silent: the database is looked at so often */

struct ps_streams;

struct ps_stream_ask {
    bool sse;          /* else NDJSON: one answer, SCAN events only */
    bool from_now;     /* no cursor was given */
    bool resumed;      /* of a connection that broke: live events may have been missed */
    uint64_t after;    /* the cursor */
    uint64_t limit;    /* NDJSON: lines at most */
    uint64_t wait_ms;  /* NDJSON: wait for the first line at most */
    const char *batch; /* NULL: all; copied */
};

int ps_streams_new(struct ps_streams **ret_self, struct ps_web *web);
/* Ends every stream with what it has. */
void ps_streams_end(struct ps_streams *self);
/* Lets go of streams that have not come to their end, and of the bus. The loop must turn once more before it is freed:
 * a nudge may lie in its queue. */
void ps_streams_stop(struct ps_streams *self);
void ps_streams_free(struct ps_streams **self_p);

/* Answers a call by a stream. At PS_WEB_STREAMS_MAX: 503. */
void ps_streams_open(struct ps_streams *self, struct ps_call *call, const struct ps_stream_ask *ask);

size_t ps_streams_n(const struct ps_streams *self);
uint64_t ps_streams_taken(const struct ps_streams *self);  /* events from the bus, since start */
uint64_t ps_streams_lagged(const struct ps_streams *self); /* times that a client was too slow */

#endif
