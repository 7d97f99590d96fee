#include <utlist.h>

#include "broker/core/state.h"

#define FAR_TIERS 2 /* a worker that has a large sample may be so much busier than the least busy one */

static bool may_lease(const struct ps_core *core)
{
    return ps_core_outstanding(core) < core->grant && core->leases.used_n < core->options.leases_max &&
           core->results.used_bytes <= core->options.result_budget_bytes;
}

static bool is_better(const struct ps_pick *a, const struct ps_pick *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    if (a->spent != b->spent)
        return a->spent < b->spent;
    return a->deadline < b->deadline;
}

/* The best of the active engines' next jobs. */
static uint32_t best_job(const struct ps_core *core)
{
    struct ps_pick best = {0};

    for (unsigned word = 0; word < PS_ENGINE_SETS; word++)
        for (uint64_t bits = core->active.bits[word]; bits; bits &= bits - 1) {
            struct ps_pick pick =
                ps_queue_peek(core, (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits)));

            if (pick.job && (!best.job || is_better(&pick, &best)))
                best = pick;
        }
    return best.job;
}

/* ---- what goes along ---- */

/* A neighbour among its sample's jobs that is of the same scan, 0 at its end: then the walk is over, so that a sample
 * that thousands ask for costs no more than another. */
static uint32_t neighbour(const struct ps_core *core, const struct ps_job *job, bool forward)
{
    bool first = ps_job_at(core, ps_sample_at(core, job->sample)->first) == job;
    uint32_t number = forward ? job->sibling_next : first ? 0 : job->sibling_prev;
    const struct ps_job *other = number ? ps_job_at(core, number) : NULL;

    if (!other || other->id / PS_JOB_ORDINALS != job->id / PS_JOB_ORDINALS || other->owner != job->owner ||
        other->band != job->band)
        return 0;
    return number;
}

static bool may_go_along(const struct ps_core *core, const struct ps_job *job)
{
    return job->state == PS_JOB_QUEUED && !job->lost && ps_licence_free(core, &core->engines[job->engine]);
}

/* The engines that are wanted of the sample together with this job. */
static struct ps_engine_set wanted_with(const struct ps_core *core, const struct ps_job *job)
{
    struct ps_engine_set wanted = {0};

    ps_engine_set_put(&wanted, job->engine, true);
    for (int forward = 0; forward < 2; forward++)
        for (uint32_t at = neighbour(core, job, forward); at;
             at = neighbour(core, ps_job_at(core, at), forward))
            if (may_go_along(core, ps_job_at(core, at)))
                ps_engine_set_put(&wanted, ps_job_at(core, at)->engine, true);
    return wanted;
}

/* ---- who gets it ---- */

/* The worker that has the sample, when it has credit and is not much busier than the least busy one. */
static struct ps_offer *holders_offer(const struct ps_core *core, const struct ps_job *job, int least_tier)
{
    const struct ps_sample *sample = ps_sample_at(core, job->sample);
    const struct ps_session *session = sample->holder ? ps_session_at(core, sample->holder) : NULL;
    int far = sample->size > PS_INLINE_MAX ? FAR_TIERS : 0;

    if (!session || !session->id || session->tier < 0 || session->tier > least_tier + far ||
        !ps_engine_set_has(&session->can, job->engine))
        return NULL;
    return ps_session_offer(session, job->engine);
}

/* Of the first few in the least busy tier, the one that can do most of what is wanted. */
static struct ps_offer *covering_offer(const struct ps_core *core, struct ps_offer *first,
                                       const struct ps_engine_set *wanted)
{
    unsigned all = ps_engine_set_common(wanted, wanted), most = 0, looked = 0;
    struct ps_offer *best = first;

    for (struct ps_offer *at = first; at && most < all && looked < PS_SCHEDULE_LOOKED_MAX;
         at = at->next, looked++) {
        unsigned n = ps_engine_set_common(wanted, &ps_session_at(core, at->session)->can);

        if (n > most) {
            most = n;
            best = at;
        }
    }
    return best;
}

static struct ps_offer *choose(struct ps_core *core, const struct ps_job *job)
{
    struct ps_engine *engine = &core->engines[job->engine];
    struct ps_engine_set wanted;
    struct ps_offer *offer;
    int tier = 0;

    while (tier < PS_TIERS_N && !engine->ready[tier])
        tier++;
    if (tier == PS_TIERS_N)
        return NULL;
    offer = holders_offer(core, job, tier);
    if (offer)
        return offer;
    wanted = wanted_with(core, job);
    offer = covering_offer(core, engine->ready[tier], &wanted);
    /* Behind the others of its tier: they take turns. */
    DL_DELETE(engine->ready[tier], offer);
    DL_APPEND(engine->ready[tier], offer);
    return offer;
}

/* ---- the JOB ---- */

struct parcel {
    uint32_t session;
    uint32_t n;                /* leases in core->scratch */
    struct ps_engine_set seen; /* their engines */
};

static struct ps_part_lease part_of(const struct ps_core *core, uint32_t number, uint32_t run_ms)
{
    const struct ps_lease *lease = ps_lease_at(core, number);
    const struct ps_job *job = ps_job_at(core, lease->job);

