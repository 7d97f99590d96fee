/* The life of a job: results, lost leases, suspects, burial, cancelling, settling, workers that come back. */
#include "broker_stage.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, BEAT = 9 };

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

/* A master, a worker that holds job 1 (engine clamav). */
static struct stage_session hold_one(struct stage *stage, struct ps_part_lease *ret_lease)
{
    struct stage_session worker;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    worker = stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    *ret_lease = stage_job(stage, WORKER);
    return worker;
}

static struct ps_part_lease_ref ref_of(uint64_t boot, const struct ps_part_lease *lease)
{
    return (struct ps_part_lease_ref){.boot = boot, .seq = lease->seq, .job = lease->job};
}

/* Reads the only name in a COMMITTED or CANCEL. */
static uint64_t only_job(const struct ps_list_lease_ref *list)
{
    struct ps_list_lease_ref cursor = *list;
    struct ps_part_lease_ref ref;

    assert_int_equal(cursor.n, 1);
    assert_true(ps_lease_ref_next(&cursor, &ref));
    return ref.job;
}

static void a_result_goes_up_and_its_commit_down(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    const struct ps_msg *msg;

    (void)hold_one(stage, &lease);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    msg = stage_expect(stage, MASTER, PS_MSG_RESULT);
    assert_int_equal(msg->RESULT.job, 1);
    assert_int_equal(msg->RESULT.outcome, PS_OUTCOME_UNDETECTED);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_COMMITTED);
    stage_committed(stage, MASTER, 1);
    stage_turn(stage);
    assert_int_equal(only_job(&stage_expect(stage, WORKER, PS_MSG_COMMITTED)->COMMITTED.leases), 1);
    assert_int_equal(stage_counts(stage).jobs, 0);
    assert_int_equal(stage_counts(stage).result_bytes, 0);
    /* Said once more, it changes nothing. */
    stage_committed(stage, MASTER, 1);
    assert_int_equal(stage_counts(stage).committed, 1);
}

static void submitting_again_is_the_same(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;

    (void)hold_one(stage, &lease);
    stage_forget(stage);
    for (int i = 0; i < 3; i++)
        SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_ACCEPTED)->ACCEPTED.jobs.n, 3);
    assert_int_equal(stage_counts(stage).jobs, 1);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
}

/* A finished result waits for a slow database as long as it takes: nothing expires. */
static void a_reported_job_does_not_expire(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker = hold_one(stage, &lease);
    struct stage_beater beater = {BEAT, &worker, {0}};

    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_forget(stage);
    for (int i = 0; i < 30; i++) {
        stage_pass_beating(stage, 10000, &beater, 1);
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = 1));
    }
    assert_int_equal(stage_counts(stage).pending, 1);
    stage_expect_none(stage, WORKER, PS_MSG_CANCEL);
}

static void a_dead_workers_running_job_is_a_suspect(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease, second;
    struct stage_session worker = hold_one(stage, &lease);
    struct ps_part_lease_ref running = ref_of(STAGE_BOOT, &lease);
    const struct ps_msg *msg;

    SUBMIT(stage, MASTER, .job = 256);
    stage_turn(stage);
    (void)stage_job(stage, WORKER);
    stage_beat(stage, BEAT, &worker, &running, 1);
    for (int i = 0; i < 6; i++) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = 1));
        stage_pass(stage, 1000);
    }
    msg = stage_expect(stage, MASTER, PS_MSG_LOST);
    assert_int_equal(msg->LOST.job, 1);
    assert_int_equal(msg->LOST.lost, 1);
    assert_true(ps_bytes_is(msg->LOST.worker, "w1"));
    stage_expect_none(stage, MASTER, PS_MSG_LOST); /* the other was not running: free */
    (void)stage_worker(stage, OTHER, "clamav", 4, 64);
    stage_turn(stage);
    second = stage_job(stage, OTHER);
    assert_int_equal(second.job, 1);
    assert_true(second.alone);
    /* While it is there nothing else goes to that worker. */
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    stage_result(stage, OTHER, STAGE_BOOT, second.seq, 1, "clamav");
    stage_turn(stage);
    assert_false(stage_job(stage, OTHER).alone);
}

static void a_worker_that_says_bye_is_not_to_blame(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker = hold_one(stage, &lease);
    struct ps_part_lease_ref running = ref_of(STAGE_BOOT, &lease);

    stage_beat(stage, BEAT, &worker, &running, 1);
    stage_say(stage, WORKER, PS_MSG(BYE, .reason = PS_BYTES_LIT("done for today")));
    stage_expect_none(stage, MASTER, PS_MSG_LOST);
    assert_int_equal(stage_counts(stage).queued, 1);
    assert_int_equal(stage_counts(stage).lost, 0);
}

