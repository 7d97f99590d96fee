/* tests/flow/scan_worker.h: a played worker on the real peer library: a thread that takes JOBs, fetches what does not
 * come inline, checks every byte, and answers as it is told. It keeps results until COMMITTED and tells them again after
 * a new session, as a real one does. */
#ifndef PS_TESTS_SCAN_WORKER_H
#define PS_TESTS_SCAN_WORKER_H

#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "proto/peer/beat.h"
#include "proto/peer/peer.h"

#define WORKER_WINDOW 256

/* A lease in our hands: waits for its sample (or while we hold), then is a result until COMMITTED. */
struct worker_lease {
    uint64_t boot, seq, job;
    char engine[PS_NAME_MAX + 1];
    uint8_t sha256[PS_SHA256_BYTES];
    bool answered;
    struct worker_lease *prev, *next;
};

/* A sample that is being fetched. */
struct worker_fetch {
    uint8_t sha256[PS_SHA256_BYTES];
    uint8_t *data;
    uint64_t size, got;
    struct worker_fetch *prev, *next;
};

struct worker {
    pthread_t thread;
    atomic_bool ending;
    atomic_bool hold;      /* answer nothing for now */
    atomic_bool with_yara; /* offer it; looked at when sessions open and when offers_n changes */
    atomic_uint offers_n;
    atomic_uint jobs_n, fetched_n, spoiled_n,
        gone_n; /* leases seen, samples fetched, with wrong bytes, GONEs */
    void *context;
    const char *endpoint, *name;

    struct ps_peer *peer;
    struct ps_beat *beat;
    uint64_t boot;
    unsigned offered_n;
    struct worker_lease *leases;
    struct worker_fetch *fetches;
};

static inline bool worker_fetching(struct worker *w, const uint8_t *sha256)
{
    struct worker_fetch *f;

    DL_FOREACH (w->fetches, f)
        if (memcmp(f->sha256, sha256, PS_SHA256_BYTES) == 0)
            return true;
    return false;
}

static inline size_t worker_offers(struct worker *w, struct ps_part_offer offers[4])
{
    static const char *const names[] = {"type", "hashes", "clamav", "yara"};
    size_t n = atomic_load(&w->with_yara) ? 4 : 3;

    for (size_t i = 0; i < n; i++)
        offers[i] = (struct ps_part_offer){.name = ps_bytes_of(names[i]),
                                           .kind = i < 2 ? 2 : 1,
                                           .version = PS_BYTES_LIT("1.0"),
                                           .definitions = PS_BYTES_LIT("d"),
                                           .origin = PS_BYTES_LIT("site"),
                                           .signatures = 1};
    return n;
}

static inline void worker_answer(struct worker *w, struct worker_lease *l)
{
    bool judges = strcmp(l->engine, "clamav") == 0 || strcmp(l->engine, "yara") == 0;
    struct ps_msg msg = {.id = PS_MSG_RESULT,
                         .RESULT = {.boot = l->boot,
                                    .seq = l->seq,
                                    .job = l->job,
                                    .engine = ps_bytes_of(l->engine),
                                    .outcome = judges ? PS_OUTCOME_UNDETECTED : PS_OUTCOME_DESCRIBED,
                                    .counted = true,
                                    .type = ps_bytes_of(strcmp(l->engine, "type") == 0 ? "text/plain" : NULL),
                                    .traits = PS_BYTES_LIT("{\"a\":1}"),
                                    .version = PS_BYTES_LIT("1.0"),
                                    .definitions = PS_BYTES_LIT("d"),
                                    .origin = PS_BYTES_LIT("site"),
                                    .worker = ps_bytes_of(w->name),
                                    .run_us = 10,
                                    .cpu_us = 10}};

    l->answered = true;
    (void)ps_peer_put(w->peer, &msg); /* without a session it is told again in the next */
}

static inline void worker_answer_ready(struct worker *w)
{
    struct worker_lease *l;

    if (atomic_load(&w->hold) || !ps_peer_is_open(w->peer))
        return;
    DL_FOREACH (w->leases, l)
        if (!l->answered && !worker_fetching(w, l->sha256))
            worker_answer(w, l);
}

