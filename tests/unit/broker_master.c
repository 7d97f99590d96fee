/* Masters: epochs, refusal at the door, budgets, absent engines, what a new one hears, FLEET. */
#include "broker_stage.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, SECOND = 4, BEAT = 9 };

static int setup(void **state)
{
    *state = stage_new();
    return 0;
}

static int teardown(void **state)
{
    stage_free(*state);
    return 0;
}

static void an_older_epoch_is_sent_away(void **state)
{
    struct stage *stage = *state;
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, SECOND, PS_ROLE_MASTER, NULL);
    stage_say(stage, SECOND, PS_MSG(GRANT, .epoch = 2, .results = 5));
    SUBMIT(stage, MASTER, .job = 1, .epoch = 1);
    msg = stage_expect(stage, MASTER, PS_MSG_REFUSED);
    assert_true(ps_bytes_is(msg->REFUSED.code, "denied"));
    assert_true(stage_dropped(stage, MASTER));
    assert_int_equal(stage_counts(stage).jobs, 0);
    assert_int_equal(stage_counts(stage).refused_epochs, 1);
    assert_int_equal(stage_counts(stage).grant, 5);
    /* The same for every message that carries one. */
    (void)stage_hello(stage, MASTER, PS_ROLE_MASTER, NULL);
    stage_committed(stage, MASTER, 1);
    assert_true(stage_dropped(stage, MASTER));
    (void)stage_hello(stage, MASTER, PS_ROLE_MASTER, NULL);
    stage_say(stage, MASTER, PS_MSG(CANCEL, .epoch = 1));
    assert_true(stage_dropped(stage, MASTER));
}

static void a_new_master_hears_what_is_not_committed(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;

    stage->options.engine_grace_ms = 0;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    SUBMIT(stage, MASTER, .job = 256, .engines = "nobody");
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    SUBMIT(stage, MASTER, .job = 512, .lost = 2);
    stage_turn(stage);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job, "clamav");
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    (void)stage_expect(stage, MASTER, PS_MSG_DECIDED);
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    stage_forget(stage);
    (void)stage_hello(stage, SECOND, PS_ROLE_MASTER, NULL);
    stage_expect_none(stage, SECOND, PS_MSG_RESULT);
    stage_say(stage, SECOND, PS_MSG(GRANT, .epoch = 2, .results = 100));
    assert_int_equal(stage_expect(stage, SECOND, PS_MSG_RESULT)->RESULT.job, lease.job);
    assert_int_equal(stage_expect(stage, SECOND, PS_MSG_DECIDED)->DECIDED.job, 256);
    assert_int_equal(stage_expect(stage, SECOND, PS_MSG_LOST)->LOST.lost, 2);
    stage_expect_none(stage, SECOND, PS_MSG_RESULT);
    stage_say(stage, SECOND, PS_MSG(GRANT, .epoch = 2, .results = 100));
    stage_expect_none(stage, SECOND, PS_MSG_RESULT);
}

/* What was under way when its connection broke is lost, so a master that resumes hears it again. */
static void a_master_that_resumes_hears_it_again(void **state)
{
    struct stage *stage = *state;
    struct stage_session master;
    struct ps_part_lease lease;

    stage_open(stage);
    master = stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_event(stage, PS_EVENT_GONE, MASTER);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    master = stage_hello(stage, SECOND, PS_ROLE_MASTER, &master);
    assert_true(master.resumed);
    assert_int_equal(stage_expect(stage, SECOND, PS_MSG_RESULT)->RESULT.job, 1);
}

static void work_goes_on_without_a_master(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct stage_beater beater;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 4);
    worker = stage_worker(stage, WORKER, "clamav", 1, 8);
    for (uint64_t i = 1; i <= 6; i++)
        SUBMIT(stage, MASTER, .job = i * 256);
    beater = (struct stage_beater){BEAT, &worker, {0}};
    stage_pass_beating(stage, 10000, &beater, 1);
    assert_int_equal(stage_counts(stage).sessions, 1);
    assert_int_equal(stage_counts(stage).leased, 4);
    assert_int_equal(stage_counts(stage).queued, 2);
    for (int i = 0; i < 4; i++) {
        struct ps_part_lease lease = stage_job(stage, WORKER);

        stage_result(stage, WORKER, STAGE_BOOT, lease.seq, lease.job, "clamav");
    }
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).pending, 4);
    assert_int_equal(stage_counts(stage).leased, 0); /* the grant is used up */
}

