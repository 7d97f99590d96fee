#include "worker/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static uint64_t now_ms(const struct ps_session *self)
{
    return self->now_us / 1000;
}

/* ---- sessions ---- */

static void opened(struct ps_session *self, const struct ps_msg_WELCOME *msg, bool resumed)
{
    ps_log(PS_LOG_INFO, resumed ? "session-resumed" : "session-opened",
           "session=%" PRIu64 " boot=%" PRIu64 "%s held=%zu results=%zu", msg->session, msg->boot,
           self->boot != 0 && self->boot != msg->boot ? " broker=new" : "",
           ps_slots_held(self->slots) + ps_keeper_n(self->keeper), ps_results_n(self->results));
    self->boot = msg->boot;
    self->id = msg->session;
    self->dead_ms = msg->dead_ms;
    self->alone_us = 0;
    self->welcome = true;
    self->ready = false;
    self->refusal[0] = '\0';
    if (msg->token.len == PS_TOKEN_BYTES)
        ps_beat_session(self->beat, msg->session, msg->token.at, msg->beat_ms);
    ps_cache_rewind(self->cache);
    ps_results_unsend(self->results);
    ps_keeper_rewind(self->keeper);
    self->running_changed = true;
}

static void lost(struct ps_session *self)
{
    static const uint8_t none[PS_TOKEN_BYTES];

    ps_log(PS_LOG_WARN, "session-lost", "why=%s", PS_LOGQ(ps_peer_why(self->peer)));
    self->welcome = self->ready = false;
    self->alone_us = self->now_us + self->dead_ms * UINT64_C(1000);
    ps_beat_session(self->beat, 0, none, 0);
}

/* Tries go on every few seconds: the same refusal is told once. */
static void refused(struct ps_session *self, const struct ps_msg_REFUSED *msg)
{
    char code[sizeof(self->refusal)];

    (void)snprintf(code, sizeof(code), "%.*s", (int)msg->code.len,
                   (const char *)msg->code.at); /* of that limit */
    if (strcmp(code, self->refusal) == 0)
        return;
    memcpy(self->refusal, code, sizeof(code));
    ps_log(PS_LOG_ERROR, "session-refused", "code=%s reason=%s", PS_LOGQ(code),
           ps_log_quote(msg->reason.at, msg->reason.len).text);
}

/* ---- messages ---- */

static bool names(const struct ps_part_lease_ref *ref, const struct ps_msg_RESULT *result)
{
    return result && (ref->boot == 0 || (result->boot == ref->boot && result->seq == ref->seq));
}

static void forget_held(struct ps_session *self, uint64_t job)
{
    if (ps_keeper_forget(self->keeper, job))
        self->running_changed = true;
}

static void cancel(struct ps_session *self, const struct ps_msg_CANCEL *msg)
{
    struct ps_list_lease_ref cursor = msg->leases;
    struct ps_part_lease_ref ref;

    while (ps_lease_ref_next(&cursor, &ref)) {
        (void)ps_slots_cancel(self->slots, ref.boot, ref.seq, ref.job); /* it may have ended by itself */
        if (names(&ref, ps_results_find(self->results, ref.job)))
            (void)ps_results_forget(self->results, ref.job); /* found just now */
        if (names(&ref, ps_keeper_find(self->keeper, ref.job)))
            forget_held(self, ref.job);
    }
}

/* The job is settled for ever: whoever still runs it here runs it in vain. */
static void committed(struct ps_session *self, const struct ps_msg_COMMITTED *msg)
{
    struct ps_list_lease_ref cursor = msg->leases;
    struct ps_part_lease_ref ref;

    while (ps_lease_ref_next(&cursor, &ref)) {
        (void)ps_results_forget(self->results, ref.job); /* may have come twice */
        forget_held(self, ref.job);
        (void)ps_slots_cancel(self->slots, 0, 0, ref.job); /* mostly it is not there any more */
    }
}

