#include "broker/core/core.h"

#include <stdarg.h>
#include <stdio.h>

#include "broker/core/state.h"

#define REFUSED_EVERY_MS 1000 /* a peer without a session is told so at most so often */
#define LOG_TEXT_MAX     1024
#define SESSIONS_MAX     UINT16_MAX /* session ids have 16 bits for the place */

void ps_core_options_init(struct ps_core_options *ret_self)
{
    *ret_self = (struct ps_core_options){.jobs_max = 2000000,
                                         .owners_max = 65535,
                                         .workers_max = 1024,
                                         .masters_max = 8,
                                         .peers_max = 4096,
                                         .leases_max = 1000000,
                                         .strays_max = 65536,
                                         .inline_budget_bytes = 256u * 1024 * 1024,
                                         .result_budget_bytes = 256u * 1024 * 1024,
                                         .transfer_bytes = 4 * 1024 * 1024,
                                         .transfer_total = 512 * 1024,
                                         .beat_ms = 1000,
                                         .dead_ms = 5000,
                                         .engine_grace_ms = 30000,
                                         .run_ms = 60000,
                                         .aging_ms = 10000,
                                         .lost_max = 3};
}

static bool options_valid(const struct ps_core_options *o)
{
    return o->boot && o->jobs_max && o->jobs_max <= UINT32_MAX / 4 && o->owners_max &&
           o->owners_max <= UINT16_MAX && o->workers_max && o->masters_max &&
           (uint64_t)o->workers_max + o->masters_max < SESSIONS_MAX && o->workers_max <= PS_WORKERS_MAX &&
           o->peers_max && o->peers_max < UINT32_MAX / 4 && o->leases_max && o->leases_max < UINT32_MAX / 4 &&
           o->strays_max && o->strays_max < UINT32_MAX / 4 && o->transfer_bytes >= PS_CHUNK_MAX &&
           o->transfer_total >= PS_CHUNK_MAX && o->beat_ms && o->dead_ms >= o->beat_ms && o->run_ms &&
           o->lost_max && o->lost_max < UINT8_MAX;
}

static uint64_t secret_of(const struct ps_core_options *options, size_t i)
{
    uint64_t secret;

    memcpy(&secret, options->secret + i % 4 * sizeof(secret), sizeof(secret));
    return secret ^ (i + 1) * 0x9e3779b97f4a7c15u;
}

#define INDEX(core, index, pool, type, key, i)                                                             \
    ps_index_init(&(core)->index, &(core)->pool, offsetof(struct type, key), offsetof(struct type, chain), \
                  secret_of(&(core)->options, i))

static void init_pools(struct ps_core *core)
{
    const struct ps_core_options *o = &core->options;

    ps_pool_init(&core->samples, sizeof(struct ps_sample), o->jobs_max + PS_SAMPLES_IDLE_MAX + 1);
    ps_pool_init(&core->jobs, sizeof(struct ps_job), o->jobs_max);
    ps_pool_init(&core->leases, sizeof(struct ps_lease), o->leases_max);
    ps_pool_init(&core->owners, sizeof(struct ps_owner), o->owners_max);
    ps_pool_init(&core->flows, sizeof(struct ps_flow), o->jobs_max);
    ps_pool_init(&core->slots, sizeof(struct ps_slot), o->jobs_max);
    ps_pool_init(&core->sessions, sizeof(struct ps_session), o->workers_max + o->masters_max);
    ps_pool_init(&core->strays, sizeof(struct ps_stray), o->strays_max);
    ps_pool_init(&core->fetches, sizeof(struct ps_fetch), PS_FETCHES_ALL_MAX);
    INDEX(core, sample_by_sha, samples, ps_sample, sha256, 0);
    INDEX(core, job_by_id, jobs, ps_job, id, 1);
    INDEX(core, owner_by_id, owners, ps_owner, id, 2);
    INDEX(core, flow_by_key, flows, ps_flow, key, 3);
    INDEX(core, stray_by_job, strays, ps_stray, job, 4);
    ps_blocks_init(&core->inlines);
    ps_blocks_init(&core->results);
    ps_heap_init(&core->due);
}

