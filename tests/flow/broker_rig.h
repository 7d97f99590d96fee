/* tests/flow/broker_rig.h: a real phagescan-broker process, a master and workers played over proto/peer, in one
 * thread. */
#ifndef PS_TESTS_BROKER_RIG_H
#define PS_TESTS_BROKER_RIG_H

#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "proto/peer/beat.h"
#include "proto/peer/peer.h"

#define RIG_JOBS_MAX    4096
#define RIG_PATIENCE_MS 30000

extern char **environ;

struct rig {
    char *dir;
    char socket[UNIT_PATH_MAX];
    char endpoint[UNIT_PATH_MAX + 8];
    const char *more[8]; /* further arguments of the broker, NULL-ended */
    pid_t broker;
    void *context;
};

/* A job as the master sees it. */
struct rig_job {
    bool said, accepted, done; /* said: to this session */
    unsigned results_n, lost;
    uint32_t outcome; /* first */
};

struct rig_master {
    struct ps_peer *peer;
    struct rig_job jobs[RIG_JOBS_MAX];
    uint64_t jobs_n; /* 1..jobs_n were submitted */
    uint64_t done_n, repeated_n, decided_n;
    uint32_t grant;
    uint64_t size; /* of every sample; above PS_INLINE_MAX workers fetch */
    bool mute;     /* commits nothing */
    unsigned opened_n, resumed_n, lost_n;
    uint64_t fleets_n, fleet_workers;
};

struct rig_lease {
    uint64_t boot, seq, job;
    uint8_t sha256[32];
    uint64_t size, have; /* bytes of the sample, and how many are here */
    uint64_t asked;      /* up to where they are asked for */
    bool result;         /* done, not committed */
};

struct rig_worker {
    struct ps_peer *peer;
    struct ps_beat *beat;
    struct rig_lease leases[RIG_JOBS_MAX];
    size_t leases_n;
    uint64_t boot;
    bool hold; /* takes jobs and answers none */
    uint64_t done_n, bytes_n;
    unsigned opened_n, resumed_n, lost_n, cancelled_n;
};

/* ---- the process ---- */

static inline void rig_start(struct rig *self)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");
    char program[UNIT_PATH_MAX], fd_text[16];
    const char *argv[24] = {program,      "--config",   "/dev/null", "--listen",
                            self->socket, "--ready-fd", fd_text};
    size_t n = 7;
    int fds[2];
    char line[16] = "";

    assert_non_null(build);
    (void)snprintf(program, sizeof(program), "%s/broker/daemon/phagescan-broker", build);
    assert_int_equal(pipe(fds), 0);
    (void)snprintf(fd_text, sizeof(fd_text), "%d", fds[1]);
    for (size_t i = 0; self->more[i]; i++)
        argv[n++] = self->more[i];
    assert_int_equal(posix_spawn(&self->broker, program, NULL, NULL, (char *const *)argv, environ), 0);
    (void)close(fds[1]);
    assert_int_equal(read(fds[0], line, sizeof(line)), 6);
    assert_string_equal(line, "ready\n");
    (void)close(fds[0]);
}

/* Ends it, and returns its wait status. */
static inline int rig_stop(struct rig *self, int signal_no)
{
    int status = 0;

    assert_int_equal(kill(self->broker, signal_no), 0);
    assert_int_equal(waitpid(self->broker, &status, 0), self->broker);
    self->broker = 0;
    return status;
}

static inline struct rig *rig_new(void)
{
    struct rig *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    self->dir = unit_dir_make();
    (void)snprintf(self->socket, sizeof(self->socket), "%s/run/broker.sock", self->dir);
    (void)snprintf(self->endpoint, sizeof(self->endpoint), "ipc://%s", self->socket);
    self->context = zmq_ctx_new();
    return self;
}

static inline void rig_free(struct rig *self)
{
    if (self->broker)
        (void)rig_stop(self, SIGTERM);
    (void)zmq_ctx_term(self->context);
    unit_dir_remove(self->dir);
    free(self);
}

static inline struct ps_peer *rig_peer(struct rig *self, enum ps_role role, const char *name)
{
    struct ps_peer_config config = {
        .where = {.context = self->context, .endpoint = self->endpoint}, .role = role, .name = name};
    struct ps_error error;
    struct ps_peer *peer = NULL;

    if (ps_peer_new(&peer, &config, &error))
        fail_msg("%s", error.text);
    return peer;
}

/* ---- samples: job number J is of sample J ---- */

static inline void rig_sha(uint8_t sha256[32], uint64_t job)
{
    memset(sha256, 0x5a, 32);
    memcpy(sha256, &job, sizeof(job));
}

static inline uint8_t rig_byte(uint64_t job, uint64_t offset)
{
    return (uint8_t)(job * 31 + offset * 7 + (offset >> 9));
}

