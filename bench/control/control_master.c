/* control_master client: a master that has small jobs done, one after the other, and measures each; first alone, then
 * while --queued large samples are in transfer through the same broker, to the same workers. Every answer is checked.
 *
 * --jobs: small jobs of the idle part; --size: their bytes; --window: how many are out at a time. It prints one line of
 * JSON. The large samples' pieces are put as master/scan/uplink_out.c puts them: none above PIECES_BACKLOG. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "bench/dispatch/options.h"
#include "bench/dispatch/payload.h"
#include "proto/peer/peer.h"

#define LARGE_BYTES    (100u * 1024 * 1024)
#define LARGES_N       256
#define SMALL_MAX      1000000 /* small jobs measured while the large ones are under way; more end the bench */
#define PIECES_BACKLOG (1024 * 1024)       /* as in master/scan/uplink_out.c */
#define WISHES_MAX     4096                /* FETCHes that wait for room */
#define LARGE_FIRST    ((uint64_t)1 << 40) /* numbers of large samples begin here */
#define RESULTS_N      4096
#define DEADLINE_MS    600000
#define SILENCE_MAX_MS 60000

struct wish {
    uint64_t peer, sample, offset, end;
};

struct part {          /* what is measured in one part */
    uint64_t *took_ns; /* owned */
    size_t n, limit;
};

struct master {
    const struct bench_options *options;
    struct ps_peer *peer;
    struct part idle, loaded;
    struct part *now;           /* which one small jobs count for */
    uint64_t sent_ns[LARGES_N]; /* of the small jobs that are out; by number modulo */
    uint64_t small_n, small_done_n;
    uint64_t sums[LARGES_N]; /* of the large samples: what was sent so far */
    uint64_t sent_bytes[LARGES_N];
    uint64_t large_n, large_done_n, first_ns, last_ns;
    struct wish wishes[WISHES_MAX]; /* a ring */
    size_t wish_first, wishes_n;
    uint64_t heard_ms;
    bool open;
};

/* ---- saying ---- */

static void put(struct master *self, const struct ps_msg *msg)
{
    int r = ps_peer_put(self->peer, msg);

    if (r)
        bench_die("%s: %s", ps_msg_name(msg->id), ps_err_text(r));
}

static void name_sample(uint8_t sha256[PS_SHA256_BYTES], uint64_t sample)
{
    const uint64_t words[4] = {payload_mix(sample), sample, payload_mix(sample + 1), payload_mix(~sample)};

    memcpy(sha256, words, sizeof(words));
}

static uint64_t number_of(const uint8_t sha256[PS_SHA256_BYTES])
{
    uint64_t sample;

    memcpy(&sample, sha256 + sizeof(sample), sizeof(sample));
    return sample;
}

static void submit(struct master *self, uint64_t sample, uint64_t size, enum ps_band band)
{
    const struct ps_part_ask ask = {.job = (sample + 1) * PS_JOB_ORDINALS, .engine = PS_BYTES_LIT("clamav")};
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = 1,
                                    .size = size,
                                    .band = band,
                                    .deadline_ms = DEADLINE_MS,
                                    .jobs = {.items = &ask, .n = 1}}};

    name_sample(msg.SUBMIT.sha256, sample);
    if (size <= PS_INLINE_MAX)
        msg.SUBMIT.data.at = payload_piece(sample, 0, &msg.SUBMIT.data.len);
    put(self, &msg);
}

static void feed_small(struct master *self)
{
    while (self->small_n - self->small_done_n < self->options->window && self->now->n < self->now->limit) {
        self->sent_ns[self->small_n % LARGES_N] = ps_clock_mono_us() * 1000;
        submit(self, self->small_n++, self->options->size, PS_BAND_INTERACTIVE);
    }
}

/* ---- the large ones ---- */

