/* The broker's core against masters and workers that say anything: the input is a sequence of events on a few
 * connections, some of them well-formed enough to get far. Afterwards the core's books must agree. */
#include <stdio.h>

#include "base/mem.h"
#include "broker/core/core.h"
#include "proto/codec.h"

#define PEERS       6
#define EVENTS_MAX  400
#define ITEMS_MAX   6
#define NAMES_N     5
#define CHECK_EVERY 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input, read byte by byte; zeros behind its end. */
struct reader {
    const uint8_t *at;
    size_t left;
};

struct world {
    struct reader in;
    struct ps_core *core;
    uint64_t sessions[PEERS + 1]; /* by the last WELCOME */
    uint8_t tokens[PEERS + 1][PS_TOKEN_BYTES];
    uint64_t seqs[16]; /* leases that were given, newest last */
    uint64_t jobs[16];
    unsigned leases_n;
    uint64_t now_ms;
};

static const char *const names[NAMES_N] = {"clamav", "yara", "type", "", "a-name-that-is-a-little-longer"};

static unsigned byte(struct world *w)
{
    if (!w->in.left)
        return 0;
    w->in.left--;
    return *w->in.at++;
}

/* Mostly small: so that things meet. */
static uint64_t number(struct world *w)
{
    unsigned b = byte(w);

    return b < 240 ? b % 24 : b == 255 ? UINT64_MAX : (uint64_t)b << (byte(w) % 56);
}

static struct ps_bytes name(struct world *w)
{
    return ps_bytes_of(names[byte(w) % NAMES_N]);
}

static void sha(struct world *w, uint8_t *ret)
{
    memset(ret, 0, 32);
    ret[byte(w) & 8 ? 0 : 20] = (uint8_t)(byte(w) % 5);
}

/* A lease that was given, or any. */
static void lease_name(struct world *w, uint64_t *boot, uint64_t *seq, uint64_t *job)
{
    unsigned b = byte(w), i = b % PS_ARRAY_N(w->seqs);

    *boot = b & 64 ? 7 : number(w);
    *seq = b & 128 ? w->seqs[i] : number(w);
    *job = b & 128 ? w->jobs[i] : number(w);
}

static size_t refs(struct world *w, struct ps_part_lease_ref *items)
{
    size_t n = byte(w) % (ITEMS_MAX + 1);

    for (size_t i = 0; i < n; i++)
        lease_name(w, &items[i].boot, &items[i].seq, &items[i].job);
    return n;
}

static size_t offers(struct world *w, struct ps_part_offer *items)
{
    size_t n = byte(w) % (ITEMS_MAX + 1);

    for (size_t i = 0; i < n; i++)
        items[i] = (struct ps_part_offer){.name = name(w),
                                          .run_ms = (uint32_t)number(w),
                                          .problem = byte(w) % 4 ? (struct ps_bytes){0} : name(w)};
    return n;
}

/* ---- what the core says ---- */

static void on_send(void *ctx, uint32_t peer, const struct ps_msg *msg)
{
    struct world *w = ctx;
    struct ps_buf buf;
    struct ps_list_lease leases;
    struct ps_part_lease lease;

    ps_buf_init(&buf, PS_FRAME_MAX);
    if (peer == 0 || peer > PEERS || ps_msg_put(&buf, msg))
        abort(); /* nothing that it says may be refused by the codec */
    ps_buf_fini(&buf);
    if (msg->id == PS_MSG_WELCOME) {
        w->sessions[peer] = msg->WELCOME.session;
        memcpy(w->tokens[peer], msg->WELCOME.token.at, PS_TOKEN_BYTES);
    }
    leases = msg->id == PS_MSG_JOB ? msg->JOB.leases : (struct ps_list_lease){0};
    while (ps_lease_next(&leases, &lease)) {
        unsigned i = w->leases_n++ % PS_ARRAY_N(w->seqs);

        w->seqs[i] = lease.seq;
        w->jobs[i] = lease.job;
    }
}

static void on_pass(void *ctx, uint32_t peer, struct ps_bytes record, void *carry)
{
    if (peer == 0 || peer > PEERS || !record.len)
        abort();
}

static void on_drop(void *ctx, uint32_t peer)
{
    if (peer == 0 || peer > PEERS)
        abort();
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
}

/* ---- what is said to it ---- */

static void say(struct world *w, uint32_t peer, const struct ps_msg *msg)
{
    static const uint8_t record[40] = "a record";
    int frame = 0;
    bool carries = ps_msg_carries(msg->id);

    if (ps_core_step(w->core, w->now_ms,
                     &(struct ps_event){.kind = PS_EVENT_MESSAGE,
                                        .peer = peer,
                                        .msg = msg,
                                        .record = {record, 8 + byte(w) % 32},
                                        .carry = carries ? &frame : NULL,
                                        .carry_bytes = carries ? (size_t)byte(w) * 300 : 0}))
        abort();
}

