/* The Majordomo core: dialogues of RFC 7 and RFC 8, times, limits. */
#include "mdp_stage.h"

static struct mdp_stage *open_stage(void **state)
{
    struct mdp_stage *self = *state;

    mdp_stage_open(self);
    return self;
}

/* ---- requests and replies ---- */

static void a_request_waits_for_a_worker(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ask(s, "c1", "echo", "hello");
    mdp_expect_silence(s);
    mdp_ready(s, "w1", "other");
    mdp_expect_silence(s);
    mdp_ready(s, "w2", "echo");
    mdp_expect(s, "w2 REQUEST c1 hello");
    mdp_reply(s, "w2", "c1", "hello back");
    mdp_expect(s, "c1 REPLY echo hello back");
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).replies, 1);
}

static void requests_keep_their_order(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ask(s, "c1", "echo", "1");
    mdp_ask(s, "c2", "echo", "2");
    mdp_ask(s, "c1", "echo", "3");
    mdp_ready(s, "w", "echo");
    mdp_expect(s, "w REQUEST c1 1");
    mdp_expect_silence(s); /* one at a time */
    mdp_reply(s, "w", "c1", "a");
    mdp_expect(s, "c1 REPLY echo a");
    mdp_expect(s, "w REQUEST c2 2");
    mdp_reply(s, "w", "c2", "b");
    mdp_expect(s, "c2 REPLY echo b");
    mdp_expect(s, "w REQUEST c1 3");
}

static void the_least_recently_used_worker_is_first(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w1", "echo");
    mdp_ready(s, "w2", "echo");
    mdp_ask(s, "c", "echo", "1");
    mdp_expect(s, "w1 REQUEST c 1");
    mdp_reply(s, "w1", "c", "a");
    mdp_expect(s, "c REPLY echo a");
    mdp_ask(s, "c", "echo", "2");
    mdp_expect(s, "w2 REQUEST c 2");
    mdp_ask(s, "c", "echo", "3");
    mdp_expect(s, "w1 REQUEST c 3");
}

static void a_worker_that_cant_be_reached_loses_no_request(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w1", "echo");
    mdp_ready(s, "w2", "echo");
    s->gone = "w1";
    mdp_ask(s, "c", "echo", "1");
    mdp_expect(s, "w2 REQUEST c 1");
    assert_int_equal(mdp_counts(s).workers, 1);
    assert_int_equal(mdp_counts(s).workers_lost, 1);
}

static void a_request_dies_with_its_worker(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w1", "echo");
    mdp_ask(s, "c", "echo", "1");
    mdp_expect(s, "w1 REQUEST c 1");
    s->gone = "w1";
    mdp_pass(s, 2 * PS_MDP_HEARTBEAT_MS); /* its heartbeat can't be sent */
    assert_int_equal(mdp_counts(s).workers, 0);
    mdp_ready(s, "w2", "echo");
    mdp_expect_silence(s); /* RFC 7 has no second delivery */
    mdp_ask(s, "c", "echo", "1 again");
    mdp_expect(s, "w2 REQUEST c 1 again");
}

static void a_client_that_left_is_counted(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_ask(s, "c", "echo", "1");
    s->gone = "c";
    mdp_reply(s, "w", "c", "late");
    assert_int_equal(mdp_counts(s).undelivered, 1);
    s->gone = NULL;
    mdp_forget(s);
    mdp_ask(s, "d", "echo", "2");
    mdp_expect(s, "w REQUEST d 2");
}

/* ---- what is not expected ---- */