static void on_fetch(struct master *self, const struct ps_msg_FETCH *fetch)
{
    uint64_t sample = number_of(fetch->sha256);

    if (self->wishes_n == WISHES_MAX || sample < LARGE_FIRST || sample >= LARGE_FIRST + self->large_n)
        bench_die("a FETCH that can't be served");
    if (!self->first_ns)
        self->first_ns = ps_clock_mono_us() * 1000;
    self->wishes[(self->wish_first + self->wishes_n++) % WISHES_MAX] = (struct wish){
        fetch->peer, sample, fetch->offset, PS_MIN(fetch->offset + fetch->bytes, (uint64_t)LARGE_BYTES)};
}

/* The same noise in every piece, with sample and place in front. */
static const uint8_t *large_piece(uint64_t sample, uint64_t offset)
{
    static uint8_t piece[PS_CHUNK_MAX];

    if (!piece[sizeof(piece) - 1])
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (uint8_t)(payload_mix(i) | 1);
    memcpy(piece, &sample, sizeof(sample));
    memcpy(piece + sizeof(sample), &offset, sizeof(offset));
    return piece;
}

static void serve(struct master *self)
{
    while (self->wishes_n && ps_peer_backlog(self->peer) < PIECES_BACKLOG) {
        struct wish *wish = &self->wishes[self->wish_first];
        size_t at = (size_t)(wish->sample - LARGE_FIRST),
               len = (size_t)PS_MIN(wish->end - wish->offset, (uint64_t)PS_CHUNK_MAX);
        const uint8_t *piece = large_piece(wish->sample, wish->offset);
        struct ps_msg msg = {.id = PS_MSG_CHUNK,
                             .CHUNK = {.peer = wish->peer, .offset = wish->offset, .size = LARGE_BYTES}};

        if (wish->offset != self->sent_bytes[at])
            bench_die("a piece was asked for out of order");
        name_sample(msg.CHUNK.sha256, wish->sample);
        if (ps_peer_put_carrying(self->peer, &msg, piece, len))
            bench_die("no room for a CHUNK");
        self->sums[at] = payload_sum_piece(self->sums[at], piece, len);
        self->sent_bytes[at] += len;
        wish->offset += len;
        if (wish->offset < wish->end)
            continue;
        self->wish_first = (self->wish_first + 1) % WISHES_MAX;
        self->wishes_n--;
    }
}

/* ---- hearing ---- */

static void note_small(struct master *self, uint64_t sample)
{
    uint64_t *sent_ns = &self->sent_ns[sample % LARGES_N];

    if (sample >= self->small_n || !*sent_ns)
        bench_die("an answer that nobody waits for");
    self->now->took_ns[self->now->n++] = ps_clock_mono_us() * 1000 - *sent_ns;
    *sent_ns = 0;
    self->small_done_n++;
}

static void on_result(struct master *self, const struct ps_msg_RESULT *result)
{
    const struct ps_part_lease_ref ref = {.job = result->job};
    uint64_t sample = result->job / PS_JOB_ORDINALS - 1, sum;
    char label[17];

    sum = sample >= LARGE_FIRST ? self->sums[sample - LARGE_FIRST] : payload_expected(sample);
    (void)snprintf(label, sizeof(label), "%016llx", (unsigned long long)sum); /* fits */
    if (!ps_bytes_is(result->label, label))
        bench_die("a wrong answer to sample %llu", (unsigned long long)sample);
    if (sample < LARGE_FIRST)
        note_small(self, sample);
    else if (++self->large_done_n == self->large_n)
        self->last_ns = ps_clock_mono_us() * 1000;
    put(self, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = &ref, .n = 1}));
}

static void hear(struct master *self, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_RESULT:
        on_result(self, &msg->RESULT);
        break;
    case PS_MSG_FETCH:
        on_fetch(self, &msg->FETCH);
        break;
    case PS_MSG_BUSY:
    case PS_MSG_DECIDED:
    case PS_MSG_LOST:
        bench_die("the broker said %s", ps_msg_name(msg->id));
    default:
        break; /* ACCEPTED, FLEET */
    }
}

