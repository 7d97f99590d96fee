/* The session's side against a zygote and a child that lie (host_liar.c): a breach is a failure, limits hold, nothing
 * hangs, nothing crashes. */
#include "tests/flow/host_rig.h"

static struct rig *liar(const char *lie, uint32_t load_ms)
{
    struct rig *rig = rig_new("crashy");
    char setting[64];
    const char *settings[] = {setting};
    struct ps_host_conf conf = {.engine = "liar",
                                .plugin = "/nowhere/liar.so",
                                .tmp = rig->dir,
                                .settings = settings,
                                .settings_n = 1,
                                .slots = 2,
                                .load_ms = load_ms};
    struct ps_error error = {0};

    (void)unit_path(rig->program, getenv("PHAGESCAN_TEST_BUILD"), "tests/flow/host_liar");
    conf.program = rig->program;
    (void)snprintf(setting, sizeof(setting), "lie=%s", lie);
    if (ps_host_start(&rig->host, &conf, ps_clock_mono_ms(), &error) != 0)
        fail_msg("%s", error.text);
    return rig;
}

/* One scan by a child that tells that lie. */
static struct rig *scan_by(const char *lie)
{
    struct rig *rig = liar(lie, 0);

    (void)rig_wait(rig, PS_HOST_LOADED);
    (void)rig_scan(rig, "sample", 1000);
    return rig;
}

static void a_breach_is_a_failure(void **state)
{
    static const char *const lies[][2] = {
        {"garbage", "malformed"},
        {"two-records", "malformed"},
        {"descriptor", "malformed"},
        {"huge", "malformed"},
        {"other-job", "job that it does not have"},
        {"have-twice", "out of turn"},
        {"no-have", "out of turn"},
        {"kind", "kind of engine"},
        {"outcome", "kind of engine"},
        {"finding-kind", "finding that is none"},
        {"wrong-message", "job that it does not have"},
        {"json", "no JSON"},
        {"json-nul", "no JSON"},
        {"flood", "flooded"},
        {"hit-then-breach", "malformed"},
    };

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(lies); i++) {
        struct rig *rig = scan_by(lies[i][0]);

        if (rig->result.outcome != PS_OUTCOME_FAILURE || !strstr(rig->reason, lies[i][1]))
            fail_msg("%s: %s (%s)", lies[i][0], ps_outcome_word(rig->result.outcome), rig->reason);
        assert_string_equal(rig->label, "");
        assert_false(rig->result.crashed);
        (void)rig_wait(rig, PS_HOST_EXITED);
        assert_true(ps_host_idle(rig->host, 0));
        rig_free(rig);
    }
}

static void limits_hold_and_are_named(void **state)
{
    struct rig *rig = scan_by("many-traits");

    (void)state;
    assert_int_equal(rig->result.outcome, PS_OUTCOME_INCOMPLETE);
    assert_in_range(rig->result.traits_len, 200000, PS_TRAITS_MAX);
    assert_non_null(strstr(rig->reason, "over the limits"));
    rig_free(rig);
    rig = scan_by("many-findings");
    assert_int_equal(rig->result.outcome, PS_OUTCOME_SUSPICIOUS);
    assert_string_equal(rig->label, "Suspicious.Thing");
    assert_non_null(strstr(rig->reason, "over the limits"));
    rig_free(rig);
}

static void the_worst_finding_wins(void **state)
{
    struct rig *rig = scan_by("worst-wins");

    (void)state;
    assert_int_equal(rig->result.outcome, PS_OUTCOME_MALICIOUS);
    assert_string_equal(rig->label, "Really.Bad");
    assert_string_equal(rig->reason, "");
    rig_free(rig);
}

static void a_hit_before_a_crash_stands(void **state)
{
    struct rig *rig = scan_by("hit-then-gone");

    (void)state;
    assert_int_equal(rig->result.outcome, PS_OUTCOME_MALICIOUS);
    assert_string_equal(rig->label, "Hit.First");
    assert_true(rig->result.crashed);
    assert_non_null(strstr(rig->reason, "SIGSEGV"));
    rig_free(rig);
}