static void three_lost_leases_bury(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct ps_part_lease_ref running;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 1);
    for (uint32_t death = 1; death <= 3; death++) {
        worker = stage_worker(stage, WORKER + death, "clamav", 1, 8);
        stage_turn(stage);
        lease = stage_job(stage, WORKER + death);
        assert_int_equal(lease.alone, death > 1);
        running = ref_of(STAGE_BOOT, &lease);
        stage_beat(stage, BEAT, &worker, &running, 1);
        stage_event(stage, PS_EVENT_FULL, WORKER + death);
        assert_int_equal(stage_expect(stage, MASTER, PS_MSG_LOST)->LOST.lost, death);
    }
    msg = stage_expect(stage, MASTER, PS_MSG_DECIDED);
    assert_int_equal(msg->DECIDED.outcome, PS_OUTCOME_QUARANTINED);
    assert_true(msg->DECIDED.reason.len > 20);
    assert_int_equal(stage_counts(stage).pending, 1);
    assert_int_equal(stage_counts(stage).buried, 1);
    stage_committed(stage, MASTER, 1);
    assert_int_equal(stage_counts(stage).jobs, 0);
}

/* A killer does not start afresh with every restart: its count comes with it. */
static void lost_leases_are_counted_over_restarts(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease lease;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    worker = stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1, .lost = 3);
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_DECIDED)->DECIDED.outcome, PS_OUTCOME_QUARANTINED);
    SUBMIT(stage, MASTER, .job = 256, .lost = 2);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    assert_true(lease.alone);
    stage_beat(stage, BEAT, &worker, &(struct ps_part_lease_ref){STAGE_BOOT, lease.seq, 256}, 1);
    stage_event(stage, PS_EVENT_FULL, WORKER);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_LOST)->LOST.lost, 3);
    (void)stage_expect(stage, MASTER, PS_MSG_DECIDED);
}

/* The scan's time holds for all attempts at a job together: what lost ones ran is taken off the next, and none left ends
 * it. Waiting is not counted. */
static void lost_leases_use_up_the_scans_time(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker;
    struct stage_beater beater = {BEAT, &worker, {0}};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 1, .deadline_ms = 40000);
    stage_pass(stage, 20000); /* waits for its first worker */
    worker = stage_worker(stage, WORKER, "clamav", 1, 8);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    assert_in_range(lease.run_ms, 39900, 40000);
    beater.running = ref_of(STAGE_BOOT, &lease);
    stage_pass_beating(stage, 30000, &beater, 1);
    stage_event(stage, PS_EVENT_FULL, WORKER);
    assert_int_equal(stage_counts(stage).lost, 1);

    worker = stage_worker(stage, WORKER, "clamav", 1, 8);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    assert_in_range(lease.run_ms, 8000, 11000);
    beater.running = ref_of(STAGE_BOOT, &lease);
    stage_pass_beating(stage, 15000, &beater, 1);
    assert_int_equal(stage_counts(stage).leased, 1);
    stage_event(stage, PS_EVENT_FULL, WORKER);
    (void)stage_master(stage, MASTER, 100); /* the first one was silent for too long */
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_DECIDED)->DECIDED.outcome, PS_OUTCOME_TIMEOUT);
    assert_int_equal(stage_counts(stage).expired, 1);
    stage_committed(stage, MASTER, 1);
    assert_int_equal(stage_counts(stage).jobs, 0);
}

/* Runs ten times its time while heartbeats name it: the engine hangs and the worker does not see it. */
static void a_lease_that_runs_for_ever_is_lost(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker = hold_one(stage, &lease);
    struct stage_beater beater = {BEAT, &worker, ref_of(STAGE_BOOT, &lease)};

    stage_pass_beating(stage, 69000, &beater, 1);
    assert_int_equal(stage_counts(stage).leased, 1);
    stage_pass_beating(stage, 3000, &beater, 1);
    assert_int_equal(stage_counts(stage).lost, 1);
    assert_int_equal(only_job(&stage_expect(stage, WORKER, PS_MSG_CANCEL)->CANCEL.leases), 1);
    assert_int_equal(stage_counts(stage).workers, 1);
}

