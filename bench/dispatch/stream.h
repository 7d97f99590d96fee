/* bench/dispatch/stream.h: a TCP connection to 127.0.0.1 for text protocols: writes gathered until flushed, reads as
 * much as there is. One thread; whatever fails ends the process. */
#ifndef PS_BENCH_STREAM_H
#define PS_BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct bench_stream {
    int fd;
    struct ps_buf in, out;
    size_t taken; /* of in: read and done with */
};

void bench_stream_open(struct bench_stream *self, uint16_t port);
void bench_stream_close(struct bench_stream *self);

/* Sends what was put; waits for room, and reads meanwhile, so that two who both write never wait for each other. */
void bench_stream_flush(struct bench_stream *self);
/* Waits until something is there (from any of the streams, or at most timeout_ms) and reads it. False: timed out. */
bool bench_streams_wait(struct bench_stream *const *streams, size_t n, int timeout_ms);

/* The bytes that are there and not taken, lent until the next read. */
struct ps_bytes bench_stream_there(const struct bench_stream *self);
/* A line without its CR LF: true with *ret_line, and it is taken; false: not all there yet. */
bool bench_stream_line(struct bench_stream *self, struct ps_bytes *ret_line);
/* The same for a line and len bytes behind it with their CR LF, where need(line) says how many (SIZE_MAX: none, not
 * even the CR LF). Both are taken together, or neither. */
bool bench_stream_block(struct bench_stream *self, size_t (*need)(struct ps_bytes line),
                        struct ps_bytes *ret_line, struct ps_bytes *ret_bytes);
/* A decimal number at the end of a line, behind its last space or its first byte. */
size_t bench_last_number(struct ps_bytes line);

#endif
