#include "broker/core/state.h"

static struct ps_flow *flow_at(const struct ps_core *core, uint32_t flow)
{
    return ps_pool_at(&core->flows, flow);
}

static struct ps_slot *slot_at(const struct ps_core *core, uint32_t slot)
{
    return ps_pool_at(&core->slots, slot);
}

/* ---- flows ---- */

static uint64_t flow_key(uint32_t owner, uint16_t engine, uint8_t band)
{
    return (uint64_t)owner << 32 | (uint64_t)engine << 8 | band;
}

/* An owner that was away begins where the others are: it has saved up nothing. */
static void link_flow(struct ps_core *core, uint32_t number)
{
    struct ps_flow *flow = flow_at(core, number);
    struct ps_owner *owner = ps_owner_at(core, flow->owner);

    flow->next = owner->flows[flow->band];
    if (flow->next)
        flow_at(core, flow->next)->prev = number;
    else
        owner->spent[flow->band] = PS_MAX(owner->spent[flow->band], core->band_spent[flow->band]);
    owner->flows[flow->band] = number;
}

static void unlink_flow(struct ps_core *core, uint32_t number)
{
    struct ps_flow *flow = flow_at(core, number);

    if (flow->prev)
        flow_at(core, flow->prev)->next = flow->next;
    else
        ps_owner_at(core, flow->owner)->flows[flow->band] = flow->next;
    if (flow->next)
        flow_at(core, flow->next)->prev = flow->prev;
}

static uint32_t make_flow(struct ps_core *core, const struct ps_job *job)
{
    uint32_t number = ps_pool_take(&core->flows);
    struct ps_flow *flow;

    if (!number)
        return 0;
    flow = flow_at(core, number);
    *flow = (struct ps_flow){.node.pos = PS_HEAP_NONE,
                             .key = flow_key(job->owner, job->engine, job->band),
                             .owner = job->owner,
                             .engine = job->engine,
                             .band = job->band};
    if (ps_index_put(&core->flow_by_key, number)) {
        ps_pool_give(&core->flows, number);
        return 0;
    }
    link_flow(core, number);
    if (ps_heap_put(&core->engines[job->engine].bands[job->band], &flow->node,
                    ps_owner_at(core, job->owner)->spent[job->band], number) == 0)
        return number;
    unlink_flow(core, number);
    ps_index_remove(&core->flow_by_key, number);
    ps_pool_give(&core->flows, number);
    return 0;
}

static uint32_t get_flow(struct ps_core *core, const struct ps_job *job)
{
    uint32_t flow = ps_index_first(&core->flow_by_key, flow_key(job->owner, job->engine, job->band));

    return flow ? flow : make_flow(core, job);
}

static void drop_flow(struct ps_core *core, uint32_t number)
{
    struct ps_flow *flow = flow_at(core, number);

    ps_heap_remove(&core->engines[flow->engine].bands[flow->band], &flow->node);
    unlink_flow(core, number);
    ps_index_remove(&core->flow_by_key, number);
    ps_pool_give(&core->flows, number);
}

/* ---- slots ---- */

/* Rounds down to a power of two that is at most 1/PS_SLOT_FINENESS of the time left. */
static uint32_t slot_deadline(const struct ps_core *core, uint32_t deadline)
{
    uint32_t now = ps_core_units(core), left = deadline > now ? deadline - now : 0;
    uint32_t width = left / PS_SLOT_FINENESS;

    if (width < 2)
        return deadline;
    return deadline & ~((1u << (31 - __builtin_clz(width))) - 1);
}

/* The last slot that is not later than deadline: looked for from the nearer end. Nearly always that is one step. */
static uint32_t slot_before(const struct ps_core *core, const struct ps_flow *flow, uint32_t deadline)
{
    uint32_t at = flow->last, next;

    if (!flow->first || slot_at(core, flow->first)->deadline > deadline)
        return 0;
    if (deadline - slot_at(core, flow->first)->deadline >= slot_at(core, flow->last)->deadline - deadline) {
        while (slot_at(core, at)->deadline > deadline)
            at = slot_at(core, at)->prev;
        return at;
    }
    at = flow->first;
    while ((next = slot_at(core, at)->next) && slot_at(core, next)->deadline <= deadline)
        at = next;
    return at;
}

static uint32_t get_slot(struct ps_core *core, uint32_t flow_number, uint32_t deadline)
{
    struct ps_flow *flow = flow_at(core, flow_number);
    uint32_t before = slot_before(core, flow, deadline), number;
    struct ps_slot *slot;

    if (before && slot_at(core, before)->deadline == deadline)
        return before;
    number = ps_pool_take(&core->slots);
    if (!number)
        return 0;
    slot = slot_at(core, number);
    *slot = (struct ps_slot){.deadline = deadline,
                             .flow = flow_number,
                             .prev = before,
                             .next = before ? slot_at(core, before)->next : flow->first};
    if (before)
        slot_at(core, before)->next = number;
    else
        flow->first = number;
    if (slot->next)
        slot_at(core, slot->next)->prev = number;
    else
        flow->last = number;
    return number;
}

static void drop_slot(struct ps_core *core, uint32_t number)
{
    struct ps_slot *slot = slot_at(core, number);
    struct ps_flow *flow = flow_at(core, slot->flow);
    uint32_t flow_number = slot->flow;

    if (slot->prev)
        slot_at(core, slot->prev)->next = slot->next;
    else
        flow->first = slot->next;
    if (slot->next)
        slot_at(core, slot->next)->prev = slot->prev;
    else
        flow->last = slot->prev;
    ps_pool_give(&core->slots, number);
    if (!flow->first)
        drop_flow(core, flow_number);
}