/* The session thread hangs, the heart beats: its jobs go to somebody else, and with BYE it finds back. */
static void a_worker_that_stalls_is_given_up(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker = hold_one(stage, &lease);
    struct stage_beater beater = {BEAT, &worker, {0}};

    stage_pass_beating(stage, 69000, &beater, 1);
    assert_int_equal(stage_counts(stage).leased, 1);
    stage_pass_beating(stage, 3000, &beater, 1);
    assert_int_equal(stage_counts(stage).workers, 0);
    assert_int_equal(stage_counts(stage).queued, 1);
    assert_int_equal(stage_counts(stage).lost, 0);
    (void)stage_expect(stage, WORKER, PS_MSG_BYE);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8,
                &(struct ps_part_held){STAGE_BOOT, lease.seq, 1, PS_BYTES_LIT("clamav"), false}, 1, NULL, 0);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_CANCEL);
    assert_int_equal(stage_counts(stage).leased, 1);
}

/* Sixty-three jobs wait behind one another at a slow worker that works: none of them expires. */
static void what_waits_at_a_busy_worker_does_not_expire(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease leases[16];

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1000);
    worker = stage_worker(stage, WORKER, "clamav", 1, 16);
    for (uint64_t i = 1; i <= 16; i++)
        SUBMIT(stage, MASTER, .job = i * 256);
    stage_turn(stage);
    for (int i = 0; i < 16; i++)
        leases[i] = stage_job(stage, WORKER);
    for (int i = 0; i < 16; i++) {
        struct stage_beater beater = {BEAT, &worker, ref_of(STAGE_BOOT, &leases[i])};

        stage_pass_beating(stage, 55000, &beater, 1);
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = 1));
        stage_result(stage, WORKER, STAGE_BOOT, leases[i].seq, leases[i].job, "clamav");
    }
    assert_int_equal(stage_counts(stage).pending, 16);
    assert_int_equal(stage_counts(stage).lost, 0);
    assert_int_equal(stage_counts(stage).requeued, 0);
}

static void cancelling(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct ps_part_lease_ref refs[3] = {{.job = 1}, {.job = 256}, {.job = 999}};

    (void)hold_one(stage, &lease);
    stage_say(stage, WORKER, PS_MSG(CREDIT, .window = 1));
    SUBMIT(stage, MASTER, .job = 256);
    stage_say(stage, MASTER, PS_MSG(CANCEL, .epoch = 1, .leases = {.items = refs, .n = 3}));
    stage_turn(stage);
    assert_int_equal(only_job(&stage_expect(stage, WORKER, PS_MSG_CANCEL)->CANCEL.leases), 1);
    assert_int_equal(stage_counts(stage).jobs, 0);
    /* The result that comes all the same is late, and the worker may forget it. */
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_turn(stage);
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).late, 1);
    assert_int_equal(stage_counts(stage).cancelled, 2);
}

/* A worker that answers a cancelled lease, or gives one back, has no result. */
static void a_cancelled_outcome_is_no_result(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease, again;

    (void)hold_one(stage, &lease);
    stage_say(stage, WORKER,
              PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = lease.seq, .job = 1, .engine = PS_BYTES_LIT("clamav"),
                     .outcome = PS_OUTCOME_CANCELLED));
    stage_turn(stage);
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    stage_expect_none(stage, WORKER, PS_MSG_JOB); /* not to and fro without end */
    stage_pass(stage, 600);
    again = stage_job(stage, WORKER);
    assert_int_equal(again.job, 1);
    assert_true(again.seq > lease.seq);
    /* Of the old lease it is nothing at all. */
    stage_say(stage, WORKER,
              PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = lease.seq, .job = 1, .engine = PS_BYTES_LIT("clamav"),
                     .outcome = PS_OUTCOME_CANCELLED));
    assert_int_equal(stage_counts(stage).leased, 1);
}

static void a_late_result_is_taken_and_the_second_copy_cancelled(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease, second;
    struct stage_session worker = hold_one(stage, &lease);

    stage_event(stage, PS_EVENT_GONE, WORKER);
    for (int i = 0; i < 6; i++) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = 1));
        stage_pass(stage, 1000);
    }
    (void)stage_worker(stage, OTHER, "clamav", 1, 8);
    stage_turn(stage);
    second = stage_job(stage, OTHER);
    worker = stage_hello(stage, WORKER, PS_ROLE_WORKER, &worker);
    assert_false(worker.resumed);
    stage_ready(stage, WORKER, "clamav", 1, 8, NULL, 0, &(struct ps_part_lease_ref){STAGE_BOOT, lease.seq, 1},
                1);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_turn(stage);
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    assert_int_equal(only_job(&stage_expect(stage, OTHER, PS_MSG_CANCEL)->CANCEL.leases), 1);
    assert_int_equal(stage_counts(stage).late, 1);
    /* The other one finishes all the same: dropped, and told with the commit. */
    stage_result(stage, OTHER, STAGE_BOOT, second.seq, 1, "clamav");
    stage_turn(stage);
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    stage_expect_none(stage, OTHER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).late, 2);
    stage_committed(stage, MASTER, 1);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    (void)stage_expect(stage, OTHER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).strays, 0);
}

