/* Files that engines derived, on their way: KEEP, WANT, PIECE, KEPT. */
#include "broker/core/keep.h"
#include "broker_stage.h"

#include "base/mem.h"
#include "broker/core/lease.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, BEAT = 9 };

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

static void piece(struct stage *stage, uint64_t peer, uint64_t offset, size_t n)
{
    struct ps_msg msg = {.id = PS_MSG_PIECE, .PIECE = {.peer = peer, .offset = offset}};

    stage_carry(stage, WORKER, &msg, n);
    stage_turn(stage);
}

static void want(struct stage *stage, uint64_t peer, uint32_t bytes)
{
    stage_say(stage, MASTER, PS_MSG(WANT, .peer = peer, .bytes = bytes));
    stage_turn(stage);
}

static void words_go_up_and_down(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    (void)stage_worker(stage, OTHER, "clamav", 1, 1);
    stage_say(stage, WORKER, PS_MSG(KEEP, .peer = 77, .size = 5));
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_KEEP)->KEEP.peer, worker.id);
    want(stage, worker.id, 5);
    assert_int_equal(stage_expect(stage, WORKER, PS_MSG_WANT)->WANT.bytes, 5);
    piece(stage, worker.id, 0, 5);
    assert_int_equal(stage_expect(stage, MASTER, PS_MSG_PIECE)->PIECE.peer, worker.id);
    stage_say(stage, MASTER, PS_MSG(KEPT, .peer = worker.id, .reason = PS_BYTES_LIT("no room")));
    stage_turn(stage);
    assert_true(ps_bytes_is(stage_expect(stage, WORKER, PS_MSG_KEPT)->KEPT.reason, "no room"));
    stage_expect_none(stage, OTHER, PS_MSG_KEPT);
    stage_expect_none(stage, OTHER, PS_MSG_WANT);
}

/* A worker can't fill the master's connection with what nobody asked for. */
static void pieces_that_nobody_asked_for_are_dropped(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 1);
    worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    piece(stage, worker.id, 0, 1);
    want(stage, worker.id, 100);
    piece(stage, worker.id, 0, 60);
    (void)stage_expect(stage, MASTER, PS_MSG_PIECE);
    piece(stage, worker.id, 60, 41);
    stage_expect_none(stage, MASTER, PS_MSG_PIECE);
    assert_int_equal(stage_counts(stage).dropped_chunks, 2);
    want(stage, worker.id + 65536, 100); /* somebody who is gone */
    assert_int_equal(stage_counts(stage).dropped_chunks, 3);
    piece(stage, worker.id + 1, 0, 1); /* in another's name */
    assert_true(stage_dropped(stage, WORKER));
}

/* Its lease is not late while it keeps files, and is when it stops saying so. */
static void a_lease_runs_while_its_files_are_kept(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease lease;
    struct stage_beater beater;

    stage_open(stage);
    (void)stage_master(stage, MASTER, 2);
    worker = stage_worker(stage, WORKER, "clamav", 1, 2);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    beater = (struct stage_beater){
        .peer = BEAT, .session = &worker, .running = {.boot = STAGE_BOOT, .seq = lease.seq, .job = 1}};
    for (int i = 0; i < 16; i++) { /* beyond run time and margin, within the hard end */
        stage_say(stage, WORKER, PS_MSG(KEEP, .size = 5));
        stage_pass_beating(stage, 5000, &beater, 1);
        assert_int_equal(stage_counts(stage).lost, 0);
        stage_forget(stage);
    }
    stage_pass_beating(stage, PS_LEASE_MARGIN_MS + 1000, &beater, 1);
    assert_int_equal(stage_counts(stage).lost, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_go_up_and_down, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_that_nobody_asked_for_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_runs_while_its_files_are_kept, setup, teardown),
    };

    return cmocka_run_group_tests_name("broker_keep", tests, NULL, NULL);
}
