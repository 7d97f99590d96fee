#include "broker/core/state.h"

#define LOOK_EVERY_MS 1000

struct ps_stray *ps_stray_at(const struct ps_core *core, uint32_t stray)
{
    return ps_pool_at(&core->strays, stray);
}

static struct ps_bytes kept_of(const struct ps_core *core, const struct ps_stray *stray)
{
    return (struct ps_bytes){ps_block_at(&core->results, stray->kept), stray->kept_bytes};
}

uint32_t ps_stray_find(const struct ps_core *core, uint64_t job, uint64_t boot, uint64_t seq)
{
    uint32_t at = ps_index_first(&core->stray_by_job, job);

    while (at && (ps_stray_at(core, at)->boot != boot || ps_stray_at(core, at)->seq != seq))
        at = ps_index_next(&core->stray_by_job, at);
    return at;
}

static void append(struct ps_core *core, uint32_t number)
{
    struct ps_stray *stray = ps_stray_at(core, number);

    stray->prev = core->stray_last;
    stray->next = 0;
    if (core->stray_last)
        ps_stray_at(core, core->stray_last)->next = number;
    else
        core->stray_first = number;
    core->stray_last = number;
}

static void take_out(struct ps_core *core, uint32_t number)
{
    struct ps_stray *stray = ps_stray_at(core, number);

    if (stray->prev)
        ps_stray_at(core, stray->prev)->next = stray->next;
    else
        core->stray_first = stray->next;
    if (stray->next)
        ps_stray_at(core, stray->next)->prev = stray->prev;
    else
        core->stray_last = stray->prev;
}

static uint32_t make(struct ps_core *core, const struct ps_stray *like)
{
    uint32_t number = ps_pool_take(&core->strays);
    struct ps_stray *stray;

    if (!number)
        return 0;
    stray = ps_stray_at(core, number);
    *stray = (struct ps_stray){.job = like->job, .boot = like->boot, .seq = like->seq};
    if (ps_index_put(&core->stray_by_job, number)) {
        ps_pool_give(&core->strays, number);
        return 0;
    }
    append(core, number);
    return number;
}

uint32_t ps_stray_add(struct ps_core *core, const struct ps_stray *like, struct ps_bytes record)
{
    uint32_t number = ps_stray_find(core, like->job, like->boot, like->seq);
    struct ps_stray *stray;

    if (!number)
        number = make(core, like);
    if (!number)
        return 0;
    stray = ps_stray_at(core, number);
    stray->session = like->session;
    stray->result |= like->result; /* a lease that was listed before its result came */
    stray->running = like->running;
    stray->since_ms = core->now_ms;
    take_out(core, number);
    append(core, number);
    if (record.len && !stray->kept &&
        core->results.used_bytes + record.len <= core->options.result_budget_bytes) {
        stray->kept = ps_block_copy(&core->results, record.at, record.len);
        stray->kept_bytes = stray->kept ? (uint32_t)record.len : 0;
    }
    return number;
}

void ps_stray_drop(struct ps_core *core, uint32_t number)
{
    struct ps_stray *stray = ps_stray_at(core, number);

    ps_block_give(&core->results, stray->kept, stray->kept_bytes);
    take_out(core, number);
    ps_index_remove(&core->stray_by_job, number);
    ps_pool_give(&core->strays, number);
}

static struct ps_part_lease_ref ref_of(const struct ps_stray *stray)
{
    return (struct ps_part_lease_ref){.boot = stray->boot, .seq = stray->seq, .job = stray->job};
}

void ps_strays_settle(struct ps_core *core, uint64_t job)
{
    uint32_t at;

    while ((at = ps_index_first(&core->stray_by_job, job))) {
        const struct ps_stray *stray = ps_stray_at(core, at);

        if (stray->session && stray->result)
            ps_session_committed(core, stray->session, ref_of(stray));
        else if (stray->session)
            ps_session_cancelled(core, stray->session, ref_of(stray));
        ps_stray_drop(core, at);
    }
}

