/* Who gets what: bands, deadlines, shares, samples whole, credit, affinity, limits. */
#include "broker_stage.h"

#include "broker/core/straggler.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, BEAT = 9, OTHER_BEAT = 10 };

static int setup(void **state)
{
    struct stage *stage = stage_new();

    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    stage_free(*state);
    return 0;
}

/* Takes the next job of a worker with window 1, answers it, has it committed. Returns its id. */
static uint64_t do_one(struct stage *stage)
{
    struct ps_part_lease lease;

    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_result(stage, WORKER, stage->options.boot, lease.seq, lease.job, "clamav");
    stage_committed(stage, MASTER, lease.job);
    return lease.job;
}

static void nothing_is_leased_without_a_grant(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_worker(stage, WORKER, "clamav", 4, 64);
    (void)stage_hello(stage, MASTER, PS_ROLE_MASTER, NULL);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    stage_say(stage, MASTER, PS_MSG(GRANT, .epoch = 1, .results = 1));
    stage_turn(stage);
    assert_int_equal(stage_job(stage, WORKER).job, 1);
}

static void leases_are_within_window_and_grant(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_worker(stage, WORKER, "clamav", 4, 3);
    (void)stage_master(stage, MASTER, 5);
    for (uint64_t job = 1; job <= 10; job++)
        SUBMIT(stage, MASTER, .job = job * 256);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 3);
    (void)stage_worker(stage, OTHER, "clamav", 4, 64);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 5);
    /* A result that is not committed takes up the grant; a window of its own is free again. */
    stage_result(stage, WORKER, STAGE_BOOT, 1, 256, "clamav");
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 4);
    assert_int_equal(stage_counts(stage).pending, 1);
    stage_committed(stage, MASTER, 256);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 5);
    /* A smaller grant takes nothing back. */
    stage_say(stage, MASTER, PS_MSG(GRANT, .epoch = 1, .results = 1));
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 5);
}

static void a_window_of_nothing_drains(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    (void)stage_master(stage, MASTER, 10);
    SUBMIT(stage, MASTER, .job = 1);
    SUBMIT(stage, MASTER, .job = 256);
    stage_turn(stage);
    stage_say(stage, WORKER, PS_MSG(CREDIT, .window = 0));
    stage_result(stage, WORKER, STAGE_BOOT, 1, 1, "clamav");
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).queued, 1);
    stage_say(stage, WORKER, PS_MSG(CREDIT, .window = 2));
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).queued, 0);
}

static void bands_come_in_order(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 4 * 256, .band = 3);
    SUBMIT(stage, MASTER, .job = 3 * 256, .band = 2);
    SUBMIT(stage, MASTER, .job = 2 * 256, .band = 1);
    SUBMIT(stage, MASTER, .job = 1 * 256, .band = 0);
    SUBMIT(stage, MASTER, .job = 5 * 256, .band = 99);
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    for (uint64_t job = 1; job <= 5; job++)
        assert_int_equal(do_one(stage), job * 256);
}

static void deadlines_order_a_band(void **state)
{
    struct stage *stage = *state;
    static const uint32_t seconds[] = {300, 30, 60, 45, 300, 1, 3000};
    static const uint64_t order[] = {6, 2, 4, 3, 1, 5, 7};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    for (uint64_t job = 1; job <= 7; job++)
        SUBMIT(stage, MASTER, .job = job * 256, .band = 1, .deadline_ms = seconds[job - 1] * 1000);
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(do_one(stage), order[i] * 256);
}

/* One who comes late with ten jobs does not wait behind another's hundred. */
static void owners_share(void **state)
{
    struct stage *stage = *state;
    unsigned small = 0;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1000);
    for (uint64_t i = 0; i < 100; i++)
        SUBMIT(stage, MASTER, .job = (1 + i) * 256, .band = 1, .owner = 1, .deadline_ms = 30000);
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    for (int i = 0; i < 20; i++)
        assert_true(do_one(stage) < 101 * 256);
    for (uint64_t i = 0; i < 10; i++)
        SUBMIT(stage, MASTER, .job = (1000 + i) * 256, .band = 1, .owner = 2, .deadline_ms = 300000);
    for (int i = 0; i < 20; i++)
        small += do_one(stage) >= 1000 * 256;
    assert_in_range(small, 9, 10);
}

