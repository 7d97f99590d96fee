/* dispatch_nats client|worker: request and reply over a NATS queue group, in NATS' own protocol. What may leave now is
 * written together; answers that are ready too. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bench/dispatch/options.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/stream.h"
#include "bench/dispatch/tally.h"

#define SILENCE_MAX_MS 60000
#define CONNECT                                                                                            \
    "CONNECT "                                                                                             \
    "{\"verbose\":false,\"pedantic\":false,\"echo\":true,\"headers\":false,\"lang\":\"c\",\"protocol\":0}" \
    "\r\n"

static bool begins(struct ps_bytes line, const char *word)
{
    return line.len >= strlen(word) && memcmp(line.at, word, strlen(word)) == 0;
}

/* Bytes behind a line: a MSG has some. */
static size_t need(struct ps_bytes line)
{
    return begins(line, "MSG ") ? bench_last_number(line) : SIZE_MAX;
}

/* The next message: true with its line and bytes. Everything else that servers say is answered here. */
static bool next_message(struct bench_stream *stream, struct ps_bytes *ret_line, struct ps_bytes *ret_bytes)
{
    while (bench_stream_block(stream, need, ret_line, ret_bytes)) {
        if (begins(*ret_line, "MSG "))
            return true;
        if (begins(*ret_line, "PING"))
            ps_buf_put_text(&stream->out, "PONG\r\n");
        else if (begins(*ret_line, "-ERR"))
            bench_die("NATS: %.*s", (int)ret_line->len, (const char *)ret_line->at);
        else if (begins(*ret_line, "PONG"))
            bench_ready();
    }
    return false;
}

static void wait(struct bench_stream *stream, int timeout_ms)
{
    bench_stream_flush(stream);
    if (!bench_streams_wait(&stream, 1, timeout_ms))
        bench_die("nothing came for %d s", timeout_ms / 1000);
}

/* ---- worker ---- */

/* "MSG jobs 1 REPLY LENGTH": the reply's subject. */
static struct ps_bytes reply_of(struct ps_bytes line)
{
    const uint8_t *end = memrchr(line.at, ' ', line.len), *begin;

    begin = end ? memrchr(line.at, ' ', (size_t)(end - line.at)) : NULL;
    if (!begin)
        bench_die("a MSG without a reply");
    return (struct ps_bytes){begin + 1, (size_t)(end - begin - 1)};
}

static void worker(struct bench_stream *stream)
{
    struct ps_bytes line, bytes, reply;
    uint8_t answer[ANSWER_BYTES];

    ps_buf_put_text(&stream->out, CONNECT "SUB jobs crew 1\r\nPING\r\n");
    for (;;) {
        while (next_message(stream, &line, &bytes)) {
            if (bytes.len != payload_size())
                bench_die("a job of %zu bytes", bytes.len);
            answer_write(answer, payload_job(bytes.at), payload_sum(bytes.at, bytes.len));
            reply = reply_of(line);
            ps_buf_putf(&stream->out, "PUB %.*s %d\r\n", (int)reply.len, (const char *)reply.at,
                        ANSWER_BYTES);
            ps_buf_put(&stream->out, answer, sizeof(answer));
            ps_buf_put(&stream->out, "\r\n", 2);
        }
        wait(stream, -1);
    }
}

/* ---- client ---- */

static void feed(struct bench_tally *tally, struct bench_stream *stream)
{
    for (uint64_t n = bench_tally_room(tally); n > 0; n--) {
        uint64_t job = bench_tally_send(tally);
        uint8_t *at;

        ps_buf_putf(&stream->out, "PUB jobs _INBOX.c.%llx %zu\r\n", (unsigned long long)job, payload_size());
        at = ps_buf_reserve(&stream->out, payload_size() + 2);
        if (!at)
            bench_die("too much to send");
        payload_write(at, job);
        memcpy(at + payload_size(), "\r\n", 2);
        stream->out.len += payload_size() + 2;
    }
}

static void client(const struct bench_options *options, struct bench_stream *stream)
{
    struct ps_bytes line, bytes;
    struct bench_tally tally;

    bench_tally_init(&tally, options);
    ps_buf_put_text(&stream->out, CONNECT "SUB _INBOX.c.* 1\r\nPING\r\n");
    while (!bench_tally_over(&tally)) {
        while (next_message(stream, &line, &bytes))
            bench_tally_check(&tally, bytes.at, bytes.len);
        feed(&tally, stream);
        if (!bench_tally_over(&tally))
            wait(stream, SILENCE_MAX_MS);
    }
    bench_tally_print(&tally);
    bench_tally_fini(&tally);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct bench_stream stream;

    bench_options_read(&options, argc, argv);
    bench_stream_open(&stream, (uint16_t)options.port);
    if (bench_is(&options, "worker"))
        worker(&stream);
    else if (bench_is(&options, "client"))
        client(&options, &stream);
    else
        bench_die("client or worker");
    bench_stream_close(&stream);
    bench_options_fini(&options);
    return 0;
}