/* ---- jobs in lists: a slot's, or an engine's suspects ---- */

static void append(struct ps_core *core, uint32_t number, uint32_t *first, uint32_t *last)
{
    struct ps_job *job = ps_job_at(core, number);

    job->prev = *last;
    job->next = 0;
    if (*last)
        ps_job_at(core, *last)->next = number;
    else
        *first = number;
    *last = number;
}

static void take_out(struct ps_core *core, uint32_t number, uint32_t *first, uint32_t *last)
{
    struct ps_job *job = ps_job_at(core, number);

    if (job->prev)
        ps_job_at(core, job->prev)->next = job->next;
    else
        *first = job->next;
    if (job->next)
        ps_job_at(core, job->next)->prev = job->prev;
    else
        *last = job->prev;
    job->prev = job->next = 0;
}

static int put_in_flow(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t flow = get_flow(core, job);
    struct ps_slot *slot;

    if (!flow)
        return PS_ERR_NOMEM;
    job->place = get_slot(core, flow, slot_deadline(core, ps_job_deadline(job)));
    if (!job->place) {
        if (!flow_at(core, flow)->first)
            drop_flow(core, flow);
        return PS_ERR_NOMEM;
    }
    slot = slot_at(core, job->place);
    append(core, number, &slot->first, &slot->last);
    return 0;
}

int ps_queue_put(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);
    struct ps_engine *engine = &core->engines[job->engine];

    job->place = 0;
    if (job->lost)
        append(core, number, &engine->suspects, &engine->suspects_last);
    else if (put_in_flow(core, number))
        return PS_ERR_NOMEM;
    ps_engine_refresh(core, job->engine);
    core->settle |= !engine->workers_n;
    return 0;
}

void ps_queue_remove(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);
    struct ps_engine *engine = &core->engines[job->engine];
    struct ps_slot *slot;

    if (!job->place) {
        take_out(core, number, &engine->suspects, &engine->suspects_last);
    } else {
        slot = slot_at(core, job->place);
        take_out(core, number, &slot->first, &slot->last);
        if (!slot->first)
            drop_slot(core, job->place);
        job->place = 0;
    }
    ps_engine_refresh(core, job->engine);
}

/* ---- who is next ---- */

static struct ps_flow *first_flow(const struct ps_engine *engine, unsigned band)
{
    struct ps_heap_node *node = ps_heap_first(&engine->bands[band]);

    return node ? PS_CONTAINER_OF(node, struct ps_flow, node) : NULL;
}

static uint32_t first_job(const struct ps_core *core, const struct ps_flow *flow)
{
    return slot_at(core, flow->first)->first;
}

static uint64_t waited_ms(const struct ps_core *core, const struct ps_job *job)
{
    return (uint64_t)(ps_core_units(core) - job->since) << PS_TICK_SHIFT;
}

/* Of the bands below best, the one whose next job has waited longest and long enough; PS_BANDS_N when none has. */
static unsigned aged_band(const struct ps_core *core, const struct ps_engine *engine, unsigned best)
{
    uint64_t longest = core->options.aging_ms;
    unsigned aged = PS_BANDS_N;

    for (unsigned band = best + 1; band < PS_BANDS_N; band++) {
        const struct ps_flow *flow = first_flow(engine, band);

        if (flow && waited_ms(core, ps_job_at(core, first_job(core, flow))) >= longest) {
            longest = waited_ms(core, ps_job_at(core, first_job(core, flow)));
            aged = band;
        }
    }
    return aged;
}

struct ps_pick ps_queue_peek(const struct ps_core *core, uint16_t number)
{
    const struct ps_engine *engine = &core->engines[number];
    const struct ps_flow *flow = NULL;
    unsigned best = 0, aged = PS_BANDS_N;

    if (engine->suspects)
        return (struct ps_pick){.job = engine->suspects, .rank = ps_job_at(core, engine->suspects)->band};
    while (best < PS_BANDS_N && !(flow = first_flow(engine, best)))
        best++;
    if (!flow)
        return (struct ps_pick){0};
    if (engine->picks_n % PS_AGING_SHARE == PS_AGING_SHARE - 1)
        aged = aged_band(core, engine, best);
    if (aged < PS_BANDS_N)
        return (struct ps_pick){.job = first_job(core, first_flow(engine, aged)), .rank = best};
    return (struct ps_pick){.job = first_job(core, flow),
                            .rank = best,
                            .spent = flow->node.key,
                            .deadline = slot_at(core, flow->first)->deadline};
}

void ps_queue_charge(struct ps_core *core, uint32_t number, uint8_t band, uint32_t leases_n)
{
    struct ps_owner *owner = ps_owner_at(core, number);

    core->band_spent[band] = PS_MAX(core->band_spent[band], owner->spent[band]);
    owner->spent[band] += leases_n;
    for (uint32_t at = owner->flows[band]; at; at = flow_at(core, at)->next) {
        struct ps_flow *flow = flow_at(core, at);

        ps_heap_move(&core->engines[flow->engine].bands[band], &flow->node, owner->spent[band]);
    }
}

uint64_t ps_queue_oldest_ms(const struct ps_core *core, uint16_t number)
{
    const struct ps_engine *engine = &core->engines[number];
    uint64_t oldest = engine->suspects ? waited_ms(core, ps_job_at(core, engine->suspects)) : 0;

    for (unsigned band = 0; band < PS_BANDS_N; band++)
        for (size_t i = 0; i < engine->bands[band].n; i++) {
            const struct ps_flow *flow = PS_CONTAINER_OF(engine->bands[band].at[i], struct ps_flow, node);

            oldest = PS_MAX(oldest, waited_ms(core, ps_job_at(core, first_job(core, flow))));
        }
    return oldest;
}