static void handle(struct ps_session *self, const struct ps_msg *msg, struct ps_bytes carried)
{
    struct ps_sample *settled = NULL;

    switch (msg->id) {
    case PS_MSG_JOB:
        ps_work_take(self, &msg->JOB);
        break;
    case PS_MSG_CANCEL:
        cancel(self, &msg->CANCEL);
        break;
    case PS_MSG_COMMITTED:
        committed(self, &msg->COMMITTED);
        break;
    case PS_MSG_CHUNK:
        ps_cache_chunk(self->cache, msg->CHUNK.sha256, msg->CHUNK.offset, msg->CHUNK.size, carried,
                       now_ms(self), &settled);
        break;
    case PS_MSG_GONE:
        ps_cache_gone(self->cache, msg->GONE.sha256, msg->GONE.reason, &settled);
        break;
    case PS_MSG_ORDER:
        ps_orders_take(self, &msg->ORDER);
        break;
    case PS_MSG_WANT:
        ps_keeper_want(self->keeper, &msg->WANT, now_ms(self));
        break;
    case PS_MSG_KEPT:
        ps_keeper_kept(self->keeper, &msg->KEPT);
        break;
    case PS_MSG_PULSE:
        break;
    default:
        ps_peer_drop(self->peer, "it sent a message that is not for a worker");
        break;
    }
    if (settled)
        ps_slots_sample(self->slots, settled);
}

void ps_talk_listen(struct ps_session *self)
{
    struct ps_msg msg;
    struct ps_bytes carried;

    for (int i = 0; i < PS_SESSION_TURN_N; i++) {
        switch (ps_peer_recv(self->peer, &msg, &carried)) {
        case PS_PEER_NOTHING:
            return;
        case PS_PEER_MESSAGE:
            handle(self, &msg, carried);
            break;
        case PS_PEER_OPENED:
            opened(self, &msg.WELCOME, false);
            break;
        case PS_PEER_RESUMED:
            opened(self, &msg.WELCOME, true);
            break;
        case PS_PEER_LOST:
            lost(self);
            break;
        case PS_PEER_REFUSED:
            refused(self, &msg.REFUSED);
            break;
        }
    }
}

/* ---- what we say ---- */

static uint32_t credit_now(const struct ps_session *self)
{
    size_t held = ps_slots_held(self->slots) +
                  ps_keeper_n(self->keeper); /* what is reported does not count: the broker has it */

    if (self->draining)
        return 0;
    if (ps_cache_pressed(self->cache) || ps_session_is_full(self))
        return (uint32_t)PS_MIN(held, self->window);
    return self->window;
}

static size_t list_held(const struct ps_session *self, struct ps_part_held *ret_held)
{
    const struct ps_msg_RESULT *result = NULL;
    const struct ps_job *job = NULL;
    size_t n = 0;

    while (n < PS_WINDOW_MAX && (result = ps_keeper_next(self->keeper, result)))
        ret_held[n++] = (struct ps_part_held){.boot = result->boot,
                                              .seq = result->seq,
                                              .job = result->job,
                                              .engine = result->engine,
                                              .running = true};
    while (n < PS_WINDOW_MAX && (job = ps_slots_next(self->slots, job)))
        ret_held[n++] = (struct ps_part_held){
            .boot = job->boot,
            .seq = job->seq,
            .job = job->job,
            .engine = ps_bytes_of(ps_roster_facts(self->roster, job->engine)->name),
            .running = job->state == PS_JOB_RUNNING && self->have[job->slot],
        };
    return n;
}

static size_t list_results(const struct ps_session *self, struct ps_part_lease_ref *ret_results)
{
    const struct ps_msg_RESULT *result = NULL;
    size_t n = 0;

    while (n < PS_WINDOW_MAX && (result = ps_results_next(self->results, result)))
        ret_results[n++] =
            (struct ps_part_lease_ref){.boot = result->boot, .seq = result->seq, .job = result->job};
    return n;
}

