#include "broker/core/keep.h"

#include "broker/core/state.h"

static void moves(struct ps_core *core, uint32_t session)
{
    ps_session_at(core, session)->keep_ms = core->now_ms;
    ps_session_progress(core, session);
}

void ps_keep_said(struct ps_core *core, uint32_t session, const struct ps_msg_KEEP *msg)
{
    struct ps_msg up = {.id = PS_MSG_KEEP, .KEEP = *msg};

    moves(core, session);
    up.KEEP.peer = ps_session_at(core, session)->id;
    ps_core_send(core, core->master, &up); /* without a master the worker says it again */
}

void ps_keep_piece(struct ps_core *core, uint32_t number, const struct ps_event *event)
{
    struct ps_session *session = ps_session_at(core, number);
    size_t n = event->carry_bytes;

    if (event->msg->PIECE.peer != session->id || n > PS_CHUNK_MAX || n == 0 || !event->carry) {
        ps_session_refuse(core, number, "proto", "a PIECE that makes no sense");
        return;
    }
    if (n > session->asked_bytes || !core->master) {
        core->dropped_chunks_n++;
        return;
    }
    session->asked_bytes -= (uint32_t)n;
    moves(core, number);
    ps_core_pass(core, core->master, event->record, event->carry);
}

/* The worker that the master means; 0: it is gone. */
static uint32_t addressee(struct ps_core *core, uint64_t peer)
{
    uint32_t number = ps_session_find(core, peer);

    if (number && ps_session_at(core, number)->role == PS_ROLE_WORKER)
        return number;
    core->dropped_chunks_n++;
    return 0;
}

void ps_keep_want(struct ps_core *core, const struct ps_event *event)
{
    uint32_t number = addressee(core, event->msg->WANT.peer);
    struct ps_session *session;

    if (!number)
        return;
    session = ps_session_at(core, number);
    session->asked_bytes = (uint32_t)PS_MIN((uint64_t)session->asked_bytes + event->msg->WANT.bytes,
                                            (uint64_t)PS_KEEP_ASKED_MAX);
    ps_core_pass(core, number, event->record, NULL);
}

void ps_keep_kept(struct ps_core *core, const struct ps_event *event)
{
    uint32_t number = addressee(core, event->msg->KEPT.peer);

    if (number)
        ps_core_pass(core, number, event->record, NULL);
}

void ps_keep_clear(struct ps_core *core, uint32_t session)
{
    ps_session_at(core, session)->asked_bytes = 0;
}

uint64_t ps_keep_until_ms(const struct ps_core *core, const struct ps_lease *lease)
{
    uint64_t said_ms = ps_session_at(core, lease->session)->keep_ms;
    uint64_t until_ms = said_ms ? PS_MIN(said_ms + PS_LEASE_MARGIN_MS, lease->hard_ms) : 0;

    return until_ms > core->now_ms ? until_ms : 0;
}
