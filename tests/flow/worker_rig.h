/* tests/flow/worker_rig.h: a real phagescan-worker with real engines under a broker of a few lines, which the test
 * plays: it sees all that the worker says and says what the test wants.
 *
 * The environment names the build: PHAGESCAN_TEST_BUILD. Everything else is in a directory of the test's own. */
#ifndef PS_TESTS_WORKER_RIG_H
#define PS_TESTS_WORKER_RIG_H

#include "tests/unit/proto_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/outcome.h"

#define RIG_WAIT_MS  30000 /* a condition that does not come true within this fails the test */
#define RIG_RESULTS  256
#define RIG_OFFERS   16
#define RIG_REFS     256
#define RIG_CONTENTS 64
#define RIG_DEAD_MS  2000

#define RIG_PIECES (256 * 1024)

struct rig_content {
    uint8_t *at;
    size_t len;
    uint8_t sha[PS_SHA256_BYTES];
};

struct rig_result {
    uint64_t boot, seq, job;
    uint32_t outcome;
    bool counted;
    char engine[PS_NAME_MAX + 1], label[PS_LABEL_MAX + 1], reason[PS_TEXT_MAX + 1], type[PS_NAME_MAX + 1];
    char version[PS_VERSION_MAX + 1], worker[PS_NAME_MAX + 1];
    size_t traits_len, files_n;
    uint64_t run_us;
};

struct rig_offer {
    char name[PS_NAME_MAX + 1], problem[PS_TEXT_MAX + 1], version[PS_VERSION_MAX + 1];
    uint32_t kind;
};

struct rig {
    struct broker broker;
    char *dir;
    pid_t pid; /* the worker; 0 when there is none */
    uint8_t talk[BROKER_ID_MAX];
    size_t talk_len;

    /* what we play */
    uint64_t boot, session;
    bool deaf;       /* reads nothing */
    bool refuse_old; /* a session that is to be resumed gets a new one */
    bool commit;     /* COMMITTED at once for every result */
    bool no_chunks;  /* FETCH is only counted */
    bool bad_chunks; /* the first byte of each piece is wrong */
    bool gone;       /* FETCH is answered by GONE */
    uint64_t seq;    /* of the last lease given */

    /* what the worker said */
    unsigned hellos, readies, byes, beats, fetches, offer_lists, credits;
    uint64_t fetched_bytes; /* sent in answer */
    uint32_t slots, window;
    char isolation[PS_TEXT_MAX + 1];
    struct rig_offer offers[RIG_OFFERS];
    size_t offers_n;
    struct rig_result results[RIG_RESULTS]; /* as they came, repeats too */
    size_t results_n;
    struct ps_part_lease_ref running[RIG_REFS]; /* of the last heartbeat */
    size_t running_n;
    struct ps_part_held held[RIG_REFS]; /* of the last READY; no engine */
    size_t held_n;
    struct ps_part_lease_ref uncommitted[RIG_REFS]; /* of the last READY */
    size_t uncommitted_n;

    unsigned keeps;
    struct ps_msg_KEEP keep;       /* the last one */
    uint8_t pieces[RIG_PIECES];    /* bytes of all PIECEs, one behind the other */
    size_t pieces_len, pieces_max; /* bytes; of the largest piece */

    struct rig_content contents[RIG_CONTENTS];
    size_t contents_n;
};

static inline void rig_show_log(const struct rig *rig)
{
    char path[UNIT_PATH_MAX];
    PS_BUF struct ps_buf text;

    ps_buf_init(&text, 1 << 20);
    if (ps_file_read(unit_path(path, rig->dir, "log"), &text) == 0)
        fprintf(stderr, "---- the worker's log\n%s----\n", ps_buf_text(&text));
}

static inline void rig_poll(struct rig *rig);

