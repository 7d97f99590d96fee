/* broker/core/from_worker.c: what workers say. */
#include "broker/core/state.h"

/* ---- READY: what it holds against what we think it holds ---- */

/* A lease that we don't count as this worker's, of a job that waits: it is, from now on. */
static void adopt(struct ps_core *core, uint32_t session, uint32_t number, const struct ps_part_held *held)
{
    const struct ps_job *job = ps_job_at(core, number);

    ps_life(core, number, PS_LIFE_LEASE,
            &(struct ps_life){.session = session,
                              .boot = held->boot,
                              .seq = held->seq,
                              .running = held->running,
                              .alone = job->lost > 0,
                              .allow_ms = ps_lease_allow_ms(ps_job_run_ms(core, job, session),
                                                            ps_sample_at(core, job->sample)->size)});
    if (job->state == PS_JOB_LEASED)
        ps_lease_at(core, job->place)->listed = true;
}

/* The lease of that name, when the session of before that has it is away: the same worker, with a new one. */
static uint32_t left_behind(const struct ps_core *core, const struct ps_job *job,
                            const struct ps_part_held *held)
{
    for (uint32_t at = job->place, i = 0; at && i < 2; at = ps_lease_at(core, at)->twin, i++) {
        const struct ps_lease *lease = ps_lease_at(core, at);

        if (lease->boot == held->boot && lease->seq == held->seq &&
            !ps_session_at(core, lease->session)->peer)
            return at;
    }
    return 0;
}

/* True when the lease is this worker's now. */
static bool reconcile(struct ps_core *core, uint32_t session, uint32_t number,
                      const struct ps_part_held *held)
{
    struct ps_job *job = ps_job_at(core, number);
    uint32_t lease;

    if (job->state == PS_JOB_LEASED) {
        lease = ps_lease_of(core, job, session, held->boot, held->seq);
        if (lease) {
            ps_lease_at(core, lease)->listed = true;
            return true;
        }
        lease = left_behind(core, job, held);
        if (lease)
            ps_lease_over(core, lease, PS_LIFE_FREE, &(struct ps_life){.ended = true});
    }
    if (job->state != PS_JOB_QUEUED)
        return false;
    adopt(core, session, number, held);
    return job->state == PS_JOB_LEASED;
}

static void hold(struct ps_core *core, uint32_t session, const struct ps_part_held *held)
{
    const struct ps_part_lease_ref ref = {.boot = held->boot, .seq = held->seq, .job = held->job};
    uint32_t job = ps_job_find(core, held->job);

    if (job) {
        bool same =
            ps_bytes_equal(held->engine, ps_names_text(&core->engine_names, ps_job_at(core, job)->engine));

        if (!same || !reconcile(core, session, job, held))
            ps_session_cancelled(core, session, ref);
    } else if (held->boot == core->options.boot) {
        ps_session_cancelled(core, session, ref); /* this boot knew it: it is settled */
    } else {
        /* At the limit it is not remembered, and done twice at worst. */
        (void)ps_stray_add(core,
                           &(struct ps_stray){.job = held->job,
                                              .boot = held->boot,
                                              .seq = held->seq,
                                              .session = session,
                                              .running = held->running},
                           (struct ps_bytes){NULL, 0});
    }
}

/* A result that it will say again right away: meanwhile the job must not go to somebody else. */
static void expect(struct ps_core *core, uint32_t session, const struct ps_part_lease_ref *ref)
{
    const struct ps_part_held held = {.boot = ref->boot, .seq = ref->seq, .job = ref->job};
    uint32_t job = ps_job_find(core, ref->job);

    if (job)
        (void)reconcile(core, session, job, &held); /* not so: then its result is late, and told so */
    else if (ref->boot == core->options.boot)
        ps_session_committed(core, session, *ref);
}

static void give_back_unlisted(struct ps_core *core, uint32_t session)
{
    uint32_t next;

    for (uint32_t at = ps_session_at(core, session)->held; at; at = next) {
        struct ps_lease *lease = ps_lease_at(core, at);

        next = lease->next;
        if (!lease->listed)
            ps_lease_over(core, at, PS_LIFE_FREE, &(struct ps_life){.ended = true});
        else
            lease->listed = false;
    }
}

