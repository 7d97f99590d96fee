/* tests/sim/judge.c: one run, and what it has to show.
 *
 * While it runs: the core's books agree (ps_core_check); what is out and not committed stays within the grant and what
 * workers brought back; every number stays within its limit; of a licensed engine no more run than the licence has,
 * whoever knows of them; no worker is told to forget a result that the database does not have; who is banned is told
 * nothing. In the end, some time after the last fault: every job is final (none lost, none starved); what was poisonous
 * is quarantined and nothing else but what died with three workers; the broker, and every worker, hold nothing any more.
 * What was late but not a worker costs nobody a lease. In a run without faults nothing is done twice; in a flood, who wants little or waits low has a turn in time. */
#include "tests/sim/sim.h"

#define FAULTS_MS 60000
#define PEACE_MS  240000 /* after the last fault all must be settled within this */
/* Longer where poison takes along the only worker again and again, or a licence, for as long as it might run; and where
 * all but one slot hang for ever. */
#define PEACE_LONG_MS 1200000
#define KILLS_SLACK   5 /* sessions that ended for another reason while the worker was dying: not counted */
#define CHECK_EACH    7 /* steps between two audits */
#define JOBS_MIN      20
#define JOBS_MAX      96

/* In a flood: */
#define FEW 10 /* jobs of the submitter who wants little */
#define LOW 3  /* jobs of a low band */
#define FEW_BY \
    90 /* so many of others are done while they wait: as many again, and what was out (the grant) twice */
#define LOW_BY     150        /* what is done while they age, then eight for each, and what was out */
#define MEMORY_MAX (2u << 20) /* bytes that the core takes for so few jobs: chunks of its pools, never more */

static bool is_good_day(const struct sim *sim)
{
    return sim->seed % 8 == 0;
}

static void choose_faults(struct sim *sim)
{
    struct sim_faults *f = &sim->faults;
    bool *all[] = {&f->kill_worker, &f->stop_worker,  &f->hang_worker, &f->break_link,    &f->kill_broker,
                   &f->stop_broker, &f->kill_master,  &f->stop_master, &f->slow_database, &f->ghost_master,
                   &f->poison,      &f->small_limits, &f->cancels,     &f->give_back,     &f->limits,
                   &f->bans,        &f->deaf,         &f->garble,      &f->jumps,         &f->slow_runs,
                   &f->short_time,  &f->repeats};

    sim->flood = sim->seed % 16 == 8;
    if (is_good_day(sim))
        return;
    for (size_t i = 0; i < PS_ARRAY_N(all); i++)
        *all[i] = sim_chance(sim, 3);
}

static void make_mixture(struct sim *sim)
{
    sim->jobs_n = JOBS_MIN + (unsigned)sim_draw(sim, JOBS_MAX - JOBS_MIN);
    for (unsigned i = 0; i < sim->jobs_n; i++)
        sim->jobs[i] =
            (struct sim_job){.id = (uint64_t)(i / 3 + 1) * PS_JOB_ORDINALS + i % 3,
                             .engine = (unsigned)sim_draw(sim, sim_chance(sim, 10) ? 4 : 3),
                             .owner = (unsigned)sim_draw(sim, 3),
                             .band = (unsigned)sim_draw(sim, PS_BANDS_N),
                             .size = sim_chance(sim, 8) ? 70000 + sim_draw(sim, 300000) : sim_draw(sim, 50),
                             .poison = sim->faults.poison && sim_chance(sim, 30),
                             .time_ms = sim->faults.short_time && sim_chance(sim, 3)
                                            ? 1000 + (uint32_t)sim_draw(sim, 6000)
                                            : 30000 + (uint32_t)sim_draw(sim, 7) * 10000,
                             .due_ms = sim->now_ms + sim_draw(sim, 20000)};
}

/* One engine, more work than all hands can do at once: one submitter wants very much, another a little, later, and
 * some jobs of a low band are there from the beginning. */
static void make_flood(struct sim *sim)
{
    sim->jobs_n = SIM_JOBS;
    for (unsigned i = 0; i < sim->jobs_n; i++) {
        bool few = i >= SIM_JOBS - FEW, low = i < LOW;

        sim->jobs[i] = (struct sim_job){.id = (uint64_t)(i + 1) * PS_JOB_ORDINALS,
                                        .engine = 1,
                                        .owner = few,
                                        .band = low ? PS_BAND_IDLE : PS_BAND_INTERACTIVE,
                                        .time_ms = 30000,
                                        .due_ms = sim->now_ms + (few ? 5000 : 0)};
    }
}

static void make_jobs(struct sim *sim)
{
    if (sim->flood)
        make_flood(sim);
    else
        make_mixture(sim);
}

