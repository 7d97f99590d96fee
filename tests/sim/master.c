/* tests/sim/master.c: a master and its database: feeds jobs, commits results in batches, counts lost leases. */
#include "tests/sim/sim.h"

#define PIECE    (40 * 1024) /* of a sample, in one CHUNK */
#define AGAIN_MS 2000        /* what was not accepted is submitted again */

struct sim_job *sim_job(struct sim *sim, uint64_t id)
{
    for (unsigned i = 0; i < sim->jobs_n; i++)
        if (sim->jobs[i].id == id)
            return &sim->jobs[i];
    abort(); /* the broker made one up */
}

/* ---- what the database keeps ---- */

/* Compare and set: the first word stays. */
static void finalize(struct sim *sim, struct sim_job *job, uint32_t outcome, bool decided)
{
    if (job->final) {
        job->repeats++;
        return;
    }
    job->final = true;
    job->outcome = outcome;
    job->decided = decided;
    job->rank = sim->final_n++;
    if (sim->verbose)
        printf("%8llu master job %llu is %s\n", (unsigned long long)sim->now_ms, (unsigned long long)job->id,
               ps_outcome_word(outcome));
}

static void commit(struct sim *sim)
{
    struct sim_master *master = &sim->master;
    struct ps_part_lease_ref refs[PS_ARRAY_N(master->batch)];

    for (unsigned i = 0; i < master->batch_n; i++) {
        finalize(sim, sim_job(sim, master->batch[i].job), master->batch[i].outcome, master->batch[i].decided);
        refs[i] = (struct ps_part_lease_ref){.job = master->batch[i].job};
    }
    for (int twice = sim->faults.repeats && sim_chance(sim, 4); twice >= 0; twice--)
        sim_say(sim, master->talk.link,
                PS_MSG(COMMITTED, .epoch = master->epoch, .leases = {.items = refs, .n = master->batch_n}),
                0);
    master->batch_n = 0;
    master->commit_ms = 0;
}

static void note(struct sim *sim, uint64_t job, uint32_t outcome, bool decided)
{
    struct sim_master *master = &sim->master;

    (void)sim_job(sim, job);
    if (master->batch_n == PS_ARRAY_N(master->batch)) {
        sim->broken = "more results than anybody granted";
        return;
    }
    master->batch[master->batch_n].job = job;
    master->batch[master->batch_n].decided = decided;
    master->batch[master->batch_n++].outcome = outcome;
    if (!master->commit_ms)
        master->commit_ms = PS_MAX(sim->now_ms + 10 + sim_draw(sim, 400), master->slow_ms);
}

/* ---- feeding ---- */

static void submit(struct sim *sim, struct sim_job *job)
{
    static const uint8_t zeros[PS_INLINE_MAX];
    const struct ps_part_ask ask = {
        .job = job->id, .engine = ps_bytes_of(sim_engine(job->engine)), .lost = job->lost};
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = sim->master.epoch,
                                    .size = job->size,
                                    .band = job->band,
                                    .deadline_ms = job->time_ms,
                                    .owner = job->owner,
                                    .jobs = {.items = &ask, .n = 1}}};

    memcpy(msg.SUBMIT.sha256, &job->id, sizeof(job->id));
    if (job->size <= PS_INLINE_MAX)
        msg.SUBMIT.data = (struct ps_bytes){zeros, (size_t)job->size};
    for (int twice = sim->faults.repeats && sim_chance(sim, 8); twice >= 0; twice--)
        sim_say(sim, sim->master.talk.link, &msg, 0);
    job->fed = true;
}

static void feed(struct sim *sim, bool anew)
{
    if (anew)
        for (unsigned i = 0; i < sim->jobs_n; i++)
            sim->jobs[i].fed = sim->jobs[i].accepted = false;
    for (unsigned i = 0; i < sim->jobs_n; i++) {
        struct sim_job *job = &sim->jobs[i];

        if (job->final || job->accepted || job->due_ms > sim->now_ms || (job->fed && !anew))
            continue;
        if (!job->seen)
            job->due_rank = sim->final_n;
        job->seen = true;
        submit(sim, job);
    }
}

static void cancel_one(struct sim *sim)
{
    struct sim_job *job = &sim->jobs[sim_draw(sim, sim->jobs_n)];
    const struct ps_part_lease_ref ref = {.job = job->id};

    if (job->final || job->due_ms > sim->now_ms)
        return;
    finalize(sim, job, PS_OUTCOME_CANCELLED, true);
    sim->saw[SIM_SAW_cancelled]++;
    sim_say(sim, sim->master.talk.link,
            PS_MSG(CANCEL, .epoch = sim->master.epoch, .leases = {.items = &ref, .n = 1}), 0);
}

/* ---- hearing ---- */

static void serve(struct sim *sim, const struct ps_msg_FETCH *fetch)
{
    struct ps_msg msg = {.id = PS_MSG_CHUNK, .CHUNK = {.peer = fetch->peer}};
    uint64_t id, end;

    memcpy(&id, fetch->sha256, sizeof(id));
    msg.CHUNK.size = sim_job(sim, id)->size;
    memcpy(msg.CHUNK.sha256, fetch->sha256, sizeof(msg.CHUNK.sha256));
    end = PS_MIN(fetch->offset + fetch->bytes, msg.CHUNK.size);
    for (uint64_t at = fetch->offset; at < end; at += PIECE) {
        msg.CHUNK.offset = at;
        sim_say(sim, sim->master.talk.link, &msg, (size_t)PS_MIN(end - at, (uint64_t)PIECE));
    }
}

