/* tests/sim/judge.c: one run, and what it has to show.
 *
 * While it runs: the core's books agree, and what is out and not committed stays within the grant and what workers
 * brought back. In the end, some time after the last fault: every job is final (none lost, none starved); what was
 * poisonous is quarantined and nothing else but what died with three workers; the broker, and every worker, hold nothing
 * any more. In a run without faults nothing is done twice. */
#include "tests/sim/sim.h"

#define FAULTS_MS  60000
#define PEACE_MS   240000 /* after the last fault all must be settled within this */
#define CHECK_EACH 7      /* steps between two audits */

static void choose_faults(struct sim *sim)
{
    struct sim_faults *f = &sim->faults;
    bool *all[] = {&f->kill_worker, &f->stop_worker,  &f->hang_worker, &f->break_link,    &f->kill_broker,
                   &f->stop_broker, &f->kill_master,  &f->stop_master, &f->slow_database, &f->ghost_master,
                   &f->poison,      &f->small_limits, &f->cancels,     &f->give_back};

    if (sim->seed % 16 == 0)
        return; /* a good day */
    for (size_t i = 0; i < PS_ARRAY_N(all); i++)
        *all[i] = sim_chance(sim, 3);
}

static void make_jobs(struct sim *sim)
{
    sim->jobs_n = 20 + (unsigned)sim_draw(sim, SIM_JOBS - 20);
    for (unsigned i = 0; i < sim->jobs_n; i++)
        sim->jobs[i] =
            (struct sim_job){.id = (uint64_t)(i / 3 + 1) * PS_JOB_ORDINALS + i % 3,
                             .engine = (unsigned)sim_draw(sim, sim_chance(sim, 10) ? 4 : 3),
                             .owner = (unsigned)sim_draw(sim, 3),
                             .band = (unsigned)sim_draw(sim, PS_BANDS_N),
                             .size = sim_chance(sim, 8) ? 70000 + sim_draw(sim, 300000) : sim_draw(sim, 50),
                             .poison = sim->faults.poison && sim_chance(sim, 30),
                             .due_ms = sim_draw(sim, 20000)};
}

static void make_world(struct sim *sim)
{
    ps_core_options_init(&sim->options);
    sim->options.boot = sim->seed * 2 + 1;
    sim->options.peers_max = SIM_LINKS;
    sim->options.workers_max = 16;
    sim->options.engine_grace_ms = 8000;
    sim->options.run_ms = 10000;
    sim->options.aging_ms = 2000;
    memcpy(sim->options.secret, &sim->seed, sizeof(sim->seed));
    if (sim->faults.small_limits) {
        sim->options.jobs_max = 12;
        sim->options.strays_max = 20;
        sim->options.leases_max = 16;
        sim->options.inline_budget_bytes = 256;
        sim->options.result_budget_bytes = 200;
        sim->options.transfer_bytes = 64 * 1024;
    }
    sim->ghost_link = -1;
    sim->master = (struct sim_master){.epoch = 1, .talk = {.state = DOWN, .link = -1}};
    sim->workers_n = 2 + (unsigned)sim_draw(sim, SIM_WORKERS - 1);
    for (unsigned i = 0; i < sim->workers_n; i++)
        sim->workers[i] = (struct sim_worker){.slots = 1 + (uint32_t)sim_draw(sim, 4),
                                              .window = 1 + (uint32_t)sim_draw(sim, 16),
                                              .birth_ms = sim->now_ms + sim_draw(sim, 2000),
                                              .beat_link = -1,
                                              .talk = {.link = -1}};
    make_jobs(sim);
    sim_broker_start(sim);
}

static uint64_t some_while(struct sim *sim)
{
    static const uint64_t ms[] = {500, 2000, 4500, 6000, 20000, 60000};

    return ms[sim_draw(sim, PS_ARRAY_N(ms))];
}

static void hurt(struct sim *sim)
{
    struct sim_worker *worker = &sim->workers[sim_draw(sim, sim->workers_n)];
    const struct sim_faults *f = &sim->faults;

    if (f->kill_worker && sim_chance(sim, 200))
        sim_worker_kill(sim, worker);
    if (f->stop_worker && sim_chance(sim, 200))
        worker->stopped_ms = sim->now_ms + some_while(sim);
    if (f->hang_worker && sim_chance(sim, 300))
        worker->hung_ms = sim->now_ms + some_while(sim);
    if (f->break_link && sim_chance(sim, 60))
        sim_worker_break(sim, worker);
    if (f->break_link && sim_chance(sim, 200))
        sim_disconnect(sim, sim->master.talk.link);
    if (f->kill_broker && sim_chance(sim, 300))
        sim_broker_kill(sim);
    if (f->stop_broker && sim_chance(sim, 400))
        sim->broker_stopped_ms = sim->now_ms + some_while(sim);
    if (f->kill_master && sim_chance(sim, 300))
        sim_master_kill(sim);
    if (f->stop_master && sim_chance(sim, 300))
        sim->master.stopped_ms = sim->now_ms + some_while(sim);
    if (f->slow_database && sim_chance(sim, 300))
        sim->master.slow_ms = sim->now_ms + some_while(sim);
}

/* ---- judging ---- */

static const char *judge_limits(const struct sim *sim)
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
    if (sim->seed % 16 == 0 && counts.leased + counts.pending > SIM_GRANT)
        return "more is out than was granted";
    if (counts.jobs > sim->options.jobs_max || counts.strays > sim->options.strays_max ||
        counts.leases > sim->options.leases_max)
        return "over a limit";
    return NULL;
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
        if (sim->workers[i].alive && sim->workers[i].leases_n)
            return false;
    return true;
}

static const char *judge_outcome(const struct sim *sim, const struct sim_job *job)
{
    bool good_day = sim->seed % 16 == 0;

    if (job->outcome == PS_OUTCOME_CANCELLED)
        return NULL;
    if (job->engine == SIM_ENGINES - 1)
        return job->outcome == PS_OUTCOME_UNAVAILABLE ? NULL : "an engine that nobody has did something";
    if (job->outcome == PS_OUTCOME_UNAVAILABLE)
        return good_day ? "an engine that is there was unavailable" : NULL;
    if (job->poison && job->outcome != PS_OUTCOME_QUARANTINED)
        return "poison was not quarantined";
    if (job->poison && job->kills > (10 * 3u) * (1 + sim->restarts))
        return "poison killed and killed";
    if (!job->poison && job->outcome == PS_OUTCOME_QUARANTINED && job->lost < 3)
        return "an innocent was quarantined";
    if (good_day && (job->runs != 1 || job->repeats))
        return "done twice on a good day";
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
    return NULL;
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

const char *sim_run(uint64_t seed, bool verbose)
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
    sim->end_ms = sim->end_of_faults_ms + PEACE_MS;
    choose_faults(sim);
    make_world(sim);
    while (!sim->broken && sim->now_ms < sim->end_ms &&
           (sim->now_ms < sim->end_of_faults_ms - (sim->seed % 16 ? 0 : 30000) || !is_settled(sim)))
        run_one_step(sim);
    if (!sim->broken)
        sim->broken = judge(sim);
    broken = sim->broken;
    if (broken) {
        explain(sim);
        explain_workers(sim);
    }
    sim_net_fini(sim);
    free(sim);
    return broken;
}