static void make_options(struct sim *sim)
{
    ps_core_options_init(&sim->options);
    sim->options.boot = sim->seed * 2 + 1;
    sim->options.peers_max = SIM_LINKS;
    sim->options.workers_max = 16;
    sim->options.engine_grace_ms = 8000;
    sim->options.run_ms = SIM_RUN_MS;
    sim->options.dead_ms = SIM_DEAD_MS;
    sim->options.aging_ms = 2000;
    memcpy(sim->options.secret, &sim->seed, sizeof(sim->seed));
    if (sim->faults.small_limits) {
        sim->options.jobs_max = 12;
        sim->options.strays_max = 6;
        sim->options.leases_max = 8;
        sim->options.inline_budget_bytes = 256;
        sim->options.result_budget_bytes = 200;
        sim->options.transfer_bytes = 64 * 1024;
        sim->options.transfer_total = 96 * 1024;
    }
    if (sim->faults.limits) {
        sim->limit = (struct ps_core_limit){sim_engine(SIM_LIMITED), 1 + (uint32_t)sim_draw(sim, 3)};
        sim->options.limits = &sim->limit;
        sim->options.limits_n = 1;
        sim->options.limit_hold_ms = SIM_RUN_MS + 15000;
    }
}

static void make_world(struct sim *sim)
{
    unsigned least = sim->flood ? 3 : 2;

    make_options(sim);
    sim->ghost_link = -1;
    sim->master = (struct sim_master){.epoch = 1, .talk = {.state = DOWN, .link = -1, .who = 1}};
    sim->workers_n = least + (unsigned)sim_draw(sim, SIM_WORKERS + 1 - least);
    for (unsigned i = 0; i < sim->workers_n; i++)
        sim->workers[i] = (struct sim_worker){.slots = 1 + (uint32_t)sim_draw(sim, 4),
                                              .window = 1 + (uint32_t)sim_draw(sim, 16),
                                              .birth_ms = sim->now_ms + sim_draw(sim, 2000),
                                              .beat_link = -1,
                                              .talk = {.link = -1, .who = i + 2}};
    for (unsigned i = 0; i < sim->workers_n && sim->flood; i++)
        sim->workers[i].window = sim->workers[i].slots; /* order is the broker's, nothing waits at a worker */
    make_jobs(sim);
    sim_broker_start(sim);
}

static uint64_t some_while(struct sim *sim)
{
    static const uint64_t ms[] = {500, 2000, 4500, 6000, 20000, 60000};

    return ms[sim_draw(sim, PS_ARRAY_N(ms))];
}

static bool strikes(struct sim *sim, bool fault, unsigned in, enum sim_event event)
{
    bool yes = fault && sim_chance(sim, in);

    sim->saw[event] += yes;
    return yes;
}

/* One may hang for ever. */
static void hang(struct sim *sim, struct sim_worker *worker)
{
    if (worker->hung_ms != UINT64_MAX)
        worker->hung_ms = sim->now_ms + some_while(sim);
    if (worker == sim->workers && sim_chance(sim, 3))
        worker->hung_ms = UINT64_MAX;
}

static void hurt_worker(struct sim *sim, struct sim_worker *worker)
{
    const struct sim_faults *f = &sim->faults;

    if (f->kill_worker && sim_chance(sim, 200))
        sim_worker_kill(sim, worker);
    if (strikes(sim, f->stop_worker, 200, SIM_SAW_worker_stopped))
        worker->stopped_ms = sim->now_ms + some_while(sim);
    if (strikes(sim, f->hang_worker, 300, SIM_SAW_worker_hung))
        hang(sim, worker);
    if (strikes(sim, f->break_link, 60, SIM_SAW_link_broken))
        sim_worker_break(sim, worker);
}

static void hurt(struct sim *sim)
{
    struct sim_worker *worker = &sim->workers[sim_draw(sim, sim->workers_n)];
    const struct sim_faults *f = &sim->faults;

    hurt_worker(sim, worker);
    if (strikes(sim, f->break_link, 200, SIM_SAW_link_broken))
        sim_disconnect(sim, sim->master.talk.link);
    if (f->kill_broker && sim_chance(sim, 300))
        sim_broker_kill(sim);
    if (strikes(sim, f->stop_broker, 400, SIM_SAW_broker_stopped))
        sim->broker_stopped_ms = sim->now_ms + some_while(sim);
    if (f->kill_master && sim_chance(sim, 300))
        sim_master_kill(sim);
    if (strikes(sim, f->stop_master, 300, SIM_SAW_master_stopped))
        sim->master.stopped_ms = sim->now_ms + some_while(sim);
    if (strikes(sim, f->slow_database, 300, SIM_SAW_database_slow))
        sim->master.slow_ms = sim->now_ms + some_while(sim);
    if (f->deaf && sim_chance(sim, 300))
        sim_broker_full(sim, sim_chance(sim, 4) ? sim->master.talk.link : worker->talk.link);
    if (f->bans && sim_chance(sim, 300))
        sim_broker_ban(sim, sim_chance(sim, 4) ? sim->master.talk.who : worker->talk.who, some_while(sim));
    if (strikes(sim, f->jumps, 300, SIM_SAW_jumped))
        sim->now_ms += some_while(sim); /* the whole machine slept, and does not know */
}

