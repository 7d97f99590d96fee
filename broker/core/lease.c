#include "broker/core/state.h"

struct ps_lease *ps_lease_at(const struct ps_core *core, uint32_t lease)
{
    return ps_pool_at(&core->leases, lease);
}

uint32_t ps_lease_of(const struct ps_core *core, const struct ps_job *job, uint32_t session, uint64_t boot,
                     uint64_t seq)
{
    for (uint32_t at = job->place, i = 0; at && i < 2; at = ps_lease_at(core, at)->twin, i++) {
        const struct ps_lease *lease = ps_lease_at(core, at);

        if (lease->session == session && lease->boot == boot && lease->seq == seq)
            return at;
    }
    return 0;
}

struct ps_part_lease_ref ps_lease_ref(const struct ps_core *core, uint32_t number)
{
    const struct ps_lease *lease = ps_lease_at(core, number);

    return (struct ps_part_lease_ref){
        .boot = lease->boot, .seq = lease->seq, .job = ps_job_at(core, lease->job)->id};
}

void ps_lease_over(struct ps_core *core, uint32_t number, enum ps_life_event event,
                   const struct ps_life *args)
{
    const struct ps_lease *lease = ps_lease_at(core, number);

    if (!lease->twin) {
        ps_life(core, lease->job, event, args);
        return;
    }
    if (args->tell)
        ps_session_cancelled(core, lease->session, ps_lease_ref(core, number));
    ps_job_at(core, lease->job)->place = lease->twin;
    ps_lease_at(core, lease->twin)->twin = 0;
    ps_lease_drop(core, number);
}

void ps_lease_drop_twin(struct ps_core *core, uint32_t number)
{
    uint32_t twin = ps_lease_at(core, number)->twin;

    ps_job_at(core, ps_lease_at(core, number)->job)->place = number;
    if (twin)
        ps_lease_over(core, twin, PS_LIFE_FREE, &(struct ps_life){.tell = true});
}

uint32_t ps_lease_new(struct ps_core *core, uint32_t job, uint32_t session, uint64_t boot, uint64_t seq)
{
    uint32_t number = ps_pool_take(&core->leases);

    if (number)
        *ps_lease_at(core, number) = (struct ps_lease){
            .due.pos = PS_HEAP_NONE, .boot = boot, .seq = seq, .job = job, .session = session};
    return number;
}

uint32_t ps_lease_allow_ms(uint32_t run_ms, uint64_t size)
{
    uint64_t allow = (uint64_t)run_ms + PS_LEASE_MARGIN_MS + size / (PS_LEASE_RATE / 1000);

    return (uint32_t)PS_MIN(allow, (uint64_t)PS_LEASE_MAX_MS);
}

/* ---- lists ---- */

static void append(struct ps_core *core, uint32_t number, uint32_t *first, uint32_t *last)
{
    struct ps_lease *lease = ps_lease_at(core, number);

    lease->prev = *last;
    lease->next = 0;
    if (*last)
        ps_lease_at(core, *last)->next = number;
    else
        *first = number;
    *last = number;
}

static void take_out(struct ps_core *core, uint32_t number, uint32_t *first, uint32_t *last)
{
    struct ps_lease *lease = ps_lease_at(core, number);

    if (lease->prev)
        ps_lease_at(core, lease->prev)->next = lease->next;
    else
        *first = lease->next;
    if (lease->next)
        ps_lease_at(core, lease->next)->prev = lease->prev;
    else
        *last = lease->prev;
    lease->prev = lease->next = 0;
}

/* All that the worker holds already may be ahead of it, each for the longest time, in as many places as it has. */
static uint64_t hard_deadline(const struct ps_core *core, const struct ps_session *session, uint32_t allow_ms)
{
    uint64_t rounds = session->held_n / PS_MAX(session->slots, 1u) + 1;

    return core->now_ms + allow_ms + PS_MIN(rounds * session->allow_max_ms, (uint64_t)PS_LEASE_MAX_MS);
}

int ps_lease_start(struct ps_core *core, uint32_t number, uint32_t allow_ms, bool running)
{
    struct ps_lease *lease = ps_lease_at(core, number);
    struct ps_session *session = ps_session_at(core, lease->session);

    if (!session->held_n) {
        session->allow_max_ms = 0;
        session->progress_ms = core->now_ms;
    }
    session->allow_max_ms = PS_MAX(session->allow_max_ms, allow_ms);
    lease->allow_ms = allow_ms;
    lease->hard_ms = hard_deadline(core, session, allow_ms);
    if (ps_heap_put(&core->due, &lease->due, core->now_ms + allow_ms, number))
        return PS_ERR_NOMEM;
    append(core, number, &session->held, &session->held_last);
    session->held_n++;
    session->alone_n += lease->alone;
    ps_sample_sent(ps_sample_at(core, ps_job_at(core, lease->job)->sample), lease->session);
    if (running) {
        session->beat = PS_MAX(session->beat, 1u);
        session->named_n = ++session->running_n;
        lease->beat = session->beat;
    }
    return 0;
}