static inline void worker_ready(struct worker *w, const struct ps_msg_WELCOME *welcome)
{
    static struct ps_part_held held[PS_WINDOW_MAX];
    static struct ps_part_lease_ref results[PS_WINDOW_MAX];
    struct ps_part_offer offers[4];
    struct worker_lease *l;
    struct worker_fetch *f, *next;
    size_t held_n = 0, results_n = 0, offers_n = worker_offers(w, offers);

    w->boot = welcome->boot;
    w->offered_n = atomic_load(&w->offers_n);
    ps_beat_session(w->beat, welcome->session, welcome->token.at, welcome->beat_ms);
    DL_FOREACH (w->leases, l)
        if (l->answered && results_n < PS_WINDOW_MAX)
            results[results_n++] = (struct ps_part_lease_ref){.boot = l->boot, .seq = l->seq, .job = l->job};
        else if (held_n < PS_WINDOW_MAX)
            held[held_n++] = (struct ps_part_held){
                .boot = l->boot, .seq = l->seq, .job = l->job, .engine = ps_bytes_of(l->engine)};
    assert_int_equal(
        ps_peer_put(w->peer, PS_MSG(READY, .slots = 2, .window = WORKER_WINDOW,
                                    .isolation = PS_BYTES_LIT("full"), .engines = {offers, offers_n, {0}},
                                    .held = {held, held_n, {0}}, .results = {results, results_n, {0}})),
        0);
    DL_FOREACH (w->leases, l)
        if (l->answered)
            worker_answer(w, l);
    DL_FOREACH_SAFE (w->fetches, f, next) {
        struct ps_msg msg = {.id = PS_MSG_FETCH,
                             .FETCH = {.offset = f->got, .bytes = (uint32_t)(f->size - f->got)}};
        memcpy(msg.FETCH.sha256, f->sha256, PS_SHA256_BYTES);
        (void)ps_peer_put(w->peer, &msg);
    }
}

static inline void worker_check(struct worker *w, const uint8_t *sha256, const void *data, size_t len)
{
    uint8_t digest[32];

    assert_int_equal(ps_sha256(digest, data, len), 0);
    if (memcmp(digest, sha256, sizeof(digest)) != 0)
        atomic_fetch_add(&w->spoiled_n, 1);
}

static inline void worker_job(struct worker *w, struct ps_msg_JOB *job)
{
    struct ps_part_lease lease;

    while (ps_lease_next(&job->leases, &lease)) {
        struct worker_lease *l = calloc(1, sizeof(*l));
        l->boot = w->boot;
        l->seq = lease.seq;
        l->job = lease.job;
        memcpy(l->engine, lease.engine.at, lease.engine.len);
        memcpy(l->sha256, job->sha256, sizeof(l->sha256));
        DL_APPEND(w->leases, l);
        atomic_fetch_add(&w->jobs_n, 1);
    }
    if (job->data.len > 0 || job->size == 0) {
        worker_check(w, job->sha256, job->data.at, job->data.len);
        return;
    }
    if (worker_fetching(w, job->sha256))
        return;
    struct worker_fetch *f = calloc(1, sizeof(*f));
    struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.bytes = (uint32_t)job->size}};
    memcpy(f->sha256, job->sha256, sizeof(f->sha256));
    memcpy(msg.FETCH.sha256, job->sha256, sizeof(f->sha256));
    f->size = job->size;
    f->data = malloc(job->size);
    DL_APPEND(w->fetches, f);
    (void)ps_peer_put(w->peer, &msg);
}

static inline void worker_chunk(struct worker *w, const struct ps_msg_CHUNK *chunk, struct ps_bytes carried)
{
    struct worker_fetch *f, *next;

    DL_FOREACH_SAFE (w->fetches, f, next) {
        if (memcmp(f->sha256, chunk->sha256, sizeof(f->sha256)) != 0 || chunk->offset != f->got)
            continue;
        assert_true(carried.len <= f->size - f->got);
        memcpy(f->data + f->got, carried.at, carried.len);
        f->got += carried.len;
        if (f->got < f->size)
            continue;
        worker_check(w, f->sha256, f->data, f->size);
        atomic_fetch_add(&w->fetched_n, 1);
        DL_DELETE(w->fetches, f);
        free(f->data);
        free(f);
    }
}

