#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "worker/results.h"

static struct ps_msg_RESULT result(uint64_t job, const char *label)
{
    return (struct ps_msg_RESULT){.boot = 7,
                                  .seq = job * 10,
                                  .job = job,
                                  .label = ps_bytes_of(label),
                                  .traits = PS_BYTES_LIT("{\"a\":1}")};
}

static int set_up(void **state)
{
    struct ps_results *results = NULL;

    assert_int_equal(ps_results_new(&results, 3), 0);
    *state = results;
    return 0;
}

static int tear_down(void **state)
{
    struct ps_results *results = *state;

    ps_results_free(&results);
    return 0;
}

static void keep(struct ps_results *results, uint64_t job, const char *label)
{
    struct ps_msg_RESULT r = result(job, label);

    assert_int_equal(ps_results_keep(results, &r), 0);
}

static void texts_are_copied(void **state)
{
    struct ps_results *results = *state;
    char label[] = "Eicar";

    keep(results, 1, label);
    memset(label, 'x', sizeof(label) - 1);
    assert_true(ps_bytes_is(ps_results_find(results, 1)->label, "Eicar"));
    assert_true(ps_bytes_is(ps_results_find(results, 1)->traits, "{\"a\":1}"));
    assert_int_equal(ps_results_find(results, 1)->engine.len, 0);
    assert_null(ps_results_find(results, 2));
}

static void they_come_out_in_order_until_forgotten(void **state)
{
    struct ps_results *results = *state;
    const struct ps_msg_RESULT *at;

    keep(results, 5, "a");
    keep(results, 3, "b");
    keep(results, 4, "c");
    assert_int_equal(ps_results_n(results), 3);
    assert_true(ps_results_forget(results, 3));
    assert_false(ps_results_forget(results, 3));
    at = ps_results_next(results, NULL);
    assert_int_equal(at->job, 5);
    at = ps_results_next(results, at);
    assert_int_equal(at->job, 4);
    assert_null(ps_results_next(results, at));
}

static void over_the_limit_is_refused_a_second_one_replaces(void **state)
{
    struct ps_results *results = *state;
    struct ps_msg_RESULT fourth = result(4, "d");

    keep(results, 1, "a");
    keep(results, 2, "b");
    keep(results, 3, "c");
    assert_int_equal(ps_results_keep(results, &fourth), PS_ERR_LIMIT);
    keep(results, 2, "new");
    assert_true(ps_bytes_is(ps_results_find(results, 2)->label, "new"));
    assert_int_equal(ps_results_n(results), 3);
}

static void each_is_sent_once_a_session(void **state)
{
    struct ps_results *results = *state;

    keep(results, 1, "a");
    keep(results, 2, "b");
    assert_int_equal(ps_results_unsent(results)->job, 1);
    ps_results_sent(results, 1);
    assert_int_equal(ps_results_unsent(results)->job, 2);
    ps_results_sent(results, 2);
    assert_null(ps_results_unsent(results));

    ps_results_unsend(results);
    assert_int_equal(ps_results_unsent(results)->job, 1);
    assert_true(ps_results_forget(results, 1));
    assert_int_equal(ps_results_unsent(results)->job, 2);
}

static void a_new_lease_sends_it_again(void **state)
{
    struct ps_results *results = *state;

    keep(results, 1, "a");
    ps_results_sent(results, 1);
    assert_false(ps_results_rebind(results, 2, 8, 1));
    assert_true(ps_results_rebind(results, 1, 8, 77));
    assert_int_equal(ps_results_unsent(results)->seq, 77);
    assert_int_equal(ps_results_unsent(results)->boot, 8);
}

static void their_memory_is_counted(void **state)
{
    struct ps_results *results = *state;
    size_t one;

    assert_int_equal(ps_results_bytes(results), 0);
    keep(results, 1, "a");
    one = ps_results_bytes(results);
    assert_true(one > 0);
    keep(results, 2, "a");
    assert_int_equal(ps_results_bytes(results), 2 * one);
    assert_true(ps_results_forget(results, 1));
    assert_true(ps_results_forget(results, 2));
    assert_int_equal(ps_results_bytes(results), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(texts_are_copied),
        T(they_come_out_in_order_until_forgotten),
        T(over_the_limit_is_refused_a_second_one_replaces),
        T(each_is_sent_once_a_session),
        T(a_new_lease_sends_it_again),
        T(their_memory_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