    return (struct ps_part_lease){.seq = lease->seq,
                                  .job = job->id,
                                  .engine = ps_names_text(&core->engine_names, job->engine),
                                  .run_ms = run_ms,
                                  .band = job->band,
                                  .alone = lease->alone};
}

static void add_lease(struct ps_core *core, struct parcel *parcel, uint32_t number)
{
    const struct ps_job *job = ps_job_at(core, number);
    uint32_t run_ms = ps_job_run_ms(core, job, parcel->session);

    ps_life(core, number, PS_LIFE_LEASE,
            &(struct ps_life){.session = parcel->session,
                              .boot = core->options.boot,
                              .seq = ++core->seq,
                              .alone = job->lost > 0,
                              .allow_ms = ps_lease_allow_ms(run_ms, ps_sample_at(core, job->sample)->size)});
    if (job->state != PS_JOB_LEASED)
        return; /* no memory for a lease: it goes on waiting */
    ps_engine_set_put(&parcel->seen, job->engine, true);
    core->scratch[parcel->n++] = part_of(core, job->place, run_ms);
}

static bool has_room(const struct ps_core *core, const struct parcel *parcel)
{
    const struct ps_session *session = ps_session_at(core, parcel->session);

    return parcel->n < PS_ENGINES_MAX && session->held_n < session->window && may_lease(core);
}

static void add_neighbours(struct ps_core *core, struct parcel *parcel, uint32_t number, bool forward)
{
    const struct ps_session *session = ps_session_at(core, parcel->session);

    for (uint32_t at = neighbour(core, ps_job_at(core, number), forward); at && has_room(core, parcel);
         at = neighbour(core, ps_job_at(core, at), forward)) {
        const struct ps_job *job = ps_job_at(core, at);

        if (may_go_along(core, job) && ps_engine_set_has(&session->can, job->engine) &&
            !ps_engine_set_has(&parcel->seen, job->engine))
            add_lease(core, parcel, at);
    }
}

/* have: the worker holds leases of this sample already, so it has the bytes. */
static void send_job(struct ps_core *core, const struct parcel *parcel, const struct ps_sample *sample,
                     bool have)
{
    struct ps_msg msg = {.id = PS_MSG_JOB,
                         .JOB = {.size = sample->size,
                                 .type = ps_sample_type_text(core, sample),
                                 .leases = {.items = core->scratch, .n = parcel->n}}};

    memcpy(msg.JOB.sha256, sample->sha256, PS_SHA256_BYTES);
    if (!have)
        msg.JOB.data = ps_sample_data(core, sample);
    ps_core_send(core, parcel->session, &msg);
}

/* Leases the job and what goes along with it. Returns how many leases, 0 when it could not. */
static uint32_t dispatch(struct ps_core *core, uint32_t number)
{
    const struct ps_job *job = ps_job_at(core, number);
    const struct ps_sample *sample = ps_sample_at(core, job->sample);
    const struct ps_offer *offer = choose(core, job);
    struct parcel parcel = {0};
    bool have;

    if (!offer)
        return 0;
    parcel.session = offer->session;
    have = sample->holder == parcel.session && sample->holder_n;
    core->engines[job->engine].picks_n++;
    add_lease(core, &parcel, number);
    if (parcel.n && !job->lost) {
        add_neighbours(core, &parcel, number, true);
        add_neighbours(core, &parcel, number, false);
    }
    if (!parcel.n)
        return 0;
    ps_queue_charge(core, job->owner, job->band, parcel.n);
    send_job(core, &parcel, sample, have);
    return parcel.n;
}

void ps_schedule_copy(struct ps_core *core, uint32_t number, uint32_t session)
{
    struct ps_lease *lease = ps_lease_at(core, number);
    const struct ps_job *job = ps_job_at(core, lease->job);
    const struct ps_sample *sample = ps_sample_at(core, job->sample);
    uint32_t run_ms = ps_job_run_ms(core, job, session), copy;

    if (!may_lease(core))
        return;
    copy = ps_lease_new(core, lease->job, session, core->options.boot, ++core->seq);
    if (!copy)
        return;
    if (ps_lease_start(core, copy, ps_lease_allow_ms(run_ms, sample->size), false)) {
        ps_pool_give(&core->leases, copy);
        return;
    }
    lease->twin = copy;
    ps_lease_at(core, copy)->twin = number;
    ps_session_refresh(core, session);
    core->scratch[0] = part_of(core, copy, run_ms);
    send_job(core, &(struct parcel){.session = session, .n = 1}, sample,
             sample->holder == session && sample->holder_n > 1);
}

uint32_t ps_schedule(struct ps_core *core)
{
    uint32_t done = 0, job, n;

    while (done < PS_SCHEDULE_LEASES_MAX && may_lease(core) && (job = best_job(core))) {
        if (ps_life_is_over(core, job, NULL)) {
            done++;
            continue;
        }
        n = dispatch(core, job);
        if (!n)
            break;
        done += n;
    }
    return done;
}
