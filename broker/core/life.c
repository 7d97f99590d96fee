#include <stdio.h>

#include "broker/core/state.h"

/* To the master, if one is there to hear it. */
static void tell_master(struct ps_core *core, struct ps_lease *lease, struct ps_bytes record)
{
    lease->told = core->master && ps_session_at(core, core->master)->peer && record.len;
    ps_core_pass(core, core->master, record, NULL);
}

static void keep_and_tell(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_lease *lease = ps_lease_at(core, number);

    ps_lease_keep(core, lease, args->record);
    lease->kept_by_worker = !lease->kept;
    ps_lease_pend(core, number);
    if (args->passed)
        lease->told = true;
    else
        tell_master(core, lease, args->record);
}

/* ---- QUEUED ---- */

static void lease_it(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t lease = ps_lease_new(core, number, args->session, args->boot, args->seq);

    if (!lease)
        return; /* the caller looked at the limit before; without memory the job goes on waiting */
    ps_lease_at(core, lease)->alone = args->alone;
    if (ps_lease_start(core, lease, args->allow_ms, args->running)) {
        ps_pool_give(&core->leases, lease);
        return;
    }
    ps_queue_remove(core, number);
    job->place = lease;
    ps_job_state(core, job, PS_JOB_LEASED);
    ps_session_refresh(core, args->session);
    ps_engine_refresh(core, job->engine);
}

/* A result that is not the job's: its worker is told when the job is settled. False at the limit. */
static bool note_result(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    return ps_stray_add(core,
                        &(struct ps_stray){.job = ps_job_at(core, number)->id,
                                           .boot = args->boot,
                                           .seq = args->seq,
                                           .session = args->session,
                                           .result = true},
                        (struct ps_bytes){NULL, 0}) != 0;
}

/* From QUEUED: the lease was lost, or of an earlier boot, and the result comes all the same. */
static void report_unleased(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t lease = ps_lease_new(core, number, args->session, args->boot, args->seq);

    if (!lease) { /* at the limit: it stays queued and is done once more, or its worker says it again */
        if (!note_result(core, number, args))
            core->bounce = ps_session_at(core, args->session)->bounce = true;
        return;
    }
    ps_queue_remove(core, number);
    job->place = lease;
    keep_and_tell(core, lease, args);
    ps_job_state(core, job, PS_JOB_REPORTED);
}

static void decide(struct ps_core *core, uint32_t number, uint32_t outcome, const char *reason)
{
    struct ps_job *job = ps_job_at(core, number);

    ps_core_send(core, core->master,
                 PS_MSG(DECIDED, .job = job->id, .engine = ps_names_text(&core->engine_names, job->engine),
                        .outcome = outcome, .reason = ps_bytes_of(reason)));
}

static void decide_queued(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t lease = ps_lease_new(core, number, 0, 0, 0);

    if (!lease)
        return; /* at the limit: it stays queued, and is looked at again */
    ps_queue_remove(core, number);
    job->place = lease;
    ps_lease_at(core, lease)->outcome = args->outcome;
    ps_lease_keep(core, ps_lease_at(core, lease), ps_bytes_of(args->reason));
    ps_lease_pend(core, lease);
    ps_job_state(core, job, PS_JOB_DECIDED);
    core->buried_n += args->outcome == PS_OUTCOME_QUARANTINED;
    core->unavailable_n += args->outcome == PS_OUTCOME_UNAVAILABLE;
    core->expired_n += args->outcome == PS_OUTCOME_TIMEOUT;
    decide(core, number, args->outcome, args->reason);
}

static void drop_queued(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    uint64_t id = ps_job_at(core, number)->id;

    ps_queue_remove(core, number);
    ps_job_drop(core, number);
    ps_strays_settle(core, id);
}

/* ---- LEASED ---- */

/* A licence that the lease uses is in use until its worker has stopped: at once when it hears of it. */
static void mind_licence(struct ps_core *core, uint32_t number, bool hears)
{
    const struct ps_lease *lease = ps_lease_at(core, ps_job_at(core, number)->place);

    ps_licence_lost(core, ps_job_at(core, number)->engine, lease->session, lease->allow_ms,
                    hears && ps_session_at(core, lease->session)->peer);
}

/* The lease that a job has: taken from the worker, who is told to stop when it may not know. */
static void take_back(struct ps_core *core, uint32_t number, bool tell)
{
    uint32_t lease = ps_job_at(core, number)->place, session = ps_lease_at(core, lease)->session;

    if (tell)
        ps_session_cancelled(core, session, ps_lease_ref(core, lease));
    ps_job_at(core, number)->place = 0;
    ps_lease_drop(core, lease);
}