static void a_full_broker_is_busy(void **state)
{
    struct stage *stage = *state;
    const struct ps_msg *msg;

    stage->options.jobs_max = 3;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 256, .engines = "a,b");
    SUBMIT(stage, MASTER, .job = 512, .engines = "a,b,c");
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_ACCEPTED)->ACCEPTED.jobs.n, 3);
    msg = stage_expect(stage, MASTER, PS_MSG_BUSY);
    assert_int_equal(msg->BUSY.jobs.n, 2);
    assert_true(msg->BUSY.retry_ms > 0);
    SUBMIT(stage, MASTER, .job = 1024);
    stage_turn(stage);
    stage_expect_none(stage, MASTER, PS_MSG_ACCEPTED);
    assert_int_equal(stage_counts(stage).samples, 2);
    /* What is known is accepted even so. */
    SUBMIT(stage, MASTER, .job = 256, .engines = "a,b");
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_ACCEPTED)->ACCEPTED.jobs.n, 2);
}

static void too_many_owners_are_busy(void **state)
{
    struct stage *stage = *state;

    stage->options.owners_max = 2;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    for (uint64_t i = 1; i <= 3; i++)
        SUBMIT(stage, MASTER, .job = i * 256, .owner = i);
    assert_int_equal(stage_counts(stage).jobs, 2);
    (void)stage_expect(stage, MASTER, PS_MSG_BUSY);
}

static void bytes_over_the_budget_are_busy(void **state)
{
    struct stage *stage = *state;
    static uint8_t data[PS_INLINE_MAX];
    struct ps_part_ask ask = {.engine = PS_BYTES_LIT("clamav")};
    uint32_t busy = 0;

    stage->options.inline_budget_bytes = 1024 * 1024;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    for (uint64_t i = 1; i <= 20; i++) {
        struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                             .SUBMIT = {.epoch = 1,
                                        .size = sizeof(data),
                                        .data = {data, sizeof(data)},
                                        .jobs = {.items = &ask, .n = 1}}};

        ask.job = i * 256;
        msg.SUBMIT.sha256[9] = (uint8_t)i;
        stage_say(stage, MASTER, &msg);
        busy += stage_heard(stage, MASTER, PS_MSG_BUSY) != NULL;
    }
    assert_int_equal(busy, 4);
    assert_int_equal(stage_counts(stage).jobs, 16);
    assert_int_equal(stage_counts(stage).inline_bytes, 1024 * 1024);
    /* A large sample needs no room here. */
    SUBMIT(stage, MASTER, .job = 9999, .size = 1000000);
    assert_int_equal(stage_counts(stage).jobs, 17);
}

/* Bytes that are not the whole sample are of no use. */
static void short_bytes_are_not_kept(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_ask ask = {.job = 1, .engine = PS_BYTES_LIT("clamav")};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    stage_say(
        stage, MASTER,
        PS_MSG(SUBMIT, .epoch = 1, .size = 5, .data = PS_BYTES_LIT("abc"), .jobs = {.items = &ask, .n = 1}));
    assert_int_equal(stage_counts(stage).jobs, 1);
    assert_int_equal(stage_counts(stage).inline_bytes, 0);
}

static void an_absent_engine_is_unavailable_after_its_grace(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker, master;
    const struct ps_msg *msg;

    stage_open(stage);
    master = stage_master(stage, MASTER, 100);
    SUBMIT(stage, MASTER, .job = 256, .engines = "nobody");
    for (int i = 0; i < 29; i++) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = master.id));
        stage_pass(stage, 1000);
    }
    stage_expect_none(stage, MASTER, PS_MSG_DECIDED);
    stage_pass(stage, 1100);
    msg = stage_expect(stage, MASTER, PS_MSG_DECIDED);
    assert_int_equal(msg->DECIDED.outcome, PS_OUTCOME_UNAVAILABLE);
    assert_true(ps_bytes_is(msg->DECIDED.reason, "no worker offers nobody"));
    assert_true(ps_bytes_is(msg->DECIDED.engine, "nobody"));
    /* The next is told in its turn, without waiting. */
    SUBMIT(stage, MASTER, .job = 512, .engines = "nobody");
    stage_turn(stage);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_DECIDED)->DECIDED.job, 512);
    /* One that was there counts from when it went. */
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    (void)worker;
    stage_say(stage, WORKER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    SUBMIT(stage, MASTER, .job = 768);
    stage_pass(stage, 1000);
    stage_expect_none(stage, MASTER, PS_MSG_DECIDED);
}

