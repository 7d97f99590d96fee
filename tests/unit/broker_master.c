/* Masters: epochs, refusal at the door, budgets, absent engines, what a new one hears, FLEET, samples on their way. */
#include "broker/core/transfer.h"
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

/* ---- samples on their way ---- */

static void fetch(struct stage *stage, uint32_t peer, uint8_t sample, uint64_t offset, uint32_t bytes)
{
    struct ps_msg msg = {.id = PS_MSG_FETCH, .FETCH = {.offset = offset, .bytes = bytes}};

    memset(msg.FETCH.sha256, sample, 32);
    stage_say(stage, peer, &msg);
    stage_turn(stage);
}

static void chunk(struct stage *stage, uint64_t peer, uint8_t sample, uint64_t offset, uint64_t size,
                  size_t n)
{
    struct ps_msg msg = {.id = PS_MSG_CHUNK, .CHUNK = {.peer = peer, .offset = offset, .size = size}};

    memset(msg.CHUNK.sha256, sample, 32);
    stage_carry(stage, MASTER, &msg, n);
    stage_turn(stage);
}

static void pieces_go_to_who_asked(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    (void)stage_worker(stage, OTHER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 100000);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.peer, worker.id);
    assert_int_equal(msg->FETCH.bytes, 100000);
    chunk(stage, worker.id, 1, 0, 200000, 65536);
    chunk(stage, worker.id, 1, 65536, 200000, 34464);
    assert_int_equal(stage_expect(stage, WORKER, PS_MSG_CHUNK)->CHUNK.offset, 0);
    assert_int_equal(stage_expect(stage, WORKER, PS_MSG_CHUNK)->CHUNK.offset, 65536);
    assert_int_equal(stage_counts(stage).fetches, 0);
    stage_expect_none(stage, OTHER, PS_MSG_CHUNK);
    /* What nobody asked for, or asked for elsewhere, goes nowhere. */
    chunk(stage, worker.id, 1, 99, 200000, 10);
    chunk(stage, worker.id + 65536, 1, 0, 200000, 10);
    chunk(stage, 0, 1, 0, 200000, 10);
    fetch(stage, WORKER, 2, 0, 10);
    chunk(stage, worker.id, 2, 0, 200000, PS_CHUNK_MAX + 1);
    stage_expect_none(stage, WORKER, PS_MSG_CHUNK);
    assert_int_equal(stage_counts(stage).dropped_chunks, 4);
}

static void a_sample_that_is_gone_is_told(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_msg msg = {.id = PS_MSG_GONE, .GONE = {.reason = PS_BYTES_LIT("purged")}};

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 10);
    fetch(stage, WORKER, 1, 10, 10);
    fetch(stage, WORKER, 2, 0, 10);
    msg.GONE.peer = worker.id;
    memset(msg.GONE.sha256, 1, 32);
    stage_say(stage, MASTER, &msg);
    assert_true(ps_bytes_is(stage_expect(stage, WORKER, PS_MSG_GONE)->GONE.reason, "purged"));
    assert_int_equal(stage_counts(stage).fetches, 1);
}

/* However much it asks for: of the master it is asked piece by piece. */
static void a_worker_asks_within_its_limit(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage->options.transfer_bytes = 200000;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 150000);
    fetch(stage, WORKER, 2, 0, 150000);
    fetch(stage, WORKER, 3, 0, UINT32_MAX);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_FETCH)->FETCH.bytes, 150000);
    stage_expect_none(stage, MASTER, PS_MSG_FETCH); /* 50,000 is less than a chunk: not worth a piece */
    chunk(stage, worker.id, 1, 0, 1000000, 65536);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.bytes, 200000 - (150000 - 65536));
    assert_int_equal(msg->FETCH.sha256[0], 2);
    chunk(stage, worker.id, 1, 65536, 1000000, 65536);
    chunk(stage, worker.id, 1, 131072, 1000000, 18928); /* the first is complete */
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.sha256[0], 3);
    assert_int_equal(msg->FETCH.bytes, 200000 - 18928 - 115536);
    chunk(stage, worker.id, 2, 0, 500000, 65536);
    chunk(stage, worker.id, 2, 65536, 500000, 50000); /* its piece is over: the rest is asked for */
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.sha256[0], 2);
    assert_int_equal(msg->FETCH.offset, 115536);
    assert_int_equal(msg->FETCH.bytes, 150000 - 115536);
    for (uint8_t i = 10; i < 90; i++)
        fetch(stage, WORKER, i, 0, 10);
    assert_true(stage_dropped(stage, WORKER));
}

/* What may be on its way for all is shared: each worker gets a piece a turn, of one that leaves the others get its part. */
static void workers_take_turns_within_the_total(void **state)
{
    struct stage *stage = *state;
    struct stage_session first, other;
    const struct ps_msg *msg;

    stage->options.transfer_total = 5 * PS_CHUNK_MAX;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    first = stage_worker(stage, WORKER, "clamav", 1, 1);
    other = stage_worker(stage, OTHER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 16 * PS_CHUNK_MAX);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH); /* nobody else waits: all of it */
    assert_int_equal(msg->FETCH.bytes, 5 * PS_CHUNK_MAX);
    fetch(stage, OTHER, 2, 0, 16 * PS_CHUNK_MAX);
    fetch(stage, WORKER, 3, 0, 16 * PS_CHUNK_MAX);
    stage_expect_none(stage, MASTER, PS_MSG_FETCH);
    chunk(stage, first.id, 1, 0, 100 * PS_CHUNK_MAX, PS_CHUNK_MAX);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.peer, other.id);
    assert_int_equal(msg->FETCH.bytes, PS_CHUNK_MAX);
    chunk(stage, first.id, 1, PS_CHUNK_MAX, 100 * PS_CHUNK_MAX, PS_CHUNK_MAX);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.peer,
                     first.id); /* the other has its piece on its way, and no second sample */
    assert_int_equal(msg->FETCH.sha256[0], 3);
    chunk(stage, other.id, 2, 0, 100 * PS_CHUNK_MAX, PS_CHUNK_MAX);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.peer, other.id);
    assert_int_equal(msg->FETCH.offset, PS_CHUNK_MAX);
    assert_int_equal(stage_counts(stage).flight_bytes, 5 * PS_CHUNK_MAX);
    fetch(stage, OTHER, 4, 0, 16 * PS_CHUNK_MAX);
    fetch(stage, OTHER, 5, 0, 16 * PS_CHUNK_MAX);
    stage_say(stage, WORKER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    stage_turn(stage);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.peer, other.id);
    assert_int_equal(msg->FETCH.bytes, 4 * PS_CHUNK_MAX);
    stage_expect_none(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(stage_counts(stage).flight_bytes, 5 * PS_CHUNK_MAX);
}

