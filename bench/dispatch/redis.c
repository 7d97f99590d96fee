/* dispatch_redis client|worker: lists as queues: LPUSH and BRPOP, in Redis' own protocol. Each side has a connection to
 * push and one to pop on, where --window (client) and half of it (worker) of BRPOPs wait, so that nothing is asked one
 * by one. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bench/dispatch/options.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/stream.h"
#include "bench/dispatch/tally.h"

#define SILENCE_MAX_MS 60000

/* Bytes behind a line: a bulk string has some. */
static size_t need(struct ps_bytes line)
{
    return line.at[0] == '$' && line.len > 1 && line.at[1] != '-' ? bench_last_number(line) : SIZE_MAX;
}

static void check_line(struct ps_bytes line)
{
    if (line.at[0] == '-' || !line.len)
        bench_die("Redis: %.*s", (int)line.len, (const char *)line.at);
}

/* What an LPUSH is answered with. */
static void drain_pushes(struct bench_stream *push)
{
    struct ps_bytes line;

    while (bench_stream_line(push, &line))
        check_line(line);
}

/* The value of the next BRPOP: the second of its two bulk strings. *half: the first has been read. */
static bool next_value(struct bench_stream *pop, bool *half, struct ps_bytes *ret_value)
{
    struct ps_bytes line;

    while (bench_stream_block(pop, need, &line, ret_value)) {
        check_line(line);
        if (line.at[0] != '$')
            continue; /* "*2" */
        *half = !*half;
        if (!*half)
            return true;
    }
    return false;
}

static void put_pop(struct bench_stream *pop, const char *list)
{
    ps_buf_putf(&pop->out, "*3\r\n$5\r\nBRPOP\r\n$%zu\r\n%s\r\n$1\r\n0\r\n", strlen(list), list);
}

static void put_push(struct bench_stream *push, const char *list, size_t len)
{
    ps_buf_putf(&push->out, "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(list), list, len);
}

static void worker(const struct bench_options *options, struct bench_stream *push, struct bench_stream *pop)
{
    struct bench_stream *both[] = {pop, push};
    uint8_t answer[ANSWER_BYTES];
    struct ps_bytes value;
    bool half = false;

    for (uint64_t i = 0; i < PS_MAX(options->window / 2, (uint64_t)1); i++)
        put_pop(pop, "jobs");
    bench_stream_flush(pop);
    bench_ready();
    for (;;) {
        while (next_value(pop, &half, &value)) {
            if (value.len != payload_size())
                bench_die("a job of %zu bytes", value.len);
            answer_write(answer, payload_job(value.at), payload_sum(value.at, value.len));
            put_push(push, "answers", sizeof(answer));
            ps_buf_put(&push->out, answer, sizeof(answer));
            ps_buf_put(&push->out, "\r\n", 2);
            put_pop(pop, "jobs");
        }
        drain_pushes(push);
        bench_stream_flush(push);
        bench_stream_flush(pop);
        (void)bench_streams_wait(both, 2, -1);
    }
}

static void feed(struct bench_tally *tally, struct bench_stream *push, struct bench_stream *pop)
{
    for (uint64_t n = bench_tally_room(tally); n > 0; n--) {
        uint8_t *at;

        put_push(push, "jobs", payload_size());
        at = ps_buf_reserve(&push->out, payload_size() + 2);
        if (!at)
            bench_die("too much to send");
        payload_write(at, bench_tally_send(tally));
        memcpy(at + payload_size(), "\r\n", 2);
        push->out.len += payload_size() + 2;
        put_pop(pop, "answers");
    }
}

static void client(const struct bench_options *options, struct bench_stream *push, struct bench_stream *pop)
{
    struct bench_stream *both[] = {pop, push};
    struct bench_tally tally;
    struct ps_bytes value;
    bool half = false;

    bench_tally_init(&tally, options);
    while (!bench_tally_over(&tally)) {
        while (next_value(pop, &half, &value))
            bench_tally_check(&tally, value.at, value.len);
        drain_pushes(push);
        feed(&tally, push, pop);
        bench_stream_flush(push);
        bench_stream_flush(pop);
        if (!bench_tally_over(&tally) && !bench_streams_wait(both, 2, SILENCE_MAX_MS))
            bench_die("nothing came for %d s", SILENCE_MAX_MS / 1000);
    }
    bench_tally_print(&tally);
    bench_tally_fini(&tally);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct bench_stream push, pop;

    bench_options_read(&options, argc, argv);
    bench_stream_open(&push, (uint16_t)options.port);
    bench_stream_open(&pop, (uint16_t)options.port);
    if (bench_is(&options, "worker"))
        worker(&options, &push, &pop);
    else if (bench_is(&options, "client"))
        client(&options, &push, &pop);
    else
        bench_die("client or worker");
    bench_stream_close(&push);
    bench_stream_close(&pop);
    bench_options_fini(&options);
    return 0;
}
