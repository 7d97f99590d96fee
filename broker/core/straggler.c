#include "broker/core/state.h"

static bool is_straggler(const struct ps_core *core, const struct ps_lease *lease)
{
    const struct ps_engine *engine = &core->engines[ps_job_at(core, lease->job)->engine];
    uint64_t usual_ms = (uint64_t)engine->usual_ms * PS_STRAGGLER_TIMES;

    return !lease->twin && !lease->alone && !engine->limit_n && !engine->queued_n &&
           engine->ran_n >= PS_STRAGGLER_USUAL_N &&
           ps_lease_ran_ms(core, lease) >= PS_MAX(usual_ms, (uint64_t)PS_STRAGGLER_MIN_MS);
}

/* Another worker with a place to run that engine at once; 0 when there is none among the first few. */
static uint32_t idle_worker(const struct ps_core *core, const struct ps_lease *lease)
{
    const struct ps_offer *offer = core->engines[ps_job_at(core, lease->job)->engine].ready[0];

    for (int looked = 0; offer && looked < PS_SCHEDULE_LOOKED_MAX; offer = offer->next, looked++)
        if (offer->session != lease->session)
            return offer->session;
    return 0;
}

/* Oldest first: what runs is at the front, as many as there are slots. */
static void look_at_worker(struct ps_core *core, const struct ps_session *session)
{
    uint32_t running_n = session->running_n, next;

    for (uint32_t at = session->held; at && running_n; at = next) {
        const struct ps_lease *lease = ps_lease_at(core, at);
        uint32_t worker;

        next = lease->next;
        if (!ps_lease_running(core, lease))
            continue;
        running_n--;
        worker = is_straggler(core, lease) ? idle_worker(core, lease) : 0;
        if (!worker)
            continue;
        core->copied_n++;
        ps_core_log(core, PS_LOG_INFO, "straggler", "job=%llu engine=%s worker=%s ran_ms=%llu also=%s",
                    (unsigned long long)ps_job_at(core, lease->job)->id,
                    PS_LOGQ(core->engines[ps_job_at(core, lease->job)->engine].name), PS_LOGQ(session->name),
                    (unsigned long long)ps_lease_ran_ms(core, lease),
                    PS_LOGQ(ps_session_at(core, worker)->name));
        ps_schedule_copy(core, at, worker);
    }
}

void ps_stragglers_tick(struct ps_core *core)
{
    if (core->now_ms < core->stragglers_ms || core->workers_n < 2)
        return;
    core->stragglers_ms = core->now_ms + PS_STRAGGLER_EVERY_MS;
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next)
        look_at_worker(core, ps_session_at(core, s));
}
