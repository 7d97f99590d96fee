#include "broker/core/state.h"

static bool held(const struct ps_core *core)
{
    return core->now_ms - core->start_ms < core->options.limit_hold_ms;
}

bool ps_licence_free(const struct ps_core *core, const struct ps_engine *engine)
{
    return !engine->limit_n ||
           (core->master && !held(core) && engine->leased_n + engine->ghosts_n < engine->limit_n);
}

/* All ghosts of an engine pass together, with the last of them: too late for some, never too early. */
static void haunt(struct ps_core *core, struct ps_engine *engine, uint32_t allow_ms)
{
    engine->ghosts_ms = PS_MAX(engine->ghosts_ms, core->now_ms + core->options.dead_ms + allow_ms);
}

void ps_licence_lost(struct ps_core *core, uint16_t number, uint32_t session, uint32_t allow_ms, bool told)
{
    struct ps_engine *engine = &core->engines[number];
    struct ps_session *at = ps_session_at(core, session);

    if (!engine->limit_n)
        return;
    engine->ghosts_n++;
    haunt(core, engine, told ? core->options.dead_ms : allow_ms);
    if (!told)
        return;
    at->unread_allow_ms = core->now_ms < at->unread_ms ? PS_MAX(at->unread_allow_ms, allow_ms) : allow_ms;
    at->unread_ms = core->now_ms + 2 * (uint64_t)core->options.dead_ms;
}

/* Which engines they were is not kept: all that have ghosts wait. */
void ps_licence_unread(struct ps_core *core, uint32_t session)
{
    const struct ps_session *at = ps_session_at(core, session);

    for (uint16_t i = 1; i <= PS_ENGINES_MAX && core->now_ms < at->unread_ms; i++)
        if (core->engines[i].limit_n && core->engines[i].ghosts_n)
            haunt(core, &core->engines[i], at->unread_allow_ms);
}

void ps_licences_refresh(struct ps_core *core)
{
    for (uint16_t i = 1; i <= PS_ENGINES_MAX && core->licences; i++)
        if (core->engines[i].limit_n)
            ps_engine_refresh(core, i);
}

void ps_licence_offered(struct ps_core *core, uint16_t number)
{
    struct ps_engine *engine = &core->engines[number];
    uint32_t least = engine->limit_conf_n;

    if (engine->offers_n == 0)
        return;
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next) {
        const struct ps_offer *offer = ps_session_offer(ps_session_at(core, s), number);
        uint32_t scans = offer ? offer->part.licence_scans : 0;

        if (scans && (!least || scans < least))
            least = scans;
    }
    engine->limit_n = least;
    core->licences |= least > 0;
    ps_engine_refresh(core, number);
}

static void drop_queued(struct ps_core *core, uint16_t engine)
{
    uint32_t job;

    while (!core->failed && (job = ps_engine_queued(core, engine)))
        ps_life(core, job, PS_LIFE_CANCEL, &(struct ps_life){0});
}

/* One that began since the last heartbeat is killed: nobody was promised anything. */
static void drop_waiting(struct ps_core *core, uint32_t session)
{
    uint32_t next;

    for (uint32_t at = ps_session_at(core, session)->held; at && !core->failed; at = next) {
        const struct ps_lease *lease = ps_lease_at(core, at);

        next = lease->next;
        if (core->engines[ps_job_at(core, lease->job)->engine].limit_n && !ps_lease_running(core, lease))
            ps_life(core, lease->job, PS_LIFE_CANCEL, &(struct ps_life){0});
    }
}

void ps_licences_left(struct ps_core *core)
{
    if (!core->licences)
        return;
    for (uint16_t i = 1; i <= PS_ENGINES_MAX; i++)
        if (core->engines[i].limit_n)
            drop_queued(core, i);
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next)
        drop_waiting(core, s);
    ps_licences_refresh(core);
}

void ps_licences_overslept(struct ps_core *core)
{
    static const char reason[] = "the broker slept: begin anew";

    if (!core->licences || !core->master)
        return;
    ps_core_send(core, core->master, PS_MSG(BYE, .reason = PS_BYTES_LIT(reason)));
    ps_session_end(core, core->master, PS_END_LOST, reason);
}

void ps_licences_tick(struct ps_core *core)
{
    for (uint16_t i = 1; i <= PS_ENGINES_MAX && core->licences; i++) {
        struct ps_engine *engine = &core->engines[i];

        if (!engine->limit_n)
            continue;
        if (core->now_ms >= engine->ghosts_ms)
            engine->ghosts_n = 0;
        ps_engine_refresh(core, i); /* a ghost has passed, or the hold */
    }
}

size_t ps_licences_list(const struct ps_core *core, struct ps_part_limit *ret_limits)
{
    size_t n = 0;

    for (uint16_t i = 1; i <= PS_ENGINES_MAX && core->licences; i++)
        if (core->engines[i].limit_n)
            ret_limits[n++] = (struct ps_part_limit){.engine = ps_bytes_of(core->engines[i].name),
                                                     .leases = core->engines[i].limit_n};
    return n;
}