static int init_limits(struct ps_core *core, const struct ps_core_options *options)
{
    for (size_t i = 0; i < options->limits_n; i++) {
        uint16_t engine = ps_engine_get(core, ps_bytes_of(options->limits[i].engine));

        if (!engine)
            return PS_ERR_NOMEM;
        core->engines[engine].limit_n = core->engines[engine].limit_conf_n = options->limits[i].leases_n;
        core->licences = true;
    }
    core->options.limits = NULL;
    return 0;
}

int ps_core_new(struct ps_core **ret_self, const struct ps_core_options *options,
                const struct ps_actions *actions, uint64_t now_ms)
{
    struct ps_core *core;

    if (!options_valid(options) || options->limits_n > PS_ENGINES_MAX)
        return PS_ERR_INVALID;
    core = PS_NEW(struct ps_core);
    if (!core)
        return PS_ERR_NOMEM;
    core->options = *options;
    core->actions = *actions;
    core->now_ms = core->last_ms = core->start_ms = now_ms;
    init_pools(core);
    core->connections = ps_alloc((size_t)options->peers_max + 1, sizeof(*core->connections));
    if (!core->connections || ps_names_init(&core->types, PS_TYPES_MAX, secret_of(options, 5)) ||
        ps_names_init(&core->engine_names, PS_ENGINES_MAX, secret_of(options, 6)) ||
        init_limits(core, options)) {
        ps_core_free(&core);
        return PS_ERR_NOMEM;
    }
    *ret_self = core;
    return 0;
}

void ps_core_free(struct ps_core **self_p)
{
    struct ps_core *core = *self_p;

    if (!core)
        return;
    for (uint32_t i = core->session_first; i; i = ps_session_at(core, i)->next)
        ps_session_fini(ps_session_at(core, i));
    for (unsigned i = 1; i <= PS_ENGINES_MAX; i++)
        for (unsigned band = 0; band < PS_BANDS_N; band++)
            ps_heap_fini(&core->engines[i].bands[band]);
    ps_heap_fini(&core->due);
    ps_fleet_fini(&core->fleet);
    ps_names_fini(&core->types);
    ps_names_fini(&core->engine_names);
    ps_index_fini(&core->sample_by_sha);
    ps_index_fini(&core->job_by_id);
    ps_index_fini(&core->owner_by_id);
    ps_index_fini(&core->flow_by_key);
    ps_index_fini(&core->stray_by_job);
    ps_blocks_fini(&core->inlines);
    ps_blocks_fini(&core->results);
    ps_pool_fini(&core->samples);
    ps_pool_fini(&core->jobs);
    ps_pool_fini(&core->leases);
    ps_pool_fini(&core->owners);
    ps_pool_fini(&core->flows);
    ps_pool_fini(&core->slots);
    ps_pool_fini(&core->sessions);
    ps_pool_fini(&core->strays);
    ps_pool_fini(&core->fetches);
    free(core->connections);
    free(core);
    *self_p = NULL;
}

/* ---- ways out ---- */

void ps_core_fail(struct ps_core *core)
{
    core->failed = true;
}

void ps_core_send(struct ps_core *core, uint32_t number, const struct ps_msg *msg)
{
    struct ps_session *session = number ? ps_session_at(core, number) : NULL;

    if (!session || !session->peer)
        return;
    session->sent_ms = core->now_ms;
    core->actions.send(core->actions.ctx, session->peer, msg);
}

void ps_core_pass(struct ps_core *core, uint32_t number, struct ps_bytes record, void *carry)
{
    struct ps_session *session = number ? ps_session_at(core, number) : NULL;

    if (!session || !session->peer || !record.len)
        return;
    session->sent_ms = core->now_ms;
    core->actions.pass(core->actions.ctx, session->peer, record, carry);
}

void ps_core_log(struct ps_core *core, enum ps_log_level level, const char *event, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a long one is cut */
    va_end(args);
    core->actions.log(core->actions.ctx, level, event, text);
}

/* ---- events ---- */

static void say_hello_first(struct ps_core *core, uint32_t peer)
{
    struct ps_connection *connection = &core->connections[peer];

    if (connection->refused_ms && core->now_ms - connection->refused_ms < REFUSED_EVERY_MS)
        return;
    connection->refused_ms = core->now_ms;
    core->actions.send(core->actions.ctx, peer,
                       PS_MSG(REFUSED, .code = PS_BYTES_LIT("session"),
                              .reason = PS_BYTES_LIT("no session on this connection: say HELLO")));
}