/* A share is counted over all engines, not per engine. */
static void owners_share_across_engines(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    unsigned second = 0;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1000);
    (void)stage_worker(stage, WORKER, "clamav,yara", 1, 1);
    for (uint64_t i = 0; i < 50; i++)
        SUBMIT(stage, MASTER, .job = (1 + i) * 256, .band = 1, .owner = 1, .deadline_ms = 1000);
    for (uint64_t i = 0; i < 50; i++)
        SUBMIT(stage, MASTER, .job = (100 + i) * 256, .band = 1, .owner = 2, .engines = "yara");
    for (int i = 0; i < 20; i++) {
        stage_turn(stage);
        lease = stage_job(stage, WORKER);
        stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job,
                     lease.job < 100 * 256 ? "clamav" : "yara");
        second += lease.job >= 100 * 256;
    }
    assert_in_range(second, 9, 11);
}

/* Interactive jobs without end do not starve the idle band: it gets one in eight once it has waited. */
static void lower_bands_do_not_starve(void **state)
{
    struct stage *stage = *state;
    unsigned idle = 0;

    stage->options.aging_ms = 1000;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 1000);
    for (uint64_t i = 0; i < 20; i++)
        SUBMIT(stage, MASTER, .job = (1 + i) * 256, .band = 3);
    for (uint64_t i = 0; i < 200; i++)
        SUBMIT(stage, MASTER, .job = (100 + i) * 256, .band = 0);
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    for (int i = 0; i < 16; i++)
        idle += do_one(stage) < 100 * 256;
    assert_int_equal(idle, 0);
    stage_pass(stage, 2000);
    for (int i = 0; i < 64; i++)
        idle += do_one(stage) < 100 * 256;
    assert_int_equal(idle, 8);
}

static void one_message_names_all_engines_of_a_sample(void **state)
{
    struct stage *stage = *state;
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav,yara,type", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "type,clamav,yara", .sample = 5);
    stage_turn(stage);
    msg = stage_expect(stage, WORKER, PS_MSG_JOB);
    assert_int_equal(msg->JOB.leases.n, 3);
    assert_true(ps_bytes_is(msg->JOB.data, "abc"));
    assert_true(ps_bytes_is(msg->JOB.type, "text/plain"));
    assert_int_equal(msg->JOB.sha256[31], 5);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    /* Another scan of the same sample, while it is there: its bytes don't cross again. */
    SUBMIT(stage, MASTER, .job = 512, .engines = "clamav", .sample = 5);
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, WORKER, PS_MSG_JOB)->JOB.data.len, 0);
}

static void credit_splits_a_sample_when_it_must(void **state)
{
    struct stage *stage = *state;
    struct ps_list_lease leases;
    struct ps_part_lease lease;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav,yara,type", 1, 2);
    SUBMIT(stage, MASTER, .job = 256, .engines = "type,clamav,yara");
    stage_turn(stage);
    leases = stage_expect(stage, WORKER, PS_MSG_JOB)->JOB.leases;
    assert_int_equal(leases.n, 2);
    assert_true(ps_lease_next(&leases, &lease));
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job,
                 lease.job == 256   ? "type"
                 : lease.job == 257 ? "clamav"
                                    : "yara");
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, WORKER, PS_MSG_JOB)->JOB.leases.n, 1);
}

static void the_worker_that_can_do_all_is_preferred(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 4, 64);
    (void)stage_worker(stage, OTHER, "clamav,yara", 4, 64);
    for (uint64_t i = 1; i <= 4; i++)
        SUBMIT(stage, MASTER, .job = i * 256, .engines = "clamav,yara");
    stage_turn(stage);
    for (int i = 0; i < 2; i++)
        assert_int_equal(stage_expect(stage, OTHER, PS_MSG_JOB)->JOB.leases.n, 2);
}

static void workers_take_turns(void **state)
{
    struct stage *stage = *state;
    unsigned n = 0;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 4, 64);
    (void)stage_worker(stage, OTHER, "clamav", 4, 64);
    for (uint64_t i = 1; i <= 20; i++)
        SUBMIT(stage, MASTER, .job = i * 256);
    stage_turn(stage);
    while (stage_heard(stage, WORKER, PS_MSG_JOB))
        n++;
    assert_int_equal(n, 10);
}

