/* tests/sim/worker.c: a worker: its session, its slots, its heart. */
#include "tests/sim/sim.h"

#define ASK       (100 * 1024) /* of a sample, at once */
#define RUN_MS    4000         /* longest scan */
#define POISON_MS 3500         /* a poisonous sample kills within this */
#define QUICK_MS  150
#define SLOW_MS   11000 /* what is far from usual takes longer than this */

static const char *const engines[SIM_ENGINES] = {"type", "clamav", "yara", "nobody"};

const char *sim_engine(unsigned i)
{
    return engines[i];
}

static struct sim_lease *find(struct sim_worker *worker, uint64_t boot, uint64_t seq, uint64_t job)
{
    for (unsigned i = 0; i < worker->leases_n; i++)
        if (worker->leases[i].boot == boot && worker->leases[i].seq == seq && worker->leases[i].job == job)
            return &worker->leases[i];
    return NULL;
}

static void forget(struct sim_worker *worker, const struct ps_part_lease_ref *ref)
{
    struct sim_lease *lease = find(worker, ref->boot, ref->seq, ref->job);
    unsigned at = lease ? (unsigned)(lease - worker->leases) : 0;

    if (!lease)
        return;
    memmove(lease, lease + 1,
            (worker->leases_n - at - 1) * sizeof(*lease)); /* in order: it serves first come first */
    worker->leases_n--;
}

static void trace(const struct sim *sim, const struct sim_worker *worker, const char *what,
                  const struct ps_part_lease_ref *ref)
{
    if (sim->verbose)
        printf("%8llu worker %d %s job %llu seq %llu boot %llx\n", (unsigned long long)sim->now_ms,
               (int)(worker - sim->workers), what, (unsigned long long)ref->job, (unsigned long long)ref->seq,
               (unsigned long long)ref->boot);
}

/* ---- saying ---- */

static void say(struct sim *sim, struct sim_worker *worker, const struct ps_part_lease_ref *ref,
                uint32_t outcome)
{
    trace(sim, worker, ps_outcome_word(outcome), ref);
    sim_say(sim, worker->talk.link,
            PS_MSG(RESULT, .boot = ref->boot, .seq = ref->seq, .job = ref->job,
                   .engine = ps_bytes_of(engines[sim_job(sim, ref->job)->engine]), .outcome = outcome,
                   .counted = outcome == PS_OUTCOME_UNDETECTED, .label = PS_BYTES_LIT("none"),
                   .run_us = 1000000, .worker = PS_BYTES_LIT("sim")),
            0);
}

static void say_result(struct sim *sim, struct sim_worker *worker, const struct sim_lease *lease)
{
    const struct ps_part_lease_ref ref = {lease->boot, lease->seq, lease->job};

    say(sim, worker, &ref, lease->timed_out ? PS_OUTCOME_TIMEOUT : PS_OUTCOME_UNDETECTED);
    if (sim->faults.repeats && sim_chance(sim, 4)) {
        say(sim, worker, &ref, PS_OUTCOME_UNDETECTED);
        sim->saw[SIM_SAW_repeated]++;
    }
}

static void say_fetch(struct sim *sim, struct sim_worker *worker, struct sim_lease *lease)
{
    struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.offset = lease->have, .bytes = ASK}};

    lease->asked = lease->have + ASK;
    memcpy(msg.FETCH.sha256, &lease->job, sizeof(lease->job));
    sim_say(sim, worker->talk.link, &msg, 0);
}

static void say_ready(struct sim *sim, struct sim_worker *worker)
{
    struct ps_part_held held[SIM_LEASES];
    struct ps_part_lease_ref results[SIM_LEASES];
    struct ps_part_offer offers[SIM_ENGINES - 1] = {0};
    size_t held_n = 0, results_n = 0;

    for (unsigned i = 0; i + 1 < SIM_ENGINES; i++)
        offers[i].name = ps_bytes_of(engines[i]);
    for (unsigned i = 0; i < worker->leases_n; i++) {
        const struct sim_lease *lease = &worker->leases[i];

        if (lease->state == RESULT)
            results[results_n++] = (struct ps_part_lease_ref){lease->boot, lease->seq, lease->job};
        else
            held[held_n++] = (struct ps_part_held){lease->boot, lease->seq, lease->job,
                                                   ps_bytes_of(engines[sim_job(sim, lease->job)->engine]),
                                                   lease->state == RUNS};
    }
    sim_say(sim, worker->talk.link,
            PS_MSG(READY, .slots = worker->slots, .window = worker->window,
                   .engines = {.items = offers, .n = SIM_ENGINES - 1}, .held = {.items = held, .n = held_n},
                   .results = {.items = results, .n = results_n}),
            0);
    for (unsigned i = 0; i < worker->leases_n; i++) {
        if (worker->leases[i].state == RESULT)
            say_result(sim, worker, &worker->leases[i]);
        else if (worker->leases[i].have < worker->leases[i].size)
            say_fetch(sim, worker, &worker->leases[i]);
    }
}