static void the_unexpected_is_answered_by_disconnect(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_beat(s, "stranger");
    mdp_expect(s, "stranger DISCONNECT");
    mdp_reply(s, "stranger", "c", "x");
    mdp_expect(s, "stranger DISCONNECT");
    mdp_say(s, "stranger", PS_MDP_REQUEST, NULL, "c", "x");
    mdp_expect(s, "stranger DISCONNECT");
    mdp_say(s, "stranger", PS_MDP_DISCONNECT, NULL, NULL, NULL);
    mdp_expect_silence(s);

    mdp_ready(s, "w", "echo");
    mdp_ready(s, "w", "echo"); /* twice */
    mdp_expect(s, "w DISCONNECT");
    assert_int_equal(mdp_counts(s).workers, 0);
    mdp_ready(s, "w", "echo");
    mdp_reply(s, "w", "c", "nobody asked");
    mdp_expect(s, "w DISCONNECT");
    assert_int_equal(mdp_counts(s).unexpected, 5);
}

static void a_worker_answers_its_client_alone(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_ask(s, "c1", "echo", "1");
    mdp_expect(s, "w REQUEST c1 1");
    mdp_reply(s, "w", "c2", "to somebody else");
    mdp_expect(s, "w DISCONNECT");
    mdp_expect_silence(s);
}

/* What a worker is shown of its client is nothing of the client's, and differs for every request. */
static void a_ticket_tells_nothing_of_the_client(void **state)
{
    static const uint8_t other_secret[PS_MDP_SECRET_BYTES] = {8};
    struct mdp_stage *s = open_stage(state);
    uint8_t first[PS_MDP_TICKET_BYTES];

    mdp_ready(s, "w", "echo");
    for (int i = 0; i < 100; i++) {
        mdp_ask(s, "12345678", "echo", "x"); /* an address as long as a ticket */
        mdp_reply(s, "w", "12345678", "y");
    }
    assert_int_equal(mdp_counts(s).replies, 100);
    assert_int_equal(s->shown_n, 100);
    for (size_t i = 0; i < s->shown_n; i++) {
        assert_memory_not_equal(s->shown[i].ticket, "12345678", PS_MDP_TICKET_BYTES);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(s->shown[i].ticket, s->shown[k].ticket, PS_MDP_TICKET_BYTES);
    }

    /* Another broker begins to count at the same number. */
    memcpy(first, s->shown[0].ticket, sizeof(first));
    ps_mdp_core_free(&s->core);
    s->shown_n = 0;
    mdp_stage_open_with(s, other_secret);
    mdp_ready(s, "w", "echo");
    mdp_ask(s, "12345678", "echo", "x");
    assert_memory_not_equal(s->shown[0].ticket, first, sizeof(first));
}

static void expect_refused(struct mdp_stage *s, struct ps_bytes client)
{
    mdp_forget(s);
    mdp_say_bytes(s, "w", PS_MDP_REPLY, NULL, client, "forged");
    mdp_expect(s, "w DISCONNECT");
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).replies, 1);
    mdp_ready(s, "w", "echo");
}

/* Neither the address itself, nor a ticket that was answered, nor another worker's, nor a part of its own. */
static void a_forged_address_reaches_nobody(void **state)
{
    struct mdp_stage *s = open_stage(state);
    uint8_t longer[PS_MDP_TICKET_BYTES + 1] = {0};
    struct ps_bytes old, own, others;

    mdp_ready(s, "w", "echo");
    mdp_ask(s, "c", "echo", "1");
    old = mdp_ticket(s, "c");
    mdp_reply(s, "w", "c", "done");
    expect_refused(s, old); /* it waits */
    mdp_ready(s, "v", "other");
    mdp_ask(s, "d", "other", "2");
    others = mdp_ticket(s, "d");
    expect_refused(s, others);

    mdp_ask(s, "c", "echo", "3");
    expect_refused(s, ps_bytes_of("c"));
    mdp_ask(s, "c", "echo", "4");
    expect_refused(s, old);
    mdp_ask(s, "c", "echo", "5");
    expect_refused(s, others);
    mdp_ask(s, "c", "echo", "6");
    own = mdp_ticket(s, "c");
    expect_refused(s, (struct ps_bytes){own.at, own.len - 1});
    mdp_ask(s, "c", "echo", "7");
    memcpy(longer, mdp_ticket(s, "c").at, PS_MDP_TICKET_BYTES);
    expect_refused(s, (struct ps_bytes){longer, sizeof(longer)});
    mdp_forget(s);
    mdp_reply(s, "v", "d", "after all");
    mdp_expect(s, "d REPLY other after all");
}

