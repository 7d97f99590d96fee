/* broker/core/check.c: the core's books, audited. Everything that two places know is compared. */
#include "broker/core/state.h"

#define REQUIRE(what)     \
    do {                  \
        if (!(what))      \
            return #what; \
    } while (0)

/* Sums over the jobs in the index, to be compared with the counters. */
struct sums {
    uint32_t jobs, in_flows, suspects, held, twins, pending, needs;
    uint32_t engine_queued[PS_ENGINES_MAX + 1], engine_leased[PS_ENGINES_MAX + 1],
        engine_pending[PS_ENGINES_MAX + 1];
    uint64_t inline_bytes, result_bytes, flight_bytes;
    uint32_t wants; /* sessions that say so */
};

static const char *check_leased(const struct ps_core *core, const struct ps_job *job,
                                const struct ps_lease *lease)
{
    const struct ps_session *session = ps_session_at(core, lease->session);

    REQUIRE(lease->due.pos < core->due.n && core->due.at[lease->due.pos] == &lease->due);
    REQUIRE(lease->session && session->id && session->role == PS_ROLE_WORKER);
    REQUIRE(!lease->kept && !lease->outcome);
    REQUIRE(lease->hard_ms >= core->start_ms);
    REQUIRE(!job->lost == !lease->alone || lease->boot != core->options.boot);
    return NULL;
}

static const char *check_pending(const struct ps_core *core, const struct ps_job *job,
                                 const struct ps_lease *lease)
{
    REQUIRE(lease->due.pos == PS_HEAP_NONE && !lease->twin);
    REQUIRE((job->state == PS_JOB_DECIDED) == (lease->outcome != 0));
    REQUIRE(!lease->session || ps_session_at(core, lease->session)->id);
    REQUIRE(job->state == PS_JOB_DECIDED || lease->kept || lease->kept_by_worker);
    return NULL;
}

static const char *check_job(const struct ps_core *core, uint32_t number, struct sums *sums)
{
    const struct ps_job *job = ps_job_at(core, number);
    const struct ps_lease *lease;

    REQUIRE(ps_job_find(core, job->id) == number);
    REQUIRE(job->state < PS_JOB_STATES_N && job->band < PS_BANDS_N);
    REQUIRE(core->engines[job->engine].known);
    REQUIRE(ps_owner_at(core, job->owner)->jobs_n > 0);
    sums->jobs++;
    switch (job->state) {
    case PS_JOB_QUEUED:
        sums->engine_queued[job->engine]++;
        REQUIRE(!job->place == (job->lost > 0));
        return NULL;
    case PS_JOB_LEASED:
        sums->engine_leased[job->engine]++;
        lease = ps_lease_at(core, job->place);
        REQUIRE(job->place && lease->job == number);
        return check_leased(core, job, lease);
    default:
        sums->engine_pending[job->engine]++;
        lease = ps_lease_at(core, job->place);
        REQUIRE(job->place && lease->job == number);
        sums->result_bytes += lease->kept ? ps_block_rounded(lease->kept_bytes) : 0;
        return check_pending(core, job, lease);
    }
}

static const char *check_sample(const struct ps_core *core, uint32_t number, struct sums *sums)
{
    const struct ps_sample *sample = ps_sample_at(core, number);
    uint32_t need_n = 0, previous = 0;
    const char *what;

    REQUIRE(ps_sample_find(core, sample->sha256) == number);
    REQUIRE(!sample->data || sample->need_n);
    sums->inline_bytes += sample->data ? ps_block_rounded((size_t)sample->size) : 0;
    if (sample->idle)
        return NULL;
    REQUIRE(sample->first);
    for (uint32_t at = sample->first; at; previous = at, at = ps_job_at(core, at)->sibling_next) {
        const struct ps_job *job = ps_job_at(core, at);

        REQUIRE(job->sample == number && (!previous || job->sibling_prev == previous));
        need_n += job->state == PS_JOB_QUEUED || job->state == PS_JOB_LEASED;
        what = check_job(core, at, sums);
        if (what)
            return what;
    }
    REQUIRE(ps_job_at(core, sample->first)->sibling_prev == previous);
    REQUIRE(sample->need_n == need_n);
    return NULL;
}