/* A sample too large for the message goes back to the worker that fetched it, also for a later scan. */
static void the_worker_that_has_the_sample_is_preferred(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    const struct ps_msg *msg;
    uint32_t who;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 4, 64);
    (void)stage_worker(stage, OTHER, "clamav", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .sample = 9, .size = 1000000);
    stage_turn(stage);
    msg = stage_heard(stage, WORKER, PS_MSG_JOB);
    who = msg ? WORKER : OTHER;
    lease = stage_lease(msg ? msg : stage_expect(stage, OTHER, PS_MSG_JOB));
    stage_result(stage, who, STAGE_BOOT, lease.seq, lease.job, "clamav");
    stage_committed(stage, MASTER, lease.job);
    for (uint64_t i = 2; i < 6; i++) {
        SUBMIT(stage, MASTER, .job = i * 256, .sample = 9, .size = 1000000);
        stage_turn(stage);
        assert_int_equal(stage_job(stage, who).job, i * 256);
    }
    stage_expect_none(stage, who == WORKER ? OTHER : WORKER, PS_MSG_JOB);
}

static void a_licence_limits_the_fleet(void **state)
{
    struct stage *stage = *state;
    const struct ps_core_limit limit = {"licensed", 2};
    const struct ps_msg *msg;

    stage->options.limits = &limit;
    stage->options.limits_n = 1;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "licensed,free", 8, 64);
    (void)stage_worker(stage, OTHER, "licensed,free", 8, 64);
    for (uint64_t i = 1; i <= 6; i++)
        SUBMIT(stage, MASTER, .job = i * 256, .engines = "licensed,free");
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 2 + 6);
    msg = stage_heard(stage, WORKER, PS_MSG_JOB);
    msg = msg ? msg : stage_expect(stage, OTHER, PS_MSG_JOB);
    stage_result(stage, WORKER, STAGE_BOOT, 1, 256, "licensed");
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 2 + 6);
}

/* Found by the simulation: a worker that is sent away, whatever for, goes on with what runs there. */
static void a_licence_counts_while_its_worker_may_go_on(void **state)
{
    struct stage *stage = *state;
    const struct ps_core_limit limit = {"licensed", 1};
    struct stage_session other;

    stage->options.limits = &limit;
    stage->options.limits_n = 1;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "licensed", 1, 4);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_turn(stage);
    (void)stage_job(stage, WORKER);
    stage_event(stage, PS_EVENT_BAD, WORKER);
    other = stage_worker(stage, OTHER, "licensed", 1, 4);
    stage_turn(stage);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    for (int i = 0; i < 80; i++) { /* dead_ms, the run time and its margin */
        stage_beat(stage, OTHER_BEAT, &other, NULL, 0);
        stage_say(stage, MASTER, PS_MSG(PULSE));
        stage_pass(stage, 1000);
    }
    (void)stage_job(stage, OTHER);
}

static void an_engine_with_a_problem_gets_nothing(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_offer sick = {.name = PS_BYTES_LIT("clamav"),
                                       .problem = PS_BYTES_LIT("no signatures")},
                               well = {.name = PS_BYTES_LIT("clamav")};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_say(stage, WORKER, PS_MSG(READY, .slots = 1, .window = 4, .engines = {.items = &sick, .n = 1}));
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    stage_say(stage, WORKER, PS_MSG(OFFERS, .engines = {.items = &well, .n = 1}));
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_JOB);
}

static void run_time_is_the_masters_the_engines_or_the_default(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_offer offers[] = {{.name = PS_BYTES_LIT("slow"), .run_ms = 120000},
                                           {.name = PS_BYTES_LIT("plain")}};
    const struct ps_part_ask asks[] = {{.job = 256, .engine = PS_BYTES_LIT("slow")},
                                       {.job = 257, .engine = PS_BYTES_LIT("plain")},
                                       {.job = 258, .engine = PS_BYTES_LIT("plain"), .run_ms = 5000}};
    static const uint32_t expected[] = {120000, 60000, 5000};
    struct ps_part_lease lease;
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_say(stage, WORKER, PS_MSG(READY, .slots = 1, .window = 9, .engines = {.items = offers, .n = 2}));
    stage_say(stage, MASTER, PS_MSG(SUBMIT, .epoch = 1, .size = 10, .jobs = {.items = asks, .n = 3}));
    stage_turn(stage);
    while ((msg = stage_heard(stage, WORKER, PS_MSG_JOB))) {
        struct ps_list_lease cursor = msg->JOB.leases;

        while (ps_lease_next(&cursor, &lease))
            assert_int_equal(lease.run_ms, expected[lease.job - 256]);
    }
    assert_int_equal(stage_counts(stage).leased, 3);
}

