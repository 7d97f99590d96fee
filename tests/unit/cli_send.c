/* Packs on their way: what is repeated, what is given up, and the events that come back. */
#include "tests/unit/cli_send_rig.h"

/* ---- batches ---- */

static void script_takes_all(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    (void)self;
    acknowledge(request, reply);
}

static void every_file_is_acknowledged(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_takes_all, false, PATIENCE_MS);
    give(&rig, "a", 3);
    give(&rig, "b", 1);
    assert_int_equal(ps_send_waiting_files(rig.send), 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 4);
    assert_int_equal(rig.heard.settled, 2);
    assert_int_equal(rig.server->requests_n, 2);
    assert_string_equal(rig.server->requests[0].path, "/api/v1/batch");
    rig_close(&rig);
}

static void script_cuts_twice(struct server *self, const struct server_request *request,
                              struct server_reply *reply)
{
    if (self->step++ < 2)
        reply->status = 0;
    else
        acknowledge(request, reply);
}

/* A lost answer: the same bytes again, under the same key. */
static void cut_connection_is_repeated_under_its_key(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_cuts_twice, false, PATIENCE_MS);
    give(&rig, "once", 5);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 5);
    assert_int_equal(rig.heard.refused, 0);
    assert_true(rig.server->requests_n >= 3); /* curl repeats by itself on a connection it had */
    for (size_t i = 0; i < rig.server->requests_n; i++) {
        assert_string_equal(rig.server->requests[i].key, "once");
        assert_int_equal(rig.server->requests[i].sum, rig.server->requests[0].sum);
    }
    rig_close(&rig);
}

static void script_no_server(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    (void)self;
    (void)request;
    reply->status = 0;
}

/* A server that is away for a while: the packs wait, and the note says for what. */
static void away_and_back(void **state)
{
    struct rig rig;
    char path[UNIT_PATH_MAX];

    (void)state;
    rig_open(&rig, script_takes_all, false, PATIENCE_MS);
    assert_int_equal(rename(unit_path(path, rig.server->dir, "run"),
                            unit_path((char[UNIT_PATH_MAX]){0}, rig.server->dir, "off")),
                     0);
    give(&rig, "a", 2);
    TURN_UNTIL(&rig, ps_send_note(rig.send) != NULL);
    assert_non_null(strstr(ps_send_note(rig.send), "waiting: nothing answers at "));
    assert_int_equal(ps_send_waiting(rig.send), 1);
    assert_int_equal(rename(unit_path((char[UNIT_PATH_MAX]){0}, rig.server->dir, "off"), path), 0);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 2);
    assert_null(ps_send_note(rig.send));
    rig_close(&rig);
}

static const char busy[] = "{\"detail\":\"the queue is full\"}";

static void script_busy_once(struct server *self, const struct server_request *request,
                             struct server_reply *reply)
{
    if (self->step++ < 4)
        say(reply, self->step % 2 ? 429 : 503, "Retry-After: 1\r\n", busy);
    else
        acknowledge(request, reply);
}

/* 429 and 503: the server's wish is kept, and no more than half as many come after each. */
static void busy_server_gets_less(void **state)
{
    struct rig rig;
    char key[2] = "a";

    (void)state;
    rig_open(&rig, script_busy_once, false, PATIENCE_MS);
    for (; key[0] < 'e'; key[0]++)
        give(&rig, key, 1);
    assert_false(ps_send_wants(rig.send));
    TURN_UNTIL(&rig, rig.server->requests_n >= 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 4);
    assert_int_equal(rig.server->requests_n, 8);
    uint64_t asked_ms = rig.server->requests[3].at_ms;
    assert_true(rig.server->requests[4].at_ms >= asked_ms + 900);
    rig_close(&rig);
}

/* Holds back its answers, so that what is in flight can be counted. */
static void script_halves(struct server *self, const struct server_request *request,
                          struct server_reply *reply)
{
    if (self->step++ < 4) {
        say(reply, 503, "", busy);
        return;
    }
    unsigned open = ++self->open_n;
    if (open > self->open_max)
        self->open_max = open;
    if (self->step == 5)
        reply->hold = true; /* never answered: were there a second one, it would come now */
    else
        acknowledge(request, reply);
}

