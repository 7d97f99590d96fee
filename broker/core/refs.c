/* broker/core/refs.c: names of jobs and leases on their way to peers: gathered over a turn, sent as few messages. */
#include "broker/core/state.h"

static void send_committed(struct ps_core *core, uint32_t number)
{
    struct ps_refs *refs = &ps_session_at(core, number)->committed;

    if (refs->n)
        ps_core_send(core, number, PS_MSG(COMMITTED, .leases = {.items = refs->at, .n = refs->n}));
    refs->n = 0;
}

static void send_accepted(struct ps_core *core, uint32_t number)
{
    struct ps_refs *refs = &ps_session_at(core, number)->accepted;

    if (refs->n)
        ps_core_send(core, number, PS_MSG(ACCEPTED, .jobs = {.items = refs->at, .n = refs->n}));
    refs->n = 0;
}

static void send_cancelled(struct ps_core *core, uint32_t number)
{
    struct ps_refs *refs = &ps_session_at(core, number)->cancelled;

    if (refs->n)
        ps_core_send(core, number, PS_MSG(CANCEL, .leases = {.items = refs->at, .n = refs->n}));
    refs->n = 0;
}

/* Without memory the worker hears nothing: it says again what it has when it comes back, and is told then. */
static void add(struct ps_core *core, uint32_t number, struct ps_refs *refs, struct ps_part_lease_ref ref)
{
    struct ps_session *session = ps_session_at(core, number);

    if (!refs->at)
        refs->at = ps_alloc(PS_REFS_MAX, sizeof(*refs->at));
    if (!refs->at)
        return;
    refs->at[refs->n++] = ref;
    if (!session->refs_listed) {
        session->refs_listed = true;
        session->refs_next = core->refs_first;
        core->refs_first = number;
    }
}

void ps_session_committed(struct ps_core *core, uint32_t number, struct ps_part_lease_ref ref)
{
    add(core, number, &ps_session_at(core, number)->committed, ref);
    if (ps_session_at(core, number)->committed.n == PS_REFS_MAX)
        send_committed(core, number);
}

void ps_session_accepted(struct ps_core *core, uint32_t number, struct ps_part_lease_ref ref)
{
    add(core, number, &ps_session_at(core, number)->accepted, ref);
    if (ps_session_at(core, number)->accepted.n == PS_REFS_MAX)
        send_accepted(core, number);
}

void ps_session_cancelled(struct ps_core *core, uint32_t number, struct ps_part_lease_ref ref)
{
    add(core, number, &ps_session_at(core, number)->cancelled, ref);
    if (ps_session_at(core, number)->cancelled.n == PS_REFS_MAX)
        send_cancelled(core, number);
}

void ps_sessions_flush(struct ps_core *core)
{
    while (core->refs_first) {
        uint32_t number = core->refs_first;
        struct ps_session *session = ps_session_at(core, number);

        core->refs_first = session->refs_next;
        session->refs_next = 0;
        session->refs_listed = false;
        send_accepted(core, number);
        send_committed(core, number);
        send_cancelled(core, number);
    }
}