static void say_hello(struct world *w, uint32_t peer)
{
    uint32_t like = 1 + byte(w) % PEERS;
    bool resume = byte(w) & 1;

    say(w, peer,
        PS_MSG(HELLO, .version_min = byte(w) % 16 ? 1 : 2, .version_max = 1 + byte(w) % 2,
               .role = 1 + (peer > 2), .name = name(w), .session = resume ? w->sessions[like] : 0,
               .token = {w->tokens[like], resume ? PS_TOKEN_BYTES : 0}));
}

static void say_submit(struct world *w, uint32_t peer)
{
    static const uint8_t bytes[64];
    struct ps_part_ask asks[ITEMS_MAX];
    struct ps_msg msg = {.id = PS_MSG_SUBMIT};
    size_t n = byte(w) % (ITEMS_MAX + 1);

    for (size_t i = 0; i < n; i++)
        asks[i] = (struct ps_part_ask){.job = number(w),
                                       .engine = name(w),
                                       .run_ms = (uint32_t)number(w),
                                       .lost = byte(w) % 8 ? 0 : byte(w)};
    msg.SUBMIT.epoch = byte(w) % 8 ? 1 : number(w);
    sha(w, msg.SUBMIT.sha256);
    msg.SUBMIT.size = byte(w) % 4 ? byte(w) % 64 : number(w);
    msg.SUBMIT.data =
        (struct ps_bytes){bytes, byte(w) % 4 ? (size_t)PS_MIN(msg.SUBMIT.size, 64u) : byte(w) % 64};
    msg.SUBMIT.type = name(w);
    msg.SUBMIT.band = byte(w) % 5;
    msg.SUBMIT.deadline_ms = (uint32_t)byte(w) << (byte(w) % 25);
    msg.SUBMIT.owner = byte(w) % 4;
    msg.SUBMIT.jobs = (struct ps_list_ask){.items = asks, .n = n};
    say(w, peer, &msg);
}

static void say_ready(struct world *w, uint32_t peer)
{
    struct ps_part_offer offer[ITEMS_MAX];
    struct ps_part_held held[ITEMS_MAX];
    struct ps_part_lease_ref results[ITEMS_MAX];
    size_t n = byte(w) % (ITEMS_MAX + 1);

    for (size_t i = 0; i < n; i++) {
        lease_name(w, &held[i].boot, &held[i].seq, &held[i].job);
        held[i].engine = name(w);
        held[i].running = byte(w) & 1;
    }
    say(w, peer,
        PS_MSG(READY, .slots = byte(w) % 6, .window = byte(w) % 20, .isolation = name(w),
               .engines = {.items = offer, .n = offers(w, offer)}, .held = {.items = held, .n = n},
               .results = {.items = results, .n = refs(w, results)}));
}

static void say_result(struct world *w, uint32_t peer)
{
    struct ps_msg msg = {.id = PS_MSG_RESULT};

    lease_name(w, &msg.RESULT.boot, &msg.RESULT.seq, &msg.RESULT.job);
    msg.RESULT.engine = name(w);
    msg.RESULT.outcome = byte(w) % 15;
    say(w, peer, &msg);
}

static void say_piece(struct world *w, uint32_t peer, enum ps_msg_id id)
{
    struct ps_msg msg = {.id = id};
    uint64_t to = w->sessions[1 + byte(w) % PEERS];

    if (id == PS_MSG_FETCH) {
        sha(w, msg.FETCH.sha256);
        msg.FETCH.offset = number(w);
        msg.FETCH.bytes = (uint32_t)byte(w) << (byte(w) % 25);
    } else if (id == PS_MSG_CHUNK) {
        msg.CHUNK.peer = to;
        sha(w, msg.CHUNK.sha256);
        msg.CHUNK.offset = number(w);
        msg.CHUNK.size = number(w);
    } else {
        msg.GONE.peer = to;
        sha(w, msg.GONE.sha256);
    }
    say(w, peer, &msg);
}

/* Files that were derived: KEEP, WANT, PIECE, KEPT. */
static void say_keeping(struct world *w, uint32_t peer, unsigned what)
{
    struct ps_msg msg = {.id = (enum ps_msg_id)(PS_MSG_KEEP + what)};
    uint64_t of = w->sessions[1 + byte(w) % PEERS];

    if (msg.id == PS_MSG_KEEP) {
        sha(w, msg.KEEP.sha256);
    } else if (msg.id == PS_MSG_WANT) {
        msg.WANT.peer = of;
        msg.WANT.bytes = (uint32_t)byte(w) << (byte(w) % 25);
    } else if (msg.id == PS_MSG_PIECE) {
        msg.PIECE.peer = byte(w) % 4 ? w->sessions[peer] : of;
    } else {
        msg.KEPT.peer = of;
    }
    say(w, peer, &msg);
}