static void nobody_takes_the_brokers_own_names(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "mmi.service");
    mdp_expect(s, "w DISCONNECT");
    assert_int_equal(mdp_counts(s).services, 0);
}

static void a_worker_leaves(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_say(s, "w", PS_MDP_DISCONNECT, NULL, NULL, NULL);
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).workers, 0);
    assert_int_equal(mdp_counts(s).services, 0);
    assert_int_equal(mdp_counts(s).workers_lost, 0);
}

static void malformed_ones_are_counted(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_event(s, PS_MDP_EVENT_BAD);
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).bad, 1);
}

static void the_broker_says_goodbye(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w1", "echo");
    mdp_ready(s, "w2", "echo");
    mdp_ask(s, "c", "echo", "1");
    mdp_expect(s, "w1 REQUEST c 1");
    mdp_event(s, PS_MDP_EVENT_STOP);
    mdp_expect(s, "w1 DISCONNECT");
    mdp_expect(s, "w2 DISCONNECT");
}

/* ---- mmi ---- */

static void mmi_service_tells_what_is_there(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ask(s, "c", "mmi.service", "echo");
    mdp_expect(s, "c ANSWER mmi.service 404");
    mdp_ask(s, "c", "echo", "a name that only clients know");
    mdp_ask(s, "c", "mmi.service", "echo");
    mdp_expect(s, "c ANSWER mmi.service 404");
    mdp_ready(s, "w", "echo");
    mdp_expect(s, "w REQUEST c a name that only clients know");
    mdp_ask(s, "c", "mmi.service", "echo"); /* busy, but there */
    mdp_expect(s, "c ANSWER mmi.service 200");
    mdp_ask(s, "c", "mmi.discover", "echo");
    mdp_expect(s, "c ANSWER mmi.discover 501");
    mdp_ask(s, "c", "mmi.", "");
    mdp_expect(s, "c ANSWER mmi. 501");
}

/* ---- times ---- */

static void heartbeats_go_out(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_pass(s, PS_MDP_HEARTBEAT_MS - 1);
    mdp_expect_silence(s);
    mdp_pass(s, 1);
    mdp_expect(s, "w HEARTBEAT");
    mdp_beat(s, "w");
    mdp_ask(s, "c", "echo", "1"); /* a command stands for a heartbeat */
    mdp_expect(s, "w REQUEST c 1");
    mdp_pass(s, PS_MDP_HEARTBEAT_MS - 1);
    mdp_expect_silence(s);
    mdp_pass(s, 1);
    mdp_expect(s, "w HEARTBEAT"); /* busy ones too */
}

static void a_silent_worker_is_gone(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w1", "echo");
    mdp_pass(s, 3 * PS_MDP_HEARTBEAT_MS - 1);
    assert_int_equal(mdp_counts(s).workers, 1);
    mdp_beat(s, "w1");
    mdp_pass(s, 3 * PS_MDP_HEARTBEAT_MS - 1);
    assert_int_equal(mdp_counts(s).workers, 1);
    mdp_pass(s, 1);
    assert_int_equal(mdp_counts(s).workers, 0);
    mdp_forget(s);
    mdp_beat(s, "w1"); /* it lives after all, and is to say READY again */
    mdp_expect(s, "w1 DISCONNECT");
}

/* Classic workers do not beat while they work. */
static void a_busy_worker_may_be_silent(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_ask(s, "c", "echo", "slow");
    mdp_pass(s, 60000);
    mdp_forget(s);
    mdp_reply(s, "w", "c", "done");
    mdp_expect(s, "c REPLY echo done");
    mdp_ask(s, "c", "echo", "for ever");
    mdp_pass(s, s->limits.busy_ms);
    assert_int_equal(mdp_counts(s).workers, 0);
}