/* Plays the broker until condition holds. */
#define RIG_WAIT(rig, condition)                               \
    do {                                                       \
        uint64_t until_ms_ = ps_clock_mono_ms() + RIG_WAIT_MS; \
        while (!(condition)) {                                 \
            rig_poll(rig);                                     \
            if (ps_clock_mono_ms() < until_ms_)                \
                continue;                                      \
            rig_show_log(rig);                                 \
            fail_msg("in vain: %s", #condition);               \
        }                                                      \
    } while (0)

/* ---- what we say ---- */

static inline void rig_say(struct rig *rig, const struct ps_msg *msg)
{
    memcpy(rig->broker.id, rig->talk, rig->talk_len);
    rig->broker.id_len = rig->talk_len;
    broker_say(&rig->broker, msg);
}

static inline void rig_say_chunk(struct rig *rig, const struct rig_content *content, uint64_t offset,
                                 size_t len)
{
    PS_BUF struct ps_buf out;
    uint8_t piece[PS_CHUNK_MAX];
    struct ps_msg msg = {.id = PS_MSG_CHUNK,
                         .CHUNK = {.peer = rig->session, .offset = offset, .size = content->len}};

    memcpy(msg.CHUNK.sha256, content->sha, PS_SHA256_BYTES);
    memcpy(piece, content->at + offset, len);
    piece[0] ^= rig->bad_chunks;
    ps_buf_init(&out, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&out, &msg), 0);
    memcpy(rig->broker.id, rig->talk, rig->talk_len);
    rig->broker.id_len = rig->talk_len;
    broker_send(&rig->broker, out.data, out.len, true);
    assert_int_equal(zmq_send(rig->broker.router, piece, len, 0), len);
    rig->fetched_bytes += len;
}

/* A line of text, and dots up to len bytes (at least the text). Lives as long as the rig. */
static inline const struct rig_content *rig_content(struct rig *rig, const char *text, size_t len)
{
    struct rig_content *c = &rig->contents[rig->contents_n++];

    assert_true(rig->contents_n <= RIG_CONTENTS);
    c->len = PS_MAX(len, strlen(text));
    c->at = malloc(c->len + 1);
    assert_non_null(c->at);
    memset(c->at, '.', c->len);
    memcpy(c->at, text, strlen(text));
    if (c->len > strlen(text))
        c->at[strlen(text)] = '\n';
    assert_int_equal(ps_sha256(c->sha, c->at, c->len), 0);
    return c;
}

struct rig_lease {
    uint64_t job;
    const char *engine;
    uint32_t run_ms;
    bool alone;
};

/* Leases n engines on the content in one JOB; inline when it is small enough. */
static inline void rig_lease_all(struct rig *rig, const struct rig_content *content,
                                 const struct rig_lease *wanted, size_t n)
{
    struct ps_part_lease leases[PS_ENGINES_MAX];
    struct ps_msg msg = {.id = PS_MSG_JOB,
                         .JOB = {.size = content->len, .leases = {.items = leases, .n = n}}};

    for (size_t i = 0; i < n; i++)
        leases[i] = (struct ps_part_lease){.seq = ++rig->seq,
                                           .job = wanted[i].job,
                                           .engine = ps_bytes_of(wanted[i].engine),
                                           .run_ms = wanted[i].run_ms,
                                           .alone = wanted[i].alone};
    memcpy(msg.JOB.sha256, content->sha, PS_SHA256_BYTES);
    if (content->len <= PS_INLINE_MAX)
        msg.JOB.data = (struct ps_bytes){content->at, content->len};
    rig_say(rig, &msg);
}

static inline void rig_lease(struct rig *rig, const struct rig_content *content, uint64_t job,
                             const char *engine)
{
    rig_lease_all(rig, content, &(struct rig_lease){.job = job, .engine = engine}, 1);
}

static inline void rig_commit(struct rig *rig, uint64_t job)
{
    rig_say(rig, PS_MSG(COMMITTED, .leases = {.items = &(struct ps_part_lease_ref){.job = job}, .n = 1}));
}

