/* Limits of engines (licences): what counts besides the leases that are known, and for how long. */
#include "broker_stage.h"

#include "broker/core/lease.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, BEAT = 9, OTHER_BEAT = 10 };

#define RUN_MS  2000
#define HOLD_MS 20000

/* "licensed" may run once in the fleet; "free" as often as there is room. */
static int setup(void **state)
{
    static const struct ps_core_limit limit = {"licensed", 1};
    struct stage *stage = stage_new();

    stage->options.limits = &limit;
    stage->options.limits_n = 1;
    stage->options.limit_hold_ms = 0;
    stage->options.run_ms = RUN_MS;
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    stage_free(*state);
    return 0;
}

/* Lets ms (whole seconds) pass while master and workers are alive; workers name nothing as running. */
static void live(struct stage *stage, uint64_t ms, const struct stage_session *master,
                 const struct stage_beater *workers, size_t workers_n)
{
    for (uint64_t passed = 0; passed < ms; passed += 1000) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = master->id));
        stage_pass_beating(stage, 1000, workers, workers_n);
    }
}

/* How long a ghost of a small sample counts. */
static uint64_t ghost_ms(const struct stage *stage)
{
    return stage->options.dead_ms + ps_lease_allow_ms(RUN_MS, 3);
}

static void welcome_tells_the_limits(void **state)
{
    struct stage *stage = *state;
    const struct ps_msg *msg;
    struct ps_list_limit limits;
    struct ps_part_limit limit;

    stage_open(stage);
    stage_say(stage, MASTER,
              PS_MSG(HELLO, .version_min = PS_PROTO_VERSION_MIN, .version_max = PS_PROTO_VERSION_MAX,
                     .role = PS_ROLE_MASTER, .name = PS_BYTES_LIT("m1")));
    msg = stage_expect(stage, MASTER, PS_MSG_WELCOME);
    limits = msg->WELCOME.limits;
    assert_int_equal(limits.n, 1);
    assert_true(ps_limit_next(&limits, &limit));
    assert_true(ps_bytes_is(limit.engine, "licensed"));
    assert_int_equal(limit.leases, 1);
}

/* Leases of a life before may still run: the limit is held until they must have ended, other engines are not. */
static void nothing_of_it_is_leased_in_the_hold(void **state)
{
    struct stage *stage = *state;
    struct stage_session master, worker;
    struct ps_part_lease lease;

    stage->options.limit_hold_ms = HOLD_MS;
    stage_open(stage);
    master = stage_master(stage, MASTER, 100);
    worker = stage_worker(stage, WORKER, "licensed,free", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    SUBMIT(stage, MASTER, .job = 512, .engines = "free");
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    assert_int_equal(lease.job, 512);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job, "free");

    const struct stage_beater beater = {BEAT, &worker, {0}};
    live(stage, HOLD_MS - 1000, &master, &beater, 1);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    live(stage, 1000, &master, &beater, 1);
    assert_int_equal(stage_job(stage, WORKER).job, 256);
}

/* One worker has it and falls silent, another is there and would take it at once. */
static void falls_silent(struct stage *stage, bool named_running)
{
    struct stage_session master, worker, other;
    struct ps_part_lease lease;
    uint64_t rest_ms;

    stage_open(stage);
    master = stage_master(stage, MASTER, 100);
    worker = stage_worker(stage, WORKER, "licensed", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    SUBMIT(stage, MASTER, .job = 512, .engines = "licensed");
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    other = stage_worker(stage, OTHER, "licensed,free", 4, 64);
    const struct ps_part_lease_ref running = {.boot = STAGE_BOOT, .seq = lease.seq, .job = lease.job};
    stage_beat(stage, BEAT, &worker, &running, named_running);

    const struct stage_beater beater = {OTHER_BEAT, &other, {0}};
    for (int i = 0; stage_counts(stage).workers > 1; i++) {
        assert_true(i < 10);
        live(stage, 1000, &master, &beater, 1);
    }
    assert_int_equal(stage_counts(stage).queued, 2);
    /* The silent one was ended within the second that just passed. */
    rest_ms = ghost_ms(stage) - 1000;
    live(stage, rest_ms / 1000 * 1000 - 1000, &master, &beater, 1);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    live(stage, 4000, &master, &beater, 1);
    (void)stage_job(stage, OTHER);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).leased, 1);
}

