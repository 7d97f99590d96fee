/* Samples on their way: FETCH, CHUNK, GONE, limits and turns. */
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

/* A worker asks for the next part of a sample before the last has come; in the total there is room for a part of each. */
static void parts_of_one_sample_keep_their_order(void **state)
{
    enum { C = PS_CHUNK_MAX };
    struct stage *stage = *state;
    struct stage_session worker;
    const struct ps_msg *msg;

    stage->options.transfer_total = 4 * C;
    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    fetch(stage, WORKER, 1, 0, 6 * C);
    fetch(stage, WORKER, 1, 6 * C, 2 * C);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_FETCH)->FETCH.bytes, 4 * C);
    for (uint64_t i = 0; i < 3; i++) { /* room comes, and the later part does not take it */
        chunk(stage, worker.id, 1, i * C, 8 * C, C);
        stage_expect_none(stage, MASTER, PS_MSG_FETCH);
    }
    chunk(stage, worker.id, 1, 3 * C, 8 * C, C);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.offset, 4 * C);
    assert_int_equal(msg->FETCH.bytes, 2 * C);
    msg = stage_expect(stage, MASTER, PS_MSG_FETCH);
    assert_int_equal(msg->FETCH.offset, 6 * C);
    assert_int_equal(msg->FETCH.bytes, 2 * C);
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
        T(pieces_go_to_who_asked),
        T(a_sample_that_is_gone_is_told),
        T(a_worker_asks_within_its_limit),
        T(parts_of_one_sample_keep_their_order),
        T(workers_take_turns_within_the_total),
        T(who_asks_again_keeps_its_place),
        T(a_turn_is_small_while_others_wait),
        T(a_new_master_is_asked_for_what_is_missing),
        T(what_does_not_come_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