/* ---- master ---- */

static inline void master_submit_one(struct rig_master *self, uint64_t job)
{
    static uint8_t data[PS_INLINE_MAX];
    struct ps_part_ask ask = {.job = job, .engine = PS_BYTES_LIT("clamav"), .lost = self->jobs[job].lost};
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = 1,
                                    .size = self->size,
                                    .band = PS_BAND_BATCH,
                                    .deadline_ms = 300000,
                                    .jobs = {.items = &ask, .n = 1}}};

    rig_sha(msg.SUBMIT.sha256, job);
    if (self->size <= PS_INLINE_MAX) {
        for (uint64_t i = 0; i < self->size; i++)
            data[i] = rig_byte(job, i);
        msg.SUBMIT.data = (struct ps_bytes){data, (size_t)self->size};
    }
    /* A full backlog refuses it: said again later. */
    self->jobs[job].said = ps_peer_put(self->peer, &msg) == 0;
}

/* What is not done and was not said to this session, as far as the backlog takes it. */
static inline void master_feed(struct rig_master *self)
{
    for (uint64_t job = 1; job <= self->jobs_n && ps_peer_is_open(self->peer); job++) {
        if (self->jobs[job].done || self->jobs[job].said)
            continue;
        master_submit_one(self, job);
        if (!self->jobs[job].said)
            return;
    }
}

/* All that is not done, anew: what a master does when it meets a broker. */
static inline void master_drive(struct rig_master *self)
{
    (void)ps_peer_put(self->peer,
                      PS_MSG(GRANT, .epoch = 1, .results = self->grant)); /* the backlog is empty */
    for (uint64_t job = 1; job <= self->jobs_n; job++)
        self->jobs[job].said = false;
    master_feed(self);
}

static inline void master_submit(struct rig_master *self, uint64_t n)
{
    assert_true(self->jobs_n + n < RIG_JOBS_MAX);
    self->jobs_n += n;
    master_feed(self);
}

static inline void master_commit(struct rig_master *self, uint64_t job, uint32_t outcome)
{
    const struct ps_part_lease_ref ref = {.job = job};

    assert_true(job >= 1 && job <= self->jobs_n);
    if (self->mute)
        return;
    self->jobs[job].results_n++;
    if (self->jobs[job].done) {
        self->repeated_n++;
    } else {
        self->jobs[job].done = true;
        self->jobs[job].outcome = outcome;
        self->done_n++;
    }
    (void)ps_peer_put(self->peer, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = &ref, .n = 1}));
}

static inline void master_serve(struct rig_master *self, const struct ps_msg_FETCH *fetch)
{
    static uint8_t piece[PS_CHUNK_MAX];
    uint64_t job, end = PS_MIN(fetch->offset + fetch->bytes, self->size);
    struct ps_msg msg = {.id = PS_MSG_CHUNK, .CHUNK = {.peer = fetch->peer, .size = self->size}};

    memcpy(&job, fetch->sha256, sizeof(job));
    memcpy(msg.CHUNK.sha256, fetch->sha256, 32);
    for (uint64_t at = fetch->offset; at < end; at += PS_CHUNK_MAX) {
        size_t n = (size_t)PS_MIN(end - at, (uint64_t)PS_CHUNK_MAX);

        for (size_t i = 0; i < n; i++)
            piece[i] = rig_byte(job, at + i);
        msg.CHUNK.offset = at;
        assert_int_equal(ps_peer_put_carrying(self->peer, &msg, piece, n), 0);
    }
}

static inline void master_hear(struct rig_master *self, const struct ps_msg *msg)
{
    struct ps_list_lease_ref cursor;
    struct ps_part_lease_ref ref;

    switch (msg->id) {
    case PS_MSG_ACCEPTED:
        cursor = msg->ACCEPTED.jobs;
        while (ps_lease_ref_next(&cursor, &ref))
            self->jobs[ref.job].accepted = true;
        break;
    case PS_MSG_RESULT:
        master_commit(self, msg->RESULT.job, msg->RESULT.outcome);
        break;
    case PS_MSG_DECIDED:
        self->decided_n++;
        master_commit(self, msg->DECIDED.job, msg->DECIDED.outcome);
        break;
    case PS_MSG_LOST:
        self->lost_n++;
        self->jobs[msg->LOST.job].lost = msg->LOST.lost;
        break;
    case PS_MSG_FETCH:
        master_serve(self, &msg->FETCH);
        break;
    case PS_MSG_FLEET:
        self->fleets_n++;
        self->fleet_workers = msg->FLEET.workers.n;
        break;
    default:
        break;
    }
}