/* ---- what we hear ---- */

static inline void rig_text(char *to, size_t size, struct ps_bytes from)
{
    assert_true(from.len < size);
    if (from.len > 0)
        memcpy(to, from.at, from.len);
    to[from.len] = '\0';
}

static inline void rig_hear_hello(struct rig *rig, const struct ps_msg_HELLO *msg)
{
    bool resumed = msg->session != 0 && msg->session == rig->session && !rig->refuse_old;

    rig->hellos++;
    memcpy(rig->talk, rig->broker.id, rig->broker.id_len);
    rig->talk_len = rig->broker.id_len;
    if (!resumed)
        rig->session++;
    rig_say(rig, PS_MSG(WELCOME, .version = 1, .boot = rig->boot, .session = rig->session,
                        .token = PS_BYTES_LIT(BROKER_TOKEN), .resumed = resumed, .beat_ms = 100,
                        .dead_ms = RIG_DEAD_MS));
}

static inline void rig_hear_offers(struct rig *rig, struct ps_list_offer list)
{
    struct ps_part_offer offer;

    rig->offers_n = 0;
    while (ps_offer_next(&list, &offer)) {
        struct rig_offer *to = &rig->offers[rig->offers_n++];
        assert_true(rig->offers_n <= RIG_OFFERS);
        rig_text(to->name, sizeof(to->name), offer.name);
        rig_text(to->problem, sizeof(to->problem), offer.problem);
        rig_text(to->version, sizeof(to->version), offer.version);
        to->kind = offer.kind;
    }
    rig->offer_lists++;
}

static inline void rig_hear_ready(struct rig *rig, const struct ps_msg_READY *msg)
{
    struct ps_list_held held = msg->held;
    struct ps_list_lease_ref results = msg->results;

    rig->slots = msg->slots;
    rig->window = msg->window;
    rig_text(rig->isolation, sizeof(rig->isolation), msg->isolation);
    rig_hear_offers(rig, msg->engines);
    for (rig->held_n = 0; rig->held_n < RIG_REFS && ps_held_next(&held, &rig->held[rig->held_n]);)
        rig->held_n++;
    for (rig->uncommitted_n = 0;
         rig->uncommitted_n < RIG_REFS && ps_lease_ref_next(&results, &rig->uncommitted[rig->uncommitted_n]);)
        rig->uncommitted_n++;
    rig->readies++;
}

static inline void rig_hear_result(struct rig *rig, const struct ps_msg_RESULT *msg)
{
    struct rig_result *r = &rig->results[rig->results_n++];

    assert_true(rig->results_n <= RIG_RESULTS);
    *r = (struct rig_result){.boot = msg->boot,
                             .seq = msg->seq,
                             .job = msg->job,
                             .outcome = msg->outcome,
                             .counted = msg->counted,
                             .traits_len = msg->traits.len,
                             .files_n = msg->files.n,
                             .run_us = msg->run_us};
    rig_text(r->engine, sizeof(r->engine), msg->engine);
    rig_text(r->label, sizeof(r->label), msg->label);
    rig_text(r->reason, sizeof(r->reason), msg->reason);
    rig_text(r->type, sizeof(r->type), msg->type);
    rig_text(r->version, sizeof(r->version), msg->version);
    rig_text(r->worker, sizeof(r->worker), msg->worker);
    if (rig->commit)
        rig_commit(rig, msg->job);
}

