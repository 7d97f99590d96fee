#include <stdio.h>

#include "base/hash.h"
#include "broker/core/state.h"

#define QUIET_BEATS 3 /* missing heartbeats after which a worker gets nothing new */

struct ps_session *ps_session_at(const struct ps_core *core, uint32_t session)
{
    return ps_pool_at(&core->sessions, session);
}

/* An id is a counter and, in its low 16 bits, the place in the pool: found without a table. */
uint32_t ps_session_find(const struct ps_core *core, uint64_t id)
{
    uint32_t number = id & UINT16_MAX;

    if (!number || number > core->sessions.top || ps_session_at(core, number)->id != id)
        return 0;
    return number;
}

bool ps_session_token_is(const struct ps_session *session, struct ps_bytes token)
{
    uint8_t differ = 0;

    if (token.len != PS_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < PS_TOKEN_BYTES; i++)
        differ |= session->token[i] ^ token.at[i];
    return differ == 0;
}

/* ---- a beginning ---- */

/* Not to be guessed without the core's secret; and the core stays deterministic. */
static int make_token(const struct ps_core *core, struct ps_session *session)
{
    uint8_t seed[sizeof(core->options.secret) + 2 * sizeof(uint64_t)], digest[32];

    memcpy(seed, core->options.secret, sizeof(core->options.secret));
    memcpy(seed + sizeof(core->options.secret), &core->options.boot, sizeof(uint64_t));
    memcpy(seed + sizeof(core->options.secret) + sizeof(uint64_t), &session->id, sizeof(uint64_t));
    if (ps_sha256(digest, seed, sizeof(seed)))
        return PS_ERR_NOMEM;
    memcpy(session->token, digest, PS_TOKEN_BYTES);
    return 0;
}

static void set_name(struct ps_session *session, struct ps_bytes name)
{
    size_t len = PS_MIN(name.len, sizeof(session->name) - 1);

    if (len)
        memcpy(session->name, name.at, len);
    session->name[len] = '\0';
}

static void link_session(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);

    session->next = core->session_first;
    if (session->next)
        ps_session_at(core, session->next)->prev = number;
    core->session_first = number;
}

static void unlink_session(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);

    if (session->prev)
        ps_session_at(core, session->prev)->next = session->next;
    else
        core->session_first = session->next;
    if (session->next)
        ps_session_at(core, session->next)->prev = session->prev;
}

static uint32_t *role_count(struct ps_core *core, enum ps_role role)
{
    return role == PS_ROLE_MASTER ? &core->masters_n : &core->workers_n;
}

static uint32_t open_session(struct ps_core *core, enum ps_role role, struct ps_bytes name)
{
    uint32_t number = ps_pool_take(&core->sessions);
    struct ps_session *session;

    if (!number)
        return 0;
    session = ps_session_at(core, number);
    session->id = ++core->session_serial << 16 | number;
    session->role = role;
    session->tier = -1;
    session->heard_ms = session->progress_ms = core->now_ms;
    set_name(session, name);
    if (make_token(core, session)) {
        session->id = 0;
        ps_pool_give(&core->sessions, number);
        return 0;
    }
    link_session(core, number);
    ++*role_count(core, role);
    core->fleet.changed = true;
    return number;
}

static void attach(struct ps_core *core, uint32_t number, uint32_t peer)
{
    struct ps_session *session = ps_session_at(core, number);

    if (session->peer && session->peer != peer) {
        core->connections[session->peer].session = 0;
        core->actions.drop(core->actions.ctx, session->peer);
    }
    session->peer = peer;
    core->connections[peer].session = number;
}

static void welcome(struct ps_core *core, uint32_t number, const struct ps_msg_HELLO *hello, bool resumed)
{
    const struct ps_session *session = ps_session_at(core, number);
    struct ps_part_limit limits[PS_ENGINES_MAX];

    ps_core_send(core, number,
                 PS_MSG(WELCOME, .version = PS_MIN(hello->version_max, (uint32_t)PS_PROTO_VERSION_MAX),
                        .boot = core->options.boot, .session = session->id,
                        .token = {session->token, PS_TOKEN_BYTES}, .resumed = resumed,
                        .beat_ms = core->options.beat_ms, .dead_ms = core->options.dead_ms,
                        .limits = {.items = limits, .n = ps_licences_list(core, limits)}));
    ps_core_log(core, PS_LOG_INFO, resumed ? "session-resumed" : "session-opened",
                "session=%llu role=%s name=%s", (unsigned long long)session->id,
                session->role == PS_ROLE_MASTER ? "master" : "worker", PS_LOGQ(session->name));
}

