/* The workers' part: every job is answered at once, from its sample's bytes: inside the JOB, or fetched in pieces as
 * worker/cache does it. Sessions are driven by a few threads; each has its own heartbeat thread, as a worker has. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "bench/dispatch/ours.h"
#include "bench/dispatch/payload.h"
#include "proto/peer/beat.h"
#include "proto/peer/peer.h"

#define TRANSFERS_MAX  64               /* samples of a session that are on their way or wait for it */
#define TRANSFERS_LIVE 8                /* asked for at a time (PS_CACHE_FETCHES_MAX) */
#define FETCH_BYTES    (16 * 64 * 1024) /* at a time, shared by those (PS_CACHE_WINDOW) */
#define FETCH_PART     (4 * 64 * 1024)  /* but of each so many (PS_CACHE_PART) */
#define SUMS_N         4096             /* samples whose sum is remembered: a second JOB brings no bytes */
#define SWEEP_MS       100              /* every session gets a tick so often */
#define EVENTS_N       64

struct transfer {
    uint64_t sample, size, have, asked, sum; /* asked 0: waits for its turn */
    struct ps_part_lease leases[OURS_ENGINES_N];
    size_t leases_n; /* 0: the place is free */
};

struct session {
    const struct bench_options *options;
    struct ps_peer *peer;
    struct ps_beat *beat;
    uint64_t boot;
    uint64_t uncommitted_n;
    struct transfer *transfers; /* owned, TRANSFERS_MAX, NULL before the first */
    size_t live_n;
};

struct crew {
    pthread_t thread;
    struct session *sessions; /* lent: its part of them */
    size_t sessions_n;
    int epoll_fd;
    struct {
        uint64_t sample, sum; /* sample + 1; 0: none */
    } sums[SUMS_N];
};

static atomic_size_t ready_n; /* sessions that said READY */

/* ---- saying ---- */

static void put(struct session *self, const struct ps_msg *msg)
{
    int r = ps_peer_put(self->peer, msg);

    if (r)
        bench_die("%s: %s", ps_msg_name(msg->id), ps_err_text(r));
}

static void answer(struct session *self, const struct ps_part_lease *lease, uint64_t sum)
{
    char label[OURS_LABEL];

    ours_label(label, sum);
    put(self, PS_MSG(RESULT, .boot = self->boot, .seq = lease->seq, .job = lease->job,
                     .engine = lease->engine, .outcome = PS_OUTCOME_SUSPICIOUS, .counted = true,
                     .label = {(uint8_t *)label, OURS_LABEL - 1}, .version = PS_BYTES_LIT("1.0"),
                     .worker = PS_BYTES_LIT(OURS_WORKER), .wait_us = 10, .run_us = 100, .cpu_us = 100));
    self->uncommitted_n++;
}

static void put_ready(struct session *self)
{
    struct ps_part_offer offers[OURS_ENGINES_N];

    for (size_t i = 0; i < OURS_ENGINES_N; i++)
        offers[i] = (struct ps_part_offer){.name = ps_bytes_of(ours_engines[i]), .kind = PS_KIND_EVILNESS};
    put(self, PS_MSG(READY, .slots = (uint32_t)PS_MAX(self->options->credit / 4, (uint64_t)1),
                     .window = (uint32_t)self->options->credit, .isolation = PS_BYTES_LIT("full"),
                     .engines = {.items = offers, .n = OURS_ENGINES_N}));
    if (atomic_fetch_add(&ready_n, 1) + 1 == self->options->sessions)
        bench_ready();
}

/* ---- samples in pieces ---- */

static void fetch(struct session *self, struct transfer *transfer)
{
    uint64_t part = PS_MAX(FETCH_BYTES / PS_MAX(self->live_n, (size_t)1), (uint64_t)FETCH_PART),
             whole = part / PS_CHUNK_MAX * PS_CHUNK_MAX, /* the client sends whole chunks */
        bytes = PS_MIN(transfer->size - transfer->have, whole);
    struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.offset = transfer->have, .bytes = (uint32_t)bytes}};

    ours_sha(msg.FETCH.sha256, transfer->sample);
    transfer->asked = transfer->have + bytes;
    put(self, &msg);
}

static void fetch_next(struct session *self)
{
    for (size_t i = 0; i < TRANSFERS_MAX && self->live_n < TRANSFERS_LIVE; i++)
        if (self->transfers[i].leases_n && !self->transfers[i].asked) {
            self->live_n++;
            fetch(self, &self->transfers[i]);
        }
}

static struct transfer *find_transfer(struct session *self, uint64_t sample, bool take)
{
    struct transfer *empty = NULL;

    if (!self->transfers && !(self->transfers = ps_alloc(TRANSFERS_MAX, sizeof(*self->transfers))))
        bench_die("out of memory");
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        if (self->transfers[i].leases_n && self->transfers[i].sample == sample)
            return &self->transfers[i];
        if (!self->transfers[i].leases_n && !empty)
            empty = &self->transfers[i];
    }
    if (!take || !empty)
        bench_die(take ? "more than 64 samples to fetch" : "a CHUNK that nobody asked for");
    *empty = (struct transfer){.sample = sample};
    return empty;
}

static void on_chunk(struct session *self, const struct ps_msg_CHUNK *chunk, struct ps_bytes bytes)
{
    struct transfer *transfer = find_transfer(self, ours_sample(chunk->sha256), false);

    if (chunk->offset != transfer->have || transfer->have + bytes.len > transfer->size)
        bench_die("a CHUNK out of place");
    transfer->sum = payload_sum_piece(transfer->sum, bytes.at, bytes.len);
    transfer->have += bytes.len;
    if (transfer->have < transfer->size) {
        if (transfer->have == transfer->asked)
            fetch(self, transfer);
        return;
    }
    for (size_t i = 0; i < transfer->leases_n; i++) {
        transfer->leases[i].engine = ps_bytes_of(ours_engines[transfer->leases[i].job % PS_JOB_ORDINALS]);
        answer(self, &transfer->leases[i], transfer->sum);
    }
    transfer->leases_n = 0;
    self->live_n--;
    fetch_next(self);
}