static void a_lost_lease_counts_until_it_must_have_ended(void **state)
{
    falls_silent(*state, true);
}

/* It may have begun after its last heartbeat. */
static void so_does_one_that_was_not_named_running(void **state)
{
    falls_silent(*state, false);
}

/* One worker has it and says BYE; another is there. Returns with the turn done. */
static void says_bye(struct stage *stage, bool gives_back)
{
    struct ps_part_lease lease;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "licensed", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    (void)stage_worker(stage, OTHER, "licensed", 4, 64);
    if (gives_back)
        stage_say(stage, WORKER,
                  PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = lease.seq, .job = lease.job,
                         .engine = PS_BYTES_LIT("licensed"), .outcome = PS_OUTCOME_CANCELLED));
    stage_say(stage, WORKER, PS_MSG(BYE, .reason = PS_BYTES_LIT("done for today")));
    stage_turn(stage);
}

static void what_is_given_back_leaves_no_ghost(void **state)
{
    struct stage *stage = *state;

    says_bye(stage, true);
    assert_int_equal(stage_job(stage, OTHER).job, 256);
}

/* It did not say that nothing of it runs. */
static void what_is_held_at_a_bye_does(void **state)
{
    struct stage *stage = *state;

    says_bye(stage, false);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).queued, 1);
}

/* Without its master a broker drops what does not run, so that another broker may have it; what runs goes on, and what
 * has no limit waits for the next master. */
static void what_does_not_run_leaves_with_the_master(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease lease;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    worker = stage_worker(stage, WORKER, "licensed", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    SUBMIT(stage, MASTER, .job = 512, .engines = "licensed,free");
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    const struct ps_part_lease_ref running = {.boot = STAGE_BOOT, .seq = lease.seq, .job = lease.job};
    stage_beat(stage, BEAT, &worker, &running, 1);

    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 1);
    assert_int_equal(stage_counts(stage).queued, 1); /* free */
    stage_expect_none(stage, WORKER, PS_MSG_CANCEL);

    /* The next master says it again; it waits for the one that runs. */
    (void)stage_master(stage, OTHER, 100);
    SUBMIT(stage, OTHER, .job = 512, .engines = "licensed");
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job, "licensed");
    stage_turn(stage);
    assert_int_equal(stage_job(stage, WORKER).job, 512);
}

/* One that was leased and not named running by a heartbeat is taken back. */
static void what_waits_at_a_worker_leaves_with_the_master(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "licensed", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_turn(stage);
    (void)stage_job(stage, WORKER);
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_CANCEL);
    assert_int_equal(stage_counts(stage).jobs, 0);
}

/* Found by the simulation (seed 82317). A worker begins what it was given and is cut off; the master leaves, so the broker
 * takes back what no heartbeat named; the worker never reads that. Its run goes on, and counts for as long as it may. */
static void who_was_cut_off_may_not_have_read_cancel(void **state)
{
    struct stage *stage = *state;
    struct stage_session master, other;
    const struct ps_part_lease_ref none = {0};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    struct stage_session worker = stage_worker(stage, WORKER, "licensed", 4, 64);
    stage_beat(stage, BEAT, &worker, &none, 0);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_turn(stage);
    (void)stage_job(stage, WORKER); /* it runs, and is never heard again */
    stage_pass(stage, 1000);
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_CANCEL);

    master = stage_master(stage, MASTER, 100);
    other = stage_worker(stage, OTHER, "licensed", 4, 64);
    SUBMIT(stage, MASTER, .job = 512, .engines = "licensed");
    const struct stage_beater beater = {OTHER_BEAT, &other, {0}};
    for (int i = 0; stage_counts(stage).workers > 1; i++) {
        assert_true(i < 10);
        live(stage, 1000, &master, &beater, 1);
    }
    live(stage, ghost_ms(stage) / 1000 * 1000 - 2000, &master, &beater, 1);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    live(stage, 4000, &master, &beater, 1);
    assert_int_equal(stage_job(stage, OTHER).job, 512);
}