static void a_broker_that_slept_blames_nobody(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ready(s, "w", "echo");
    mdp_ask(s, "c", "other", "waits");
    s->now_ms += 3600000;
    mdp_event(s, PS_MDP_EVENT_TICK);
    assert_int_equal(mdp_counts(s).workers, 1);
    assert_int_equal(mdp_counts(s).waiting_n, 1);
    mdp_pass(s, 3 * PS_MDP_HEARTBEAT_MS);
    assert_int_equal(mdp_counts(s).workers, 0);
}

static void a_request_waits_only_so_long(void **state)
{
    struct mdp_stage *s = open_stage(state);

    mdp_ask(s, "c", "echo", "1");
    mdp_pass(s, s->limits.wait_ms - 1);
    assert_int_equal(mdp_counts(s).waiting_n, 1);
    mdp_pass(s, 1);
    assert_int_equal(mdp_counts(s).waiting_n, 0);
    assert_int_equal(mdp_counts(s).services, 0);
    assert_int_equal(mdp_counts(s).dropped_late, 1);
    mdp_ready(s, "w", "echo");
    mdp_expect_silence(s);
}

/* ---- limits ---- */

static void at_the_limit_the_oldest_request_goes(void **state)
{
    struct mdp_stage *s = *state;

    s->limits.requests_max = 2;
    mdp_stage_open(s);
    mdp_ask(s, "c", "echo", "1");
    mdp_ask(s, "c", "echo", "2");
    mdp_ask(s, "c", "echo", "3");
    assert_int_equal(mdp_counts(s).dropped_limit, 1);
    mdp_ready(s, "w1", "echo");
    mdp_ready(s, "w2", "echo");
    mdp_expect(s, "w1 REQUEST c 2");
    mdp_expect(s, "w2 REQUEST c 3");
}

static void bytes_are_short_for_who_has_most(void **state)
{
    struct mdp_stage *s = *state;

    s->limits.bytes_max = 10;
    mdp_stage_open(s);
    mdp_ask(s, "c", "small", "123");
    mdp_ask(s, "c", "large", "1234");
    mdp_ask(s, "c", "large", "12");
    assert_int_equal(mdp_counts(s).waiting_bytes, 9);
    mdp_ask(s, "c", "small", "45");
    assert_int_equal(mdp_counts(s).waiting_bytes, 7); /* large lost its first */
    mdp_ask(s, "c", "small", "longer than all of it");
    assert_int_equal(mdp_counts(s).waiting_bytes, 7);
    assert_int_equal(mdp_counts(s).dropped_limit, 2);
    mdp_ready(s, "w", "large");
    mdp_expect(s, "w REQUEST c 12");
    mdp_ready(s, "v", "small");
    mdp_expect(s, "v REQUEST c 123");
}

static void services_and_workers_are_limited(void **state)
{
    struct mdp_stage *s = *state;

    s->limits.services_max = 1;
    s->limits.workers_max = 1;
    mdp_stage_open(s);
    mdp_ask(s, "c", "one", "1");
    mdp_ask(s, "c", "two", "2"); /* dropped */
    assert_int_equal(mdp_counts(s).dropped_limit, 1);
    mdp_ready(s, "w", "two");
    mdp_expect(s, "w DISCONNECT");
    mdp_ready(s, "w", "one");
    mdp_expect(s, "w REQUEST c 1");
    mdp_ready(s, "v", "one");
    mdp_expect(s, "v DISCONNECT");
}

/* ---- keys ---- */