static void begin_transfer(struct session *self, const struct ps_msg_JOB *job)
{
    struct transfer *transfer = find_transfer(self, ours_sample(job->sha256), true);
    struct ps_list_lease cursor = job->leases;

    transfer->size = job->size;
    while (transfer->leases_n < OURS_ENGINES_N &&
           ps_lease_next(&cursor, &transfer->leases[transfer->leases_n]))
        transfer->leases_n++;
    fetch_next(self);
}

/* ---- hearing ---- */

static void on_job(struct crew *crew, struct session *self, const struct ps_msg_JOB *job)
{
    uint64_t sample = ours_sample(job->sha256);
    struct ps_list_lease cursor = job->leases;
    struct ps_part_lease lease;
    __typeof__(crew->sums[0]) *known = &crew->sums[sample % SUMS_N];

    if (job->data.len) {
        known->sample = sample + 1;
        known->sum = payload_sum(job->data.at, job->data.len);
    } else if (known->sample != sample + 1) {
        begin_transfer(self, job);
        return;
    }
    while (ps_lease_next(&cursor, &lease))
        answer(self, &lease, known->sum);
}

static void on_committed(struct session *self, size_t n)
{
    if (n > self->uncommitted_n)
        bench_die("more results committed than were said");
    self->uncommitted_n -= n;
}

static void on_opened(struct session *self, const struct ps_msg_WELCOME *welcome)
{
    self->boot = welcome->boot;
    ps_beat_session(self->beat, welcome->session, welcome->token.at, welcome->beat_ms);
    put_ready(self);
}

static void hear(struct crew *crew, struct session *self, const struct ps_msg *msg, struct ps_bytes carried)
{
    switch (msg->id) {
    case PS_MSG_JOB:
        on_job(crew, self, &msg->JOB);
        break;
    case PS_MSG_CHUNK:
        on_chunk(self, &msg->CHUNK, carried);
        break;
    case PS_MSG_COMMITTED:
        on_committed(self, msg->COMMITTED.leases.n);
        break;
    default:
        bench_die("a worker was told %s", ps_msg_name(msg->id));
    }
}

/* Hears all, and says all, until there is nothing more to do now. */
static void turn(struct crew *crew, struct session *self)
{
    enum ps_peer_event event;
    struct ps_bytes carried;
    struct ps_msg msg;
    uint64_t now_ms;

    do {
        while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
            if (event == PS_PEER_OPENED)
                on_opened(self, &msg.WELCOME);
            else if (event == PS_PEER_MESSAGE)
                hear(crew, self, &msg, carried);
            else if (event == PS_PEER_LOST) /* the broker was stopped: the bench is over */
                _exit(0);
            else
                bench_die("no session: %s", ps_peer_why(self->peer));
        }
        now_ms = ps_clock_mono_ms();
    } while (ps_peer_tick(self->peer, now_ms) <= now_ms);
}

/* ---- crews ---- */

static void *work(void *arg)
{
    struct crew *self = arg;
    struct epoll_event events[EVENTS_N];
    uint64_t sweep_ms = 0;

    for (;;) {
        uint64_t now_ms = ps_clock_mono_ms();
        int n;

        for (size_t i = 0; now_ms >= sweep_ms && i < self->sessions_n; i++)
            turn(self, &self->sessions[i]);
        if (now_ms >= sweep_ms)
            sweep_ms = now_ms + SWEEP_MS;
        n = epoll_wait(self->epoll_fd, events, EVENTS_N, SWEEP_MS);
        if (n < 0 && errno != EINTR)
            bench_die("epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            turn(self, events[i].data.ptr);
    }
    return NULL;
}

static void open_session(struct session *self, const struct bench_options *options, void *context,
                         int epoll_fd)
{
    const struct ps_peer_where where = {context, options->endpoint, bench_keys(options)};
    const struct ps_peer_config config = {.where = where, .role = PS_ROLE_WORKER, .name = OURS_WORKER};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = self};
    struct ps_error error = {0};

    self->options = options;
    if (ps_peer_new(&self->peer, &config, &error))
        bench_die("%s", error.text);
    if (ps_beat_new(&self->beat, &where) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ps_peer_fd(self->peer), &event))
        bench_die("no heartbeat, or too many descriptors");
}

/* Ends when the broker does, or by a signal. */
int ours_worker(const struct bench_options *options)
{
    size_t threads = (size_t)PS_MIN(options->threads, options->sessions);
    struct session *sessions = ps_alloc((size_t)options->sessions, sizeof(*sessions));
    struct crew *crews = ps_alloc(threads, sizeof(*crews));
    void *context = ours_context();

    if (!sessions || !crews)
        bench_die("out of memory");
    for (size_t i = 0; i < threads; i++) {
        size_t first = (size_t)options->sessions * i / threads,
               end = (size_t)options->sessions * (i + 1) / threads;
        struct crew *crew = &crews[i];

        crew->sessions = sessions + first;
        crew->sessions_n = end - first;
        crew->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (size_t j = first; j < end; j++)
            open_session(&sessions[j], options, context, crew->epoll_fd);
        if (pthread_create(&crew->thread, NULL, work, crew))
            bench_die("no thread");
    }
    for (size_t i = 0; i < threads; i++)
        (void)pthread_join(crews[i].thread, NULL); /* they never end by themselves */
    return 0;
}