static void turn_away(struct ps_core *core, uint32_t peer, const char *code, const char *reason)
{
    core->actions.send(core->actions.ctx, peer,
                       PS_MSG(REFUSED, .code = ps_bytes_of(code), .reason = ps_bytes_of(reason)));
    core->actions.drop(core->actions.ctx, peer);
    ps_core_log(core, PS_LOG_WARN, "session-refused", "code=%s reason=%s", code, PS_LOGQ(reason));
}

/* The session that hello wants to go on with, if it can prove that it is its own. */
static uint32_t old_session(const struct ps_core *core, uint32_t who, const struct ps_msg_HELLO *hello)
{
    uint32_t number = ps_session_find(core, hello->session);

    if (!number || !ps_session_token_is(ps_session_at(core, number), hello->token) ||
        ps_session_at(core, number)->role != (enum ps_role)hello->role ||
        ps_session_at(core, number)->who != who)
        return 0;
    return number;
}

static void resume(struct ps_core *core, uint32_t number, uint32_t peer, const struct ps_msg_HELLO *hello)
{
    struct ps_session *session = ps_session_at(core, number);

    /* Until READY tells what arrived and what is still wanted, nothing new goes there. */
    session->ready = false;
    ps_transfer_clear(core, number);
    ps_keep_clear(core, number);
    attach(core, number, peer);
    ps_session_heard(core, number);
    welcome(core, number, hello, true);
    ps_session_refresh(core, number);
    /* What was on its way when the connection broke is lost. A worker's READY tells; a master does not know. */
    if (core->master == number)
        ps_master_resend(core);
}

void ps_session_hello(struct ps_core *core, uint32_t peer, const struct ps_msg_HELLO *hello)
{
    uint32_t bound = core->connections[peer].session, number;
    uint32_t who = core->connections[peer].who;
    bool master = hello->role == PS_ROLE_MASTER;

    number = old_session(core, who, hello);
    if (bound && bound != number) {
        ps_session_detach(core, bound); /* the connection is for the new one */
        ps_session_end(core, bound, PS_END_CLEAN, "said HELLO again");
    }
    if (hello->version_min > PS_PROTO_VERSION_MAX || hello->version_max < PS_PROTO_VERSION_MIN ||
        hello->version_min > hello->version_max) {
        turn_away(core, peer, "version", "no protocol version in common");
    } else if (!master && hello->role != PS_ROLE_WORKER) {
        turn_away(core, peer, "role", "neither master nor worker");
    } else if (number) {
        resume(core, number, peer, hello);
    } else if (*role_count(core, hello->role) >=
               (master ? core->options.masters_max : core->options.workers_max)) {
        turn_away(core, peer, "full", master ? "too many masters" : "too many workers");
    } else if (!(number = open_session(core, hello->role, hello->name))) {
        turn_away(core, peer, "full", "out of memory");
    } else {
        ps_session_at(core, number)->who = who;
        attach(core, number, peer);
        welcome(core, number, hello, false);
    }
}

/* ---- an end ---- */

/* A result that the master has heard may still be committed, and one that is kept here can be said again. What only
 * this worker had is made again. */
static void give_up_results(struct ps_core *core, uint32_t number)
{
    uint32_t next;

    for (uint32_t at = core->pending_first; at && !core->failed; at = next) {
        struct ps_lease *lease = ps_lease_at(core, at);

        next = lease->next;
        if (lease->session != number)
            continue;
        lease->session = 0;
        if (lease->kept_by_worker && !lease->told)
            ps_life(core, lease->job, PS_LIFE_FREE, &(struct ps_life){0});
    }
}

static void give_back_leases(struct ps_core *core, uint32_t number, enum ps_session_end how,
                             const char *reason)
{
    struct ps_session *session = ps_session_at(core, number);

    while (session->held && !core->failed) {
        bool suspect = how == PS_END_LOST && ps_lease_running(core, ps_lease_at(core, session->held));

        ps_lease_over(core, session->held, suspect ? PS_LIFE_LOSE : PS_LIFE_FREE,
                      &(struct ps_life){.reason = reason, .dead = how == PS_END_LOST});
    }
    give_up_results(core, number);
}

static void leave_refs(struct ps_core *core, uint32_t number)
{
    uint32_t *at = &core->refs_first;

    while (*at && *at != number)
        at = &ps_session_at(core, *at)->refs_next;
    if (*at)
        *at = ps_session_at(core, number)->refs_next;
}

void ps_session_fini(struct ps_session *session)
{
    free(session->offers);
    free(session->texts);
    free(session->accepted.at);
    free(session->committed.at);
    free(session->cancelled.at);
    session->offers = NULL;
    session->texts = NULL;
    session->accepted.at = session->committed.at = session->cancelled.at = NULL;
}

