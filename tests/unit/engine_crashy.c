/* tests/unit/engine_crashy.c: the test engine, as far as its commands leave the test alive. */
#include "unit.h"

#include "tests/unit/engine_fake.h"

static int open_engine(void **state)
{
    static struct fake_conf conf;
    char err[256];

    fake_conf_init(&conf, NULL, "/tmp");
    return ps_engine_entry.open(&conf.conf, state, err, sizeof(err));
}

static int close_engine(void **state)
{
    ps_engine_entry.close(*state);
    return 0;
}

static void commands(void **state)
{
    static const struct {
        const char *line;
        int outcome;
        const char *label, *reason;
    } cases[] = {
        {"an ordinary file\n", PS_FOUND_UNDETECTED, "", ""},
        {"CRASHY malicious Some.Name\nrest\n", PS_FOUND_MALICIOUS, "Some.Name", ""},
        {"CRASHY suspicious\r\n", PS_FOUND_SUSPICIOUS, "Crashy.Suspicious", ""},
        {"CRASHY harmless", PS_FOUND_HARMLESS, "Crashy.Harmless", ""},
        {"CRASHY incomplete half of it", PS_FOUND_INCOMPLETE, "", "half of it"},
        {"CRASHY failure", PS_FOUND_FAILURE, "", "told to fail"},
        {"CRASHY slow 1", PS_FOUND_UNDETECTED, "", ""},
        {"CRASHY read /nonexistent", PS_FOUND_UNDETECTED, "", "the wall holds: No such file or directory"},
        {"CRASHY read /dev/null", PS_FOUND_MALICIOUS, "Wall.Read", ""},
        {"CRASHY dance", PS_FOUND_FAILURE, "", "no such command"},
        {"CRASHY lie", 77, "Crashy.Lie\xff\n<script>", "line one\nline two \x1b[31m\xff"},
        {"", PS_FOUND_UNDETECTED, "", ""},
    };
    struct fake_report report;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_scan(&ps_engine_entry, *state, cases[i].line, strlen(cases[i].line), "/tmp", &report);
        assert_int_equal(report.outcome, cases[i].outcome);
        assert_string_equal(report.findings_n ? report.findings[0].label : "", cases[i].label);
        assert_string_equal(report.reason, cases[i].reason);
        fake_fini(&report);
    }
}

static void floods(void **state)
{
    struct fake_report report;

    fake_scan(&ps_engine_entry, *state, "CRASHY flood-findings", 21, "/tmp", &report);
    assert_int_equal(report.findings_n, FAKE_FINDINGS_MAX);
    assert_true(report.refused_n > 1000);
    fake_fini(&report);
    fake_scan(&ps_engine_entry, *state, "CRASHY bad-json", 15, "/tmp", &report);
    assert_int_equal(report.bad_traits_n, 3);
    fake_fini(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(floods),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
