/* broker/core/from_master.c: what masters say. The one with the highest epoch leads; any other is sent away. */
#include "broker/core/state.h"

void ps_master_resend(struct ps_core *core)
{
    core->master_since_ms = core->now_ms;
    ps_life_resend(core);
    ps_strays_resend(core);
    ps_transfers_resend(core);
}

static void take_over(struct ps_core *core, uint32_t session, uint64_t epoch)
{
    core->epoch = epoch;
    core->master = session;
    core->fleet.changed = true;
    ps_licences_refresh(core);
    ps_core_log(core, PS_LOG_INFO, "master-leads", "name=%s epoch=%llu",
                PS_LOGQ(ps_session_at(core, session)->name), (unsigned long long)epoch);
    ps_master_resend(core);
}

/* False when it does not lead: then its session is over. Of two with one epoch the one that speaks last leads: it is
 * the same master with a new connection. */
static bool leads(struct ps_core *core, uint32_t session, uint64_t epoch)
{
    if (epoch < core->epoch) {
        core->refused_epochs_n++;
        ps_session_refuse(core, session, "denied", "a newer master has taken over");
        return false;
    }
    if (core->master != session || core->epoch != epoch)
        take_over(core, session, epoch);
    ps_session_at(core, session)->epoch = epoch;
    return true;
}

static void on_submit(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (leads(core, session, event->msg->SUBMIT.epoch))
        ps_submit(core, session, &event->msg->SUBMIT);
}

static void on_grant(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (leads(core, session, event->msg->GRANT.epoch))
        core->grant = event->msg->GRANT.results;
}

static void settle(struct ps_core *core, struct ps_list_lease_ref list, enum ps_life_event how)
{
    struct ps_part_lease_ref ref;

    while (ps_lease_ref_next(&list, &ref)) {
        uint32_t job = ps_job_find(core, ref.job);

        if (job)
            ps_life(core, job, how, &(struct ps_life){0});
        else
            ps_strays_settle(core, ref.job);
    }
}

static void on_committed(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (leads(core, session, event->msg->COMMITTED.epoch))
        settle(core, event->msg->COMMITTED.leases, PS_LIFE_COMMIT);
}

static void on_cancel(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (leads(core, session, event->msg->CANCEL.epoch))
        settle(core, event->msg->CANCEL.leases, PS_LIFE_CANCEL);
}

static void on_chunk(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (core->master == session)
        ps_transfer_chunk(core, event);
    else
        core->dropped_chunks_n++;
}

static void on_gone(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (core->master == session)
        ps_transfer_gone(core, event);
    else
        core->dropped_chunks_n++;
}

/* The sender's words are not trusted with more than the way: who is not a worker of ours is not there. */
static void on_order(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    struct ps_msg msg = *event->msg;
    uint32_t worker;

    if (!leads(core, session, msg.ORDER.epoch))
        return;
    worker = ps_session_find(core, msg.ORDER.session);
    if (worker && ps_session_at(core, worker)->role == PS_ROLE_WORKER && ps_session_at(core, worker)->peer) {
        msg.ORDER.epoch = 0;
        ps_core_send(core, worker, &msg);
        return;
    }
    ps_core_send(core, session,
                 PS_MSG(ORDERED, .order = msg.ORDER.order, .session = msg.ORDER.session,
                        .text = PS_BYTES_LIT("the worker is not connected")));
}

static void on_keeping(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    if (core->master != session)
        core->dropped_chunks_n++;
    else if (event->msg->id == PS_MSG_WANT)
        ps_keep_want(core, event);
    else
        ps_keep_kept(core, event);
}

static void on_bye(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    ps_session_end(core, session, PS_END_CLEAN, "said BYE");
}

void ps_from_master(struct ps_core *core, uint32_t session, const struct ps_event *event)
{
    switch (event->msg->id) {
    case PS_MSG_SUBMIT:
        on_submit(core, session, event);
        break;
    case PS_MSG_COMMITTED:
        on_committed(core, session, event);
        break;
    case PS_MSG_GRANT:
        on_grant(core, session, event);
        break;
    case PS_MSG_CANCEL:
        on_cancel(core, session, event);
        break;
    case PS_MSG_CHUNK:
        on_chunk(core, session, event);
        break;
    case PS_MSG_GONE:
        on_gone(core, session, event);
        break;
    case PS_MSG_ORDER:
        on_order(core, session, event);
        break;
    case PS_MSG_WANT:
    case PS_MSG_KEPT:
        on_keeping(core, session, event);
        break;
    case PS_MSG_BYE:
        on_bye(core, session, event);
        break;
    case PS_MSG_PULSE:
        break; /* heard already */
    default:
        ps_session_refuse(core, session, "proto", "a message that masters don't send");
        break;
    }
}