static inline void rig_hear_fetch(struct rig *rig, const struct ps_msg_FETCH *msg)
{
    const struct rig_content *content = NULL;

    rig->fetches++;
    for (size_t i = 0; i < rig->contents_n; i++)
        if (memcmp(rig->contents[i].sha, msg->sha256, PS_SHA256_BYTES) == 0)
            content = &rig->contents[i];
    if (rig->gone) {
        struct ps_msg gone = {.id = PS_MSG_GONE, .GONE = {.reason = PS_BYTES_LIT("the store lost it")}};
        memcpy(gone.GONE.sha256, msg->sha256, PS_SHA256_BYTES);
        rig_say(rig, &gone);
        return;
    }
    if (rig->no_chunks)
        return;
    assert_non_null(content);
    uint64_t end = PS_MIN(msg->offset + msg->bytes, (uint64_t)content->len);
    for (uint64_t at = msg->offset; at < end; at += PS_CHUNK_MAX)
        rig_say_chunk(rig, content, at, PS_MIN((size_t)PS_CHUNK_MAX, (size_t)(end - at)));
}

static inline void rig_hear_piece(struct rig *rig, const struct ps_msg_PIECE *msg)
{
    zmq_msg_t part;
    size_t n;

    assert_int_equal(msg->peer, rig->session);
    assert_int_equal(msg->offset, rig->pieces_len);
    zmq_msg_init(&part);
    assert_true(broker_part(&rig->broker, &part));
    n = zmq_msg_size(&part);
    assert_true(rig->pieces_len + n <= sizeof(rig->pieces));
    memcpy(rig->pieces + rig->pieces_len, zmq_msg_data(&part), n);
    rig->pieces_len += n;
    rig->pieces_max = PS_MAX(rig->pieces_max, n);
    zmq_msg_close(&part);
}

static inline void rig_hear_beat(struct rig *rig, const struct ps_msg_BEAT *msg)
{
    struct ps_list_lease_ref running = msg->running;

    if (msg->session != rig->session)
        return;
    assert_true(ps_bytes_is(msg->token, BROKER_TOKEN));
    for (rig->running_n = 0;
         rig->running_n < RIG_REFS && ps_lease_ref_next(&running, &rig->running[rig->running_n]);)
        rig->running_n++;
    rig->beats++;
}

static inline void rig_hear(struct rig *rig, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_HELLO:
        rig_hear_hello(rig, &msg->HELLO);
        break;
    case PS_MSG_READY:
        rig_hear_ready(rig, &msg->READY);
        break;
    case PS_MSG_OFFERS:
        rig_hear_offers(rig, msg->OFFERS.engines);
        break;
    case PS_MSG_CREDIT:
        rig->window = msg->CREDIT.window;
        rig->credits++;
        break;
    case PS_MSG_RESULT:
        rig_hear_result(rig, &msg->RESULT);
        break;
    case PS_MSG_FETCH:
        rig_hear_fetch(rig, &msg->FETCH);
        break;
    case PS_MSG_KEEP:
        rig->keep = msg->KEEP;
        rig->keeps++;
        break;
    case PS_MSG_PIECE:
        rig_hear_piece(rig, &msg->PIECE);
        break;
    case PS_MSG_BEAT:
        rig_hear_beat(rig, &msg->BEAT);
        break;
    case PS_MSG_BYE:
        rig->byes++;
        break;
    default:
        fail_msg("a worker sends no %s", ps_msg_name(msg->id));
    }
}

/* Waits a little for something to happen, and hears it. Pulses at most once a call. */
static inline void rig_poll(struct rig *rig)
{
    struct ps_msg msg;
    zmq_pollitem_t item = {.socket = rig->broker.router, .events = ZMQ_POLLIN};

    if (rig->deaf || !rig->broker.router) {
        (void)zmq_poll(NULL, 0, 20);
        return;
    }
    (void)zmq_poll(&item, 1, 100);
    while (broker_next(&rig->broker, &msg))
        rig_hear(rig, &msg);
    if (rig->readies > 0)
        rig_say(rig, PS_MSG(PULSE, .session = rig->session));
}

/* The result of a job, the last one that came; NULL when there is none yet. */
static inline const struct rig_result *rig_result(const struct rig *rig, uint64_t job)
{
    for (size_t i = rig->results_n; i > 0; i--)
        if (rig->results[i - 1].job == job)
            return &rig->results[i - 1];
    return NULL;
}

