/* Sessions: greeting, refusal, resuming, heartbeats, silence, a broker that slept. */
#include "broker_stage.h"

enum { MASTER = 1, WORKER = 2, OTHER = 3, BEAT = 9 };

static int setup(void **state)
{
    struct stage *stage = stage_new();

    stage->options.workers_max = 2;
    stage->options.masters_max = 2;
    stage_open(stage);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    stage_free(*state);
    return 0;
}

static void hello_opens_a_session(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);

    assert_int_equal(worker.boot, STAGE_BOOT);
    assert_true(worker.id != 0);
    assert_false(worker.resumed);
    assert_int_equal(stage_counts(stage).workers, 1);
}

static void hello_is_refused(struct stage *stage, uint32_t min, uint32_t max, uint32_t role, const char *code)
{
    const struct ps_msg *msg;

    stage_say(stage, OTHER, PS_MSG(HELLO, .version_min = min, .version_max = max, .role = role));
    msg = stage_expect(stage, OTHER, PS_MSG_REFUSED);
    assert_true(ps_bytes_is(msg->REFUSED.code, code));
    assert_true(stage_dropped(stage, OTHER));
}

static void strangers_are_refused_with_a_reason(void **state)
{
    struct stage *stage = *state;

    hello_is_refused(stage, PS_PROTO_VERSION_MAX + 1, PS_PROTO_VERSION_MAX + 2, PS_ROLE_WORKER, "version");
    hello_is_refused(stage, 0, 0, PS_ROLE_WORKER, "version");
    hello_is_refused(stage, 2, 1, PS_ROLE_WORKER, "version");
    hello_is_refused(stage, 1, 1, 3, "role");
    (void)stage_hello(stage, 4, PS_ROLE_WORKER, NULL);
    (void)stage_hello(stage, 5, PS_ROLE_WORKER, NULL);
    hello_is_refused(stage, 1, 1, PS_ROLE_WORKER, "full");
    (void)stage_hello(stage, 6, PS_ROLE_MASTER, NULL);
    (void)stage_hello(stage, 7, PS_ROLE_MASTER, NULL);
    hello_is_refused(stage, 1, 1, PS_ROLE_MASTER, "full");
}

static void a_peer_without_a_session_is_told_once_a_second(void **state)
{
    struct stage *stage = *state;

    for (int i = 0; i < 5; i++)
        stage_say(stage, OTHER, PS_MSG(PULSE, .session = 1));
    assert_true(ps_bytes_is(stage_expect(stage, OTHER, PS_MSG_REFUSED)->REFUSED.code, "session"));
    stage_expect_none(stage, OTHER, PS_MSG_REFUSED);
    stage_pass(stage, 1000);
    stage_say(stage, OTHER, PS_MSG(PULSE, .session = 1));
    (void)stage_expect(stage, OTHER, PS_MSG_REFUSED);
}

static void a_session_resumes_on_another_connection(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_worker(stage, WORKER, "clamav", 1, 1), again;

    again = stage_hello(stage, OTHER, PS_ROLE_WORKER, &worker);
    assert_true(again.resumed);
    assert_int_equal(again.id, worker.id);
    assert_true(stage_dropped(stage, WORKER));
    assert_int_equal(stage_counts(stage).workers, 1);
}

static void a_wrong_token_resumes_nothing(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_worker(stage, WORKER, "clamav", 1, 1), thief = worker, got;

    thief.token[PS_TOKEN_BYTES - 1] ^= 1;
    got = stage_hello(stage, OTHER, PS_ROLE_WORKER, &thief);
    assert_false(got.resumed);
    assert_int_not_equal(got.id, worker.id);
    assert_false(stage_dropped(stage, WORKER));
    /* Nor does a right token with the wrong role. */
    got = stage_hello(stage, 8, PS_ROLE_MASTER, &worker);
    assert_false(got.resumed);
}

static void tokens_differ(void **state)
{
    struct stage *stage = *state;
    struct stage_session a = stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL),
                         b = stage_hello(stage, OTHER, PS_ROLE_WORKER, NULL);

    assert_memory_not_equal(a.token, b.token, PS_TOKEN_BYTES);
}

static void silence_ends_a_session(void **state)
{
    struct stage *stage = *state;

    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    stage_pass(stage, 4900);
    assert_int_equal(stage_counts(stage).workers, 1);
    stage_pass(stage, 200);
    assert_int_equal(stage_counts(stage).workers, 0);
    assert_true(stage_dropped(stage, WORKER));
}

static void heartbeats_keep_a_session(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_worker(stage, WORKER, "clamav", 1, 1), bad = worker;

    stage_pass_beating(stage, 20000, &(struct stage_beater){BEAT, &worker, {0}}, 1);
    assert_int_equal(stage_counts(stage).workers, 1);
    bad.token[0] ^= 1;
    stage_pass_beating(stage, 6000, &(struct stage_beater){BEAT, &bad, {0}}, 1);
    assert_int_equal(stage_counts(stage).workers, 0);
    assert_int_equal(stage_counts(stage).refused_beats, 6);
}

static void pulses_go_to_who_heard_nothing_else(void **state)
{
    struct stage *stage = *state;

    (void)stage_hello(stage, WORKER, PS_ROLE_WORKER, NULL);
    stage_pass(stage, 3000);
    for (int i = 0; i < 3; i++)
        (void)stage_expect(stage, WORKER, PS_MSG_PULSE);
    stage_expect_none(stage, WORKER, PS_MSG_PULSE);
}