static const char *check_samples(const struct ps_core *core, struct sums *sums)
{
    const struct ps_index *index = &core->sample_by_sha;
    uint32_t n = 0;

    for (uint32_t bucket = 0; index->segments_n && bucket < index->low + index->split; bucket++) {
        uint32_t at = index->segments[bucket >> PS_POOL_SHIFT][bucket & (PS_POOL_CHUNK - 1)];

        for (; at; at = ps_sample_at(core, at)->chain, n++) {
            const char *what = check_sample(core, at, sums);

            if (what)
                return what;
        }
    }
    REQUIRE(n == index->items_n && n == core->samples.used_n);
    return NULL;
}

static const char *check_flow(const struct ps_core *core, const struct ps_flow *flow, struct sums *sums)
{
    uint32_t previous_slot = 0, deadline = 0;

    REQUIRE(flow->first);
    REQUIRE(flow->node.key == ps_owner_at(core, flow->owner)->spent[flow->band]);
    for (uint32_t s = flow->first, next; s; previous_slot = s, s = next) {
        const struct ps_slot *slot = ps_pool_at(&core->slots, s);
        uint32_t previous = 0;

        REQUIRE(slot->prev == previous_slot && slot->first);
        REQUIRE(!previous_slot || slot->deadline > deadline);
        deadline = slot->deadline;
        for (uint32_t at = slot->first; at; previous = at, at = ps_job_at(core, at)->next) {
            const struct ps_job *job = ps_job_at(core, at);

            REQUIRE(job->state == PS_JOB_QUEUED && job->place == s && job->prev == previous);
            REQUIRE(job->engine == flow->engine && job->band == flow->band && job->owner == flow->owner);
            REQUIRE(!job->lost && slot->deadline <= ps_job_deadline(job));
            sums->in_flows++;
        }
        REQUIRE(slot->last == previous);
        next = slot->next;
        REQUIRE(next || flow->last == s);
    }
    return NULL;
}

static const char *check_engine(const struct ps_core *core, uint16_t number, struct sums *sums)
{
    const struct ps_engine *engine = &core->engines[number];
    uint32_t ready_n = 0;

    for (unsigned band = 0; band < PS_BANDS_N; band++)
        for (size_t i = 0; i < engine->bands[band].n; i++) {
            const char *what =
                check_flow(core, PS_CONTAINER_OF(engine->bands[band].at[i], struct ps_flow, node), sums);

            if (what)
                return what;
        }
    for (uint32_t at = engine->suspects; at; at = ps_job_at(core, at)->next) {
        REQUIRE(ps_job_at(core, at)->lost && ps_job_at(core, at)->engine == number);
        sums->suspects++;
    }
    for (int tier = 0; tier < PS_TIERS_N; tier++)
        for (const struct ps_offer *offer = engine->ready[tier]; offer; offer = offer->next, ready_n++)
            REQUIRE(offer->ready && ps_session_at(core, offer->session)->tier == tier &&
                    offer->engine == number);
    REQUIRE(ready_n <= engine->workers_n && engine->workers_n <= engine->offers_n);
    REQUIRE(engine->queued_n == sums->engine_queued[number]);
    REQUIRE(engine->leased_n == sums->engine_leased[number]);
    REQUIRE(engine->pending_n == sums->engine_pending[number]);
    /* A licence that time sets free (a ghost passed, the hold is over) is noticed by the next tick. */
    if (ps_engine_set_has(&core->active, number))
        REQUIRE(engine->queued_n && ready_n && ps_licence_free(core, engine));
    else
        REQUIRE(!engine->queued_n || !ready_n || engine->limit_n);
    return NULL;
}

