#include "broker/core/state.h"

struct ps_job *ps_job_at(const struct ps_core *core, uint32_t job)
{
    return ps_pool_at(&core->jobs, job);
}

uint32_t ps_job_find(const struct ps_core *core, uint64_t id)
{
    return ps_index_first(&core->job_by_id, id);
}

static void count(struct ps_core *core, const struct ps_job *job, enum ps_job_state state, uint32_t by)
{
    struct ps_engine *engine = &core->engines[job->engine];

    switch (state) {
    case PS_JOB_QUEUED:
        core->queued_n += by;
        engine->queued_n += by;
        break;
    case PS_JOB_LEASED:
        core->leased_n += by;
        engine->leased_n += by;
        break;
    default:
        core->pending_n += by;
        engine->pending_n += by;
        break;
    }
}

static bool needs(enum ps_job_state state)
{
    return state == PS_JOB_QUEUED || state == PS_JOB_LEASED;
}

void ps_job_state(struct ps_core *core, struct ps_job *job, enum ps_job_state state)
{
    enum ps_job_state old = job->state;

    count(core, job, old, (uint32_t)-1);
    count(core, job, state, 1);
    job->state = state & 7u;
    if (needs(old) != needs(state))
        ps_sample_need(core, ps_sample_at(core, job->sample), needs(state));
}

int ps_job_enter(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);

    if (ps_index_put(&core->job_by_id, number)) {
        ps_pool_give(&core->jobs, number);
        return PS_ERR_NOMEM;
    }
    ps_sample_join(core, job->sample, number);
    ps_owner_join(core, job->owner);
    job->state = PS_JOB_QUEUED;
    count(core, job, PS_JOB_QUEUED, 1);
    ps_sample_need(core, ps_sample_at(core, job->sample), true);
    return 0;
}

static uint32_t time_units(const struct ps_job *job)
{
    return (job->time_s * 1000u) >> PS_TICK_SHIFT;
}

uint32_t ps_job_deadline(const struct ps_job *job)
{
    return job->since + time_units(job);
}

uint32_t ps_job_left_ms(const struct ps_job *job)
{
    uint32_t all = time_units(job);

    if (!all)
        return UINT32_MAX;
    return all > job->ran ? (all - job->ran) << PS_TICK_SHIFT : 0;
}

uint32_t ps_job_asked_ms(const struct ps_job *job)
{
    return (uint32_t)job->run << PS_RUN_SHIFT;
}

uint32_t ps_job_run_ms(const struct ps_core *core, const struct ps_job *job, uint32_t session)
{
    const struct ps_offer *offer = ps_session_offer(ps_session_at(core, session), job->engine);
    uint32_t run_ms = job->run                      ? ps_job_asked_ms(job)
                      : offer && offer->part.run_ms ? offer->part.run_ms
                                                    : core->options.run_ms;

    return PS_MIN(PS_MIN(run_ms, PS_LEASE_MAX_MS), ps_job_left_ms(job));
}

void ps_job_drop(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);

    count(core, job, job->state, (uint32_t)-1);
    if (needs(job->state))
        ps_sample_need(core, ps_sample_at(core, job->sample), false);
    ps_sample_leave(core, number);
    ps_owner_leave(core, job->owner);
    ps_index_remove(&core->job_by_id, number);
    ps_pool_give(&core->jobs, number);
}