static void beat(struct sim *sim, struct sim_worker *worker)
{
    struct ps_part_lease_ref running[SIM_LEASES];
    size_t n = 0;

    if (!worker->talk.session || sim->now_ms < worker->beat_ms)
        return;
    worker->beat_ms = sim->now_ms + 1000;
    if (!sim_is_up(sim, worker->beat_link))
        worker->beat_link = sim_connect(sim, worker->talk.who);
    for (unsigned i = 0; i < worker->leases_n; i++)
        if (worker->leases[i].state == RUNS)
            running[n++] = (struct ps_part_lease_ref){worker->leases[i].boot, worker->leases[i].seq,
                                                      worker->leases[i].job};
    sim_say(sim, worker->beat_link,
            PS_MSG(BEAT, .session = worker->talk.session, .token = {worker->talk.token, PS_TOKEN_BYTES},
                   .running = {.items = running, .n = n}),
            0);
}

/* ---- hearing ---- */

static void take_job(struct sim *sim, struct sim_worker *worker, const struct ps_msg_JOB *job)
{
    struct ps_list_lease cursor = job->leases;
    struct ps_part_lease lease;

    while (ps_lease_next(&cursor, &lease)) {
        struct sim_lease *own = &worker->leases[worker->leases_n];

        if (worker->leases_n == SIM_LEASES) {
            sim->broken = "a worker was given more than it can hold";
            return;
        }
        worker->leases_n++;
        trace(sim, worker, "takes", &(struct ps_part_lease_ref){worker->talk.boot, lease.seq, lease.job});
        *own = (struct sim_lease){.boot = worker->talk.boot,
                                  .seq = lease.seq,
                                  .job = lease.job,
                                  .size = job->size,
                                  .have = job->data.len,
                                  .run_ms = lease.run_ms,
                                  .alone = lease.alone};
        if (lease.run_ms > sim_job(sim, lease.job)->time_ms + 1000)
            sim->broken = "a lease is longer than its scan's time";
        if (own->have < own->size)
            say_fetch(sim, worker, own);
    }
}

static void take_chunk(struct sim *sim, struct sim_worker *worker, const struct ps_msg_CHUNK *chunk, size_t n)
{
    for (unsigned i = 0; i < worker->leases_n; i++) {
        struct sim_lease *lease = &worker->leases[i];

        if (memcmp(chunk->sha256, &lease->job, sizeof(lease->job)) != 0 || lease->have != chunk->offset)
            continue;
        lease->have += n;
        if (lease->have < lease->size && lease->have >= lease->asked)
            say_fetch(sim, worker, lease);
    }
}

/* A result may be forgotten when the database has one. What a licence made the broker drop (licence.h) is done anew; and a
 * second result, at the limit of strays, is not needed. */
static void mind_committed(struct sim *sim, struct sim_worker *worker, const struct ps_part_lease_ref *ref)
{
    const struct sim_lease *lease = find(worker, ref->boot, ref->seq, ref->job);
    const struct sim_job *job = sim_job(sim, ref->job);

    if (lease && lease->state == RESULT && !job->final && !sim->faults.small_limits &&
        !(sim->faults.limits && job->engine == SIM_LIMITED))
        sim->broken = "a result was forgotten that no database has";
    if (lease && lease->state == RESULT)
        worker->forgotten = *ref;
}