static inline bool rig_runs(const struct rig *rig, uint64_t job)
{
    for (size_t i = 0; i < rig->running_n; i++)
        if (rig->running[i].job == job)
            return true;
    return false;
}

static inline const struct rig_offer *rig_offer(const struct rig *rig, const char *name)
{
    for (size_t i = 0; i < rig->offers_n; i++)
        if (strcmp(rig->offers[i].name, name) == 0)
            return &rig->offers[i];
    return NULL;
}

/* Waits for the job's result and compares its outcome; NULL reason: none. */
static inline const struct rig_result *rig_expect(struct rig *rig, uint64_t job, enum ps_outcome outcome)
{
    RIG_WAIT(rig, rig_result(rig, job));
    if (rig_result(rig, job)->outcome != outcome) {
        rig_show_log(rig);
        fail_msg("job %u is %s (%s), not %s", (unsigned)job, ps_outcome_word(rig_result(rig, job)->outcome),
                 rig_result(rig, job)->reason, ps_outcome_word(outcome));
    }
    return rig_result(rig, job);
}

/* ---- the worker ---- */

static inline const char *rig_build(char buf[UNIT_PATH_MAX], const char *name)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");

    assert_non_null(build);
    return unit_path(buf, build, name);
}

/* Starts the worker with the usual options and those given (NULL-ended list of at most 8). */
static inline void rig_start(struct rig *rig, const char *const *more)
{
    extern char **environ;
    char program[UNIT_PATH_MAX], host[UNIT_PATH_MAX], engines[UNIT_PATH_MAX], cache[UNIT_PATH_MAX];
    char tmp[UNIT_PATH_MAX], log[UNIT_PATH_MAX];
    const char *argv[32] = {rig_build(program, "worker/phagescan-worker"),
                            "--broker",
                            rig->broker.endpoint,
                            "--enginehost",
                            rig_build(host, "worker/host/phagescan-enginehost"),
                            "--engine-dir",
                            rig_build(engines, "engines"),
                            "--cache-dir",
                            unit_path(cache, rig->dir, "cache"),
                            "--tmp-dir",
                            unit_path(tmp, rig->dir, "tmp"),
                            "--account-services",
                            "none",
                            "--name",
                            "rig",
                            "--verbose"};
    size_t n = 16;
    posix_spawn_file_actions_t actions;

    while (*more)
        argv[n++] = *more++;
    argv[n] = NULL;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, unit_path(log, rig->dir, "log"),
                                                      O_WRONLY | O_CREAT | O_APPEND, 0600),
                     0);
    assert_int_equal(posix_spawn(&rig->pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions); /* it can't fail */
}

#define RIG_ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Plays the broker until the worker has ended; its exit status, or 1000 + signal. */
static inline int rig_wait_end(struct rig *rig)
{
    int status = 0;
    pid_t got;

    RIG_WAIT(rig, (got = waitpid(rig->pid, &status, WNOHANG)) != 0);
    assert_int_equal(got, rig->pid);
    rig->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int rig_set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    broker_init(&rig->broker);
    rig->dir = unit_dir_make();
    rig->boot = 7001;
    /* As root, engines run under another account and pass through this one. */
    assert_int_equal(chmod(rig->dir, 0711), 0);
    assert_int_equal(setenv("PHAGESCAN_STATE", rig->dir, 1), 0);
    *state = rig;
    return 0;
}

static inline int rig_tear_down(void **state)
{
    struct rig *rig = *state;

    if (rig->pid > 0) {
        (void)kill(rig->pid, SIGKILL);
        (void)waitpid(rig->pid, NULL, 0);
    }
    for (size_t i = 0; i < rig->contents_n; i++)
        free(rig->contents[i].at);
    broker_fini(&rig->broker);
    unit_dir_remove(rig->dir);
    free(rig);
    return 0;
}

#endif
