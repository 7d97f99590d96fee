#include "broker/core/state.h"

#define WORKER_BYTES 160 /* a worker without its texts, at most */
#define OFFER_BYTES  96
#define LOAD_BYTES   96

void ps_fleet_fini(struct ps_fleet *self)
{
    free(self->workers);
    free(self->offers);
    *self = (struct ps_fleet){0};
}

static size_t bytes_of(const struct ps_session *session)
{
    size_t bytes = WORKER_BYTES + sizeof(session->name) + session->isolation.len;

    for (uint32_t i = 0; i < session->offers_n; i++) {
        const struct ps_part_offer *part = &session->offers[i].part;

        bytes += OFFER_BYTES + part->name.len + part->version.len + part->definitions.len + part->origin.len +
                 part->types.len + part->problem.len + part->note.len;
    }
    return bytes;
}

static int make_room(struct ps_core *core)
{
    struct ps_fleet *fleet = &core->fleet;
    uint32_t offers_n = 0;

    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next)
        offers_n += ps_session_at(core, s)->offers_n;
    if (core->workers_n > fleet->workers_cap) {
        if (ps_realloc(&fleet->workers, core->workers_n * (size_t)2, sizeof(*fleet->workers)))
            return PS_ERR_NOMEM;
        fleet->workers_cap = core->workers_n * 2;
    }
    if (offers_n >= fleet->offers_cap) {
        if (ps_realloc(&fleet->offers, (offers_n + 1) * (size_t)2, sizeof(*fleet->offers)))
            return PS_ERR_NOMEM;
        fleet->offers_cap = (offers_n + 1) * 2;
    }
    return 0;
}

static struct ps_part_worker describe(const struct ps_core *core, const struct ps_session *session,
                                      struct ps_part_offer *offers)
{
    for (uint32_t i = 0; i < session->offers_n; i++)
        offers[i] = session->offers[i].part;
    return (struct ps_part_worker){.session = session->id,
                                   .name = ps_bytes_of(session->name),
                                   .slots = session->slots,
                                   .window = session->window,
                                   .held = session->held_n,
                                   .running = PS_MIN(session->named_n, session->held_n),
                                   .done = session->done_n,
                                   .lost = session->lost_n,
                                   .silent_ms = (uint32_t)(core->now_ms - session->heard_ms),
                                   .isolation = session->isolation,
                                   .engines = {.items = offers, .n = session->offers_n}};
}

static size_t describe_workers(struct ps_core *core)
{
    size_t n = 0, offers_n = 0, bytes = 0;

    for (uint32_t s = core->session_first; s && n < PS_WORKERS_MAX; s = ps_session_at(core, s)->next) {
        const struct ps_session *session = ps_session_at(core, s);

        if (session->role != PS_ROLE_WORKER)
            continue;
        bytes += bytes_of(session);
        if (bytes > PS_FLEET_BYTES_MAX)
            break;
        core->fleet.workers[n++] = describe(core, session, core->fleet.offers + offers_n);
        offers_n += session->offers_n;
    }
    return n;
}

static size_t describe_loads(const struct ps_core *core, struct ps_part_load *loads)
{
    size_t n = 0;

    for (uint16_t i = 1; i <= PS_ENGINES_MAX; i++) {
        const struct ps_engine *engine = &core->engines[i];

        if (engine->known)
            loads[n++] = (struct ps_part_load){.engine = ps_bytes_of(engine->name),
                                               .workers = engine->workers_n,
                                               .queued = engine->queued_n,
                                               .leased = engine->leased_n,
                                               .reported = engine->pending_n,
                                               .done = engine->done_n,
                                               .lost = engine->lost_n,
                                               .oldest_ms = ps_queue_oldest_ms(core, i)};
    }
    return n;
}

static void report(struct ps_core *core)
{
    struct ps_part_load loads[PS_ENGINES_MAX];

    core->fleet.sent_ms = core->now_ms;
    core->fleet.changed = false;
    if (make_room(core))
        return; /* the next one, then */
    ps_core_send(core, core->master,
                 PS_MSG(FLEET, .uptime_s = (core->now_ms - core->start_ms) / 1000, .jobs = core->jobs.used_n,
                        .late = core->late_n, .denied = core->denied_n,
                        .strange_beats = core->refused_beats_n,
                        .workers = {.items = core->fleet.workers, .n = describe_workers(core)},
                        .loads = {.items = loads, .n = describe_loads(core, loads)}));
}

void ps_fleet_turn(struct ps_core *core)
{
    uint64_t since_ms = core->now_ms - core->fleet.sent_ms;

    if (core->master && since_ms >= (core->fleet.changed ? PS_FLEET_SOON_MS : PS_FLEET_EVERY_MS))
        report(core);
}