static uint32_t first_of(const struct ps_core *core, uint64_t job, bool result)
{
    uint32_t at = ps_index_first(&core->stray_by_job, job);

    while (at && ps_stray_at(core, at)->result != result)
        at = ps_index_next(&core->stray_by_job, at);
    return at;
}

/* A result that the master that leads has not heard, and that nobody here has a copy of, is said again by its worker. */
static void adopt_result(struct ps_core *core, uint32_t job, uint32_t number)
{
    const struct ps_stray *stray = ps_stray_at(core, number);
    bool heard = stray->kept || stray->since_ms > core->master_since_ms;

    if (!heard && stray->session) {
        ps_session_at(core, stray->session)->bounce = true;
        core->bounce = true;
    }
    ps_life(core, job, PS_LIFE_REPORT,
            &(struct ps_life){.session = stray->session,
                              .boot = stray->boot,
                              .seq = stray->seq,
                              .record = kept_of(core, stray),
                              .passed = heard});
    if (ps_job_at(core, job)->state == PS_JOB_REPORTED)
        ps_stray_drop(core, number);
}

static void adopt_lease(struct ps_core *core, uint32_t number_of_job, uint32_t number)
{
    const struct ps_stray *stray = ps_stray_at(core, number);
    const struct ps_job *job = ps_job_at(core, number_of_job);

    ps_life(core, number_of_job, PS_LIFE_LEASE,
            &(struct ps_life){.session = stray->session,
                              .boot = stray->boot,
                              .seq = stray->seq,
                              .running = stray->running,
                              .alone = job->lost > 0,
                              .allow_ms =
                                  ps_lease_allow_ms(job->run ? ps_job_asked_ms(job) : core->options.run_ms,
                                                    ps_sample_at(core, job->sample)->size)});
    if (job->state != PS_JOB_LEASED || ps_lease_at(core, job->place)->seq != stray->seq ||
        ps_lease_at(core, job->place)->boot != stray->boot)
        ps_session_cancelled(core, stray->session, ref_of(stray));
    ps_stray_drop(core, number);
}

void ps_strays_adopt(struct ps_core *core, uint32_t job)
{
    uint64_t id = ps_job_at(core, job)->id;
    uint32_t at = first_of(core, id, true);

    if (at)
        adopt_result(core, job, at);
    while ((at = first_of(core, id, false)))
        adopt_lease(core, job, at);
}

void ps_strays_leave(struct ps_core *core, uint32_t session)
{
    uint32_t next;

    for (uint32_t at = core->stray_first; at; at = next) {
        struct ps_stray *stray = ps_stray_at(core, at);

        next = stray->next;
        if (stray->session != session)
            continue;
        stray->session = 0;
        if (!stray->kept)
            ps_stray_drop(core, at);
    }
}

void ps_strays_resend(struct ps_core *core)
{
    for (uint32_t at = core->stray_first; at; at = ps_stray_at(core, at)->next) {
        struct ps_stray *stray = ps_stray_at(core, at);

        if (stray->kept) {
            ps_core_pass(core, core->master, kept_of(core, stray), NULL);
        } else if (stray->result && stray->session && !ps_job_find(core, stray->job)) {
            ps_session_at(core, stray->session)->bounce = true;
            core->bounce = true;
        }
    }
}

static bool is_over(const struct ps_core *core, const struct ps_stray *stray)
{
    uint64_t from_ms = PS_MAX(stray->since_ms, core->master_since_ms);

    return core->master && core->now_ms - from_ms >= PS_STRAY_MS && !(stray->result && stray->session);
}

void ps_strays_tick(struct ps_core *core)
{
    uint32_t next;

    if (core->now_ms - core->strays_ms < LOOK_EVERY_MS)
        return;
    core->strays_ms = core->now_ms;
    for (uint32_t at = core->stray_first; at; at = next) {
        next = ps_stray_at(core, at)->next;
        if (is_over(core, ps_stray_at(core, at)))
            ps_stray_drop(core, at);
    }
}