static void hear(struct sim *sim, struct sim_worker *worker)
{
    struct sim_message *message;
    struct ps_msg msg;

    while ((message = sim_hear(sim, worker->talk.link, &msg))) {
        struct ps_list_lease_ref cursor = msg.id == PS_MSG_CANCEL      ? msg.CANCEL.leases
                                          : msg.id == PS_MSG_COMMITTED ? msg.COMMITTED.leases
                                                                       : (struct ps_list_lease_ref){0};
        struct ps_part_lease_ref ref;
        bool opened = false;

        if (!sim_peer_takes(sim, &worker->talk, &msg, &opened)) {
            if (msg.id == PS_MSG_JOB)
                take_job(sim, worker, &msg.JOB);
            else if (msg.id == PS_MSG_CHUNK)
                take_chunk(sim, worker, &msg.CHUNK, message->carry_bytes);
            while (ps_lease_ref_next(&cursor, &ref)) {
                trace(sim, worker, msg.id == PS_MSG_COMMITTED ? "may forget" : "is to drop", &ref);
                if (msg.id == PS_MSG_COMMITTED)
                    mind_committed(sim, worker, &ref);
                forget(worker, &ref);
            }
        }
        free(message);
        if (opened) {
            sim_disconnect(sim, worker->beat_link);
            worker->beat_link = -1;
            worker->beat_ms = 0;
            worker->alone_ms = 0;
            say_ready(sim, worker);
        }
    }
}

/* ---- working ---- */

static void finish(struct sim *sim, struct sim_worker *worker)
{
    for (unsigned i = 0; i < worker->leases_n; i++) {
        struct sim_lease *lease = &worker->leases[i];

        if (lease->state != RUNS || sim->now_ms < lease->end_ms)
            continue;
        if (sim_job(sim, lease->job)->poison && !lease->timed_out) {
            sim_job(sim, lease->job)->kills++;
            sim->saw[SIM_SAW_poison_killed]++;
            worker->deaths++;
            sim_worker_kill(sim, worker);
            return;
        }
        lease->state = RESULT;
        sim->saw[SIM_SAW_timed_out] += lease->timed_out;
        sim_job(sim, lease->job)->runs++;
        say_result(sim, worker, lease);
    }
}

static void give_back(struct sim *sim, struct sim_worker *worker, const struct sim_lease *lease)
{
    const struct ps_part_lease_ref ref = {lease->boot, lease->seq, lease->job};

    say(sim, worker, &ref, PS_OUTCOME_CANCELLED);
    forget(worker, &ref);
    sim->saw[SIM_SAW_given_back]++;
}

/* Like a worker that drains or whose engine is away: no result, and not to be blamed. */
static void give_back_one(struct sim *sim, struct sim_worker *worker)
{
    const struct sim_lease *lease = &worker->leases[sim_draw(sim, worker->leases_n)];

    if (lease->state != WAITS || worker->talk.state != OPEN)
        return;
    give_back(sim, worker, lease);
}

/* The same rule as in worker/session.c: cut off, or stopped, for dead_ms, it begins nothing of what it holds. */
static void mind_solitude(struct sim *sim, struct sim_worker *worker)
{
    bool alone = worker->alone_ms && sim->now_ms >= worker->alone_ms;
    bool late = worker->turn_ms && sim->now_ms - worker->turn_ms >= SIM_DEAD_MS;

    worker->turn_ms = sim->now_ms;
    if (!alone && !late)
        return;
    if (late && worker->talk.state == OPEN) {
        sim_peer_lose(sim, &worker->talk, false); /* what was on its way to it is as old */
        worker->beat_ms = UINT64_MAX;
    }
    worker->alone_ms = 0;
    for (unsigned i = worker->leases_n; i > 0; i--)
        if (worker->leases[i - 1].state == WAITS) {
            give_back(sim, worker, &worker->leases[i - 1]);
            sim->saw[SIM_SAW_cut_off]++;
        }
}

/* Not with a licence: each death costs one for half a minute, and it takes dozens. */
static bool is_quick(const struct sim *sim, const struct sim_job *job)
{
    return job->id / PS_JOB_ORDINALS % 2 && !(sim->faults.limits && job->engine == SIM_LIMITED);
}