static void read_state(struct ps_core *core, uint32_t number, uint32_t slots, uint32_t window)
{
    struct ps_session *session = ps_session_at(core, number);

    session->slots = PS_MIN(slots, (uint32_t)PS_WINDOW_MAX);
    session->window = PS_MIN(window, (uint32_t)PS_WINDOW_MAX);
    core->fleet.changed = true;
}

static void on_ready(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    const struct ps_msg_READY *msg = &event->msg->READY;
    struct ps_list_held held = msg->held;
    struct ps_list_lease_ref results = msg->results;
    struct ps_part_lease_ref ref;
    struct ps_part_held item;

    if (ps_session_offers(core, session, msg->engines, msg->isolation)) {
        ps_session_refuse(core, session, "full", "too many different engines in the fleet");
        return;
    }
    read_state(core, session, msg->slots, msg->window);
    while (ps_held_next(&held, &item))
        hold(core, session, &item);
    while (ps_lease_ref_next(&results, &ref))
        expect(core, session, &ref);
    give_back_unlisted(core, session);
    ps_session_at(core, session)->ready = true;
    ps_session_progress(core, session);
    ps_session_refresh(core, session);
}

/* ---- RESULT ---- */

static void tell_committed(struct ps_core *core, uint32_t session, const struct ps_msg_RESULT *msg)
{
    ps_session_committed(core, session,
                         (struct ps_part_lease_ref){.boot = msg->boot, .seq = msg->seq, .job = msg->job});
}

/* It did not do it, by our wish or its own. That is no result: the job goes on, the worker may forget. */
static void on_cancelled(struct ps_core *core, uint32_t session, const struct ps_msg_RESULT *msg)
{
    uint32_t number = ps_job_find(core, msg->job);
    const struct ps_job *job = number ? ps_job_at(core, number) : NULL;
    uint32_t lease =
        job && job->state == PS_JOB_LEASED ? ps_lease_of(core, job, session, msg->boot, msg->seq) : 0;
    uint32_t stray = ps_stray_find(core, msg->job, msg->boot, msg->seq);

    if (stray && !ps_stray_at(core, stray)->result && ps_stray_at(core, stray)->session == session)
        ps_stray_drop(core, stray); /* or the job would be given to who has it no more */
    tell_committed(core, session, msg);
    if (!lease)
        return;
    ps_lease_over(core, lease, PS_LIFE_FREE, &(struct ps_life){.ended = true});
    ps_session_pause(core, session);
}

/* Of a job that is not here. One of this boot is settled; one of an earlier boot is for the master to judge. */
static void on_stray_result(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    const struct ps_msg_RESULT *msg = &event->msg->RESULT;

    if (msg->boot == core->options.boot) {
        core->late_n++;
        tell_committed(core, session, msg);
    } else if (ps_stray_add(core,
                            &(struct ps_stray){.job = msg->job,
                                               .boot = msg->boot,
                                               .seq = msg->seq,
                                               .session = session,
                                               .result = true},
                            event->record)) {
        ps_core_pass(core, core->master, event->record, NULL);
    } else {
        ps_session_refuse(core, session, "full", "too many results of unknown jobs");
    }
}

static bool is_late(const struct ps_core *core, uint32_t session, const struct ps_job *job,
                    const struct ps_msg_RESULT *msg)
{
    return job->state == PS_JOB_QUEUED ||
           (job->state == PS_JOB_LEASED && !ps_lease_of(core, job, session, msg->boot, msg->seq));
}