/* The first answer counts; who talks on without a job is killed, and no job pays for it. */
static void a_child_that_talks_on_is_killed(void **state)
{
    struct rig *rig = scan_by("done-twice");

    (void)state;
    assert_int_equal(rig->result.outcome, PS_OUTCOME_UNDETECTED);
    (void)rig_wait(rig, PS_HOST_EXITED);
    assert_int_equal(rig_scan(rig, "sample", 1000), PS_OUTCOME_UNDETECTED);
    rig_free(rig);
}

static void a_zygote_that_lies_is_ended(void **state)
{
    static const char *const lies[] = {"bad-slot", "loaded-twice"};

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(lies); i++) {
        struct rig *rig = scan_by(lies[i]);

        assert_int_equal(rig->result.outcome, PS_OUTCOME_FAILURE);
        assert_true(rig->result.lost);
        (void)rig_wait(rig, PS_HOST_GONE);
        rig_free(rig);
    }
}

static void a_zygote_that_does_not_load_is_ended(void **state)
{
    static const char *const lies[] = {"mute", "babble"};

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(lies); i++) {
        struct rig *rig = liar(lies[i], 300);

        while (rig->gone[0] == '\0')
            (void)rig_event(rig);
        assert_string_not_equal(rig->failed, "");
        assert_null(ps_host_info(rig->host));
        rig_free(rig);
    }
}

/* A child that never says HAVE, and a zygote that kills nothing: patience ends in both. */
static void patience_ends(void **state)
{
    struct rig *rig = scan_by("silent");

    (void)state;
    assert_int_equal(rig->result.outcome, PS_OUTCOME_FAILURE);
    assert_true(rig->result.lost);
    rig_free(rig);
    rig = scan_by("immortal");
    assert_int_equal(rig->result.outcome, PS_OUTCOME_FAILURE);
    (void)rig_wait(rig, PS_HOST_GONE);
    rig_free(rig);
}

static void bad_calls_are_refused(void **state)
{
    struct rig *rig = liar("silent", 0);
    uint8_t sha256[32] = {0};
    struct ps_host_job job = {.job = 1, .sha256 = sha256, .fd = -1};
    struct ps_host *none = NULL;
    struct ps_host_conf conf = {.program = "/nowhere/program",
                                .engine = "liar",
                                .plugin = "/nowhere/liar.so",
                                .tmp = rig->dir,
                                .slots = 1};
    struct ps_error error = {0};

    (void)state;
    assert_int_equal(ps_host_run(rig->host, 0, &job, 0), PS_ERR_UNAVAILABLE);
    (void)rig_wait(rig, PS_HOST_LOADED);
    assert_int_equal(ps_host_run(rig->host, 2, &job, 0), PS_ERR_INVALID);
    assert_int_equal(ps_host_run(rig->host, 0, &job, 0), PS_ERR_IO);
    assert_true(ps_host_idle(rig->host, 0));
    ps_host_kill(rig->host, 0, "nothing there", ps_clock_mono_ms());
    ps_host_kill(rig->host, 9, "no such slot", ps_clock_mono_ms());
    rig_run(rig, 1, 5, "sample", 1000);
    ps_host_kill(rig->host, 1, "before it began", ps_clock_mono_ms());
    (void)rig_wait(rig, PS_HOST_RESULT);
    assert_int_equal(rig->result.outcome, PS_OUTCOME_CANCELLED);
    assert_string_equal(rig->reason, "before it began");

    assert_int_equal(ps_host_start(&none, &conf, 0, &error), PS_ERR_NOTFOUND);
    assert_non_null(strstr(error.text, "/nowhere/program"));
    conf.slots = PS_HOST_SLOTS_MAX + 1;
    assert_int_equal(ps_host_start(&none, &conf, 0, &error), PS_ERR_LIMIT);
    conf.slots = 1;
    conf.engine = "../evil";
    assert_int_equal(ps_host_start(&none, &conf, 0, &error), PS_ERR_INVALID);
    assert_null(none);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_breach_is_a_failure),
        cmocka_unit_test(limits_hold_and_are_named),
        cmocka_unit_test(the_worst_finding_wins),
        cmocka_unit_test(a_hit_before_a_crash_stands),
        cmocka_unit_test(a_child_that_talks_on_is_killed),
        cmocka_unit_test(a_zygote_that_lies_is_ended),
        cmocka_unit_test(a_zygote_that_does_not_load_is_ended),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(bad_calls_are_refused),
    };

    return cmocka_run_group_tests_name("host_lies", tests, NULL, NULL);
}