/* A thousand jobs of one sample (the empty file) go out like a thousand samples. */
static void a_popular_sample(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 2000);
    for (uint64_t i = 1; i <= 1000; i++)
        SUBMIT(stage, MASTER, .job = i * 256, .sample = 1);
    assert_int_equal(stage_counts(stage).samples, 1);
    assert_int_equal(stage_counts(stage).inline_bytes, 8);
    (void)stage_worker(stage, WORKER, "clamav", 4, 4096);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 1000);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct ps_part_lease lease = stage_job(stage, WORKER);

        stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job, "clamav");
        stage_committed(stage, MASTER, lease.job);
    }
    assert_int_equal(stage_counts(stage).jobs, 0);
    assert_int_equal(stage_counts(stage).inline_bytes, 0);
    assert_int_equal(stage_counts(stage).samples, 0);
    assert_int_equal(stage_counts(stage).owners, 0);
}

/* Two workers, of which the first has shown what is usual (each job took run_us) and now holds the last job alone. */
struct pair {
    struct stage_session slow, other;
    struct ps_part_lease lease; /* at the slow one */
    struct stage_beater beaters[2];
};

static void pair_up(struct stage *stage, struct pair *pair, uint64_t run_us)
{
    (void)stage_master(stage, MASTER, 1000);
    pair->slow = stage_worker(stage, WORKER, "clamav", 1, 64);
    for (uint64_t i = 1; i <= PS_STRAGGLER_USUAL_N + 1; i++) {
        SUBMIT(stage, MASTER, .job = i * 256);
        stage_turn(stage);
        pair->lease = stage_job(stage, WORKER);
        if (i > PS_STRAGGLER_USUAL_N)
            break;
        stage_say(stage, WORKER,
                  PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = pair->lease.seq, .job = pair->lease.job,
                         .engine = PS_BYTES_LIT("clamav"), .outcome = PS_OUTCOME_UNDETECTED,
                         .run_us = run_us));
        stage_committed(stage, MASTER, pair->lease.job);
    }
    pair->other = stage_worker(stage, OTHER, "clamav", 1, 64);
    pair->beaters[0] =
        (struct stage_beater){BEAT, &pair->slow, {STAGE_BOOT, pair->lease.seq, pair->lease.job}};
    pair->beaters[1] = (struct stage_beater){OTHER_BEAT, &pair->other, {0}};
}

/* One job runs ten times its engine's usual time while another worker is idle: it gets a second lease there, and the first
 * result is the job's. */
static void a_straggler_runs_elsewhere_too(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease copy;
    struct pair pair;

    stage_open(stage);
    pair_up(stage, &pair, 1000000);
    stage_pass_beating(stage, PS_STRAGGLER_MIN_MS - 1000, pair.beaters, 2);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    stage_pass_beating(stage, 3000, pair.beaters, 2);
    copy = stage_job(stage, OTHER);
    assert_int_equal(copy.job, pair.lease.job);
    assert_int_not_equal(copy.seq, pair.lease.seq);
    assert_int_equal(stage_counts(stage).leased, 1);
    assert_int_equal(stage_counts(stage).copied, 1);
    assert_null(ps_core_check(stage->core));

    (void)stage_master(stage, MASTER, 1000); /* it was silent meanwhile */
    stage_result(stage, OTHER, STAGE_BOOT, copy.seq, copy.job, "clamav");
    stage_turn(stage);
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    (void)stage_expect(stage, WORKER, PS_MSG_CANCEL);
    /* It was about to finish. */
    stage_result(stage, WORKER, STAGE_BOOT, pair.lease.seq, pair.lease.job, "clamav");
    assert_int_equal(stage_counts(stage).late, 1);
    stage_committed(stage, MASTER, copy.job);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).jobs, 0);
    assert_int_equal(stage_counts(stage).leases, 0);
}

