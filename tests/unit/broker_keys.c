/* What a key means to the core: a session is for who opened it, and a key that is removed ends it. */
#include "broker_stage.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, THIEF = 4, BEAT = 9 };
enum { NOBODY = 0, ANN = 7, BOB = 8 }; /* numbers of keys */

static int setup(void **state)
{
    struct stage *stage = stage_new();

    stage_open(stage);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    stage_free(*state);
    return 0;
}

static struct stage_session worker_of(struct stage *stage, uint32_t who, uint32_t peer)
{
    struct stage_session session;

    stage->who = who;
    session = stage_worker(stage, peer, "clamav", 1, 8);
    stage->who = NOBODY;
    return session;
}

/* A beat with the right token from another key counts for nothing: the session ends in silence. */
static void a_beat_of_another_key_is_refused(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = worker_of(stage, ANN, WORKER);

    stage->who = BOB;
    stage_beat(stage, BEAT, &worker, NULL, 0);
    stage->who = NOBODY;
    stage_beat(stage, BEAT, &worker, NULL, 0);
    assert_int_equal(stage_counts(stage).refused_beats, 2);
    stage->who = ANN;
    stage_pass_beating(stage, 10000, &(struct stage_beater){BEAT, &worker, {0}}, 1);
    assert_int_equal(stage_counts(stage).workers, 1);
    stage->who = BOB;
    stage_pass_beating(stage, 5100, &(struct stage_beater){BEAT, &worker, {0}}, 1);
    assert_int_equal(stage_counts(stage).workers, 0);
}

static void a_session_resumes_for_its_own_key_alone(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = worker_of(stage, ANN, WORKER), got;

    stage->who = BOB;
    got = stage_hello(stage, THIEF, PS_ROLE_WORKER, &worker);
    assert_false(got.resumed);
    assert_int_not_equal(got.id, worker.id);
    stage->who = NOBODY; /* over the UNIX socket, where nobody has a key */
    got = stage_hello(stage, THIEF + 1, PS_ROLE_WORKER, &worker);
    assert_false(got.resumed);
    assert_false(stage_dropped(stage, WORKER));
    stage->who = ANN;
    got = stage_hello(stage, OTHER, PS_ROLE_WORKER, &worker);
    assert_true(got.resumed);
    assert_true(stage_dropped(stage, WORKER));
}

/* Its running lease is no suspect: the job is queued again free, goes to the next worker, and nothing is told as lost. */
static void a_removed_key_gives_its_leases_back_free(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease lease;

    (void)stage_master(stage, MASTER, 100);
    worker = worker_of(stage, ANN, WORKER);
    SUBMIT(stage, MASTER, .job = 1);
    SUBMIT(stage, MASTER, .job = 2);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage->who = ANN;
    stage_beat(stage, BEAT, &worker, &(struct ps_part_lease_ref){STAGE_BOOT, lease.seq, lease.job}, 1);
    assert_int_equal(stage_counts(stage).leased, 2);

    stage_ban(stage, ANN);
    assert_true(ps_bytes_is(stage_expect(stage, WORKER, PS_MSG_REFUSED)->REFUSED.code, "denied"));
    assert_true(stage_dropped(stage, WORKER));
    assert_int_equal(stage_counts(stage).workers, 0);
    assert_int_equal(stage_counts(stage).leased, 0);
    assert_int_equal(stage_counts(stage).queued, 2);
    assert_int_equal(stage_counts(stage).lost, 0);
    stage_expect_none(stage, MASTER, PS_MSG_LOST);

    (void)worker_of(stage, BOB, OTHER);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 2); /* both at once: a suspect would run alone */
}

/* What the connection still says has no session. The daemon does not even pass it on. */
static void what_a_removed_key_says_has_no_session(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker;
    struct ps_part_lease lease;

    (void)stage_master(stage, MASTER, 100);
    worker = worker_of(stage, ANN, WORKER);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_ban(stage, ANN);
    stage_forget(stage);
    stage->who = ANN;
    stage_result(stage, WORKER, STAGE_BOOT, lease.seq, 1, "clamav");
    stage_beat(stage, BEAT, &worker, NULL, 0);
    stage_turn(stage);
    stage_expect_none(stage, MASTER, PS_MSG_RESULT);
    assert_int_equal(stage_counts(stage).queued, 1);
    assert_int_equal(stage_counts(stage).refused_beats, 1);
}

static void others_do_not_notice(void **state)
{
    struct stage *stage = *state;

    (void)stage_master(stage, MASTER, 100);
    (void)worker_of(stage, ANN, WORKER);
    (void)worker_of(stage, ANN, OTHER); /* two workers of one key */
    (void)worker_of(stage, BOB, THIEF);
    stage_ban(stage, NOBODY); /* means no key at all */
    assert_int_equal(stage_counts(stage).workers, 3);
    stage_ban(stage, 1234);
    assert_int_equal(stage_counts(stage).workers, 3);
    stage_ban(stage, ANN);
    assert_int_equal(stage_counts(stage).workers, 1);
    assert_false(stage_dropped(stage, THIEF));
    assert_false(stage_dropped(stage, MASTER));
}

static void a_master_of_a_removed_key_is_out(void **state)
{
    struct stage *stage = *state;

    stage->who = ANN;
    (void)stage_master(stage, MASTER, 100);
    stage->who = NOBODY;
    stage_ban(stage, ANN);
    assert_true(ps_bytes_is(stage_expect(stage, MASTER, PS_MSG_REFUSED)->REFUSED.code, "denied"));
    stage->who = BOB;
    (void)stage_master(stage, OTHER, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_beat_of_another_key_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_resumes_for_its_own_key_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_key_gives_its_leases_back_free, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_removed_key_says_has_no_session, setup, teardown),
        cmocka_unit_test_setup_teardown(others_do_not_notice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_master_of_a_removed_key_is_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