static void say_beat(struct world *w, uint32_t peer)
{
    struct ps_part_lease_ref items[ITEMS_MAX];
    uint32_t like = 1 + byte(w) % PEERS;

    say(w, peer,
        PS_MSG(BEAT, .session = w->sessions[like],
               .token = {w->tokens[like], byte(w) % 16 ? PS_TOKEN_BYTES : 3},
               .running = {.items = items, .n = refs(w, items)}));
}

static void say_something(struct world *w, uint32_t peer, unsigned what)
{
    struct ps_part_lease_ref items[ITEMS_MAX];
    struct ps_part_offer offer[ITEMS_MAX];
    uint64_t epoch = byte(w) % 8 ? 1 : number(w);

    switch (what) {
    case 0:
        say(w, peer, PS_MSG(CANCEL, .epoch = epoch, .leases = {.items = items, .n = refs(w, items)}));
        break;
    case 1:
    case 2:
        say(w, peer, PS_MSG(COMMITTED, .epoch = epoch, .leases = {.items = items, .n = refs(w, items)}));
        break;
    case 3:
        say(w, peer, PS_MSG(GRANT, .epoch = epoch, .results = byte(w)));
        break;
    case 4:
        say(w, peer, PS_MSG(CREDIT, .window = (uint32_t)number(w)));
        break;
    case 5:
        say(w, peer, PS_MSG(OFFERS, .engines = {.items = offer, .n = offers(w, offer)}));
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        say_keeping(w, peer, what - 8);
        break;
    case 6:
        say(w, peer, PS_MSG(BYE, .reason = name(w)));
        break;
    default:
        say(w, peer, PS_MSG(PULSE, .session = number(w)));
        break;
    }
}

static void one_event(struct world *w)
{
    unsigned what = byte(w) % 32;
    uint32_t peer = 1 + byte(w) % PEERS;
    struct ps_event event = {.peer = peer};

    if (what < 3) {
        say_hello(w, peer);
    } else if (what < 8) {
        say_submit(w, 1 + peer % 2);
    } else if (what < 11) {
        say_ready(w, peer);
    } else if (what < 15) {
        say_result(w, peer);
    } else if (what < 17) {
        say_beat(w, peer);
    } else if (what < 20) {
        say_piece(w, peer, (enum ps_msg_id)(PS_MSG_FETCH + what - 17));
    } else if (what < 25) {
        say_something(w, peer, byte(w) % 12);
    } else {
        static const enum ps_event_kind kinds[] = {PS_EVENT_TURN, PS_EVENT_TURN, PS_EVENT_TICK, PS_EVENT_TICK,
                                                   PS_EVENT_GONE, PS_EVENT_FULL, PS_EVENT_BAD};

        event.kind = kinds[what - 25];
        w->now_ms += event.kind == PS_EVENT_TICK ? (uint64_t)byte(w) * 40 : 0;
        if (ps_core_step(w->core, w->now_ms, &event))
            abort();
    }
}

static void check(const struct world *w)
{
    const char *what = ps_core_check(w->core);

    if (!what)
        return;
    (void)fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.in = {data, size}, .now_ms = 1000};
    const struct ps_actions actions = {&w, on_send, on_pass, on_drop, on_log};
    struct ps_core_options options;
    unsigned small = byte(&w);

    ps_core_options_init(&options);
    options.boot = 7;
    options.peers_max = PEERS;
    options.engine_grace_ms = 500;
    if (small & 1)
        options.jobs_max = 8;
    if (small & 2)
        options.leases_max = 5;
    if (small & 4)
        options.strays_max = 3;
    if (small & 8)
        options.result_budget_bytes = 64;
    if (small & 16)
        options.inline_budget_bytes = 64;
    options.workers_max = small & 32 ? 2 : 16;
    options.owners_max = small & 64 ? 2 : 100;
    options.transfer_bytes = small & 128 ? PS_CHUNK_MAX : 1024 * 1024;
    options.transfer_total = small & 64 ? PS_CHUNK_MAX : 2 * PS_CHUNK_MAX;
    if (ps_core_new(&w.core, &options, &actions, w.now_ms))
        return 0;
    for (unsigned i = 0; i < EVENTS_MAX && w.in.left; i++) {
        one_event(&w);
        if (i % CHECK_EVERY == 0)
            check(&w);
    }
    check(&w);
    ps_core_free(&w.core);
    return 0;
}