static void on_result(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    const struct ps_msg_RESULT *msg = &event->msg->RESULT;
    uint32_t number = ps_job_find(core, msg->job);
    const struct ps_job *job = number ? ps_job_at(core, number) : NULL;

    if (!ps_outcome_valid(msg->outcome) ||
        (job && !ps_bytes_equal(msg->engine, ps_names_text(&core->engine_names, job->engine)))) {
        ps_session_refuse(core, session, "proto", "a RESULT that makes no sense");
        return;
    }
    ps_session_at(core, session)->done_n++;
    ps_session_progress(core, session);
    if (msg->outcome == PS_OUTCOME_CANCELLED) {
        on_cancelled(core, session, msg);
    } else if (!job) {
        on_stray_result(core, session, event);
    } else {
        core->late_n += is_late(core, session, job, msg);
        ps_engine_ran(core, job->engine, msg->run_us);
        ps_life(core, number, PS_LIFE_REPORT,
                &(struct ps_life){
                    .session = session, .boot = msg->boot, .seq = msg->seq, .record = event->record});
    }
}

/* ---- the rest ---- */

static void on_offers(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    /* The walls do not change in a worker's life; the text is in the block that is replaced, so it is copied along. */
    if (ps_session_offers(core, session, event->msg->OFFERS.engines, ps_session_at(core, session)->isolation))
        ps_session_refuse(core, session, "full", "too many different engines in the fleet");
}

static void on_credit(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    read_state(core, session, ps_session_at(core, session)->slots, event->msg->CREDIT.window);
    ps_session_refresh(core, session);
}

static void on_fetch(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    ps_session_progress(core, session);
    ps_transfer_fetch(core, session, &event->msg->FETCH);
}

/* Without a master it is dropped: whoever gave the order is gone. */
static void on_ordered(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    struct ps_msg msg = *event->msg;

    msg.ORDERED.session = ps_session_at(core, session)->id;
    ps_core_send(core, core->master, &msg);
}

void ps_from_worker(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    switch (event->msg->id) {
    case PS_MSG_RESULT:
        on_result(core, session, event);
        break;
    case PS_MSG_FETCH:
        on_fetch(core, session, event);
        break;
    case PS_MSG_ORDERED:
        on_ordered(core, session, event);
        break;
    case PS_MSG_KEEP:
        ps_keep_said(core, session, &event->msg->KEEP);
        break;
    case PS_MSG_PIECE:
        ps_keep_piece(core, session, event);
        break;
    case PS_MSG_READY:
        on_ready(core, session, event);
        break;
    case PS_MSG_CREDIT:
        on_credit(core, session, event);
        break;
    case PS_MSG_OFFERS:
        on_offers(core, session, event);
        break;
    case PS_MSG_BYE:
        ps_session_end(core, session, PS_END_CLEAN, "said BYE");
        break;
    case PS_MSG_PULSE:
        break; /* heard already */
    default:
        ps_session_refuse(core, session, "proto", "a message that workers don't send");
        break;
    }
}

/* ---- heartbeats ---- */

static void name_running(struct ps_core *core, uint32_t session, const struct ps_part_lease_ref *ref)
{
    uint32_t number = ps_job_find(core, ref->job);
    const struct ps_job *job = number ? ps_job_at(core, number) : NULL;
    uint32_t lease =
        job && job->state == PS_JOB_LEASED ? ps_lease_of(core, job, session, ref->boot, ref->seq) : 0;

    if (lease)
        ps_lease_beat(core, ps_lease_at(core, lease), ps_session_at(core, session)->beat);
}

void ps_from_beat(struct ps_core *core, const struct ps_event *event)
{
    const struct ps_msg_BEAT *msg = &event->msg->BEAT;
    uint32_t number = ps_session_find(core, msg->session);
    struct ps_session *session = number ? ps_session_at(core, number) : NULL;
    struct ps_list_lease_ref running = msg->running;
    struct ps_part_lease_ref ref;

    if (!session || session->role != PS_ROLE_WORKER || !ps_session_token_is(session, msg->token) ||
        session->who != event->who) {
        core->refused_beats_n++;
        return;
    }
    ps_session_heard(core, number);
    session->beat = session->beat == UINT32_MAX ? 1 : session->beat + 1;
    session->running_n = 0;
    while (ps_lease_ref_next(&running, &ref))
        name_running(core, number, &ref);
    session->named_n = session->running_n;
}