/* After four refusals the window is one: one request in flight, though four packs wait. */
static void window_halves(void **state)
{
    struct rig rig;
    char key[2] = "a";

    (void)state;
    rig_open(&rig, script_halves, false, PATIENCE_MS);
    for (; key[0] < 'e'; key[0]++)
        give(&rig, key, 1);
    TURN_UNTIL(&rig, rig.server->open_n == 1);
    for (int i = 0; i < 60; i++) /* more than the longest back-off so far: a second would be due */
        ps_send_turn(rig.send, 20);
    assert_int_equal(rig.server->open_max, 1);
    assert_int_equal(ps_send_waiting(rig.send), 4);
    server_stop(rig.server);
    rig_close(&rig);
}

static void script_partial(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 200, "",
        "{\"n\":0,\"sha256\":\"00\",\"submission\":1}\n"
        "{\"n\":1,\"problem\":{\"detail\":\"too large: the limit is 5\"}}\n"
        "{\"n\":null,\"at\":99,\"problem\":{\"detail\":\"the header at 99 is no JSON\"}}\n");
}

/* Some are taken, some refused; from where the body could not be read all have the same problem. */
static void lines_are_told_one_by_one(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_partial, false, PATIENCE_MS);
    give(&rig, "p", 4);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    assert_int_equal(rig.heard.refused, 3);
    assert_int_equal(rig.heard.settled, 1);
    assert_string_equal(rig.heard.why, "the header at 99 is no JSON");
    rig_close(&rig);
}

static void script_nonsense(struct server *self, const struct server_request *request,
                            struct server_reply *reply)
{
    (void)request;
    if (self->step++ == 0)
        say(reply, 200, "", "<html>no JSON</html>\n[1,2]\n\"x\"\n");
    else
        say(reply, 200, "", "");
}

/* An answer that is none: every file is told, nothing is taken for acknowledged. */
static void nonsense_acknowledges_nothing(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_nonsense, false, PATIENCE_MS);
    give(&rig, "x", 5);
    TURN_UNTIL(&rig, ps_send_waiting(rig.send) == 0);
    assert_int_equal(rig.heard.refused, 5);
    give(&rig, "y", 2);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 0);
    assert_int_equal(rig.heard.refused, 7);
    assert_string_equal(rig.heard.why, "the server's answer ended before this file");
    rig_close(&rig);
}

static void script_conflict(struct server *self, const struct server_request *request,
                            struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 409, "", "{\"detail\":\"this key came with another body\"}");
}

/* A key that the server knows with another body: the caller says whether that is no wonder. */
static void conflict_is_the_callers(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_conflict, false, PATIENCE_MS);
    give(&rig, "a", 2);
    TURN_UNTIL(&rig, ps_send_waiting(rig.send) == 0);
    assert_int_equal(rig.heard.conflicts, 1);
    assert_int_equal(rig.heard.refused, 2);
    assert_string_equal(rig.heard.why, "this key came with another body");
    rig.heard.forgive = true;
    give(&rig, "b", 2);
    all_settled(&rig);
    assert_int_equal(rig.heard.conflicts, 2);
    assert_int_equal(rig.heard.refused, 2);
    assert_int_equal(rig.heard.settled, 2);
    rig_close(&rig);
}

/* Nothing answers for longer than our patience: given up, and nobody is told that a file was refused, because nobody
 * knows. */
static void patience_runs_out(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_no_server, false, 600);
    give(&rig, "a", 2);
    uint64_t begin_ms = ps_clock_mono_ms();
    TURN_UNTIL(&rig, ps_send_gave_up(rig.send));
    assert_true(ps_clock_mono_ms() - begin_ms >= 500);
    assert_int_equal(ps_send_waiting(rig.send), 1);
    assert_int_equal(rig.heard.refused + rig.heard.acknowledged + rig.heard.settled, 0);
    assert_false(ps_send_wants(rig.send));
    assert_non_null(ps_send_note(rig.send));
    ps_send_turn(rig.send, 0); /* does nothing any more */
    server_stop(rig.server);
    rig_close(&rig);
}