static void a_key_may_only_what_it_has_the_right_to(void **state)
{
    struct mdp_stage *s = *state;

    mdp_stage_open(s);
    s->key = "ask";
    mdp_ready(s, "w", "job"); /* may not offer: else it would be given what others send */
    mdp_ask(s, "c", "mmi.service", "job");
    mdp_expect(s, "c ANSWER mmi.service 404");
    s->key = "offer";
    mdp_ask(s, "d", "job", "1"); /* may not ask */
    mdp_ready(s, "w", "job");
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).denied, 2);
    s->key = "ask";
    mdp_ask(s, "c", "job", "2");
    mdp_expect(s, "w REQUEST c 2");
    s->key = "offer";
    mdp_reply(s, "w", "c", "done");
    mdp_expect(s, "c REPLY job done");
    mdp_expect_silence(s);
}

/* Nothing goes to it, neither a request as a worker nor what it asked for. */
static void a_key_that_was_taken_away_gets_nothing(void **state)
{
    struct mdp_stage *s = *state;

    mdp_stage_open(s);
    s->key = "offer";
    mdp_ready(s, "w", "job");
    s->taken = "offer";
    s->key = NULL;
    mdp_ask(s, "c", "job", "1");
    mdp_expect_silence(s); /* it waits for another */
    assert_int_equal(mdp_counts(s).workers, 0);
    mdp_ready(s, "v", "job");
    mdp_expect(s, "v REQUEST c 1");
    mdp_reply(s, "v", "c", "done");
    mdp_expect(s, "c REPLY job done");

    s->key = "ask";
    mdp_ask(s, "d", "job", "2");
    mdp_expect(s, "v REQUEST d 2");
    mdp_ask(s, "d", "job", "3"); /* waits */
    s->taken = "ask";
    s->key = NULL;
    mdp_reply(s, "v", "d", "done");
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).undelivered, 1);
    assert_int_equal(mdp_counts(s).denied, 1);
    assert_int_equal(mdp_counts(s).waiting_n, 0);
}

static void a_workers_key_that_was_taken_away_says_nothing(void **state)
{
    struct mdp_stage *s = *state;

    mdp_stage_open(s);
    s->key = "offer";
    mdp_ready(s, "w", "job");
    s->key = NULL;
    mdp_ask(s, "c", "job", "1");
    mdp_expect(s, "w REQUEST c 1");
    s->taken = s->key = "offer";
    mdp_reply(s, "w", "c", "forged");
    mdp_expect_silence(s);
    assert_int_equal(mdp_counts(s).workers, 0);
}

/* An address is only an address: who comes to one that is free again is not the worker that had it. */
static void another_key_at_a_workers_address(void **state)
{
    struct mdp_stage *s = *state;

    mdp_stage_open(s);
    mdp_ready(s, "w", "job");
    s->key = "both";
    mdp_beat(s, "w");
    mdp_expect(s, "w DISCONNECT"); /* nobody knows it */
    assert_int_equal(mdp_counts(s).workers, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, mdp_setup, mdp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_waits_for_a_worker),
        T(requests_keep_their_order),
        T(the_least_recently_used_worker_is_first),
        T(a_worker_that_cant_be_reached_loses_no_request),
        T(a_request_dies_with_its_worker),
        T(a_client_that_left_is_counted),
        T(the_unexpected_is_answered_by_disconnect),
        T(a_worker_answers_its_client_alone),
        T(a_ticket_tells_nothing_of_the_client),
        T(a_forged_address_reaches_nobody),
        T(nobody_takes_the_brokers_own_names),
        T(a_worker_leaves),
        T(malformed_ones_are_counted),
        T(the_broker_says_goodbye),
        T(mmi_service_tells_what_is_there),
        T(heartbeats_go_out),
        T(a_silent_worker_is_gone),
        T(a_busy_worker_may_be_silent),
        T(a_broker_that_slept_blames_nobody),
        T(a_request_waits_only_so_long),
        T(at_the_limit_the_oldest_request_goes),
        T(bytes_are_short_for_who_has_most),
        T(services_and_workers_are_limited),
        T(a_key_may_only_what_it_has_the_right_to),
        T(a_key_that_was_taken_away_gets_nothing),
        T(a_workers_key_that_was_taken_away_says_nothing),
        T(another_key_at_a_workers_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