static void on_message(struct ps_core *core, const struct ps_event *event)
{
    uint32_t session = core->connections[event->peer].session;

    core->connections[event->peer].who = event->who;
    if (event->msg->id == PS_MSG_BEAT) {
        ps_from_beat(core, event);
        return;
    }
    if (event->msg->id == PS_MSG_HELLO) {
        ps_session_hello(core, event->peer, &event->msg->HELLO);
        return;
    }
    if (!session) {
        say_hello_first(core, event->peer);
        return;
    }
    ps_session_heard(core, session);
    if (ps_session_at(core, session)->role == PS_ROLE_MASTER)
        ps_from_master(core, session, event);
    else
        ps_from_worker(core, session, event);
}

static void on_bad(struct ps_core *core, uint32_t peer)
{
    uint32_t session = core->connections[peer].session;

    if (session) {
        ps_session_refuse(core, session, "proto", "what it said does not decode");
        return;
    }
    core->actions.send(
        core->actions.ctx, peer,
        PS_MSG(REFUSED, .code = PS_BYTES_LIT("proto"), .reason = PS_BYTES_LIT("does not decode")));
    core->actions.drop(core->actions.ctx, peer);
}

static void on_peer(struct ps_core *core, const struct ps_event *event)
{
    uint32_t session = event->peer <= core->options.peers_max ? core->connections[event->peer].session : 0;

    if (!event->peer || event->peer > core->options.peers_max)
        return;
    switch (event->kind) {
    case PS_EVENT_MESSAGE:
        on_message(core, event);
        break;
    case PS_EVENT_BAD:
        on_bad(core, event->peer);
        break;
    case PS_EVENT_GONE:
        if (session)
            ps_session_detach(core, session);
        core->connections[event->peer].refused_ms = 0;
        break;
    default:
        if (session)
            ps_session_end(core, session, PS_END_LOST, "does not read what it is sent");
        break;
    }
}

/* Order matters: cancelled leases are told of before the places they leave are filled. */
static void turn(struct ps_core *core)
{
    if (core->settle)
        ps_engines_settle(core);
    if (core->bounce)
        ps_sessions_bounce(core);
    ps_sessions_flush(core);
    (void)ps_schedule(core); /* how many does not matter */
    ps_transfers_turn(core); /* behind the jobs: samples wait for them, not they for samples */
    ps_fleet_turn(core);
}

static void tick(struct ps_core *core)
{
    ps_leases_tick(core);
    ps_licences_tick(core);
    ps_sessions_tick(core);
    ps_strays_tick(core);
    ps_transfers_tick(core);
    ps_stragglers_tick(core);
    core->settle = true;
    turn(core);
}

bool ps_core_is_bound(const struct ps_core *core, uint32_t peer)
{
    return peer && peer <= core->options.peers_max && core->connections[peer].session;
}

/* A gap that is too long for a broker that runs was spent asleep: core time leaves it out. */
static void set_time(struct ps_core *core, uint64_t now_ms)
{
    uint64_t gap_ms = now_ms > core->last_ms ? now_ms - core->last_ms : 0;

    if (gap_ms > PS_CORE_LATE_MS) {
        core->slept_ms += gap_ms - PS_CORE_TICK_MS;
        ps_core_log(core, PS_LOG_WARN, "broker-late", "gap_ms=%llu", (unsigned long long)gap_ms);
    }
    core->last_ms = PS_MAX(core->last_ms, now_ms);
    core->now_ms = core->last_ms - core->slept_ms;
    if (gap_ms >= core->options.dead_ms)
        ps_licences_overslept(core);
}

int ps_core_step(struct ps_core *core, uint64_t now_ms, const struct ps_event *event)
{
    if (core->failed)
        return PS_ERR_NOMEM;
    set_time(core, now_ms);
    switch (event->kind) {
    case PS_EVENT_TURN:
        turn(core);
        break;
    case PS_EVENT_TICK:
        core->denied_n = event->denied_n;
        tick(core);
        break;
    case PS_EVENT_BANNED:
        ps_sessions_ban(core, event->who);
        break;
    case PS_EVENT_STOP:
        ps_sessions_stop(core, "the broker stops");
        break;
    default:
        on_peer(core, event);
        break;
    }
    return core->failed ? PS_ERR_NOMEM : 0;
}