/* ---- judging ---- */

/* Counted at the workers: also what the broker has lost sight of. */
static const char *judge_licence(struct sim *sim)
{
    unsigned n = sim->faults.limits ? sim_workers_running(sim, SIM_LIMITED) : 0;

    sim->saw[SIM_SAW_limit_reached] += n && n == sim->limit.leases_n;
    return n > sim->limit.leases_n ? "more runs than there are licences" : NULL;
}

static const char *judge_limits(struct sim *sim)
{
    struct ps_core_counts counts;
    uint32_t windows = 0;

    ps_core_counts(sim->core, &counts);
    for (unsigned i = 0; i < sim->workers_n; i++)
        windows += sim->workers[i].window;
    /* Over the grant is only what workers bring that were thought to be dead; after a restart of the broker they also
     * bring results without end, but nothing is leased then. */
    if (counts.leased > SIM_GRANT + windows ||
        (sim->restarts == 0 && counts.leased + counts.pending > SIM_GRANT + windows))
        return "more is out than was granted and brought back";
    if (is_good_day(sim) && counts.leased + counts.pending > SIM_GRANT)
        return "more is out than was granted";
    if (counts.jobs > sim->options.jobs_max || counts.strays > sim->options.strays_max ||
        counts.leases > sim->options.leases_max)
        return "over a limit";
    if (counts.flight_bytes > sim->options.transfer_total)
        return "more pieces of samples are on their way than may be";
    if (counts.memory_bytes > MEMORY_MAX)
        return "memory grew";
    return judge_licence(sim);
}

static bool is_settled(const struct sim *sim)
{
    struct ps_core_counts counts;

    if (sim->final_n < sim->jobs_n)
        return false;
    ps_core_counts(sim->core, &counts);
    if (counts.jobs || counts.strays || counts.leases || counts.owners || counts.inline_bytes ||
        counts.result_bytes)
        return false;
    for (unsigned i = 0; i < sim->workers_n; i++)
        if (sim->workers[i].alive && sim->workers[i].leases_n && sim->workers[i].hung_ms <= sim->now_ms)
            return false; /* one that hangs for ever keeps what it has: nobody else does */
    return true;
}

/* The broker's word needs lost leases, which used up the time; a worker's needs a run that was long. */
static const char *judge_timeout(const struct sim *sim, const struct sim_job *job)
{
    if (job->lost)
        return NULL;
    if (job->decided)
        return "a scan's time was over, and nothing had used it up";
    if (!sim->faults.slow_runs && !sim->faults.short_time)
        return "a timeout where nothing takes long";
    return NULL;
}

/* Only what ran is blamed. A run may be blamed twice where a worker is taken for dead, comes back with it, and again; and
 * whoever travels with poison is blamed for the tenth death. */
static bool judge_starts(const struct sim *sim, const struct sim_job *job)
{
    const struct sim_faults *f = &sim->faults;

    return job->lost > job->starts && !f->poison && !f->deaf && !f->break_link && !f->stop_worker &&
           !f->jumps && !f->hang_worker;
}

static const char *judge_outcome(const struct sim *sim, const struct sim_job *job)
{
    bool good_day = is_good_day(sim);

    if (judge_starts(sim, job))
        return "a job was blamed that did not run";
    if (job->outcome == PS_OUTCOME_CANCELLED)
        return NULL;
    if (job->engine == SIM_ENGINES - 1)
        return job->outcome == PS_OUTCOME_UNAVAILABLE ? NULL : "an engine that nobody has did something";
    if (job->outcome == PS_OUTCOME_UNAVAILABLE)
        return good_day ? "an engine that is there was unavailable" : NULL;
    if (job->outcome == PS_OUTCOME_TIMEOUT)
        return judge_timeout(sim, job);
    if (job->poison && job->outcome != PS_OUTCOME_QUARANTINED)
        return "poison was not quarantined";
    if (job->poison && job->kills > (10 * 3u) * (1 + sim->restarts) + KILLS_SLACK)
        return "poison killed and killed";
    if (!job->poison && job->outcome == PS_OUTCOME_QUARANTINED && job->lost < 3)
        return "an innocent was quarantined";
    if (good_day && (job->runs != 1 || job->repeats))
        return "done twice on a good day";
    return NULL;
}

