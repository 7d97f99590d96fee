#include "broker/core/state.h"

struct ps_fetch *ps_fetch_at(const struct ps_core *core, uint32_t fetch)
{
    return ps_pool_at(&core->fetches, fetch);
}

static void append(struct ps_core *core, struct ps_session *session, uint32_t number)
{
    struct ps_fetch *fetch = ps_fetch_at(core, number);

    fetch->prev = session->fetch_last;
    if (session->fetch_last)
        ps_fetch_at(core, session->fetch_last)->next = number;
    else
        session->fetch_first = number;
    session->fetch_last = number;
    session->fetch_n++;
}

/* So many bytes of what was asked for it came, or are not waited for any more. */
static void less(struct ps_core *core, struct ps_session *session, struct ps_fetch *fetch, uint32_t bytes)
{
    fetch->asked -= bytes;
    session->flight_bytes -= bytes;
    core->flight_bytes -= bytes;
}

static void drop(struct ps_core *core, struct ps_session *session, uint32_t number)
{
    struct ps_fetch *fetch = ps_fetch_at(core, number);

    less(core, session, fetch, fetch->asked);
    if (fetch->prev)
        ps_fetch_at(core, fetch->prev)->next = fetch->next;
    else
        session->fetch_first = fetch->next;
    if (fetch->next)
        ps_fetch_at(core, fetch->next)->prev = fetch->prev;
    else
        session->fetch_last = fetch->prev;
    session->fetch_n--;
    ps_pool_give(&core->fetches, number);
}

static void ask(struct ps_core *core, struct ps_session *session, struct ps_fetch *fetch, uint32_t bytes)
{
    struct ps_msg msg = {.id = PS_MSG_FETCH,
                         .FETCH = {.peer = session->id, .offset = fetch->offset, .bytes = bytes}};

    memcpy(msg.FETCH.sha256, fetch->sha256, PS_SHA256_BYTES);
    fetch->asked = bytes;
    fetch->moved_ms = core->now_ms;
    session->flight_bytes += bytes;
    core->flight_bytes += bytes;
    ps_core_send(core, core->master, &msg);
}

/* ---- turns ---- */

static void leave_queue(struct ps_core *core, struct ps_session *session)
{
    if (!session->wants)
        return;
    if (session->want_prev)
        ps_session_at(core, session->want_prev)->want_next = session->want_next;
    else
        core->want_first = session->want_next;
    if (session->want_next)
        ps_session_at(core, session->want_next)->want_prev = session->want_prev;
    else
        core->want_last = session->want_prev;
    session->want_prev = session->want_next = 0;
    session->wants = false;
}

/* It may have something to ask for: it gets its turn, behind those that wait for theirs. */
static void queue(struct ps_core *core, uint32_t number)
{
    struct ps_session *session = ps_session_at(core, number);

    if (session->wants)
        return;
    session->wants = true;
    session->want_prev = core->want_last;
    if (core->want_last)
        ps_session_at(core, core->want_last)->want_next = number;
    else
        core->want_first = number;
    core->want_last = number;
}

/* A piece smaller than a chunk is not worth asking for, unless it is the last. */
static uint32_t piece_of(const struct ps_fetch *fetch, uint32_t room)
{
    uint32_t bytes = PS_MIN(fetch->bytes, room);

    return bytes == fetch->bytes || bytes >= PS_CHUNK_MAX ? bytes : 0;
}

/* An earlier part of its sample has not been asked for yet. The worker takes bytes in order: what overtakes is a gap, for
 * which it asks once more. */
static bool is_early(const struct ps_core *core, const struct ps_session *session,
                     const struct ps_fetch *fetch)
{
    for (uint32_t at = session->fetch_first; at; at = ps_fetch_at(core, at)->next) {
        const struct ps_fetch *other = ps_fetch_at(core, at);

        if (other->offset < fetch->offset && other->asked < other->bytes &&
            memcmp(other->sha256, fetch->sha256, PS_SHA256_BYTES) == 0)
            return true;
    }
    return false;
}

uint32_t ps_transfer_next(const struct ps_core *core, const struct ps_session *session)
{
    uint32_t at = session->fetch_first;

    while (at && (ps_fetch_at(core, at)->asked || is_early(core, session, ps_fetch_at(core, at))))
        at = ps_fetch_at(core, at)->next;
    return at && piece_of(ps_fetch_at(core, at), core->options.transfer_bytes - session->flight_bytes) ? at
                                                                                                       : 0;
}

/* What the first in the queue asks for, and then it stands behind the others. False: there is no room for it. */
static bool serve_first(struct ps_core *core)
{
    uint32_t number = core->want_first, room = core->options.transfer_total - core->flight_bytes, next, bytes;
    struct ps_session *session = ps_session_at(core, number);

    next = ps_transfer_next(core, session);
    if (!next) {
        leave_queue(core, session);
        return true;
    }
    room = PS_MIN(room, core->options.transfer_bytes - session->flight_bytes);
    if (session->want_next)
        room = PS_MIN(room, (uint32_t)PS_FETCH_TURN_BYTES);
    bytes = piece_of(ps_fetch_at(core, next), room);
    if (!bytes)
        return false;
    ask(core, session, ps_fetch_at(core, next), bytes);
    leave_queue(core, session);
    queue(core, number);
    return true;
}

void ps_transfers_turn(struct ps_core *core)
{
    if (!core->master || !ps_session_at(core, core->master)->peer)
        return;
    while (core->want_first && serve_first(core))
        ;
}