/* A worker that becomes impatient does not lose its place by asking again. */
static void who_asks_again_keeps_its_place(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage->options.transfer_total = PS_CHUNK_MAX;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    for (uint8_t i = 1; i < 4; i++)
        fetch(stage, WORKER, i, 0, PS_CHUNK_MAX);
    fetch(stage, WORKER, 2, 0, PS_CHUNK_MAX / 2);
    assert_int_equal(stage_counts(stage).fetches, 3);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_FETCH)->FETCH.sha256[0], 1);
    chunk(stage, worker.id, 1, 0, 100 * PS_CHUNK_MAX, PS_CHUNK_MAX);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.sha256[0], 2);
    assert_int_equal(msg->FETCH.bytes, PS_CHUNK_MAX / 2);
}

/* Where several wait, none takes more than PS_FETCH_TURN_BYTES of the room at once. */
static void a_turn_is_small_while_others_wait(void **state)
{
    struct stage *stage = *state;
    struct stage_session workers[2];
    uint32_t bytes[2] = {0};
    const struct ps_msg *msg;

    stage->options.transfer_total = 2 * PS_FETCH_TURN_BYTES;
    stage_open(stage);
    workers[0] = stage_worker(stage, WORKER, "clamav", 1, 1);
    workers[1] = stage_worker(stage, OTHER, "clamav", 1, 1);
    for (uint8_t i = 1; i < 5; i++) {
        fetch(stage, WORKER, i, 0, 16 * PS_CHUNK_MAX);
        fetch(stage, OTHER, i, 0, 16 * PS_CHUNK_MAX);
    }
    (void)stage_master(stage, MASTER, 1); /* nobody could be asked before */
    stage_turn(stage);
    while ((msg = stage_heard(stage, MASTER, PS_MSG_FETCH))) {
        assert_in_range(msg->FETCH.bytes, 1, PS_FETCH_TURN_BYTES);
        bytes[msg->FETCH.peer == workers[1].id] += msg->FETCH.bytes;
    }
    assert_int_equal(bytes[0], PS_FETCH_TURN_BYTES);
    assert_int_equal(bytes[1], PS_FETCH_TURN_BYTES);
}

static void a_new_master_is_asked_for_what_is_missing(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage_open(stage);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 100000);
    (void)stage_master(stage, MASTER, 1);
    stage_turn(stage);
    (void)stage_expect(stage, MASTER, PS_MSG_FETCH);
    chunk(stage, worker.id, 1, 0, 100000, 60000);
    stage_say(stage, MASTER, PS_MSG(BYE, .reason = PS_BYTES_LIT("")));
    (void)stage_master(stage, MASTER, 1);
    stage_turn(stage);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.offset, 60000);
    assert_int_equal(msg->FETCH.bytes, 40000);
}

/* A piece of an older question moved the offset, and the pieces of the newer one do not fit: found by the simulation. */
static void what_does_not_come_is_asked_again(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker, master;
    struct stage_beater beater;
    const struct ps_msg *msg;

    stage_open(stage);
    master = stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    beater = (struct stage_beater){BEAT, &worker, {0}};
    fetch(stage, WORKER, 1, 0, 65536);
    (void)stage_expect(stage, MASTER, PS_MSG_FETCH);
    chunk(stage, worker.id, 1, 0, 200000, 20000);
    chunk(stage, worker.id, 1, 0, 200000, 40000);
    chunk(stage, worker.id, 1, 40000, 200000, 25536);
    assert_int_equal(stage_counts(stage).fetches, 1);
    for (int i = 0; i < 6; i++) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = master.id));
        stage_pass_beating(stage, 1000, &beater, 1);
    }
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.offset, 20000);
    assert_int_equal(msg->FETCH.bytes, 45536);
    /* Without any answer it is dropped in the end: the worker asks again if it still wants it. */
    for (int i = 0; i < 30; i++) {
        stage_say(stage, MASTER, PS_MSG(PULSE, .session = master.id));
        stage_pass_beating(stage, 1000, &beater, 1);
    }
    assert_int_equal(stage_counts(stage).fetches, 0);
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
        T(fleet_tells_what_the_last_heartbeat_named),
        T(fleet_is_bounded),
        T(pieces_go_to_who_asked),
        T(a_sample_that_is_gone_is_told),
        T(a_worker_asks_within_its_limit),
        T(workers_take_turns_within_the_total),
        T(who_asks_again_keeps_its_place),
        T(a_turn_is_small_while_others_wait),
        T(a_new_master_is_asked_for_what_is_missing),
        T(what_does_not_come_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
