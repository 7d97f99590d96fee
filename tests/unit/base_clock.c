#include "tests/unit/unit.h"

#include "base/clock.h"

static void monotonic_time_does_not_go_back(void **state)
{
    uint64_t before_us = ps_clock_mono_us(), ms = ps_clock_mono_ms(), after_us = ps_clock_mono_us();

    assert_true(before_us / 1000 <= ms && ms <= after_us / 1000);
}

static void real_time_is_after_this_was_written(void **state)
{
    assert_true(ps_clock_real_us() > 1700000000000000);
}

static void rfc3339_prints_utc_with_milliseconds(void **state)
{
    char buf[PS_RFC3339_MAX];

    assert_string_equal(ps_clock_rfc3339(buf, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(ps_clock_rfc3339(buf, 1795491380123999), "2026-11-24T03:36:20.123Z");
    assert_string_equal(ps_clock_rfc3339(buf, 951782400000000), "2000-02-29T00:00:00.000Z");
}

static void rfc3339_rounds_to_the_past_before_1970(void **state)
{
    char buf[PS_RFC3339_MAX];

    assert_string_equal(ps_clock_rfc3339(buf, -1), "1969-12-31T23:59:59.999Z");
    assert_string_equal(ps_clock_rfc3339(buf, -1000000), "1969-12-31T23:59:59.000Z");
}

static void rfc3339_takes_any_number(void **state)
{
    char buf[PS_RFC3339_MAX];

    assert_string_equal(ps_clock_rfc3339(buf, INT64_MAX), "294247-01-10T04:00:54.775Z");
    assert_string_equal(ps_clock_rfc3339(buf, INT64_MIN), "-290308-12-21T19:59:05.224Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_does_not_go_back),
        cmocka_unit_test(real_time_is_after_this_was_written),
        cmocka_unit_test(rfc3339_prints_utc_with_milliseconds),
        cmocka_unit_test(rfc3339_rounds_to_the_past_before_1970),
        cmocka_unit_test(rfc3339_takes_any_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