/* The broker was stopped for a minute: that is nobody else's silence. */
static void a_broker_that_slept_blames_nobody(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_worker(stage, WORKER, "clamav", 1, 1);
    struct ps_part_lease lease;

    (void)stage_master(stage, MASTER, 10);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_beat(stage, BEAT, &worker, &(struct ps_part_lease_ref){STAGE_BOOT, lease.seq, 1}, 1);
    for (int i = 0; i < 3; i++)
        stage_jump(stage, 60000);
    assert_string_equal(stage->last_event, "broker-late");
    assert_int_equal(stage_counts(stage).workers, 1);
    assert_int_equal(stage_counts(stage).leased, 1);
    assert_int_equal(stage_counts(stage).lost, 0);
    /* From then on time runs again. */
    stage_pass(stage, 5100);
    assert_int_equal(stage_counts(stage).workers, 0);
    assert_int_equal(stage_counts(stage).lost, 1);
}

static void a_gone_connection_waits_for_another(void **state)
{
    struct stage *stage = *state;
    struct stage_session worker = stage_worker(stage, WORKER, "clamav", 1, 4), again;
    struct ps_part_lease lease;

    (void)stage_master(stage, MASTER, 10);
    SUBMIT(stage, MASTER, .job = 1);
    stage_turn(stage);
    lease = stage_job(stage, WORKER);
    stage_event(stage, PS_EVENT_GONE, WORKER);
    SUBMIT(stage, MASTER, .job = 2);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).queued, 1);
    again = stage_hello(stage, OTHER, PS_ROLE_WORKER, &worker);
    assert_true(again.resumed);
    stage_ready(stage, OTHER, "clamav", 1, 4,
                &(struct ps_part_held){STAGE_BOOT, lease.seq, 1, PS_BYTES_LIT("clamav"), true}, 1, NULL, 0);
    stage_turn(stage);
    assert_int_equal(stage_counts(stage).leased, 2);
    assert_int_equal(stage_job(stage, OTHER).job, 2);
    stage_expect_none(stage, OTHER, PS_MSG_JOB);
    stage_expect_none(stage, OTHER, PS_MSG_CANCEL);
}

static void nonsense_ends_the_session(void **state)
{
    struct stage *stage = *state;

    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    stage_event(stage, PS_EVENT_BAD, WORKER);
    assert_true(ps_bytes_is(stage_expect(stage, WORKER, PS_MSG_REFUSED)->REFUSED.code, "proto"));
    assert_true(stage_dropped(stage, WORKER));
    /* A message of the wrong side, too. */
    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    stage_say(stage, WORKER, PS_MSG(GRANT, .epoch = 1, .results = 1));
    assert_true(stage_dropped(stage, WORKER));
    (void)stage_hello(stage, MASTER, PS_ROLE_MASTER, NULL);
    stage_say(stage, MASTER, PS_MSG(CREDIT, .window = 1));
    assert_true(stage_dropped(stage, MASTER));
    stage_event(stage, PS_EVENT_BAD, OTHER);
    assert_true(stage_dropped(stage, OTHER));
    assert_int_equal(stage_counts(stage).sessions, 0);
}

static void a_second_hello_on_a_connection_is_a_new_session(void **state)
{
    struct stage *stage = *state;
    struct stage_session first = stage_worker(stage, WORKER, "clamav", 1, 1), second;

    second = stage_worker(stage, WORKER, "clamav", 1, 1);
    assert_int_not_equal(first.id, second.id);
    assert_false(stage_dropped(stage, WORKER));
    assert_int_equal(stage_counts(stage).workers, 1);
}

static void stop_says_bye(void **state)
{
    struct stage *stage = *state;

    (void)stage_worker(stage, WORKER, "clamav", 1, 1);
    (void)stage_master(stage, MASTER, 1);
    stage_event(stage, PS_EVENT_STOP, 0);
    (void)stage_expect(stage, WORKER, PS_MSG_BYE);
    (void)stage_expect(stage, MASTER, PS_MSG_BYE);
    assert_int_equal(stage_counts(stage).sessions, 0);
}

static void peers_out_of_range_are_ignored(void **state)
{
    struct stage *stage = *state;

    stage_say(stage, 0, PS_MSG(PULSE, .session = 1));
    stage_say(stage, stage->options.peers_max + 1, PS_MSG(PULSE, .session = 1));
    stage_event(stage, PS_EVENT_GONE, 0);
    stage_event(stage, PS_EVENT_FULL, UINT32_MAX);
    assert_int_equal(stage->n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hello_opens_a_session, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_are_refused_with_a_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_without_a_session_is_told_once_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_resumes_on_another_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_token_resumes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_ends_a_session, setup, teardown),
        cmocka_unit_test_setup_teardown(heartbeats_keep_a_session, setup, teardown),
        cmocka_unit_test_setup_teardown(pulses_go_to_who_heard_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broker_that_slept_blames_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gone_connection_waits_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_ends_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_hello_on_a_connection_is_a_new_session, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_says_bye, setup, teardown),
        cmocka_unit_test_setup_teardown(peers_out_of_range_are_ignored, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