/* A broker that slept for dead_ms may have another in its place: its master says anew what is its. */
static void a_broker_that_slept_lets_its_master_begin_anew(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "free", 4, 64);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_turn(stage);
    stage_jump(stage, stage->options.dead_ms - 1000);
    stage_expect_none(stage, MASTER, PS_MSG_BYE);
    stage_jump(stage, stage->options.dead_ms);
    (void)stage_expect(stage, MASTER, PS_MSG_BYE);
    assert_true(stage_dropped(stage, MASTER));
    assert_int_equal(stage_counts(stage).queued, 0);
}

static void without_limits_it_keeps_its_master(void **state)
{
    struct stage *stage = *state;

    stage->options.limits_n = 0;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    stage_jump(stage, stage->options.dead_ms);
    stage_expect_none(stage, MASTER, PS_MSG_BYE);
    assert_int_equal(stage_counts(stage).queued, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void offer(struct stage *stage, uint32_t peer, const char *engine, uint32_t scans)
{
    struct ps_part_offer offer = {.name = ps_bytes_of(engine),
                                  .kind = PS_KIND_EVILNESS,
                                  .version = PS_BYTES_LIT("1"),
                                  .licence_scans = scans};

    stage_say(stage, peer, PS_MSG(OFFERS, .engines = {.items = &offer, .n = 1}));
}

/* How many of three waiting jobs are leased. */
static size_t leased(struct stage *stage)
{
    stage_turn(stage);
    return stage_counts(stage).leased;
}

/* An engine without a configured limit: the smallest licence that is offered holds. */
static void offers_bring_a_limit(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "free", 1, 64);
    (void)stage_worker(stage, OTHER, "free", 4, 64);
    offer(stage, WORKER, "free", 2);
    offer(stage, OTHER, "free", 1);
    SUBMIT(stage, MASTER, .job = 256, .engines = "free");
    SUBMIT(stage, MASTER, .job = 512, .engines = "free");
    SUBMIT(stage, MASTER, .job = 768, .engines = "free");
    assert_int_equal(leased(stage), 1);
    offer(stage, OTHER, "free", 0);
    assert_int_equal(leased(stage), 2);
    offer(stage, WORKER, "free", 0);
    assert_int_equal(leased(stage), 3);
}

static void the_smaller_of_configuration_and_offers_holds(void **state)
{
    struct stage *stage = *state;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "licensed", 4, 64);
    offer(stage, WORKER, "licensed", 7);
    SUBMIT(stage, MASTER, .job = 256, .engines = "licensed");
    SUBMIT(stage, MASTER, .job = 512, .engines = "licensed");
    assert_int_equal(leased(stage), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(welcome_tells_the_limits),
        T(nothing_of_it_is_leased_in_the_hold),
        T(a_lost_lease_counts_until_it_must_have_ended),
        T(so_does_one_that_was_not_named_running),
        T(what_is_given_back_leaves_no_ghost),
        T(what_is_held_at_a_bye_does),
        T(what_does_not_run_leaves_with_the_master),
        T(what_waits_at_a_worker_leaves_with_the_master),
        T(who_was_cut_off_may_not_have_read_cancel),
        T(a_broker_that_slept_lets_its_master_begin_anew),
        T(without_limits_it_keeps_its_master),
        T(offers_bring_a_limit),
        T(the_smaller_of_configuration_and_offers_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
