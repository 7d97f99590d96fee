#include "worker/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* A run of our own has no job number: its host gets one that no job can have. */
#define TYPING_JOB UINT64_MAX

static struct ps_session *session_of(void *context)
{
    return context;
}

static uint64_t now_ms(const struct ps_session *self)
{
    return self->now_us / 1000;
}

/* ---- results ---- */

/* A result that can't be kept is dropped: the lease ends at the broker, and the job comes back. */
static void keep(struct ps_session *self, const struct ps_msg_RESULT *result)
{
    int error = ps_results_keep(self->results, result);

    if (error)
        ps_log(PS_LOG_ERROR, "result-dropped", "job=%" PRIu64 " why=%s", result->job,
               PS_LOGQ(ps_err_text(error)));
    else if (self->settings->verbose)
        ps_log(PS_LOG_DEBUG, "result", "job=%" PRIu64 " outcome=%s label=%s reason=%s", result->job,
               ps_outcome_word(result->outcome), ps_log_quote(result->label.at, result->label.len).text,
               ps_log_quote(result->reason.at, result->reason.len).text);
}

static void put_facts(const struct ps_session *self, const struct ps_engine_facts *facts,
                      struct ps_msg_RESULT *result)
{
    result->engine = ps_bytes_of(facts->name);
    result->version = ps_bytes_of(facts->version);
    result->definitions = ps_bytes_of(facts->definitions);
    result->origin = ps_bytes_of(facts->origin);
    result->worker = ps_bytes_of(self->settings->name);
}

static struct ps_msg_RESULT begin_result(const struct ps_session *self, const struct ps_job *job)
{
    uint64_t until_us = job->starts > 0 ? job->started_us : self->now_us;
    struct ps_msg_RESULT result = {
        .boot = job->boot,
        .seq = job->seq,
        .job = job->job,
        .counted = true,
        .type = ps_bytes_of(ps_sample_type(job->sample)),
        .wait_us = until_us - job->arrived_us,
    };

    put_facts(self, ps_roster_facts(self->roster, job->engine), &result);
    return result;
}

static void report(void *context, const struct ps_job *job, const void *finished)
{
    struct ps_session *self = session_of(context);
    const struct ps_roster_event *event = finished;
    const struct ps_host_result *host = event->result;
    struct ps_msg_RESULT result = begin_result(self, job);

    put_facts(self, event->facts, &result); /* those that it was run with: there may be newer ones since */
    result.outcome = host->outcome;
    result.counted = host->counted;
    result.label = ps_bytes_of(host->label);
    result.reason = ps_bytes_of(host->reason);
    result.traits = (struct ps_bytes){(const uint8_t *)host->traits, host->traits_len};
    result.run_us = host->run_us;
    result.cpu_us = host->cpu_us;
    if (host->files_n == 0) {
        keep(self, &result);
        return;
    }
    int error = ps_keeper_put(self->keeper, &result, host->files, host->files_n, host->files_fd);
    self->running_changed = true;
    if (!error)
        return;
    ps_log(PS_LOG_ERROR, "files-dropped", "job=%" PRIu64 " why=%s", result.job, PS_LOGQ(ps_err_text(error)));
    result.outcome = result.outcome == PS_OUTCOME_MALICIOUS || result.outcome == PS_OUTCOME_SUSPICIOUS
                         ? result.outcome
                         : PS_OUTCOME_FAILURE;
    result.reason = PS_BYTES_LIT("the worker had no room for the files that the engine derived");
    keep(self, &result);
}

static void settle(void *context, const struct ps_job *job, enum ps_outcome outcome, const char *reason)
{
    struct ps_session *self = session_of(context);
    struct ps_msg_RESULT result = begin_result(self, job);

    result.outcome = outcome;
    result.reason = ps_bytes_of(reason);
    keep(self, &result);
}

/* ---- what slots ask for ---- */

static int run(void *context, const struct ps_job *job, unsigned slot)
{
    struct ps_session *self = session_of(context);
    struct ps_host_job wanted = {
        .job = job->typing ? TYPING_JOB : job->job,
        .sha256 = ps_sample_sha256(job->sample),
        .size = ps_sample_size(job->sample),
        .type = ps_slots_type(job),
        .run_ms = job->run_ms,
        .fd = ps_sample_fd(job->sample),
    };

    self->have[slot] = false;
    return ps_roster_run(self->roster, job->engine, slot, &wanted, now_ms(self));
}