static inline void worker_forget(struct worker *w, struct ps_list_lease_ref list, bool results)
{
    struct ps_part_lease_ref ref;
    struct worker_lease *l, *next;

    while (ps_lease_ref_next(&list, &ref))
        DL_FOREACH_SAFE (w->leases, l, next)
            if (l->boot == ref.boot && l->seq == ref.seq && (!results || l->answered)) {
                DL_DELETE(w->leases, l);
                free(l);
                break;
            }
}

static inline void worker_hear(struct worker *w, struct ps_msg *msg, struct ps_bytes carried)
{
    switch (msg->id) {
    case PS_MSG_JOB:
        worker_job(w, &msg->JOB);
        break;
    case PS_MSG_CHUNK:
        worker_chunk(w, &msg->CHUNK, carried);
        break;
    case PS_MSG_GONE:
        atomic_fetch_add(&w->gone_n, 1);
        break;
    case PS_MSG_COMMITTED:
        worker_forget(w, msg->COMMITTED.leases, true);
        break;
    case PS_MSG_CANCEL:
        worker_forget(w, msg->CANCEL.leases, false);
        break;
    default:
        break;
    }
}

static inline void worker_turn(struct worker *w)
{
    struct ps_msg msg;
    struct ps_bytes carried;
    struct ps_part_offer offers[4];
    enum ps_peer_event event;

    while ((event = ps_peer_recv(w->peer, &msg, &carried)) != PS_PEER_NOTHING)
        switch (event) {
        case PS_PEER_OPENED:
        case PS_PEER_RESUMED:
            worker_ready(w, &msg.WELCOME);
            break;
        case PS_PEER_MESSAGE:
            worker_hear(w, &msg, carried);
            break;
        case PS_PEER_LOST:
            ps_beat_session(w->beat, 0, NULL, 0);
            break;
        default:
            break;
        }
    if (ps_peer_is_open(w->peer) && w->offered_n != atomic_load(&w->offers_n)) {
        w->offered_n = atomic_load(&w->offers_n);
        size_t n = worker_offers(w, offers);
        (void)ps_peer_put(w->peer, PS_MSG(OFFERS, .engines = {offers, n, {0}}));
    }
    worker_answer_ready(w);
}

static inline void *worker_run(void *arg)
{
    struct worker *w = arg;
    struct worker_lease *l, *next;
    struct worker_fetch *f, *next_f;
    const struct ps_peer_where where = {.context = w->context, .endpoint = w->endpoint};
    const struct ps_peer_config config = {.where = where, .role = PS_ROLE_WORKER, .name = w->name};

    assert_int_equal(ps_beat_new(&w->beat, &where), 0);
    assert_int_equal(ps_peer_new(&w->peer, &config, NULL), 0);
    while (!atomic_load(&w->ending)) {
        uint64_t wake_ms = ps_peer_tick(w->peer, ps_clock_mono_ms()), now_ms = ps_clock_mono_ms();
        struct pollfd fd = {.fd = ps_peer_fd(w->peer), .events = POLLIN};
        (void)poll(&fd, 1, wake_ms > now_ms ? (int)PS_MIN(wake_ms - now_ms, UINT64_C(20)) : 0);
        worker_turn(w);
    }
    ps_peer_bye(w->peer, "the test ends");
    ps_peer_free(&w->peer);
    ps_beat_free(&w->beat);
    DL_FOREACH_SAFE (w->leases, l, next)
        free(l);
    DL_FOREACH_SAFE (w->fetches, f, next_f) {
        free(f->data);
        free(f);
    }
    return NULL;
}

static inline void worker_start(struct worker *w, void *context, const char *endpoint, const char *name)
{
    memset(w, 0, sizeof(*w));
    w->context = context;
    w->endpoint = endpoint;
    w->name = name;
    atomic_store(&w->with_yara, true);
    assert_int_equal(pthread_create(&w->thread, NULL, worker_run, w), 0);
}

static inline void worker_stop(struct worker *w)
{
    atomic_store(&w->ending, true);
    pthread_join(w->thread, NULL);
}

#endif