static const char *check_session(const struct ps_core *core, uint32_t number, struct sums *sums)
{
    const struct ps_session *session = ps_session_at(core, number);
    uint32_t held_n = 0, running_n = 0, alone_n = 0, fetch_n = 0, previous = 0;
    uint64_t flight_bytes = 0;

    REQUIRE(ps_session_find(core, session->id) == number);
    REQUIRE(!session->peer || core->connections[session->peer].session == number);
    for (uint32_t at = session->held; at; previous = at, at = ps_lease_at(core, at)->next) {
        const struct ps_lease *lease = ps_lease_at(core, at);

        REQUIRE(lease->session == number && lease->prev == previous && !lease->listed);
        REQUIRE(ps_job_at(core, lease->job)->state == PS_JOB_LEASED);
        REQUIRE(ps_lease_of(core, ps_job_at(core, lease->job), number, lease->boot, lease->seq) == at);
        REQUIRE(!lease->twin || (ps_lease_at(core, lease->twin)->twin == at &&
                                 ps_lease_at(core, lease->twin)->job == lease->job));
        sums->twins += ps_job_at(core, lease->job)->place != at;
        held_n++;
        running_n += ps_lease_running(core, lease);
        alone_n += lease->alone;
    }
    REQUIRE(session->held_last == previous);
    REQUIRE(session->held_n == held_n && session->running_n == running_n && session->alone_n == alone_n);
    sums->held += held_n;
    for (uint32_t at = session->fetch_first; at; at = ps_fetch_at(core, at)->next, fetch_n++)
        flight_bytes += ps_fetch_at(core, at)->asked;
    REQUIRE(session->fetch_n == fetch_n && session->flight_bytes == flight_bytes);
    REQUIRE(session->asked_bytes <= PS_KEEP_ASKED_MAX);
    REQUIRE(flight_bytes <= core->options.transfer_bytes);
    REQUIRE(session->wants || !ps_transfer_next(core, session));
    sums->flight_bytes += flight_bytes;
    sums->wants += session->wants;
    for (uint32_t i = 0; i < session->offers_n; i++)
        REQUIRE(session->offers[i].ready ==
                (session->tier >= 0 && ps_engine_set_has(&session->can, session->offers[i].engine)));
    REQUIRE(session->role == PS_ROLE_WORKER || (!session->held && !session->offers_n));
    return NULL;
}

static const char *check_sessions(const struct ps_core *core, struct sums *sums)
{
    uint32_t n = 0;

    for (uint32_t at = core->session_first; at; at = ps_session_at(core, at)->next, n++) {
        const char *what = check_session(core, at, sums);

        if (what)
            return what;
    }
    REQUIRE(n == core->sessions.used_n && n == core->workers_n + core->masters_n);
    REQUIRE(!core->master || ps_session_at(core, core->master)->role == PS_ROLE_MASTER);
    return NULL;
}

static const char *check_strays(const struct ps_core *core, struct sums *sums)
{
    uint32_t n = 0, previous = 0;

    for (uint32_t at = core->stray_first; at; previous = at, at = ps_stray_at(core, at)->next, n++) {
        const struct ps_stray *stray = ps_stray_at(core, at);

        REQUIRE(stray->prev == previous);
        REQUIRE(ps_stray_find(core, stray->job, stray->boot, stray->seq) == at);
        REQUIRE(!stray->session || ps_session_at(core, stray->session)->id);
        REQUIRE(stray->session || stray->kept);
        REQUIRE(stray->result || !ps_job_find(core, stray->job));
        sums->result_bytes += stray->kept ? ps_block_rounded(stray->kept_bytes) : 0;
    }
    REQUIRE(core->stray_last == previous && n == core->strays.used_n);
    return NULL;
}

static const char *check_wants(const struct ps_core *core, const struct sums *sums)
{
    uint32_t n = 0, previous = 0;

    for (uint32_t at = core->want_first; at; previous = at, at = ps_session_at(core, at)->want_next, n++) {
        REQUIRE(ps_session_at(core, at)->id && ps_session_at(core, at)->wants);
        REQUIRE(ps_session_at(core, at)->want_prev == previous);
        REQUIRE(n < sums->wants);
    }
    REQUIRE(core->want_last == previous && n == sums->wants);
    REQUIRE(core->flight_bytes == sums->flight_bytes);
    REQUIRE(core->flight_bytes <= core->options.transfer_total);
    return NULL;
}