/* Nobody starves, whatever else is wanted. */
static const char *judge_flood(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->jobs_n; i++) {
        const struct sim_job *job = &sim->jobs[i];

        if (i < LOW && job->rank > LOW_BY)
            return "a low band did not get its share";
        if (i >= SIM_JOBS - FEW && job->rank > job->due_rank + FEW_BY)
            return "who wants little waited for who wants much";
    }
    return NULL;
}

/* Only what runs at a worker that is silent, dead or stuck is lost: never because the broker or the master was late. */
static const char *judge_blame(const struct sim *sim)
{
    const struct sim_faults *f = &sim->faults;

    if (f->kill_worker || f->stop_worker || f->hang_worker || f->break_link || f->poison || f->kill_broker ||
        f->bans || f->deaf || f->garble || f->jumps)
        return NULL;
    for (unsigned i = 0; i < sim->jobs_n; i++)
        if (sim->jobs[i].lost)
            return "a worker was blamed that did nothing wrong";
    return NULL;
}

static const char *judge(const struct sim *sim)
{
    if (sim->final_n < sim->jobs_n)
        return "a job was lost or starved";
    if (!is_settled(sim))
        return "something is still held";
    for (unsigned i = 0; i < sim->jobs_n; i++) {
        const char *what = judge_outcome(sim, &sim->jobs[i]);

        if (what)
            return what;
    }
    return sim->flood ? judge_flood(sim) : judge_blame(sim);
}

static void run_one_step(struct sim *sim)
{
    sim->now_ms += SIM_STEP_MS;
    if (sim->now_ms < sim->end_of_faults_ms)
        hurt(sim);
    sim_master_run(sim);
    for (unsigned i = 0; i < sim->workers_n; i++)
        sim_worker_run(sim, &sim->workers[i]);
    sim_broker_run(sim);
    if (sim->now_ms / SIM_STEP_MS % CHECK_EACH == 0 && !sim->broken)
        sim->broken = ps_core_check(sim->core);
    if (!sim->broken)
        sim->broken = judge_limits(sim);
}

static void explain(const struct sim *sim)
{
    struct ps_core_counts c;

    ps_core_counts(sim->core, &c);
    printf("seed %llu, %llu ms: %u of %u final; broker jobs=%u queued=%u leased=%u pending=%u strays=%u "
           "workers=%u "
           "grant=%u\n",
           (unsigned long long)sim->seed, (unsigned long long)sim->now_ms, sim->final_n, sim->jobs_n, c.jobs,
           c.queued, c.leased, c.pending, c.strays, c.workers, c.grant);
    for (unsigned i = 0; i < sim->jobs_n; i++)
        if (!sim->jobs[i].final)
            printf("  job %llu engine=%s fed=%d accepted=%d lost=%u poison=%d\n",
                   (unsigned long long)sim->jobs[i].id, sim_engine(sim->jobs[i].engine), sim->jobs[i].fed,
                   sim->jobs[i].accepted, sim->jobs[i].lost, sim->jobs[i].poison);
}

static void explain_workers(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->workers_n; i++)
        for (unsigned j = 0; j < sim->workers[i].leases_n; j++) {
            const struct sim_lease *lease = &sim->workers[i].leases[j];

            printf("  worker %u (%s) has job %llu boot=%llx seq=%llu state=%d have=%llu of %llu\n", i,
                   sim->workers[i].alive ? "alive" : "dead", (unsigned long long)lease->job,
                   (unsigned long long)lease->boot, (unsigned long long)lease->seq, lease->state,
                   (unsigned long long)lease->have, (unsigned long long)lease->size);
        }
}

const char *sim_run(uint64_t seed, bool verbose, uint64_t saw[SIM_EVENTS_N])
{
    struct sim *sim = ps_alloc(1, sizeof(*sim));
    const char *broken;

    if (!sim)
        return "out of memory";
    sim->seed = seed;
    sim->state = (seed + 1) * 0x9e3779b97f4a7c15u;
    sim->verbose = verbose;
    sim->now_ms = 100000;
    sim->end_of_faults_ms = sim->now_ms + FAULTS_MS;
    choose_faults(sim);
    sim->end_ms =
        sim->end_of_faults_ms +
        (sim->faults.limits || sim->faults.poison || sim->faults.hang_worker ? PEACE_LONG_MS : PEACE_MS);
    make_world(sim);
    while (!sim->broken && sim->now_ms < sim->end_ms &&
           (sim->now_ms < sim->end_of_faults_ms - (is_good_day(sim) ? 30000 : 0) || !is_settled(sim)))
        run_one_step(sim);
    if (!sim->broken)
        sim->broken = judge(sim);
    broken = sim->broken;
    if (broken) {
        explain(sim);
        explain_workers(sim);
    }
    sim_net_fini(sim);
    for (int i = 0; i < SIM_EVENTS_N; i++)
        saw[i] += sim->saw[i];
    free(sim);
    return broken;
}
