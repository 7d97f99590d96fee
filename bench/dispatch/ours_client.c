/* The master's part: jobs are submitted, and their results committed, one by one; what travels together is the
 * library's business. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "bench/dispatch/ours.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/tally.h"
#include "proto/peer/peer.h"

#define OWNERS_N       16
#define DEADLINE_MS    300000
#define GRANT_MARGIN   1024 /* results on their way to us beside what is outstanding */
#define UNACCEPTED_MAX 4096 /* jobs that the broker has not said yes to: a queue fills as it takes it */
#define WISHES_MAX     1024 /* FETCHes that wait for room */
#define CHUNKS_BACKLOG (4 * 1024 * 1024) /* no piece above this */
#define SILENCE_MAX_MS 60000             /* nothing came for so long: something is wrong */
#define INTERACTIVE_OF 8                 /* one job in so many is in the interactive band */

/* Pieces that a worker asked for. */
struct wish {
    uint64_t peer, sample, offset, end;
};

struct client {
    const struct bench_options *options;
    struct bench_tally tally;
    struct ps_peer *peer;
    struct wish wishes[WISHES_MAX]; /* a ring */
    size_t wish_first, wishes_n;
    uint64_t accepted_n;
    uint64_t workers_n; /* that offer the first engine, by the last FLEET */
    uint64_t heard_ms;
    bool open;
};

/* ---- submitting ---- */

static int put_sample(struct client *self, uint64_t sample)
{
    uint64_t engines = self->options->engines;
    struct ps_part_ask asks[OURS_ENGINES_N];
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = 1,
                                    .size = payload_size(),
                                    .band = sample % INTERACTIVE_OF ? PS_BAND_BATCH : PS_BAND_INTERACTIVE,
                                    .deadline_ms = DEADLINE_MS,
                                    .owner = sample % OWNERS_N,
                                    .jobs = {.items = asks, .n = (size_t)engines}}};

    for (uint64_t i = 0; i < engines; i++)
        asks[i] = (struct ps_part_ask){.job = (sample + 1) * PS_JOB_ORDINALS + i,
                                       .engine = ps_bytes_of(ours_engines[i])};
    ours_sha(msg.SUBMIT.sha256, sample);
    if (payload_size() <= PS_INLINE_MAX)
        msg.SUBMIT.data.at = payload_piece(sample, 0, &msg.SUBMIT.data.len);
    return ps_peer_put(self->peer, &msg);
}

/* How many more jobs may be submitted now. */
static uint64_t room(const struct client *self)
{
    uint64_t unaccepted_n = self->tally.sent_n - self->accepted_n;

    return unaccepted_n < UNACCEPTED_MAX
               ? PS_MIN(bench_tally_room(&self->tally), UNACCEPTED_MAX - unaccepted_n)
               : 0;
}

static void feed(struct client *self)
{
    uint64_t engines = PS_MAX(self->options->engines, (uint64_t)1);

    while (room(self) >= engines) {
        int r = put_sample(self, self->tally.sent_n / engines);

        if (r == PS_ERR_BUSY)
            return;
        if (r)
            bench_die("SUBMIT: %s", ps_err_text(r));
        for (uint64_t i = 0; i < engines; i++)
            (void)bench_tally_send(&self->tally);
    }
}

/* ---- pieces ---- */

static void on_fetch(struct client *self, const struct ps_msg_FETCH *fetch)
{
    if (self->wishes_n == WISHES_MAX)
        bench_die("more than %d FETCHes wait", WISHES_MAX);
    self->wishes[(self->wish_first + self->wishes_n++) % WISHES_MAX] =
        (struct wish){fetch->peer, ours_sample(fetch->sha256), fetch->offset,
                      PS_MIN(fetch->offset + fetch->bytes, (uint64_t)payload_size())};
}

static void serve(struct client *self)
{
    while (self->wishes_n && ps_peer_backlog(self->peer) < CHUNKS_BACKLOG) {
        struct wish *wish = &self->wishes[self->wish_first];
        struct ps_msg msg = {.id = PS_MSG_CHUNK,
                             .CHUNK = {.peer = wish->peer, .offset = wish->offset, .size = payload_size()}};
        size_t len;
        const uint8_t *piece = payload_piece(wish->sample, (size_t)wish->offset, &len);
        int r;

        ours_sha(msg.CHUNK.sha256, wish->sample);
        r = ps_peer_put_carrying(self->peer, &msg, piece, len);
        if (r)
            bench_die("CHUNK: %s", ps_err_text(r));
        wish->offset += len;
        if (wish->offset < wish->end)
            continue;
        self->wish_first = (self->wish_first + 1) % WISHES_MAX;
        self->wishes_n--;
    }
}

/* ---- hearing ---- */

static void on_result(struct client *self, const struct ps_msg_RESULT *result)
{
    uint64_t sample = result->job / PS_JOB_ORDINALS - 1, engine = result->job % PS_JOB_ORDINALS;
    const struct ps_part_lease_ref ref = {.job = result->job};
    char label[OURS_LABEL];

    ours_label(label, payload_expected(sample));
    if (engine >= self->options->engines || !ps_bytes_is(result->engine, ours_engines[engine]) ||
        !ps_bytes_is(result->label, label) || !ps_bytes_is(result->worker, OURS_WORKER) ||
        result->outcome != PS_OUTCOME_SUSPICIOUS)
        bench_die("a wrong answer to job %llu", (unsigned long long)result->job);
    bench_tally_answer(&self->tally, sample * self->options->engines + engine);
    if (ps_peer_put(self->peer, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = &ref, .n = 1})))
        bench_die("no room for COMMITTED");
}

