/* The bus: order, limits, waking. */
#include "tests/unit/unit.h"

#include "base/err.h"
#include "master/scan/brief.h"
#include "master/scan/events.h"

struct fixture {
    struct ps_events *bus;
    struct ps_events_sub *sub;
    int woken;
};

static void on_wake(void *arg)
{
    ((struct fixture *)arg)->woken++;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(ps_events_new(&f->bus), 0);
    assert_int_equal(ps_events_subscribe(f->bus, on_wake, f, &f->sub), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_events_unsubscribe(f->bus, &f->sub);
    ps_events_free(&f->bus);
    free(f);
    return 0;
}

static void publish(struct fixture *f, uint64_t seq, const char *batch)
{
    struct ps_event *event = NULL;
    const char *batches[] = {batch};

    assert_int_equal(ps_event_new(&event, PS_EVENT_SCAN, seq, seq, strdup("{}"), 2, batches, batch ? 1 : 0),
                     0);
    ps_events_publish(f->bus, &event);
    assert_null(event);
}

static void expect(struct fixture *f, enum ps_event_kind kind, uint64_t seq)
{
    struct ps_event *event = NULL;

    assert_int_equal(ps_events_take(f->sub, &event, 1), 1);
    assert_int_equal(event->kind, kind);
    assert_int_equal(event->seq, seq);
    ps_event_unref(&event);
}

static void events_come_in_order_and_wake_once(void **state)
{
    struct fixture *f = *state;
    struct ps_event *events[4];

    publish(f, 1, NULL);
    publish(f, 2, "b");
    publish(f, 3, NULL);
    assert_int_equal(f->woken, 1);
    expect(f, PS_EVENT_SCAN, 1);
    assert_int_equal(ps_events_take(f->sub, events, 4), 2);
    assert_int_equal(events[0]->seq, 2);
    assert_true(ps_event_in_batch(events[0], "b"));
    assert_false(ps_event_in_batch(events[0], "c"));
    assert_false(ps_event_in_batch(events[1], "b"));
    ps_event_unref(&events[0]);
    ps_event_unref(&events[1]);
    publish(f, 4, NULL);
    assert_int_equal(f->woken, 2);
    expect(f, PS_EVENT_SCAN, 4);
}

/* Who is too slow loses the queue, hears LAGGED once, and goes on with what comes after. */
static void the_slow_hear_that_they_lagged(void **state)
{
    struct fixture *f = *state;
    struct ps_event *event;

    for (uint64_t i = 1; i <= PS_EVENT_QUEUE_N + 1; i++)
        publish(f, i, NULL);
    expect(f, PS_EVENT_LAGGED, 0);
    expect(f, PS_EVENT_SCAN, PS_EVENT_QUEUE_N + 1);
    assert_int_equal(ps_events_take(f->sub, &event, 1), 0);
}

static void subscribers_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct ps_events_sub *subs[PS_EVENT_SUBS_MAX] = {0}, *more = NULL;

    for (size_t i = 0; i + 1 < PS_EVENT_SUBS_MAX; i++)
        assert_int_equal(ps_events_subscribe(f->bus, on_wake, f, &subs[i]), 0);
    assert_int_equal(ps_events_subscribe(f->bus, on_wake, f, &more), PS_ERR_LIMIT);
    for (size_t i = 0; i + 1 < PS_EVENT_SUBS_MAX; i++)
        ps_events_unsubscribe(f->bus, &subs[i]);
    assert_true(ps_events_watched(f->bus));
    ps_events_unsubscribe(f->bus, &f->sub);
    assert_false(ps_events_watched(f->bus));
}

static void an_event_is_shared(void **state)
{
    struct fixture *f = *state, other = {0};
    struct ps_event *a, *b;

    assert_int_equal(ps_events_subscribe(f->bus, on_wake, &other, &other.sub), 0);
    publish(f, 7, NULL);
    ps_events_publish_fleet(f->bus);
    assert_int_equal(ps_events_take(f->sub, &a, 1), 1);
    assert_int_equal(ps_events_take(other.sub, &b, 1), 1);
    assert_ptr_equal(a, b);
    ps_event_unref(&a);
    assert_int_equal(b->seq, 7);
    ps_event_unref(&b);
    expect(f, PS_EVENT_FLEET, 0);
    ps_events_unsubscribe(f->bus, &other.sub); /* with an event still in its queue */
}

static void too_large_is_refused(void **state)
{
    struct ps_event *event = NULL;
    const char *batches[PS_EVENT_BATCH_MAX + 1];

    (void)state;
    for (size_t i = 0; i <= PS_EVENT_BATCH_MAX; i++)
        batches[i] = "b";
    assert_int_equal(ps_event_new(&event, PS_EVENT_SCAN, 1, 1, strdup("{}"), PS_EVENT_JSON_MAX + 1, NULL, 0),
                     PS_ERR_LIMIT);
    assert_int_equal(
        ps_event_new(&event, PS_EVENT_SCAN, 1, 1, strdup("{}"), 2, batches, PS_EVENT_BATCH_MAX + 1),
        PS_ERR_LIMIT);
    assert_null(event);
}

static void json_text_is_that_of_the_api(void **state)
{
    static const uint8_t sha256[32] = {0xab};
    const char *reasons[] = {"clamav: Eicar"};
    const struct ps_brief brief = {.id = 5,
                                   .verdict = 1,
                                   .positives = 1,
                                   .total = 2,
                                   .label = "Eicar",
                                   .reasons = reasons,
                                   .reasons_n = 1,
                                   .type = "text/plain",
                                   .profile = "full",
                                   .cause = 1,
                                   .submitted_us = 1000000,
                                   .finished_us = 2500000,
                                   .seq = 9};
    const struct ps_brief_submission s = {.id = 3, .name = "a\n\"b", .batch = "q"};

    (void)state;
    char *text = ps_brief_scan_event(&brief, sha256, 68, &s, 1);
    assert_string_equal(
        text,
        "{\"event\":\"scan\",\"seq\":9,\"scan\":{\"id\":5,\"status\":\"done\",\"verdict\":\"malicious\","
        "\"positives\":1,\"total\":2,\"failed\":0,\"incomplete\":0,\"pending\":0,\"label\":\"Eicar\","
        "\"reasons\":[\"clamav: "
        "Eicar\"],\"type\":\"text/plain\",\"profile\":\"full\",\"cause\":\"submission\","
        "\"submitted_at\":\"1970-01-01T00:00:01.000Z\",\"finished_at\":\"1970-01-01T00:00:02.500Z\",\"seq\":"
        "9},"
        "\"sha256\":\"ab00000000000000000000000000000000000000000000000000000000000000\",\"size\":68,"
        "\"submissions\":[{\"id\":3,\"name\":\"a\\n\\\"b\",\"source_path\":null,\"batch\":\"q\"}]}");
    free(text);
    text = ps_brief_result_event(5, sha256, "clamav", 1, "", 2);
    assert_non_null(strstr(text, "\"outcome\":\"malicious\",\"label\":null,\"pending\":2}"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_in_order_and_wake_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_slow_hear_that_they_lagged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(subscribers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_is_shared, set_up, tear_down),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(json_text_is_that_of_the_api),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