static inline void master_turn(struct rig_master *self)
{
    enum ps_peer_event event;
    struct ps_bytes carried;
    struct ps_msg msg;

    while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
        if (event == PS_PEER_OPENED || event == PS_PEER_RESUMED) {
            self->opened_n += event == PS_PEER_OPENED;
            self->resumed_n += event == PS_PEER_RESUMED;
            master_drive(self);
        } else if (event == PS_PEER_MESSAGE) {
            master_hear(self, &msg);
        }
    }
    master_feed(self);
}

/* ---- worker ---- */

static inline void worker_send_result(struct rig_worker *self, const struct rig_lease *lease)
{
    (void)ps_peer_put(self->peer, PS_MSG(RESULT, .boot = lease->boot, .seq = lease->seq, .job = lease->job,
                                         .engine = PS_BYTES_LIT("clamav"), .outcome = PS_OUTCOME_UNDETECTED,
                                         .counted = true, .worker = PS_BYTES_LIT("w")));
}

static inline void worker_finish(struct rig_worker *self, struct rig_lease *lease)
{
    lease->result = true;
    self->done_n++;
    worker_send_result(self, lease);
}

static inline void worker_fetch(struct rig_worker *self, struct rig_lease *lease)
{
    struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.offset = lease->have, .bytes = 256 * 1024}};

    lease->asked = lease->have + msg.FETCH.bytes;
    memcpy(msg.FETCH.sha256, lease->sha256, 32);
    (void)ps_peer_put(self->peer, &msg);
}

static inline void worker_forget(struct rig_worker *self, const struct ps_part_lease_ref *ref)
{
    for (size_t i = 0; i < self->leases_n; i++)
        if (self->leases[i].job == ref->job && self->leases[i].boot == ref->boot &&
            self->leases[i].seq == ref->seq)
            self->leases[i] = self->leases[--self->leases_n];
}

static inline void worker_take_job(struct rig_worker *self, const struct ps_msg_JOB *job)
{
    struct ps_list_lease cursor = job->leases;
    struct ps_part_lease lease;

    while (ps_lease_next(&cursor, &lease)) {
        struct rig_lease *own = &self->leases[self->leases_n++];

        assert_true(self->leases_n < RIG_JOBS_MAX);
        *own = (struct rig_lease){.boot = self->boot, .seq = lease.seq, .job = lease.job, .size = job->size};
        memcpy(own->sha256, job->sha256, 32);
        for (size_t i = 0; i < job->data.len; i++)
            assert_int_equal(job->data.at[i], rig_byte(lease.job, i));
        own->have = job->data.len;
        if (own->have < own->size)
            worker_fetch(self, own);
        else if (!self->hold)
            worker_finish(self, own);
    }
}

static inline void worker_take_chunk(struct rig_worker *self, const struct ps_msg_CHUNK *chunk,
                                     struct ps_bytes bytes)
{
    for (size_t i = 0; i < self->leases_n; i++) {
        struct rig_lease *lease = &self->leases[i];

        if (memcmp(lease->sha256, chunk->sha256, 32) != 0 || lease->have != chunk->offset || lease->result)
            continue;
        for (size_t j = 0; j < bytes.len; j++)
            assert_int_equal(bytes.at[j], rig_byte(lease->job, chunk->offset + j));
        lease->have += bytes.len;
        self->bytes_n += bytes.len;
        if (lease->have == lease->size)
            worker_finish(self, lease);
        else if (lease->have >= lease->asked)
            worker_fetch(self, lease);
    }
}

static inline void worker_ready(struct rig_worker *self)
{
    static struct ps_part_held held[RIG_JOBS_MAX];
    static struct ps_part_lease_ref results[RIG_JOBS_MAX];
    const struct ps_part_offer offer = {.name = PS_BYTES_LIT("clamav"), .kind = PS_KIND_EVILNESS};
    size_t held_n = 0, results_n = 0;

    for (size_t i = 0; i < self->leases_n; i++) {
        const struct rig_lease *lease = &self->leases[i];

        if (lease->result)
            results[results_n++] = (struct ps_part_lease_ref){lease->boot, lease->seq, lease->job};
        else
            held[held_n++] =
                (struct ps_part_held){lease->boot, lease->seq, lease->job, PS_BYTES_LIT("clamav"), false};
    }
    assert_int_equal(
        ps_peer_put(self->peer,
                    PS_MSG(READY, .slots = 2, .window = 64, .isolation = PS_BYTES_LIT("full"),
                           .engines = {.items = &offer, .n = 1}, .held = {.items = held, .n = held_n},
                           .results = {.items = results, .n = results_n})),
        0);
    for (size_t i = 0; i < self->leases_n; i++) {
        if (self->leases[i].result)
            worker_send_result(self, &self->leases[i]);
        else if (self->leases[i].have < self->leases[i].size)
            worker_fetch(self, &self->leases[i]);
    }
}