static void report_leased(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t reported = ps_lease_of(core, job, args->session, args->boot, args->seq);
    struct ps_lease *lease;

    ps_lease_drop_twin(core, reported ? reported : job->place);
    lease = ps_lease_at(core, job->place);
    if (!reported) {
        mind_licence(core, number, true);
        ps_session_cancelled(core, lease->session,
                             ps_lease_ref(core, job->place)); /* a second copy: not needed now */
    }
    ps_lease_stop(core, job->place);
    lease->session = args->session;
    lease->boot = args->boot;
    lease->seq = args->seq;
    keep_and_tell(core, job->place, args);
    ps_job_state(core, job, PS_JOB_REPORTED);
    ps_engine_refresh(core, job->engine);
}

static void requeue(struct ps_core *core, uint32_t number)
{
    struct ps_job *job = ps_job_at(core, number);

    ps_job_state(core, job, PS_JOB_QUEUED);
    ps_engine_refresh(core, job->engine);
    if (ps_queue_put(core, number))
        ps_core_fail(core);
    core->requeued_n++;
}

bool ps_life_is_over(struct ps_core *core, uint32_t number, const char *last)
{
    const struct ps_job *job = ps_job_at(core, number);
    struct ps_life end = {.outcome = PS_OUTCOME_QUARANTINED};
    char why[PS_TEXT_MAX];

    if (job->lost >= core->options.lost_max) {
        (void)snprintf(why, sizeof(why), "%u leases lost while it ran%s%s", job->lost,
                       last ? ", the last at " : "",
                       last ? last : ""); /* fits: a name and a short sentence */
    } else if (!ps_job_left_ms(job)) {
        end.outcome = PS_OUTCOME_TIMEOUT;
        (void)snprintf(why, sizeof(why), "lost leases used up its scan's time%s%s",
                       last ? ", the last at " : "", last ? last : "");
    } else {
        return false;
    }
    end.reason = why;
    ps_life(core, number, PS_LIFE_DECIDE, &end);
    return true;
}

static void lose_leased(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);
    struct ps_engine *engine = &core->engines[job->engine];
    const struct ps_session *session = ps_session_at(core, ps_lease_at(core, job->place)->session);
    char worker[sizeof(session->name)], last[PS_TEXT_MAX];

    memcpy(worker, session->name, sizeof(worker));
    core->lost_n++;
    engine->lost_n++;
    job->lost += job->lost < UINT8_MAX;
    job->ran =
        (uint16_t)PS_MIN(job->ran + (ps_lease_ran_ms(core, ps_lease_at(core, job->place)) >> PS_TICK_SHIFT),
                         (uint64_t)UINT16_MAX);
    ps_core_log(core, PS_LOG_WARN, "lease-lost", "job=%llu engine=%s lost=%u worker=%s why=%s",
                (unsigned long long)job->id, PS_LOGQ(engine->name), job->lost, PS_LOGQ(worker),
                PS_LOGQ(args->reason));
    mind_licence(core, number, false);
    take_back(core, number, args->tell);
    requeue(core, number);
    ps_core_send(core, core->master,
                 PS_MSG(LOST, .job = job->id, .lost = job->lost, .engine = ps_bytes_of(engine->name),
                        .worker = ps_bytes_of(worker), .reason = ps_bytes_of(args->reason)));
    (void)snprintf(last, sizeof(last), "%s: %s", worker, args->reason); /* fits, as above */
    if (!core->failed)
        (void)ps_life_is_over(core, number, last);
}

static void free_leased(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_job *job = ps_job_at(core, number);

    if (args->dead && job->freed + 1u >= PS_FREED_MAX) {
        job->freed = 0;
        lose_leased(core, number, &(struct ps_life){.reason = "worker after worker died with it"});
        return;
    }
    job->freed += args->dead;
    if (!args->ended)
        mind_licence(core, number, false);
    take_back(core, number, args->tell);
    requeue(core, number);
}

static void drop_leased(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    uint16_t engine = ps_job_at(core, number)->engine;
    uint64_t id = ps_job_at(core, number)->id;

    ps_lease_drop_twin(core, ps_job_at(core, number)->place);
    mind_licence(core, number, true);
    take_back(core, number, true);
    ps_job_drop(core, number);
    ps_engine_refresh(core, engine);
    ps_strays_settle(core, id);
}

/* ---- REPORTED, DECIDED ---- */

/* A result for a job that has one. The same again: its worker came back, and is the one to be told. Another: it is told
 * when the job is settled. */
static void report_again(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    struct ps_lease *lease = ps_lease_at(core, ps_job_at(core, number)->place);

    if (lease->boot == args->boot && lease->seq == args->seq && !lease->outcome) {
        lease->session = args->session;
        if (!lease->told)
            tell_master(core, lease, args->record);
        return;
    }
    core->late_n++;
    if (!note_result(core, number, args))
        ps_session_committed(core, args->session,
                             (struct ps_part_lease_ref){args->boot, args->seq, ps_job_at(core, number)->id});
}