/* One thread, one session: static keeps the lists off the stack. */
static int put_ready(struct ps_session *self)
{
    static struct ps_part_held held[PS_WINDOW_MAX];
    static struct ps_part_lease_ref results[PS_WINDOW_MAX];
    struct ps_part_offer offers[PS_ENGINES_MAX];
    uint32_t credit = credit_now(self);
    int error = ps_peer_put(
        self->peer,
        PS_MSG(READY, .slots = (uint32_t)self->settings->slots, .window = credit,
               .isolation = ps_bytes_of(ps_roster_walls(self->roster)),
               .engines = {.items = offers, .n = ps_roster_offers(self->roster, now_ms(self), offers)},
               .held = {.items = held, .n = list_held(self, held)},
               .results = {.items = results, .n = list_results(self, results)}));

    if (!error)
        self->credit = credit;
    return error;
}

static void tell_ready(struct ps_session *self)
{
    static const char line[] = "ready\n";

    if (self->told_ready || self->settings->ready_fd == 0)
        return;
    /* Nobody there to read it is no reason to stop. */
    if (write((int)self->settings->ready_fd, line, sizeof(line) - 1) < 0)
        ps_log(PS_LOG_WARN, "ready-unheard", "fd=%" PRIu64, self->settings->ready_fd);
    (void)close((int)self->settings->ready_fd); /* it has done its work */
    self->told_ready = true;
}

/* Engines that are still being loaded would be offered as broken for a moment, and the walls are said here only. */
static bool engines_settled(const struct ps_session *self)
{
    uint64_t passed_us = self->now_us - self->started_us;

    if (ps_roster_settled(self->roster) || passed_us >= PS_SESSION_LOAD_MS * 1000ULL)
        return true;
    return ps_roster_walls(self->roster)[0] && passed_us >= PS_SESSION_SETTLE_MS * 1000ULL;
}

static void say_ready(struct ps_session *self)
{
    if (!engines_settled(self))
        return;

    int error = put_ready(self);
    if (error) {
        ps_log(PS_LOG_ERROR, "ready-not-sent", "why=%s", PS_LOGQ(ps_err_text(error)));
        ps_peer_drop(self->peer, "READY could not be sent");
        return;
    }
    self->ready = true;
    self->offers_changed = false;
    tell_ready(self);
}

static void say_offers(struct ps_session *self)
{
    struct ps_part_offer offers[PS_ENGINES_MAX];
    size_t n = ps_roster_offers(self->roster, now_ms(self), offers);

    if (ps_peer_put(self->peer, PS_MSG(OFFERS, .engines = {.items = offers, .n = n})) == 0)
        self->offers_changed = false;
}

static void say_credit(struct ps_session *self)
{
    uint32_t credit = credit_now(self);

    if (credit != self->credit && ps_peer_put(self->peer, PS_MSG(CREDIT, .window = credit)) == 0)
        self->credit = credit;
}

static bool room(const struct ps_session *self)
{
    return ps_peer_is_open(self->peer) && ps_peer_backlog(self->peer) < PS_SESSION_BACKLOG_BYTES;
}

static void say_fetches(struct ps_session *self)
{
    struct ps_fetch fetch;

    /* One that can't be put is asked for again after PS_CACHE_RETRY_MS. */
    while (room(self) && ps_cache_next_fetch(self->cache, now_ms(self), &fetch)) {
        struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.offset = fetch.offset, .bytes = fetch.bytes}};
        memcpy(msg.FETCH.sha256, fetch.sha256, sizeof(fetch.sha256));
        if (ps_peer_put(self->peer, &msg))
            return;
    }
}

static void say_keeps(struct ps_session *self)
{
    struct ps_msg msg = {.id = PS_MSG_KEEP};

    /* One that can't be put is said again after PS_KEEPER_RETRY_MS. */
    while (room(self) && ps_keeper_next_keep(self->keeper, now_ms(self), msg.KEEP.sha256, &msg.KEEP.size))
        if (ps_peer_put(self->peer, &msg))
            return;
}