/* ---- fetches ---- */

/* The fetch that wants the byte at offset next; any of that sample when offset is UINT64_MAX. */
static uint32_t find(const struct ps_core *core, const struct ps_session *session,
                     const uint8_t sha256[PS_SHA256_BYTES], uint64_t offset)
{
    uint32_t at = session->fetch_first;

    while (at) {
        const struct ps_fetch *fetch = ps_fetch_at(core, at);

        if (memcmp(fetch->sha256, sha256, PS_SHA256_BYTES) == 0 &&
            (offset == UINT64_MAX || fetch->offset == offset))
            break;
        at = fetch->next;
    }
    return at;
}

void ps_transfer_fetch(struct ps_core *core, uint32_t session_number, const struct ps_msg_FETCH *msg)
{
    struct ps_session *session = ps_session_at(core, session_number);
    uint32_t number = find(core, session, msg->sha256, msg->offset);
    struct ps_fetch *fetch;

    if (!msg->bytes || msg->offset == UINT64_MAX) {
        ps_session_refuse(core, session_number, "proto", "a FETCH of nothing");
        return;
    }
    if (number && !ps_fetch_at(core, number)->asked) {
        ps_fetch_at(core, number)->bytes = msg->bytes; /* it still waits, and keeps its place */
        queue(core, session_number);
        return;
    }
    if (number)
        drop(core, session, number); /* it asks again: what was on its way is taken for lost */
    number = session->fetch_n < PS_FETCHES_MAX ? ps_pool_take(&core->fetches) : 0;
    if (!number) {
        ps_session_refuse(core, session_number, "full", "too many FETCHes at once");
        return;
    }
    fetch = ps_fetch_at(core, number);
    memcpy(fetch->sha256, msg->sha256, PS_SHA256_BYTES);
    fetch->offset = msg->offset;
    fetch->bytes = msg->bytes;
    append(core, session, number);
    queue(core, session_number);
}

void ps_transfer_chunk(struct ps_core *core, const struct ps_event *event)
{
    const struct ps_msg_CHUNK *msg = &event->msg->CHUNK;
    uint32_t session_number = ps_session_find(core, msg->peer), number, n = (uint32_t)event->carry_bytes;
    struct ps_session *session;
    struct ps_fetch *fetch;

    number = session_number && event->carry_bytes <= PS_CHUNK_MAX
                 ? find(core, ps_session_at(core, session_number), msg->sha256, msg->offset)
                 : 0;
    if (!number || !ps_fetch_at(core, number)->asked || !event->carry) {
        core->dropped_chunks_n++;
        return;
    }
    session = ps_session_at(core, session_number);
    fetch = ps_fetch_at(core, number);
    ps_core_pass(core, session_number, event->record, event->carry);
    ps_session_progress(core, session_number);
    queue(core, session_number);
    if (!n || n >= fetch->bytes || msg->offset + n >= msg->size) {
        drop(core, session, number);
        return;
    }
    fetch->offset += n;
    fetch->moved_ms = core->now_ms;
    fetch->tries = 0;
    fetch->bytes -= n;
    less(core, session, fetch, PS_MIN(n, fetch->asked));
}

void ps_transfer_gone(struct ps_core *core, const struct ps_event *event)
{
    const struct ps_msg_GONE *msg = &event->msg->GONE;
    uint32_t session_number = ps_session_find(core, msg->peer), number;

    if (!session_number || ps_session_at(core, session_number)->role != PS_ROLE_WORKER) {
        core->dropped_chunks_n++;
        return;
    }
    while ((number = find(core, ps_session_at(core, session_number), msg->sha256, UINT64_MAX)))
        drop(core, ps_session_at(core, session_number), number);
    ps_core_pass(core, session_number, event->record, NULL);
    queue(core, session_number);
}

void ps_transfer_clear(struct ps_core *core, uint32_t session_number)
{
    struct ps_session *session = ps_session_at(core, session_number);

    while (session->fetch_first)
        drop(core, session, session->fetch_first);
    leave_queue(core, session);
}

/* Whether it was given up, or is to be asked again. */
static bool refresh_stale(struct ps_core *core, struct ps_session *session, uint32_t number)
{
    struct ps_fetch *fetch = ps_fetch_at(core, number);

    if (!fetch->asked || core->now_ms - fetch->moved_ms < PS_FETCH_STALE_MS)
        return false;
    if (++fetch->tries >= PS_FETCH_TRIES) {
        drop(core, session, number);
        return true;
    }
    less(core, session, fetch, fetch->asked);
    return true;
}

void ps_transfers_tick(struct ps_core *core)
{
    if (!core->fetches.used_n)
        return;
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next) {
        struct ps_session *session = ps_session_at(core, s);
        bool stale = false;
        uint32_t next;

        for (uint32_t at = session->fetch_first; at; at = next) {
            next = ps_fetch_at(core, at)->next;
            stale |= refresh_stale(core, session, at);
        }
        if (stale)
            queue(core, s);
    }
}

void ps_transfers_resend(struct ps_core *core)
{
    for (uint32_t s = core->session_first; s; s = ps_session_at(core, s)->next) {
        struct ps_session *session = ps_session_at(core, s);

        for (uint32_t at = session->fetch_first; at; at = ps_fetch_at(core, at)->next)
            less(core, session, ps_fetch_at(core, at), ps_fetch_at(core, at)->asked);
        if (session->fetch_first)
            queue(core, s);
    }
}