/* Runs take their time, or their end: whatever else the worker does. */
static uint64_t draw_run_ms(struct sim *sim, const struct sim_job *job)
{
    if (job->poison) /* some so fast that no heart beats in between */
        return 50 + sim_draw(sim, is_quick(sim, job) ? QUICK_MS : POISON_MS);
    if (sim->faults.slow_runs && sim_chance(sim, 20))
        return SLOW_MS + sim_draw(sim, SIM_RUN_MS - SLOW_MS);
    return 50 + sim_draw(sim, RUN_MS);
}

static void start(struct sim *sim, struct sim_lease *lease)
{
    uint64_t run_ms = draw_run_ms(sim, sim_job(sim, lease->job));

    sim_job(sim, lease->job)->starts++;
    lease->state = RUNS;
    lease->timed_out = run_ms > lease->run_ms;
    lease->end_ms = sim->now_ms + PS_MIN(run_ms, (uint64_t)lease->run_ms);
}

static void start_some(struct sim *sim, struct sim_worker *worker)
{
    unsigned running = 0;
    bool alone = false;

    for (unsigned i = 0; i < worker->leases_n; i++) {
        running += worker->leases[i].state == RUNS;
        alone |= worker->leases[i].state == RUNS && worker->leases[i].alone;
    }
    for (unsigned i = 0; i < worker->leases_n && running < worker->slots && !alone; i++) {
        struct sim_lease *lease = &worker->leases[i];

        if (lease->state != WAITS || lease->have < lease->size || (lease->alone && running))
            continue;
        trace(sim, worker, "runs", &(struct ps_part_lease_ref){lease->boot, lease->seq, lease->job});
        start(sim, lease);
        running++;
        alone = lease->alone;
    }
}

void sim_worker_kill(struct sim *sim, struct sim_worker *worker)
{
    sim_disconnect(sim, worker->talk.link);
    sim_disconnect(sim, worker->beat_link);
    worker->alive = false;
    worker->birth_ms = sim->now_ms + 200 + sim_draw(sim, 3000);
    sim->saw[SIM_SAW_worker_killed]++;
}

unsigned sim_workers_running(struct sim *sim, unsigned engine)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sim->workers_n; i++)
        for (unsigned j = 0; j < sim->workers[i].leases_n && sim->workers[i].alive; j++) {
            const struct sim_lease *lease = &sim->workers[i].leases[j];

            n += lease->state == RUNS && lease->end_ms > sim->now_ms &&
                 sim_job(sim, lease->job)->engine == engine;
        }
    return n;
}

void sim_worker_break(struct sim *sim, struct sim_worker *worker)
{
    if (worker->alive)
        sim_disconnect(sim, sim_chance(sim, 3) ? worker->beat_link : worker->talk.link);
}

static void be_born(struct sim *sim, struct sim_worker *worker)
{
    worker->alive = true;
    worker->leases_n = 0;
    worker->stopped_ms = worker->hung_ms = worker->turn_ms = worker->alone_ms = 0;
    worker->talk = (struct sim_peer){.state = DOWN, .link = -1, .who = worker->talk.who};
    worker->beat_link = -1;
    worker->beat_ms = 0;
}

void sim_worker_run(struct sim *sim, struct sim_worker *worker)
{
    if (!worker->alive && sim->now_ms >= worker->birth_ms)
        be_born(sim, worker);
    if (!worker->alive || worker->stopped_ms > sim->now_ms)
        return;
    beat(sim, worker);
    if (worker->hung_ms > sim->now_ms)
        return;
    mind_solitude(sim, worker);
    hear(sim, worker);
    if (sim_peer_run(sim, &worker->talk, PS_ROLE_WORKER))
        worker->beat_ms = UINT64_MAX; /* silent until there is a session again */
    if (worker->talk.state != OPEN && !worker->alone_ms)
        worker->alone_ms = sim->now_ms + SIM_DEAD_MS;
    if (sim->faults.repeats && sim->now_ms < sim->end_of_faults_ms && worker->forgotten.job &&
        sim_chance(sim, 50)) {
        say(sim, worker, &worker->forgotten, PS_OUTCOME_UNDETECTED);
        sim->saw[SIM_SAW_said_after]++;
    }
    if (sim->faults.give_back && sim->now_ms < sim->end_of_faults_ms && worker->leases_n &&
        sim_chance(sim, 20))
        give_back_one(sim, worker);
    finish(sim, worker);
    if (worker->alive)
        start_some(sim, worker);
}