void ps_lease_stop(struct ps_core *core, uint32_t number)
{
    struct ps_lease *lease = ps_lease_at(core, number);
    struct ps_session *session;

    if (lease->due.pos == PS_HEAP_NONE)
        return;
    session = ps_session_at(core, lease->session);
    ps_heap_remove(&core->due, &lease->due);
    session->running_n -= ps_lease_running(core, lease);
    take_out(core, number, &session->held, &session->held_last);
    session->held_n--;
    session->alone_n -= lease->alone;
    ps_sample_done(ps_sample_at(core, ps_job_at(core, lease->job)->sample), lease->session);
    ps_session_refresh(core, lease->session);
}

void ps_lease_pend(struct ps_core *core, uint32_t number)
{
    append(core, number, &core->pending_first, &core->pending_last);
}

void ps_lease_unpend(struct ps_core *core, uint32_t number)
{
    take_out(core, number, &core->pending_first, &core->pending_last);
}

void ps_lease_keep(struct ps_core *core, struct ps_lease *lease, struct ps_bytes bytes)
{
    /* A hard stop at twice the budget: up to it, what is leased already may still come in. */
    if (!bytes.len || core->results.used_bytes + bytes.len > 2 * core->options.result_budget_bytes)
        return;
    lease->kept = ps_block_copy(&core->results, bytes.at, bytes.len);
    lease->kept_bytes = lease->kept ? (uint32_t)bytes.len : 0;
}

struct ps_bytes ps_lease_kept(const struct ps_core *core, const struct ps_lease *lease)
{
    return (struct ps_bytes){ps_block_at(&core->results, lease->kept), lease->kept_bytes};
}

void ps_lease_drop(struct ps_core *core, uint32_t number)
{
    struct ps_lease *lease = ps_lease_at(core, number);

    ps_lease_stop(core, number);
    ps_block_give(&core->results, lease->kept, lease->kept_bytes);
    lease->kept = 0;
    ps_pool_give(&core->leases, number);
}

bool ps_lease_running(const struct ps_core *core, const struct ps_lease *lease)
{
    return lease->beat && lease->session && lease->beat == ps_session_at(core, lease->session)->beat;
}

uint64_t ps_lease_ran_ms(const struct ps_core *core, const struct ps_lease *lease)
{
    /* From its start on it is due after allow_ms; later once it was put off, which makes this too little. */
    uint64_t until = lease->due.key, span = core->now_ms + lease->allow_ms;

    return lease->beat && span > until ? span - until : 0;
}

void ps_lease_beat(struct ps_core *core, struct ps_lease *lease, uint32_t beat)
{
    struct ps_session *session = ps_session_at(core, lease->session);

    if (lease->beat == beat)
        return;
    if (!lease->beat) {
        ps_heap_move(&core->due, &lease->due, core->now_ms + lease->allow_ms);
        ps_session_progress(core, lease->session);
    }
    lease->beat = beat;
    session->running_n++;
}

/* The heart of its worker beats, and nothing else moves there. With BYE it finds back as soon as it can. */
static void give_up_worker(struct ps_core *core, uint32_t session)
{
    static const char reason[] = "it beats, but nothing that it holds gets on";

    ps_core_send(core, session, PS_MSG(BYE, .reason = PS_BYTES_LIT(reason)));
    ps_session_end(core, session, PS_END_LOST, reason);
}

static uint32_t number_of(const struct ps_core *core, const struct ps_lease *lease)
{
    uint32_t place = ps_job_at(core, lease->job)->place;

    return ps_lease_at(core, place) == lease ? place : ps_lease_at(core, place)->twin;
}

/* What is at the top of the heap and due. */
static void look_at(struct ps_core *core, struct ps_lease *lease)
{
    struct ps_session *session = ps_session_at(core, lease->session);
    uint64_t stall_ms = ps_session_stall_ms(session), next = PS_MIN(lease->hard_ms, stall_ms);
    uint64_t keeps_ms = ps_keep_until_ms(core, lease);

    if (ps_lease_running(core, lease) && keeps_ms) {
        ps_heap_move(&core->due, &lease->due, keeps_ms);
    } else if (ps_lease_running(core, lease)) {
        session->lost_n++;
        ps_lease_over(core, number_of(core, lease), PS_LIFE_LOSE,
                      &(struct ps_life){.tell = true, .reason = "ran far beyond its time"});
    } else if (next > core->now_ms) {
        ps_heap_move(&core->due, &lease->due, next);
    } else if (stall_ms <= core->now_ms) {
        give_up_worker(core, lease->session);
    } else {
        ps_lease_over(core, number_of(core, lease), PS_LIFE_FREE, &(struct ps_life){.tell = true});
    }
}

void ps_leases_tick(struct ps_core *core)
{
    struct ps_heap_node *first;

    while ((first = ps_heap_first(&core->due)) && first->key <= core->now_ms)
        look_at(core, PS_CONTAINER_OF(first, struct ps_lease, due));
}