static void accepted(struct sim *sim, struct ps_list_lease_ref cursor, bool yes)
{
    struct ps_part_lease_ref ref;

    while (ps_lease_ref_next(&cursor, &ref)) {
        sim_job(sim, ref.job)->accepted |= yes;
        sim_job(sim, ref.job)->fed = yes;
    }
}

static void take(struct sim *sim, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_ACCEPTED:
        accepted(sim, msg->ACCEPTED.jobs, true);
        sim->master.leads = true;
        break;
    case PS_MSG_BUSY:
        accepted(sim, msg->BUSY.jobs, false);
        sim->saw[SIM_SAW_busy]++;
        break;
    case PS_MSG_RESULT:
        note(sim, msg->RESULT.job, msg->RESULT.outcome, false);
        break;
    case PS_MSG_DECIDED:
        note(sim, msg->DECIDED.job, msg->DECIDED.outcome, true);
        break;
    case PS_MSG_LOST:
        sim_job(sim, msg->LOST.job)->lost = PS_MAX(sim_job(sim, msg->LOST.job)->lost, msg->LOST.lost);
        break;
    case PS_MSG_FETCH:
        serve(sim, &msg->FETCH);
        break;
    case PS_MSG_FLEET:
        sim->master.fleets_n++;
        break;
    default:
        break;
    }
}

static void hear(struct sim *sim)
{
    struct sim_master *master = &sim->master;
    struct sim_message *message;
    struct ps_msg msg;

    while ((message = sim_hear(sim, master->talk.link, &msg))) {
        bool opened = false;

        if (!sim_peer_takes(sim, &master->talk, &msg, &opened))
            take(sim, &msg);
        free(message);
        if (!opened)
            continue;
        sim_say(sim, master->talk.link, PS_MSG(GRANT, .epoch = master->epoch, .results = SIM_GRANT), 0);
        feed(sim, true);
    }
}

/* ---- life ---- */

/* Dies with what it had not committed. Sometimes another one takes over, and the old one wakes up later. */
void sim_master_kill(struct sim *sim)
{
    struct sim_master *master = &sim->master;
    bool replaced = sim->faults.ghost_master && sim->ghost_link < 0 && master->talk.state == OPEN;

    if (replaced) {
        sim->ghost_link = master->talk.link;
        sim->ghost_epoch = master->epoch;
        sim->ghost_ms = sim->now_ms + sim_draw(sim, 8000);
        master->epoch++;
    } else {
        sim_disconnect(sim, master->talk.link);
    }
    *master = (struct sim_master){.epoch = master->epoch,
                                  .birth_ms = sim->now_ms + 100 + sim_draw(sim, replaced ? 1000 : 12000),
                                  .talk = {.state = DOWN, .link = -1, .who = 1}};
    sim->restarts++;
    sim->saw[SIM_SAW_master_killed]++;
}

/* It believes every job to be done, or not wanted. */
static void cancel_all(struct sim *sim)
{
    struct ps_part_lease_ref refs[SIM_JOBS];

    for (unsigned i = 0; i < sim->jobs_n; i++)
        refs[i] = (struct ps_part_lease_ref){.job = sim->jobs[i].id};
    sim_say(sim, sim->ghost_link,
            PS_MSG(CANCEL, .epoch = sim->ghost_epoch, .leases = {.items = refs, .n = sim->jobs_n}), 0);
    sim_say(sim, sim->ghost_link,
            PS_MSG(COMMITTED, .epoch = sim->ghost_epoch, .leases = {.items = refs, .n = sim->jobs_n}), 0);
}

/* It knows nothing of its successor, and wants all to stop. */
static void run_ghost(struct sim *sim)
{
    if (sim->ghost_link < 0 || sim->now_ms < sim->ghost_ms)
        return;
    if (!sim->master.leads)
        return; /* as long as nobody has taken over, it is right */
    sim_say(sim, sim->ghost_link, PS_MSG(GRANT, .epoch = sim->ghost_epoch, .results = 0), 0);
    cancel_all(sim);
    if (sim->now_ms > sim->ghost_ms + 3000 || !sim_is_up(sim, sim->ghost_link)) {
        sim_disconnect(sim, sim->ghost_link);
        sim->ghost_link = -1;
    }
}

void sim_master_run(struct sim *sim)
{
    struct sim_master *master = &sim->master;

    run_ghost(sim);
    if (master->birth_ms > sim->now_ms || master->stopped_ms > sim->now_ms)
        return;
    hear(sim);
    (void)sim_peer_run(sim, &master->talk,
                       PS_ROLE_MASTER); /* a lost session opens again, and all is fed anew */
    if (master->talk.state != OPEN)
        return;
    if (sim->now_ms >= master->pulse_ms) {
        sim_say(sim, master->talk.link, PS_MSG(PULSE, .session = master->talk.session), 0);
        master->pulse_ms = sim->now_ms + 1000;
    }
    if (sim->now_ms >= master->feed_ms) {
        feed(sim, false);
        master->feed_ms = sim->now_ms + AGAIN_MS;
    }
    if (master->commit_ms && sim->now_ms >= PS_MAX(master->commit_ms, master->slow_ms))
        commit(sim);
    if (sim->faults.cancels && sim->now_ms < sim->end_of_faults_ms && sim_chance(sim, 100))
        cancel_one(sim);
}