static void drop_pending(struct ps_core *core, uint32_t number)
{
    uint32_t lease = ps_job_at(core, number)->place, session = ps_lease_at(core, lease)->session;
    uint64_t id = ps_job_at(core, number)->id;

    if (session)
        ps_session_committed(core, session, ps_lease_ref(core, lease));
    ps_lease_unpend(core, lease);
    ps_job_at(core, number)->place = 0;
    ps_lease_drop(core, lease);
    ps_job_drop(core, number);
    ps_strays_settle(core, id);
}

static void cancel_pending(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    drop_pending(core, number);
}

static void commit_pending(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    core->engines[ps_job_at(core, number)->engine].done_n++;
    core->committed_n++;
    drop_pending(core, number);
}

/* The only copy of the result went with its worker. */
static void free_reported(struct ps_core *core, uint32_t number, const struct ps_life *args)
{
    uint32_t lease = ps_job_at(core, number)->place;

    ps_lease_unpend(core, lease);
    ps_job_at(core, number)->place = 0;
    ps_lease_drop(core, lease);
    requeue(core, number);
}

/* ---- the table ---- */

typedef void life_fn(struct ps_core *core, uint32_t job, const struct ps_life *args);

/* clang-format off */
static life_fn *const table[PS_JOB_STATES_N][PS_LIFE_EVENTS_N] = {
    [PS_JOB_QUEUED] = {
        [PS_LIFE_LEASE]  = lease_it,
        [PS_LIFE_REPORT] = report_unleased,
        [PS_LIFE_COMMIT] = drop_queued,
        [PS_LIFE_CANCEL] = drop_queued,
        [PS_LIFE_DECIDE] = decide_queued,
    },
    [PS_JOB_LEASED] = {
        [PS_LIFE_REPORT] = report_leased,
        [PS_LIFE_COMMIT] = drop_leased,
        [PS_LIFE_CANCEL] = drop_leased,
        [PS_LIFE_FREE]   = free_leased,
        [PS_LIFE_LOSE]   = lose_leased,
    },
    [PS_JOB_REPORTED] = {
        [PS_LIFE_REPORT] = report_again,
        [PS_LIFE_COMMIT] = commit_pending,
        [PS_LIFE_CANCEL] = cancel_pending,
        [PS_LIFE_FREE]   = free_reported,
    },
    [PS_JOB_DECIDED] = {
        [PS_LIFE_REPORT] = report_again,
        [PS_LIFE_COMMIT] = commit_pending,
        [PS_LIFE_CANCEL] = cancel_pending,
    },
};
/* clang-format on */

void ps_life(struct ps_core *core, uint32_t job, enum ps_life_event event, const struct ps_life *args)
{
    life_fn *act = table[ps_job_at(core, job)->state][event];

    if (event == PS_LIFE_CANCEL)
        core->cancelled_n++;
    if (act)
        act(core, job, args);
}

static void resend_decided(struct ps_core *core, const struct ps_lease *lease)
{
    const struct ps_job *job = ps_job_at(core, lease->job);

    ps_core_send(core, core->master,
                 PS_MSG(DECIDED, .job = job->id, .engine = ps_names_text(&core->engine_names, job->engine),
                        .outcome = lease->outcome, .reason = ps_lease_kept(core, lease)));
}

/* LOST is not acknowledged, so whoever comes hears the counts of all that may still die. */
static void resend_lost(struct ps_core *core, uint32_t number)
{
    const struct ps_job *job = ps_job_at(core, number);

    if (job->lost)
        ps_core_send(core, core->master,
                     PS_MSG(LOST, .job = job->id, .lost = job->lost,
                            .engine = ps_names_text(&core->engine_names, job->engine),
                            .reason = PS_BYTES_LIT("counted before")));
}

static void resend_counts(struct ps_core *core)
{
    for (unsigned i = 1; i <= PS_ENGINES_MAX; i++)
        for (uint32_t job = core->engines[i].suspects; job; job = ps_job_at(core, job)->next)
            resend_lost(core, job);
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next)
        for (uint32_t lease = ps_session_at(core, s)->held; lease; lease = ps_lease_at(core, lease)->next)
            resend_lost(core, ps_lease_at(core, lease)->job);
}

void ps_life_resend(struct ps_core *core)
{
    uint32_t next;

    resend_counts(core);

    for (uint32_t at = core->pending_first; at; at = next) {
        struct ps_lease *lease = ps_lease_at(core, at);

        next = lease->next;
        resend_lost(core, lease->job);
        if (lease->outcome) {
            resend_decided(core, lease);
        } else if (!lease->kept_by_worker) {
            tell_master(core, lease, ps_lease_kept(core, lease));
        } else if (lease->session) {
            lease->told = false;
            ps_session_at(core, lease->session)->bounce = true;
            core->bounce = true;
        } else {
            ps_life(core, lease->job, PS_LIFE_FREE, &(struct ps_life){0});
        }
    }
}