static void say_pieces(struct ps_session *self)
{
    static uint8_t data[PS_CHUNK_MAX]; /* one thread, one session */
    struct ps_keeper_piece piece;

    while (room(self) && ps_keeper_next_piece(self->keeper, &piece)) {
        struct ps_msg msg = {.id = PS_MSG_PIECE, .PIECE = {.peer = self->id, .offset = piece.offset}};
        int error = ps_file_pread_all(piece.fd, data, piece.len, piece.at);
        memcpy(msg.PIECE.sha256, piece.sha256, PS_SHA256_BYTES);
        if (!error)
            error = ps_peer_put_carrying(self->peer, &msg, data, piece.len);
        if (error == PS_ERR_IO || error == PS_ERR_CORRUPT) {
            /* Our own disk: it will not get better, and the result is not to wait for ever. */
            struct ps_msg_KEPT never = {.reason = PS_BYTES_LIT("the worker can't read it any more")};
            memcpy(never.sha256, piece.sha256, PS_SHA256_BYTES);
            ps_keeper_kept(self->keeper, &never);
        } else if (error) {
            return;
        } else {
            ps_keeper_sent(self->keeper, &piece);
        }
    }
}

/* What the codec refuses is a mistake of ours: a plain failure goes instead, so that the job ends. */
static int put_result(struct ps_session *self, const struct ps_msg_RESULT *result)
{
    struct ps_msg msg = {.id = PS_MSG_RESULT, .RESULT = *result};
    int error = ps_peer_put(self->peer, &msg);

    if (error != PS_ERR_LIMIT && error != PS_ERR_INVALID)
        return error;
    ps_log(PS_LOG_ERROR, "result-not-encoded", "job=%" PRIu64 " why=%s", result->job,
           PS_LOGQ(ps_err_text(error)));
    msg.RESULT.outcome = PS_OUTCOME_FAILURE;
    msg.RESULT.files = (struct ps_list_file){0};
    msg.RESULT.label = msg.RESULT.type = msg.RESULT.traits = (struct ps_bytes){NULL, 0};
    msg.RESULT.reason = PS_BYTES_LIT("the worker could not encode what the engine found");
    return ps_peer_put(self->peer, &msg);
}

static void say_results(struct ps_session *self)
{
    const struct ps_msg_RESULT *result;

    while (room(self) && (result = ps_results_unsent(self->results)) && put_result(self, result) == 0)
        ps_results_sent(self->results, result->job);
}

static void name_running(struct ps_session *self)
{
    static struct ps_part_lease_ref running[PS_WINDOW_MAX + PS_SLOTS_MAX]; /* one thread, one session */
    const struct ps_msg_RESULT *result = NULL;
    size_t n = 0;

    for (unsigned i = 0; i < self->settings->slots; i++) {
        const struct ps_job *job = ps_slots_job(self->slots, i);
        if (job && job->state == PS_JOB_RUNNING && !job->typing && self->have[i])
            running[n++] = (struct ps_part_lease_ref){.boot = job->boot, .seq = job->seq, .job = job->job};
    }
    /* Not over before their files are kept. */
    while (n < PS_WINDOW_MAX && (result = ps_keeper_next(self->keeper, result)))
        running[n++] =
            (struct ps_part_lease_ref){.boot = result->boot, .seq = result->seq, .job = result->job};
    if (ps_beat_running(self->beat, running, n) == 0)
        self->running_changed = false;
}

void ps_talk_say(struct ps_session *self)
{
    if (self->running_changed)
        name_running(self);
    if (!self->welcome || !ps_peer_is_open(self->peer))
        return;
    if (!self->ready)
        say_ready(self);
    if (!self->ready)
        return;

    if (self->offers_changed)
        say_offers(self);
    ps_orders_say(self);
    say_credit(self);
    say_results(self);
    say_keeps(self);
    say_pieces(self);
    say_fetches(self);
}