/* ---- coming back ---- */

static void leases_that_never_arrived_are_given_back(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker = hold_one(stage, &lease);

    stage_event(stage, PS_EVENT_GONE, WORKER);
    (void)stage_hello(stage, OTHER, PS_ROLE_WORKER, &worker);
    stage_ready(stage, OTHER, "clamav", 1, 8, NULL, 0, NULL, 0);
    assert_int_equal(stage_counts(stage).queued, 1);
    stage_turn(stage);
    assert_int_equal(stage_job(stage, OTHER).job, 1);
}

static void an_earlier_boots_leases_are_adopted(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct ps_part_held held[2];

    (void)hold_one(stage, &lease);
    stage_restart(stage);
    /* The worker comes first, the master submits later: the job is not given to anybody else. */
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    held[0] = (struct ps_part_held){STAGE_BOOT, lease.seq, 1, PS_BYTES_LIT("clamav"), true};
    held[1] = (struct ps_part_held){STAGE_BOOT, 77, 77, PS_BYTES_LIT("clamav"), false};
    stage_ready(stage, WORKER, "clamav", 1, 8, held, 2, NULL, 0);
    assert_int_equal(stage_counts(stage).strays, 2);
    (void)stage_worker(stage, OTHER, "clamav", 1, 8);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).leased, 1);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    stage_committed(stage, MASTER, 1);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).late, 0);
}

/* Found by the simulation: it was adopted for the worker that had given it back, and waited there for nobody. */
static void a_stray_lease_that_was_given_back_is_not_adopted(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct ps_part_held held;

    (void)hold_one(stage, &lease);
    stage_restart(stage);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    held = (struct ps_part_held){STAGE_BOOT, lease.seq, 1, PS_BYTES_LIT("clamav"), false};
    stage_ready(stage, WORKER, "clamav", 1, 8, &held, 1, NULL, 0);
    assert_int_equal(stage_counts(stage).strays, 1);
    stage_say(stage, WORKER,
              PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = lease.seq, .job = 1, .engine = PS_BYTES_LIT("clamav"),
                     .outcome = PS_OUTCOME_CANCELLED));
    assert_int_equal(stage_counts(stage).strays, 0);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    assert_int_equal(stage_job(stage, WORKER).job, 1);
}

/* Found by the simulation: its worker was never told, and kept it for ever. */
static void a_result_at_the_limit_of_leases_is_settled_all_the_same(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;

    stage->options.leases_max = 1;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    SUBMIT(stage, MASTER, .job = 256);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_result(stage, WORKER, STAGE_BOOT - 1, 5, 257 - lease.job, "clamav"); /* of the other one */
    assert_int_equal(stage_counts(stage).strays, 1);
    stage_committed(stage, MASTER, 257 - lease.job);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).strays, 0);
}

static void a_job_that_waits_here_and_is_held_there_is_adopted(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct ps_part_held held;

    (void)hold_one(stage, &lease);
    stage_restart(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 1);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    held = (struct ps_part_held){STAGE_BOOT, lease.seq, 1, PS_BYTES_LIT("clamav"), false};
    stage_ready(stage, WORKER, "clamav", 1, 8, &held, 1, NULL, 0);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).leased, 1);
    /* A second worker that says it holds the same has a copy too many. */
    (void)stage_hello(stage, OTHER, PS_ROLE_WORKER, NULL);
    held.seq++;
    stage_ready(stage, OTHER, "clamav", 1, 8, &held, 1, NULL, 0);
    stage_turn(stage);
    (void)stage_expect(stage, OTHER, PS_MSG_CANCEL);
    stage_expect_none(stage, WORKER, PS_MSG_CANCEL);
}