static inline void worker_hear(struct rig_worker *self, const struct ps_msg *msg, struct ps_bytes carried)
{
    struct ps_list_lease_ref cursor;
    struct ps_part_lease_ref ref;

    switch (msg->id) {
    case PS_MSG_JOB:
        worker_take_job(self, &msg->JOB);
        break;
    case PS_MSG_CHUNK:
        worker_take_chunk(self, &msg->CHUNK, carried);
        break;
    case PS_MSG_COMMITTED:
        cursor = msg->COMMITTED.leases;
        while (ps_lease_ref_next(&cursor, &ref))
            worker_forget(self, &ref);
        break;
    case PS_MSG_CANCEL:
        cursor = msg->CANCEL.leases;
        while (ps_lease_ref_next(&cursor, &ref)) {
            worker_forget(self, &ref);
            self->cancelled_n++;
        }
        break;
    default:
        break;
    }
}

static inline void worker_turn(struct rig_worker *self)
{
    enum ps_peer_event event;
    struct ps_bytes carried;
    struct ps_msg msg;

    while ((event = ps_peer_recv(self->peer, &msg, &carried)) != PS_PEER_NOTHING) {
        if (event == PS_PEER_OPENED || event == PS_PEER_RESUMED) {
            self->opened_n += event == PS_PEER_OPENED;
            self->resumed_n += event == PS_PEER_RESUMED;
            self->boot = msg.WELCOME.boot;
            ps_beat_session(self->beat, msg.WELCOME.session, msg.WELCOME.token.at, msg.WELCOME.beat_ms);
            worker_ready(self);
        } else if (event == PS_PEER_LOST) {
            self->lost_n++;
        } else if (event == PS_PEER_MESSAGE) {
            worker_hear(self, &msg, carried);
        }
    }
}

/* Lets the workers that hold answer. */
static inline void worker_release(struct rig_worker *self)
{
    self->hold = false;
    for (size_t i = 0; i < self->leases_n; i++)
        if (!self->leases[i].result && self->leases[i].have == self->leases[i].size)
            worker_finish(self, &self->leases[i]);
}

/* ---- all together ---- */

static inline struct rig_master *rig_master(struct rig *rig, uint32_t grant)
{
    struct rig_master *self = calloc(1, sizeof(*self));

    assert_non_null(self);
    self->peer = rig_peer(rig, PS_ROLE_MASTER, "m");
    self->grant = grant;
    self->size = 100;
    return self;
}

static inline void rig_master_free(struct rig_master *self)
{
    ps_peer_free(&self->peer);
    free(self);
}

static inline struct rig_worker *rig_worker(struct rig *rig)
{
    struct rig_worker *self = calloc(1, sizeof(*self));
    const struct ps_peer_where where = {.context = rig->context, .endpoint = rig->endpoint};

    assert_non_null(self);
    self->peer = rig_peer(rig, PS_ROLE_WORKER, "w");
    assert_int_equal(ps_beat_new(&self->beat, &where), 0);
    return self;
}

static inline void rig_worker_free(struct rig_worker *self)
{
    ps_beat_free(&self->beat);
    ps_peer_free(&self->peer);
    free(self);
}

/* One round of everybody; worker may be NULL. */
static inline void rig_round(struct rig_master *master, struct rig_worker *worker)
{
    uint64_t now_ms = ps_clock_mono_ms(), wake_ms = ps_peer_tick(master->peer, now_ms);
    struct pollfd fds[2] = {{.fd = ps_peer_fd(master->peer), .events = POLLIN}};

    if (worker) {
        wake_ms = PS_MIN(wake_ms, ps_peer_tick(worker->peer, now_ms));
        fds[1] = (struct pollfd){.fd = ps_peer_fd(worker->peer), .events = POLLIN};
    }
    wake_ms = wake_ms > now_ms ? wake_ms - now_ms : 0;
    (void)poll(fds, worker ? 2 : 1, (int)PS_MIN(wake_ms, (uint64_t)50));
    master_turn(master);
    if (worker)
        worker_turn(worker);
}

#define RIG_UNTIL(master, worker, condition)                        \
    do {                                                            \
        uint64_t rig_end_ms = ps_clock_mono_ms() + RIG_PATIENCE_MS; \
        while (!(condition)) {                                      \
            if (ps_clock_mono_ms() > rig_end_ms)                    \
                fail_msg("waited in vain for " #condition);         \
            rig_round(master, worker);                              \
        }                                                           \
    } while (0)

static inline void rig_for(struct rig_master *master, struct rig_worker *worker, uint64_t ms)
{
    for (uint64_t end_ms = ps_clock_mono_ms() + ms; ps_clock_mono_ms() < end_ms;)
        rig_round(master, worker);
}

#endif