static void on_fleet(struct client *self, const struct ps_msg_FLEET *fleet)
{
    struct ps_list_load cursor = fleet->loads;
    struct ps_part_load load;

    while (ps_load_next(&cursor, &load))
        if (ps_bytes_is(load.engine, ours_engines[0]))
            self->workers_n = load.workers;
}

static void hear(struct client *self, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_RESULT:
        on_result(self, &msg->RESULT);
        break;
    case PS_MSG_ACCEPTED:
        self->accepted_n += msg->ACCEPTED.jobs.n;
        if (self->accepted_n > self->tally.sent_n)
            bench_die("more jobs accepted than submitted");
        break;
    case PS_MSG_FETCH:
        on_fetch(self, &msg->FETCH);
        break;
    case PS_MSG_BUSY:
    case PS_MSG_DECIDED:
    case PS_MSG_LOST:
        bench_die("the broker said %s", ps_msg_name(msg->id));
    case PS_MSG_FLEET:
        on_fleet(self, &msg->FLEET);
        break;
    default:
        bench_die("a master was told %s", ps_msg_name(msg->id));
    }
}

static void hear_all(struct client *self, uint64_t now_ms)
{
    enum ps_peer_event event;
    struct ps_bytes carried;
    struct ps_msg msg;

    while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
        if (event == PS_PEER_LOST || event == PS_PEER_REFUSED || event == PS_PEER_RESUMED)
            bench_die("no session: %s", ps_peer_why(self->peer));
        if (event == PS_PEER_OPENED)
            self->open = true;
        else
            hear(self, &msg);
        feed(self); /* what an answer makes room for goes now, not when all are read */
        if (event != PS_PEER_MESSAGE || msg.id != PS_MSG_FLEET)
            self->heard_ms = now_ms;
    }
    if (now_ms - self->heard_ms > SILENCE_MAX_MS)
        bench_die("nothing came for %d s, %llu jobs done", SILENCE_MAX_MS / 1000,
                  (unsigned long long)self->tally.done_n);
}

static void turn(struct client *self)
{
    uint64_t now_ms = ps_clock_mono_ms(), wake_ms = ps_peer_tick(self->peer, now_ms);
    struct pollfd fd = {.fd = ps_peer_fd(self->peer), .events = POLLIN};

    if (wake_ms > now_ms)
        (void)poll(&fd, 1, (int)(wake_ms - now_ms)); /* whatever it says, we look */
    hear_all(self, now_ms);
    if (!self->open)
        return;
    serve(self);
    feed(self);
}

/* ---- life ---- */

static struct client *start(const struct bench_options *options, void *context)
{
    const struct ps_peer_config config = {.where = {context, options->endpoint, bench_keys(options)},
                                          .role = PS_ROLE_MASTER,
                                          .name = "bench-master"};
    struct client *self = PS_NEW(struct client);
    struct ps_error error = {0};

    if (!self || options->engines > OURS_ENGINES_N || options->jobs % options->engines)
        bench_die("--engines divides --jobs, and is at most %d", OURS_ENGINES_N);
    self->options = options;
    self->heard_ms = ps_clock_mono_ms();
    bench_tally_init(&self->tally, options);
    if (ps_peer_new(&self->peer, &config, &error))
        bench_die("%s", error.text);
    return self;
}

static void stop(struct client *self, void *context)
{
    ps_peer_bye(self->peer, "the bench is over");
    ps_peer_free(&self->peer);
    (void)zmq_ctx_term(context); /* waits until the last COMMITTED has left */
    bench_tally_fini(&self->tally);
    free(self);
}

/* Jobs that wait are there before a worker is: whoever started us starts it when we are ready. */
static void fill(struct client *self)
{
    while (self->accepted_n < self->options->queued || !self->open)
        turn(self);
    bench_ready();
}

/* Nothing is leased until we grant it: so nothing is measured while workers still come. */
static void begin(struct client *self)
{
    uint32_t results = (uint32_t)(self->options->window + GRANT_MARGIN);

    while (self->workers_n < self->options->sessions)
        turn(self);
    if (ps_peer_put(self->peer, PS_MSG(GRANT, .epoch = 1, .results = results)))
        bench_die("no room for GRANT");
    self->heard_ms = ps_clock_mono_ms();
}

int ours_client(const struct bench_options *options)
{
    void *context = ours_context();
    struct client *self = start(options, context);

    fill(self);
    begin(self);
    while (!bench_tally_over(&self->tally))
        turn(self);
    while (self->accepted_n < options->jobs)
        turn(self); /* every job is accepted, and said so, once */
    bench_tally_print(&self->tally);
    stop(self, context);
    return 0;
}

int ours_fill(const struct bench_options *options)
{
    void *context = ours_context();
    struct client *self = start(options, context);
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    fill(self);
    while (poll(&in, 1, 0) == 0)
        turn(self);
    stop(self, context);
    return 0;
}