static void strays_are_forgotten_after_a_minute(void **state)
{
    struct stage *stage = *state;
    struct ps_part_held held = {STAGE_BOOT - 1, 5, 5, PS_BYTES_LIT("clamav"), false};
    struct stage_session worker, master;
    struct stage_beater beater;

    stage_open(stage);
    worker = stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8, &held, 1, NULL, 0);
    beater = (struct stage_beater){BEAT, &worker, {0}};
    stage_pass_beating(stage, 90000, &beater, 1);
    assert_int_equal(stage_counts(stage).strays, 1); /* no master could have submitted it */
    master = stage_master(stage, MASTER, 100);
    for (int i = 0; i < 62; i++) {
        assert_true(i >= 60 || stage_counts(stage).strays == 1);
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = master.id));
        stage_pass_beating(stage, 1000, &beater, 1);
    }
    assert_int_equal(stage_counts(stage).strays, 0);
}

/* The result of an earlier boot's lease goes to the master, whose word goes back to the worker. */
static void a_stray_result_is_for_the_master_to_judge(void **state)
{
    struct stage *stage = *state;
    const uint64_t old = STAGE_BOOT - 1;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8, NULL, 0, &(struct ps_part_lease_ref){old, 5, 5}, 1);
    stage_result(stage, WORKER, old, 5, 5, "clamav");
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_RESULT)->RESULT.job, 5);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_COMMITTED);
    stage_committed(stage, MASTER, 5);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
    assert_int_equal(stage_counts(stage).strays, 0);
}

/* Result first, then the job: it is not done again. And a master that comes later hears it. */
static void a_stray_result_meets_its_job(void **state)
{
    struct stage *stage = *state;
    const uint64_t old = STAGE_BOOT - 1;

    stage_open(stage);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8, NULL, 0, NULL, 0);
    stage_result(stage, WORKER, old, 5, 5, "clamav");
    (void)stage_master(stage, MASTER, 100);
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    SUBMIT(stage, MASTER, .job = 5);
    stage_turn(stage);
    stage_expect_none(stage, WORKER, PS_MSG_JOB);
    assert_int_equal(stage_counts(stage).pending, 1);
    stage_committed(stage, MASTER, 5);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_COMMITTED);
}

/* What this boot does not know any more was settled. */
static void what_was_settled_is_forgotten_everywhere(void **state)
{
    struct stage *stage = *state;
    struct ps_part_held held = {STAGE_BOOT, 5, 5, PS_BYTES_LIT("clamav"), false};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8, &held, 1, &(struct ps_part_lease_ref){STAGE_BOOT, 6, 6}, 1);
    stage_turn(stage);
    assert_int_equal(only_job(&stage_expect(stage, WORKER, PS_MSG_CANCEL)->CANCEL.leases), 5);
    assert_int_equal(only_job(&stage_expect(stage, WORKER, PS_MSG_COMMITTED)->COMMITTED.leases), 6);
    stage_result(stage, WORKER, STAGE_BOOT, 6, 6, "clamav");
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    assert_int_equal(stage_counts(stage).late, 1);
}

static void a_result_of_another_engine_is_nonsense(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;

    (void)hold_one(stage, &lease);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "yara");
    assert_true(stage_dropped(stage, WORKER));
    assert_int_equal(stage_counts(stage).queued, 1);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    stage_say(stage, WORKER,
              PS_MSG(RESULT, .boot = STAGE_BOOT, .seq = 1, .job = 1, .engine = PS_BYTES_LIT("clamav"),
                     .outcome = 77));
    assert_true(stage_dropped(stage, WORKER));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_result_goes_up_and_its_commit_down),
        T(submitting_again_is_the_same),
        T(a_stray_lease_that_was_given_back_is_not_adopted),
        T(a_result_at_the_limit_of_leases_is_settled_all_the_same),
        T(a_reported_job_does_not_expire),
        T(a_dead_workers_running_job_is_a_suspect),
        T(a_worker_that_says_bye_is_not_to_blame),
        T(three_lost_leases_bury),
        T(lost_leases_are_counted_over_restarts),
        T(lost_leases_use_up_the_scans_time),
        T(a_lease_that_runs_for_ever_is_lost),
        T(a_worker_that_stalls_is_given_up),
        T(what_waits_at_a_busy_worker_does_not_expire),
        T(cancelling),
        T(a_cancelled_outcome_is_no_result),
        T(a_late_result_is_taken_and_the_second_copy_cancelled),
        T(leases_that_never_arrived_are_given_back),
        T(an_earlier_boots_leases_are_adopted),
        T(a_job_that_waits_here_and_is_held_there_is_adopted),
        T(strays_are_forgotten_after_a_minute),
        T(a_stray_result_is_for_the_master_to_judge),
        T(a_stray_result_meets_its_job),
        T(what_was_settled_is_forgotten_everywhere),
        T(a_result_of_another_engine_is_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