void ps_session_end(struct ps_core *core, uint32_t number, enum ps_session_end how, const char *reason)
{
    struct ps_session *session = ps_session_at(core, number);

    ps_core_log(core, how == PS_END_LOST ? PS_LOG_WARN : PS_LOG_INFO, "session-ended",
                "session=%llu role=%s name=%s held=%u running=%u reason=%s", (unsigned long long)session->id,
                session->role == PS_ROLE_MASTER ? "master" : "worker", PS_LOGQ(session->name),
                session->held_n, session->running_n, PS_LOGQ(reason));
    session->ready = false;
    ps_session_refresh(core, number);
    give_back_leases(core, number, how, reason);
    ps_licence_unread(core, number);
    ps_strays_leave(core, number);
    ps_transfer_clear(core, number);
    ps_session_offers_clear(core, number);
    leave_refs(core, number);
    if (core->master == number) {
        core->master = 0;
        ps_licences_left(core);
    }
    if (session->peer) {
        core->connections[session->peer].session = 0;
        core->actions.drop(core->actions.ctx, session->peer);
    }
    unlink_session(core, number);
    --*role_count(core, session->role);
    ps_session_fini(session);
    session->id = 0;
    ps_pool_give(&core->sessions, number);
    core->fleet.changed = true;
}

void ps_session_refuse(struct ps_core *core, uint32_t session, const char *code, const char *reason)
{
    ps_core_send(core, session, PS_MSG(REFUSED, .code = ps_bytes_of(code), .reason = ps_bytes_of(reason)));
    ps_session_end(core, session, PS_END_CLEAN, reason);
}

void ps_sessions_ban(struct ps_core *core, uint32_t who)
{
    uint32_t next;

    for (uint32_t at = core->session_first; at && who; at = next) {
        next = ps_session_at(core, at)->next;
        if (ps_session_at(core, at)->who == who)
            ps_session_refuse(core, at, "denied", "its key was removed, or its rights changed");
    }
}

void ps_session_detach(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);

    core->connections[session->peer].session = 0;
    session->peer = 0;
    ps_transfer_clear(core, number);
    ps_session_refresh(core, number);
}

void ps_sessions_stop(struct ps_core *core, const char *reason)
{
    while (core->session_first) {
        ps_core_send(core, core->session_first, PS_MSG(BYE, .reason = ps_bytes_of(reason)));
        ps_session_end(core, core->session_first, PS_END_CLEAN, reason);
    }
}

void ps_sessions_bounce(struct ps_core *core)
{
    uint32_t next;

    for (uint32_t at = core->session_first; at && core->bounce; at = next) {
        next = ps_session_at(core, at)->next;
        if (!ps_session_at(core, at)->bounce)
            continue;
        ps_core_send(core, at, PS_MSG(BYE, .reason = PS_BYTES_LIT("come back and say your results again")));
        ps_session_end(core, at, PS_END_CLEAN, "its results are needed again");
    }
    core->bounce = false;
}

/* ---- in between ---- */

void ps_session_heard(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);

    session->heard_ms = core->now_ms;
    if (session->quiet) {
        session->quiet = false;
        ps_session_refresh(core, number);
    }
}

void ps_session_pause(struct ps_core *core, uint32_t number)
{
    ps_session_at(core, number)->paused_ms = core->now_ms + PS_PAUSE_MS;
    ps_session_refresh(core, number);
}

void ps_session_progress(struct ps_core *core, uint32_t number)
{
    ps_session_at(core, number)->progress_ms = core->now_ms;
}

uint64_t ps_session_stall_ms(const struct ps_session *session)
{
    return session->progress_ms + session->allow_max_ms;
}

static void tick_one(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);
    uint64_t silent_ms = core->now_ms - session->heard_ms;
    bool quiet = silent_ms >= (uint64_t)QUIET_BEATS * core->options.beat_ms;
    char reason[64];

    if (silent_ms >= core->options.dead_ms) {
        (void)snprintf(reason, sizeof(reason), "silent for %llu ms",
                       (unsigned long long)silent_ms); /* fits */
        ps_session_end(core, number, PS_END_LOST, reason);
        return;
    }
    if (session->paused_ms && core->now_ms >= session->paused_ms)
        session->paused_ms = 0;
    session->quiet = quiet;
    ps_session_refresh(core, number);
    if (session->peer && core->now_ms - session->sent_ms >= core->options.beat_ms)
        ps_core_send(core, number, PS_MSG(PULSE, .session = session->id));
}

void ps_sessions_tick(struct ps_core *core)
{
    uint32_t next;

    for (uint32_t at = core->session_first; at; at = next) {
        next = ps_session_at(core, at)->next;
        tick_one(core, at);
    }
}