/* A Retry-After of years, or one that makes no sense, does not stop us for that long. */
static void script_patient(struct server *self, const struct server_request *request,
                           struct server_reply *reply)
{
    if (self->step++ == 0)
        say(reply, 503, "Retry-After: -99999999999999\r\n", busy);
    else
        acknowledge(request, reply);
}

static void silly_retry_after(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_patient, false, PATIENCE_MS);
    give(&rig, "a", 1);
    all_settled(&rig);
    assert_int_equal(rig.heard.acknowledged, 1);
    rig_close(&rig);
}

/* ---- events ---- */

static void script_events(struct server *self, const struct server_request *request,
                          struct server_reply *reply)
{
    if (strncmp(request->path, "/api/v1/events", 14) != 0) {
        acknowledge(request, reply);
        return;
    }
    switch (self->step++) {
    case 0:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=10&wait_ms=20000");
        say(reply, 200, "Phagescan-Seq: 15\r\n",
            "{\"event\":\"scan\",\"seq\":12,\"label\":\"one\"}\nnonsense\n{\"event\":\"scan\",\"seq\":9}\n");
        break;
    case 1:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=15&wait_ms=20000");
        say(reply, 503, "", "{\"detail\":\"the database is away\"}");
        break;
    case 2:
        reply->status = 0;
        break;
    case 3:
        assert_string_equal(request->path, "/api/v1/events?batch=cli-1&after=15&wait_ms=20000");
        say(reply, 200, "phagescan-seq: 16\r\n", "{\"event\":\"scan\",\"seq\":16,\"label\":\"two\"}");
        break;
    default:
        reply->hold = true;
    }
}

/* One long poll after the other, each from where the last one ended; none twice, none lost over a server that is away. */
static void events_follow_the_seq(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_events, true, PATIENCE_MS);
    TURN_UNTIL(&rig, rig.heard.events == 1 && ps_send_note(rig.send));
    assert_string_equal(rig.heard.label, "one");
    TURN_UNTIL(&rig, rig.heard.events == 2);
    assert_string_equal(rig.heard.label, "two");
    TURN_UNTIL(&rig, server_count(rig.server, "GET", "/api/v1/events?batch=cli-1&after=16") == 1);
    assert_null(ps_send_note(rig.send));
    server_stop(rig.server);
    rig_close(&rig);
}

static void script_empty(struct server *self, const struct server_request *request,
                         struct server_reply *reply)
{
    (void)self;
    (void)request;
    say(reply, 200, "Phagescan-Seq: 10\r\n", "");
}

/* A server that answers at once with nothing is not asked without a pause. */
static void empty_answers_do_not_spin(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_empty, true, PATIENCE_MS);
    uint64_t end_ms = ps_clock_mono_ms() + 1000;
    while (ps_clock_mono_ms() < end_ms)
        ps_send_turn(rig.send, 20);
    assert_true(rig.server->requests_n <= 6);
    server_stop(rig.server);
    rig_close(&rig);
}

/* All is acknowledged, and then the server is gone for good. */
static void waiting_for_events_has_an_end(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, script_no_server, true, 600);
    TURN_UNTIL(&rig, ps_send_gave_up(rig.send));
    assert_non_null(ps_send_note(rig.send));
    server_stop(rig.server);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_acknowledged),
        cmocka_unit_test(cut_connection_is_repeated_under_its_key),
        cmocka_unit_test(away_and_back),
        cmocka_unit_test(busy_server_gets_less),
        cmocka_unit_test(window_halves),
        cmocka_unit_test(lines_are_told_one_by_one),
        cmocka_unit_test(nonsense_acknowledges_nothing),
        cmocka_unit_test(conflict_is_the_callers),
        cmocka_unit_test(patience_runs_out),
        cmocka_unit_test(silly_retry_after),
        cmocka_unit_test(events_follow_the_seq),
        cmocka_unit_test(empty_answers_do_not_spin),
        cmocka_unit_test(waiting_for_events_has_an_end),
    };

    return sodium_init() < 0 ? 1
                             : cmocka_run_group_tests_name("cli_send", tests, group_setup, group_teardown);
}