static void hear_all(struct master *self, uint64_t now_ms)
{
    enum ps_peer_event event;
    struct ps_bytes carried;
    struct ps_msg msg;

    while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
        if (event == PS_PEER_OPENED) {
            put(self, PS_MSG(GRANT, .epoch = 1, .results = RESULTS_N));
            self->open = true;
        } else if (event == PS_PEER_MESSAGE) {
            hear(self, &msg);
        } else {
            bench_die("no session: %s", ps_peer_why(self->peer));
        }
        self->heard_ms = msg.id == PS_MSG_FLEET ? self->heard_ms : now_ms;
    }
    if (now_ms - self->heard_ms > SILENCE_MAX_MS)
        bench_die("nothing came for %d s", SILENCE_MAX_MS / 1000);
}

static void turn(struct master *self)
{
    uint64_t now_ms = ps_clock_mono_ms(), wake_ms = ps_peer_tick(self->peer, now_ms);
    struct pollfd fd = {.fd = ps_peer_fd(self->peer), .events = POLLIN};

    if (wake_ms > now_ms && !(self->wishes_n && ps_peer_backlog(self->peer) < PIECES_BACKLOG))
        (void)poll(&fd, 1, (int)(wake_ms - now_ms)); /* whatever it says, we look */
    hear_all(self, now_ms);
    if (!self->open)
        return;
    feed_small(self);
    serve(self);
}

/* ---- parts ---- */

static void begin(struct master *self, struct part *part, size_t limit)
{
    part->limit = limit;
    part->took_ns = ps_alloc(limit, sizeof(*part->took_ns));
    if (!part->took_ns)
        bench_die("out of memory");
    self->now = part;
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double at_us(struct part *part, unsigned percent)
{
    uint64_t ns;

    if (!part->n)
        bench_die("nothing was measured");
    qsort(part->took_ns, part->n, sizeof(*part->took_ns), by_time);
    ns = part->took_ns[(part->n - 1) * percent / 100];
    return (double)ns / 1000;
}

static void print(struct master *self)
{
    double seconds = (double)(self->last_ns - self->first_ns) / 1e9;

    printf("{\"idle\": {\"n\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}, "
           "\"loaded\": {\"n\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}, "
           "\"large\": %llu, \"seconds\": %.3f, \"mib_s\": %.0f}\n",
           self->idle.n, at_us(&self->idle, 50), at_us(&self->idle, 99), self->loaded.n,
           at_us(&self->loaded, 50), at_us(&self->loaded, 99), (unsigned long long)self->large_n, seconds,
           (double)self->large_n * LARGE_BYTES / 1048576 / seconds);
}

static void run(struct master *self)
{
    begin(self, &self->idle, (size_t)self->options->jobs);
    while (self->idle.n < self->options->jobs)
        turn(self);
    self->large_n = self->options->queued;
    begin(self, &self->loaded, SMALL_MAX);
    for (uint64_t i = 0; i < self->large_n; i++)
        submit(self, LARGE_FIRST + i, LARGE_BYTES, PS_BAND_BATCH);
    while (self->large_done_n < self->large_n)
        turn(self);
    print(self);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct ps_peer_config config = {.role = PS_ROLE_MASTER, .name = "bench-master"};
    struct master *self = PS_NEW(struct master);
    struct ps_error error = {0};
    void *context = zmq_ctx_new();

    bench_options_read(&options, argc, argv);
    if (!self || !context || !options.endpoint || !options.queued || options.queued > LARGES_N ||
        options.window > LARGES_N || !options.window)
        bench_die("--endpoint is missing, or --queued or --window is not 1 to %d", LARGES_N);
    self->options = &options;
    self->heard_ms = ps_clock_mono_ms();
    config.where = (struct ps_peer_where){context, options.endpoint, bench_keys(&options)};
    if (ps_peer_new(&self->peer, &config, &error))
        bench_die("%s", error.text);
    run(self);
    ps_peer_bye(self->peer, "the bench is over");
    ps_peer_free(&self->peer);
    (void)zmq_ctx_term(context); /* waits until the last COMMITTED has left */
    free(self->idle.took_ns);
    free(self->loaded.took_ns);
    free(self);
    bench_options_fini(&options);
    return 0;
}