/* What is slow by nature is none: four times the usual time has not passed. */
static void a_slow_engine_has_no_stragglers(void **state)
{
    struct stage *stage = *state;
    struct pair pair;

    stage_open(stage);
    pair_up(stage, &pair, 10000000);
    stage_pass_beating(stage, 3 * 10000, pair.beaters, 2);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).copied, 0);
}

/* Of two leases one's worker is lost: the other goes on, and nobody is blamed. */
static void lose_one(struct stage *stage, bool first)
{
    struct ps_part_lease left;
    struct pair pair;

    stage_open(stage);
    pair_up(stage, &pair, 1000);
    stage_pass_beating(stage, PS_STRAGGLER_MIN_MS + 2000, pair.beaters, 2);
    left = first ? stage_job(stage, OTHER) : pair.lease;
    assert_int_equal(stage_counts(stage).copied, 1);
    stage_event(stage, PS_EVENT_FULL, first ? WORKER : OTHER);
    assert_null(ps_core_check(stage->core));
    assert_int_equal(stage_counts(stage).leased, 1);
    assert_int_equal(stage_counts(stage).lost, 0);

    (void)stage_master(stage, MASTER, 1000);
    stage_result(stage, first ? OTHER : WORKER, STAGE_BOOT, left.seq, left.job, "clamav");
    assert_int_equal(stage_counts(stage).late, 0);
    stage_committed(stage, MASTER, left.job);
    assert_int_equal(stage_counts(stage).jobs, 0);
}

static void a_lost_first_leaves_the_second(void **state)
{
    lose_one(*state, true);
}

static void a_lost_second_leaves_the_first(void **state)
{
    lose_one(*state, false);
}

/* What a job costs while it waits, beside its sample's bytes: a million of them are in memory at once. */
static void a_waiting_job_is_small(void **state)
{
    enum { N = 16 * 1024 - 1, BYTES = 200 };
    static const uint8_t data[BYTES] = {0};
    struct stage *stage = *state;
    size_t fixed = 0;

    stage->unaudited = true;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 2000);
    for (uint64_t i = 1; i <= N; i++) {
        const struct ps_part_ask ask = {.job = i * 256, .engine = PS_BYTES_LIT("clamav")};
        struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                             .SUBMIT = {.epoch = 1,
                                        .size = BYTES,
                                        .data = {data, BYTES},
                                        .deadline_ms = 60000,
                                        .jobs = {.items = &ask, .n = 1}}};

        memcpy(msg.SUBMIT.sha256, &i, sizeof(i));
        stage_say(stage, MASTER, &msg);
        stage_forget(stage);
        if (i == 1)
            fixed = stage_counts(stage).memory_bytes; /* first chunks of everything */
    }
    assert_int_equal(stage_counts(stage).queued, N);
    assert_true(stage_counts(stage).memory_bytes - fixed <=
                (uint64_t)N * (BYTES + 122)); /* 128 with what a process has beside it */
    assert_null(ps_core_check(stage->core));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_is_leased_without_a_grant),
        T(leases_are_within_window_and_grant),
        T(a_window_of_nothing_drains),
        T(bands_come_in_order),
        T(deadlines_order_a_band),
        T(owners_share),
        T(owners_share_across_engines),
        T(lower_bands_do_not_starve),
        T(one_message_names_all_engines_of_a_sample),
        T(credit_splits_a_sample_when_it_must),
        T(the_worker_that_can_do_all_is_preferred),
        T(workers_take_turns),
        T(the_worker_that_has_the_sample_is_preferred),
        T(a_licence_limits_the_fleet),
        T(a_licence_counts_while_its_worker_may_go_on),
        T(an_engine_with_a_problem_gets_nothing),
        T(run_time_is_the_masters_the_engines_or_the_default),
        T(a_popular_sample),
        T(a_waiting_job_is_small),
        T(a_straggler_runs_elsewhere_too),
        T(a_slow_engine_has_no_stragglers),
        T(a_lost_first_leaves_the_second),
        T(a_lost_second_leaves_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
