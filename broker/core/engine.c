#include "broker/core/state.h"

#include <stdio.h>

#include "base/utf8.h"

#define SETTLE_MAX 1024 /* jobs decided in one turn */

/* ps_engine_set covers numbers 0..PS_ENGINES_MAX. */
_Static_assert(PS_ENGINE_SETS * 64 > PS_ENGINES_MAX, "a bit for every engine");

struct ps_engine *ps_engine_at(struct ps_core *core, uint16_t engine)
{
    return &core->engines[engine];
}

uint16_t ps_engine_find(struct ps_core *core, struct ps_bytes name)
{
    return ps_names_find(&core->engine_names, name);
}

static bool is_needed(const struct ps_engine *engine)
{
    return engine->queued_n || engine->leased_n || engine->pending_n || engine->offers_n ||
           engine->limit_conf_n || engine->ghosts_n;
}

static void forget(struct ps_core *core, uint16_t number)
{
    for (unsigned band = 0; band < PS_BANDS_N; band++)
        ps_heap_fini(&core->engines[number].bands[band]);
    core->engines[number] = (struct ps_engine){0};
    ps_names_remove(&core->engine_names, number);
}

/* The table is full: whoever is there for nothing goes, with its counters. */
static void make_room(struct ps_core *core)
{
    for (uint16_t i = 1; i <= PS_ENGINES_MAX; i++)
        if (core->engines[i].known && !is_needed(&core->engines[i]))
            forget(core, i);
}

uint16_t ps_engine_get(struct ps_core *core, struct ps_bytes name)
{
    uint16_t number = ps_names_find(&core->engine_names, name);
    struct ps_engine *engine;

    if (number)
        return number;
    number = ps_names_put(&core->engine_names, name);
    if (!number) {
        make_room(core);
        number = ps_names_put(&core->engine_names, name);
    }
    if (!number)
        return 0;
    /* One that nobody ever offered has been absent since the broker began. */
    engine = &core->engines[number];
    *engine = (struct ps_engine){.known = true, .absent_ms = core->start_ms};
    memcpy(engine->name, name.len ? (const char *)name.at : "", PS_MIN(name.len, (size_t)PS_NAME_MAX));
    for (unsigned band = 0; band < PS_BANDS_N; band++)
        ps_heap_init(&engine->bands[band]);
    return number;
}

void ps_engine_refresh(struct ps_core *core, uint16_t number)
{
    const struct ps_engine *engine = &core->engines[number];
    bool queued = engine->suspects, ready = false;

    for (unsigned band = 0; band < PS_BANDS_N && !queued; band++)
        queued = engine->bands[band].n > 0;
    for (unsigned tier = 0; tier < PS_TIERS_N && !ready; tier++)
        ready = engine->ready[tier];
    ps_engine_set_put(&core->active, number, queued && ready && ps_licence_free(core, engine));
}

void ps_engine_offered(struct ps_core *core, uint16_t number, bool more)
{
    struct ps_engine *engine = &core->engines[number];

    engine->workers_n += more ? 1 : (uint32_t)-1;
    if (!engine->workers_n)
        engine->absent_ms = core->now_ms;
}

bool ps_engine_absent(struct ps_core *core, uint16_t number)
{
    const struct ps_engine *engine = &core->engines[number];

    return !engine->workers_n && core->now_ms - engine->absent_ms >= core->options.engine_grace_ms;
}

uint32_t ps_engine_queued(const struct ps_core *core, uint16_t number)
{
    const struct ps_engine *engine = &core->engines[number];

    for (unsigned band = 0; band < PS_BANDS_N; band++) {
        struct ps_heap_node *node = ps_heap_first(&engine->bands[band]);

        if (node) {
            const struct ps_flow *flow = PS_CONTAINER_OF(node, struct ps_flow, node);
            const struct ps_slot *slot = ps_pool_at(&core->slots, flow->first);

            return slot->first;
        }
    }
    return engine->suspects;
}

/* Why an engine that workers do offer can't be used: what one of them says. */
static struct ps_bytes problem_of(const struct ps_core *core, uint16_t number)
{
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next) {
        const struct ps_offer *offer = ps_session_offer(ps_session_at(core, s), number);

        if (offer && offer->part.problem.len)
            return offer->part.problem;
    }
    return (struct ps_bytes){NULL, 0};
}

static void say_why(const struct ps_core *core, uint16_t number, char *text, size_t room)
{
    const struct ps_engine *engine = &core->engines[number];
    struct ps_bytes problem = engine->offers_n ? problem_of(core, number) : (struct ps_bytes){NULL, 0};

    /* Both fit: a name, a few words and half a text. */
    if (problem.len)
        (void)snprintf(text, room, "no worker offers %s: %.*s", engine->name,
                       (int)ps_utf8_cut((const char *)problem.at, problem.len, PS_TEXT_MAX / 2),
                       (const char *)problem.at);
    else
        (void)snprintf(text, room, "no worker offers %s", engine->name);
}

static bool may_decide(const struct ps_core *core)
{
    return ps_core_outstanding(core) < core->grant && core->leases.used_n < core->options.leases_max;
}

static void settle_one(struct ps_core *core, uint16_t number, uint32_t *left)
{
    struct ps_engine *engine = &core->engines[number];
    char why[PS_TEXT_MAX];
    uint32_t job;

    if (!engine->known || !engine->queued_n || !ps_engine_absent(core, number))
        return;
    say_why(core, number, why, sizeof(why));
    while (*left && may_decide(core) && (job = ps_engine_queued(core, number))) {
        (*left)--;
        ps_life(core, job, PS_LIFE_DECIDE,
                &(struct ps_life){.outcome = PS_OUTCOME_UNAVAILABLE, .reason = why});
    }
}

void ps_engines_settle(struct ps_core *core)
{
    uint32_t left = SETTLE_MAX;

    if (!core->queued_n || !may_decide(core))
        return;
    core->settle = false;
    /* From where it stopped last time, so that one engine's million does not hide another's ten. */
    for (uint16_t i = 0; i < PS_ENGINES_MAX && left; i++) {
        core->unsettled = core->unsettled % PS_ENGINES_MAX + 1;
        settle_one(core, (uint16_t)core->unsettled, &left);
    }
    core->settle = !left;
}

void ps_engine_ran(struct ps_core *core, uint16_t number, uint64_t run_us)
{
    struct ps_engine *engine = &core->engines[number];
    uint32_t run_ms = (uint32_t)PS_MIN(run_us / 1000, (uint64_t)UINT32_MAX);

    engine->ran_n += engine->ran_n < PS_ENGINE_USUAL_N;
    engine->usual_ms =
        (uint32_t)(((uint64_t)engine->usual_ms * (engine->ran_n - 1) + run_ms) / engine->ran_n);
}