static void what_is_wrong_with_an_engine_is_told(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_offer sick = {.name = PS_BYTES_LIT("clamav"),
                                       .problem = PS_BYTES_LIT("no signatures")};

    stage->options.engine_grace_ms = 0;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_say(stage, WORKER, PS_MSG(READY, .slots = 1, .window = 4, .engines = {.items = &sick, .n = 1}));
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    assert_true(ps_bytes_is(stage_expect(stage, MASTER, PS_MSG_DECIDED)->DECIDED.reason,
                            "no worker offers clamav: no signatures"));
}

/* A million jobs of an engine that is not there do not flood the master: the grant bounds it. */
static void decisions_are_within_the_grant(void **state)
{
    struct stage *stage = *state;

    stage->options.engine_grace_ms = 0;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 10);
    for (uint64_t i = 1; i <= 25; i++)
        SUBMIT(stage, MASTER, .job = i * 256, .engines = "nobody");
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).pending, 10);
    for (int i = 0; i < 25; i++) {
        stage_committed(stage, MASTER, stage_expect(stage, MASTER, PS_MSG_DECIDED)->DECIDED.job);
        stage_pass(stage, 100);
    }
    assert_int_equal(stage_counts(stage).jobs, 0);
}

/* With no room for a copy the worker's own is the only one: it is sent away so that it says it again. */
static void results_without_a_copy_are_said_again(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;
    struct stage_session worker;

    stage->options.result_budget_bytes = 8;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    (void)stage_expect(stage, MASTER, PS_MSG_RESULT);
    assert_int_equal(stage_counts(stage).result_bytes, 0);
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    (void)stage_master(stage, SECOND, 100);
    stage_turn(stage);
    (void)stage_expect(stage, WORKER, PS_MSG_BYE);
    assert_true(stage_dropped(stage, WORKER));
    worker = stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_ready(stage, WORKER, "clamav", 1, 8, NULL, 0, &(struct ps_part_lease_ref){STAGE_BOOT, lease.seq, 1},
                1);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    (void)worker;
    assert_int_equal(stage_expect(stage, SECOND, PS_MSG_RESULT)->RESULT.job, 1);
    stage_committed(stage, SECOND, 1);
    assert_int_equal(stage_counts(stage).jobs, 0);
}

/* And when that worker is gone with it, the job is done again. */
static void a_result_that_nobody_has_any_more_is_made_again(void **state)
{
    struct stage *stage = *state;
    struct ps_part_lease lease;

    stage->options.result_budget_bytes = 8;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav", 1, 8);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_say(stage, WORKER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    assert_int_equal(stage_counts(stage).pending, 1); /* the master may still commit it */
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    (void)stage_master(stage, SECOND, 100);
    assert_int_equal(stage_counts(stage).queued, 1);
}

/* ---- FLEET ---- */

static void fleet_tells_of_workers_and_queues(void **state)
{
    struct stage *stage = *state;
    const struct ps_msg *msg;
    struct ps_list_worker workers;
    struct ps_list_offer offers;
    struct ps_list_load loads;
    struct ps_part_worker worker;
    struct ps_part_offer offer;
    struct ps_part_load load;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    (void)stage_worker(stage, WORKER, "clamav,yara", 3, 2);
    for (uint64_t i = 1; i <= 5; i++)
        SUBMIT(stage, MASTER, .job = i * 256);
    stage_pass(stage, 2000);
    stage_forget(stage);
    stage_pass(stage, 1000);
    msg = stage_expect(stage, MASTER, PS_MSG_FLEET);
    stage_expect_none(stage, MASTER, PS_MSG_FLEET);
    assert_int_equal(msg->FLEET.jobs, 5);
    workers = msg->FLEET.workers;
    assert_true(ps_worker_next(&workers, &worker));
    assert_true(ps_bytes_is(worker.name, "w1") && ps_bytes_is(worker.isolation, "full"));
    assert_int_equal(worker.slots, 3);
    assert_int_equal(worker.window, 2);
    assert_int_equal(worker.held, 2);
    assert_in_range(worker.silent_ms, 2000, 3100);
    offers = worker.engines;
    assert_true(ps_offer_next(&offers, &offer));
    assert_true(ps_bytes_is(offer.name, "clamav") && ps_bytes_is(offer.version, "1"));
    loads = msg->FLEET.loads;
    assert_true(ps_load_next(&loads, &load));
    assert_true(ps_bytes_is(load.engine, "clamav"));
    assert_int_equal(load.queued, 3);
    assert_int_equal(load.leased, 2);
    assert_int_equal(load.workers, 1);
    assert_in_range(load.oldest_ms, 2000, 3200);
    /* A worker that comes or goes is told of soon. */
    (void)stage_worker(stage, OTHER, "clamav", 1, 1);
    stage_pass(stage, 100);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_FLEET)->FLEET.workers.n, 2);
}