static void kill_job(void *context, const struct ps_job *job)
{
    struct ps_session *self = session_of(context);

    self->have[job->slot] = false;
    self->running_changed = true;
    ps_roster_kill(self->roster, job->engine, job->slot, "nobody waits for it any more", now_ms(self));
}

static void unpin(void *context, struct ps_sample **sample_p)
{
    ps_cache_unpin(session_of(context)->cache, sample_p);
}

static bool warm(void *context, unsigned engine, unsigned slot)
{
    return ps_roster_warm(session_of(context)->roster, engine, slot);
}

static const char *types(void *context, unsigned engine)
{
    return ps_roster_facts(session_of(context)->roster, engine)->types;
}

static int typer(void *context)
{
    const struct ps_session *self = session_of(context);

    return self->typer >= 0 && ps_roster_is_up(self->roster, (unsigned)self->typer) ? self->typer : -1;
}

static bool has_room(void *context, unsigned engine)
{
    return ps_roster_has_room(session_of(context)->roster, engine);
}

const struct ps_slots_io ps_work_io = {
    .run = run,
    .kill = kill_job,
    .report = report,
    .settle = settle,
    .unpin = unpin,
    .warm = warm,
    .types = types,
    .typer = typer,
    .has_room = has_room,
};

/* ---- jobs ---- */

/* For a lease that never becomes a job here. CANCELLED gives it back. */
static void answer(struct ps_session *self, uint64_t seq, uint64_t job, struct ps_bytes engine,
                   enum ps_outcome outcome, const char *reason)
{
    struct ps_msg_RESULT result = {
        .boot = self->boot,
        .seq = seq,
        .job = job,
        .outcome = outcome,
        .counted = true,
        .reason = ps_bytes_of(reason),
    };
    int number = ps_roster_find(self->roster, engine);

    if (number >= 0)
        put_facts(self, ps_roster_facts(self->roster, (unsigned)number), &result);
    result.engine = engine;
    result.worker = ps_bytes_of(self->settings->name);
    keep(self, &result);
}

/* True when the lease became an ask. The broker leases a job to us anew when it lost sight of the first lease: what
 * we have or know of it answers the new one. */
static bool ask_for(struct ps_session *self, const struct ps_part_lease *lease, struct ps_job_ask *ret_ask)
{
    if (ps_results_rebind(self->results, lease->job, self->boot, lease->seq) ||
        ps_keeper_rebind(self->keeper, lease->job, self->boot, lease->seq) ||
        ps_slots_rebind(self->slots, lease->job, self->boot, lease->seq))
        return false;

    int engine = ps_roster_find(self->roster, lease->engine);
    if (engine < 0) {
        answer(self, lease->seq, lease->job, lease->engine, PS_OUTCOME_CANCELLED,
               "this worker has no such engine");
        return false;
    }
    *ret_ask = (struct ps_job_ask){
        .boot = self->boot,
        .seq = lease->seq,
        .job = lease->job,
        .engine = (unsigned)engine,
        .run_ms = lease->run_ms,
        .band = lease->band,
        .alone = lease->alone,
    };
    return true;
}

static void answer_all(struct ps_session *self, const struct ps_job_ask *asks, size_t n,
                       enum ps_outcome outcome, const char *reason)
{
    if (outcome == PS_OUTCOME_CANCELLED && n > 0) {
        self->refused_n += n;
        ps_log(PS_LOG_WARN, "leases-not-taken", "n=%zu total=%" PRIu64 " why=%s", n, self->refused_n,
               PS_LOGQ(reason));
    }
    for (size_t i = 0; i < n; i++)
        answer(self, asks[i].seq, asks[i].job,
               ps_bytes_of(ps_roster_facts(self->roster, asks[i].engine)->name), outcome, reason);
}