static const char *check_totals(const struct ps_core *core, const struct sums *sums)
{
    uint32_t pending_n = 0;

    for (uint32_t at = core->pending_first; at; at = ps_lease_at(core, at)->next)
        pending_n++;
    REQUIRE(sums->jobs == core->jobs.used_n && sums->jobs == core->job_by_id.items_n);
    REQUIRE(core->queued_n == sums->in_flows + sums->suspects);
    REQUIRE(core->leased_n + sums->twins == sums->held && sums->held == core->due.n);
    REQUIRE(core->pending_n == pending_n);
    REQUIRE(core->queued_n + core->leased_n + core->pending_n == sums->jobs);
    REQUIRE(core->leases.used_n == sums->held + core->pending_n);
    REQUIRE(core->inlines.used_bytes == sums->inline_bytes);
    REQUIRE(core->inlines.used_bytes <= core->options.inline_budget_bytes);
    REQUIRE(core->results.used_bytes == sums->result_bytes);
    REQUIRE(core->jobs.used_n <= core->options.jobs_max && core->strays.used_n <= core->options.strays_max);
    REQUIRE(core->idle_n <= PS_SAMPLES_IDLE_MAX);
    return NULL;
}

const char *ps_core_check(const struct ps_core *core)
{
    struct sums sums = {0};
    const char *what = check_samples(core, &sums);

    if (!what)
        what = check_sessions(core, &sums);
    for (uint16_t i = 1; i <= PS_ENGINES_MAX && !what; i++)
        what = core->engines[i].known ? check_engine(core, i, &sums) : NULL;
    if (!what)
        what = check_strays(core, &sums);
    if (!what)
        what = check_wants(core, &sums);
    return what ? what : check_totals(core, &sums);
}

static size_t memory_of(const struct ps_core *core)
{
    return ps_pool_bytes(&core->samples) + ps_pool_bytes(&core->jobs) + ps_pool_bytes(&core->leases) +
           ps_pool_bytes(&core->owners) + ps_pool_bytes(&core->flows) + ps_pool_bytes(&core->slots) +
           ps_pool_bytes(&core->sessions) + ps_pool_bytes(&core->strays) + ps_pool_bytes(&core->fetches) +
           ps_blocks_bytes(&core->inlines) + ps_blocks_bytes(&core->results) +
           sizeof(uint32_t) * PS_POOL_CHUNK * (core->sample_by_sha.segments_n + core->job_by_id.segments_n);
}

void ps_core_counts(const struct ps_core *core, struct ps_core_counts *ret_counts)
{
    uint32_t engines = 0;

    for (unsigned i = 1; i <= PS_ENGINES_MAX; i++)
        engines += core->engines[i].known;
    *ret_counts = (struct ps_core_counts){.jobs = core->jobs.used_n,
                                          .queued = core->queued_n,
                                          .leased = core->leased_n,
                                          .pending = core->pending_n,
                                          .samples = core->samples.used_n,
                                          .sessions = core->sessions.used_n,
                                          .workers = core->workers_n,
                                          .strays = core->strays.used_n,
                                          .leases = core->leases.used_n,
                                          .owners = core->owners.used_n,
                                          .fetches = core->fetches.used_n,
                                          .engines = engines,
                                          .grant = core->grant,
                                          .flight_bytes = core->flight_bytes,
                                          .inline_bytes = core->inlines.used_bytes,
                                          .result_bytes = core->results.used_bytes,
                                          .committed = core->committed_n,
                                          .lost = core->lost_n,
                                          .late = core->late_n,
                                          .buried = core->buried_n,
                                          .unavailable = core->unavailable_n,
                                          .expired = core->expired_n,
                                          .cancelled = core->cancelled_n,
                                          .requeued = core->requeued_n,
                                          .copied = core->copied_n,
                                          .refused_beats = core->refused_beats_n,
                                          .refused_epochs = core->refused_epochs_n,
                                          .dropped_chunks = core->dropped_chunks_n,
                                          .memory_bytes = memory_of(core)};
}