/* What the door dropped, and heartbeats of nobody: somebody tries something. */
static void fleet_tells_what_was_denied(void **state)
{
    struct stage *stage = *state;
    const struct stage_session nobody = {.id = 77};
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    stage_beat(stage, BEAT, &nobody, NULL, 0);
    stage->denied_n = 5;
    stage_pass(stage, 2000);
    stage_forget(stage);
    stage_pass(stage, 1000);
    msg = stage_expect(stage, MASTER, PS_MSG_FLEET);
    assert_int_equal(msg->FLEET.denied, 5);
    assert_int_equal(msg->FLEET.strange_beats, 1);
}

/* Short jobs come and go between two heartbeats; told is what the last one named, not what is left of it. */
static void fleet_tells_what_the_last_heartbeat_named(void **state)
{
    struct stage *stage = *state;
    struct stage_session session;
    struct ps_part_lease_ref running[2];
    struct ps_list_worker workers;
    struct ps_part_worker worker;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 100);
    session = stage_worker(stage, WORKER, "clamav", 2, 4);
    for (uint64_t i = 1; i <= 4; i++)
        SUBMIT(stage, MASTER, .job = i * 256);
    stage_turn(stage);
    for (int i = 0; i < 2; i++) {
        struct ps_part_lease lease = stage_job(stage, WORKER);

        running[i] = (struct ps_part_lease_ref){STAGE_BOOT, lease.seq, lease.job};
    }
    stage_beat(stage, BEAT, &session, running, 2);
    for (int i = 0; i < 2; i++)
        stage_result(stage, WORKER, running[i].boot, running[i].seq, running[i].job, "clamav");
    stage_forget(stage);
    stage_pass(stage, 1000);
    workers = stage_expect(stage, MASTER, PS_MSG_FLEET)->FLEET.workers;
    assert_true(ps_worker_next(&workers, &worker));
    assert_int_equal(worker.held, 2);
    assert_int_equal(worker.running, 2);
    stage_beat(stage, BEAT, &session, NULL, 0);
    stage_forget(stage);
    stage_pass(stage, 1000);
    workers = stage_expect(stage, MASTER, PS_MSG_FLEET)->FLEET.workers;
    assert_true(ps_worker_next(&workers, &worker));
    assert_int_equal(worker.running, 0);
}

/* Thousands of workers with long texts: what would not fit into a frame is left out. */
static void fleet_is_bounded(void **state)
{
    struct stage *stage = *state;
    static char text[PS_TEXT_MAX];
    static struct ps_part_offer offers[40];
    static char names[40][8];
    const struct ps_msg *msg;

    stage->options.workers_max = 100;
    stage_open(stage);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "e%d", i);
        offers[i] = (struct ps_part_offer){.name = ps_bytes_of(names[i]),
                                           .types = {(uint8_t *)text, sizeof(text)},
                                           .problem = {(uint8_t *)text, sizeof(text)}};
    }
    (void)stage_master(stage, MASTER, 1);
    for (uint32_t i = 0; i < 60; i++) {
        (void)stage_hello(stage, 10 + i, PS_ROLE_WORKER, NULL);
        stage_say(stage, 10 + i,
                  PS_MSG(READY, .slots = 1, .window = 1, .engines = {.items = offers, .n = 40}));
    }
    stage_forget(stage);
    stage_pass(stage, 200);
    msg = stage_expect(stage, MASTER, PS_MSG_FLEET);
    assert_in_range(msg->FLEET.workers.n, 20, 59);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_older_epoch_is_sent_away),
        T(a_new_master_hears_what_is_not_committed),
        T(a_master_that_resumes_hears_it_again),
        T(work_goes_on_without_a_master),
        T(a_full_broker_is_busy),
        T(too_many_owners_are_busy),
        T(bytes_over_the_budget_are_busy),
        T(short_bytes_are_not_kept),
        T(an_absent_engine_is_unavailable_after_its_grace),
        T(what_is_wrong_with_an_engine_is_told),
        T(decisions_are_within_the_grant),
        T(results_without_a_copy_are_said_again),
        T(a_result_that_nobody_has_any_more_is_made_again),
        T(fleet_tells_of_workers_and_queues),
        T(fleet_tells_what_was_denied),
        T(fleet_tells_what_the_last_heartbeat_named),
        T(fleet_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