void ps_work_take(struct ps_session *self, const struct ps_msg_JOB *msg)
{
    struct ps_job_ask asks[PS_ENGINES_MAX];
    struct ps_list_lease cursor = msg->leases;
    struct ps_part_lease lease;
    struct ps_sample *sample = NULL;
    size_t n = 0, taken = 0;

    while (ps_lease_next(&cursor, &lease))
        n += ask_for(self, &lease, &asks[n]);
    if (n == 0)
        return;
    if (self->draining) {
        answer_all(self, asks, n, PS_OUTCOME_CANCELLED, "the worker is being stopped");
        return;
    }

    int error = ps_cache_pin(self->cache, msg->sha256, msg->size, msg->data, &sample);
    if (error == PS_ERR_CONFLICT)
        answer_all(self, asks, n, PS_OUTCOME_FAILURE, "the sample is known here with another size");
    else if (error || ps_slots_add(self->slots, &sample, msg->type, asks, n, self->now_us, &taken))
        answer_all(self, asks, n, PS_OUTCOME_CANCELLED, "the worker is out of memory or descriptors");
    else
        answer_all(self, asks + taken, n - taken, PS_OUTCOME_CANCELLED, "more than the worker's window");
}

/* ---- engines ---- */

static void finish(struct ps_session *self, const struct ps_roster_event *event)
{
    const struct ps_host_result *result = event->result;
    struct ps_job_end end = {
        .again = event->again,
        .type = (int)event->engine == self->typer ? result->type : "",
        .finished = event,
    };

    if (event->again)
        ps_log(PS_LOG_WARN, "job-again", "engine=%s job=%" PRIu64 " why=%s",
               ps_roster_facts(self->roster, event->engine)->name, result->job, PS_LOGQ(result->reason));
    self->have[event->slot] = false;
    self->running_changed = true;
    ps_slots_finish(self->slots, event->slot, &end);
}

static void log_up(const struct ps_session *self, unsigned engine)
{
    const struct ps_engine_facts *facts = ps_roster_facts(self->roster, engine);

    ps_log(PS_LOG_INFO, "engine-up",
           "engine=%s version=%s definitions=%s origin=%s signatures=%" PRIu64 " walls=%s note=%s",
           facts->name, PS_LOGQ(facts->version), PS_LOGQ(facts->definitions), PS_LOGQ(facts->origin),
           facts->signatures, PS_LOGQ(facts->walls),
           PS_LOGQ(ps_roster_note(self->roster, engine, now_ms(self))));
}

static void handle(struct ps_session *self, const struct ps_roster_event *event)
{
    if (event->kind == PS_ROSTER_UP || event->kind == PS_ROSTER_DOWN || event->kind == PS_ROSTER_STAYS)
        ps_orders_engine(self, event);
    switch (event->kind) {
    case PS_ROSTER_UP:
        log_up(self, event->engine);
        self->typer = ps_roster_find(self->roster, PS_BYTES_LIT("type"));
        self->offers_changed = true;
        ps_slots_engine(self->slots, event->engine);
        break;
    case PS_ROSTER_DOWN:
        ps_log(PS_LOG_ERROR, "engine-down", "engine=%s why=%s",
               ps_roster_facts(self->roster, event->engine)->name,
               PS_LOGQ(ps_roster_problem(self->roster, event->engine)));
        self->offers_changed = true;
        break;
    case PS_ROSTER_STAYS:
        ps_log(PS_LOG_ERROR, "engine-not-reloaded", "engine=%s why=%s",
               ps_roster_facts(self->roster, event->engine)->name,
               PS_LOGQ(ps_roster_note(self->roster, event->engine, now_ms(self))));
        self->offers_changed = true;
        ps_slots_engine(self->slots, event->engine);
        break;
    case PS_ROSTER_HAVE:
        self->have[event->slot] = true;
        self->running_changed = true;
        break;
    case PS_ROSTER_RESULT:
        finish(self, event);
        break;
    }
}

void ps_work_engines(struct ps_session *self)
{
    struct ps_roster_event event;

    for (int i = 0; i < PS_SESSION_TURN_N && ps_roster_step(self->roster, now_ms(self), &event); i++)
        handle(self, &event);
}

/* Their files are safe, or never will be: now they are results like others. */
static void let_go_kept(struct ps_session *self)
{
    const struct ps_msg_RESULT *result;

    while ((result = ps_keeper_settled(self->keeper))) {
        uint64_t job = result->job;
        keep(self, result);
        (void)ps_keeper_forget(self->keeper, job); /* it is there */
        self->running_changed = true;
    }
}

void ps_work_step(struct ps_session *self)
{
    struct ps_sample *failed;

    let_go_kept(self);

    while ((failed = ps_cache_next_failed(self->cache)))
        ps_slots_sample(self->slots, failed);
    if (!ps_session_is_full(self))
        ps_slots_step(self->slots, self->now_us);
}
