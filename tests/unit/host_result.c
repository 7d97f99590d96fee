/* worker/host/result.c alone: one child's packets merged into one result. */
#include "tests/unit/unit.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/codec.h"
#include "worker/host/files.h"
#include "worker/host/result.h"

#define JOB 42

static int set_up(void **state)
{
    struct ps_collect *collect = NULL;

    assert_int_equal(ps_collect_new(&collect, NULL), 0);
    ps_collect_start(collect, JOB, PS_KIND_EVILNESS);
    *state = collect;
    return 0;
}

static int tear_down(void **state)
{
    struct ps_collect *collect = *state;

    ps_collect_free(&collect);
    assert_null(collect);
    return 0;
}

static enum ps_collected have(struct ps_collect *self)
{
    return ps_collect_take(self, PS_MSG(H_HAVE, .job = JOB));
}

static enum ps_collected finding(struct ps_collect *self, uint32_t outcome, const char *label)
{
    return ps_collect_take(self,
                           PS_MSG(H_FINDING, .job = JOB, .outcome = outcome, .label = ps_bytes_of(label)));
}

static enum ps_collected trait(struct ps_collect *self, const char *key, const char *json)
{
    return ps_collect_take(self,
                           PS_MSG(H_TRAIT, .job = JOB, .key = ps_bytes_of(key), .json = ps_bytes_of(json)));
}

static enum ps_collected done(struct ps_collect *self, uint32_t outcome, bool counted)
{
    return ps_collect_take(
        self, PS_MSG(H_DONE, .job = JOB, .outcome = outcome, .counted = counted, .run_us = 7, .cpu_us = 5));
}

static const struct ps_host_result *finish(struct ps_collect *self)
{
    return ps_collect_finish(self, PS_FATE_DONE, NULL);
}

static void a_silent_engine_is_undetected(void **state)
{
    const struct ps_host_result *result;

    assert_int_equal(have(*state), PS_COLLECT_HAVE);
    assert_int_equal(done(*state, PS_OUTCOME_UNDETECTED, true), PS_COLLECT_DONE);
    result = finish(*state);
    assert_int_equal(result->job, JOB);
    assert_int_equal(result->outcome, PS_OUTCOME_UNDETECTED);
    assert_true(result->counted);
    assert_string_equal(result->label, "");
    assert_string_equal(result->reason, "");
    assert_int_equal(result->traits_len, 0);
    assert_int_equal(result->run_us, 7);
    assert_int_equal(result->cpu_us, 5);
}

/* Silence of a test set says nothing; its hits count. */
static void silence_may_not_count_but_hits_do(void **state)
{
    (void)have(*state);
    (void)done(*state, PS_OUTCOME_UNDETECTED, false);
    assert_false(finish(*state)->counted);
    ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
    (void)have(*state);
    (void)finding(*state, PS_OUTCOME_MALICIOUS, "Bad");
    (void)done(*state, PS_OUTCOME_UNDETECTED, false);
    assert_true(finish(*state)->counted);
}

static void each_pair_is_decided_by_the_worse(void **state)
{
    /* a finding, the engine's last word, what comes of it */
    static const uint32_t pairs[][3] = {
        {PS_OUTCOME_MALICIOUS, PS_OUTCOME_UNDETECTED, PS_OUTCOME_MALICIOUS},
        {PS_OUTCOME_MALICIOUS, PS_OUTCOME_FAILURE, PS_OUTCOME_MALICIOUS},
        {PS_OUTCOME_SUSPICIOUS, PS_OUTCOME_INCOMPLETE, PS_OUTCOME_SUSPICIOUS},
        {PS_OUTCOME_SUSPICIOUS, PS_OUTCOME_MALICIOUS, PS_OUTCOME_MALICIOUS},
        {PS_OUTCOME_INCOMPLETE, PS_OUTCOME_UNDETECTED, PS_OUTCOME_INCOMPLETE},
        {PS_OUTCOME_INCOMPLETE, PS_OUTCOME_HARMLESS, PS_OUTCOME_INCOMPLETE},
        {PS_OUTCOME_INCOMPLETE, PS_OUTCOME_FAILURE, PS_OUTCOME_FAILURE},
        {PS_OUTCOME_HARMLESS, PS_OUTCOME_UNDETECTED, PS_OUTCOME_HARMLESS},
        {PS_OUTCOME_HARMLESS, PS_OUTCOME_INCOMPLETE, PS_OUTCOME_INCOMPLETE},
        {PS_OUTCOME_HARMLESS, PS_OUTCOME_FAILURE, PS_OUTCOME_FAILURE},
    };

    for (size_t i = 0; i < PS_ARRAY_N(pairs); i++) {
        const struct ps_host_result *result;

        ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
        (void)have(*state);
        assert_int_equal(finding(*state, pairs[i][0], "Name"), PS_COLLECT_MORE);
        assert_int_equal(done(*state, pairs[i][1], true), PS_COLLECT_DONE);
        result = finish(*state);
        assert_int_equal(result->outcome, pairs[i][2]);
        assert_string_equal(result->label, pairs[i][2] == pairs[i][0] ? "Name" : "");
    }
}

static void traits_become_one_object(void **state)
{
    const struct ps_host_result *result;

    (void)have(*state);
    assert_int_equal(trait(*state, "a", " {\"x\" : [1, 2.5, null]} "), PS_COLLECT_MORE);
    assert_int_equal(trait(*state, "b \"q\"", "\"text\""), PS_COLLECT_MORE);
    assert_int_equal(trait(*state, "a", "true"), PS_COLLECT_MORE);
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_string_equal(result->traits, "{\"a\":true,\"b \\\"q\\\"\":\"text\"}");
    assert_int_equal(result->traits_len, strlen(result->traits));
}

static void traits_that_are_none_are_a_breach(void **state)
{
    static const char *const bad[] = {
        "", "{", "1 2", "nul", "\"\\u0000\"", "[1,]", "1e999", "99999999999999999999"};

    for (size_t i = 0; i < PS_ARRAY_N(bad); i++) {
        ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
        (void)have(*state);
        assert_int_equal(trait(*state, "k", bad[i]), PS_COLLECT_BREACH);
        assert_int_equal(ps_collect_finish(*state, PS_FATE_BREACH, "")->outcome, PS_OUTCOME_FAILURE);
    }
    ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
    (void)have(*state);
    assert_int_equal(trait(*state, "", "1"), PS_COLLECT_BREACH);
}

/* Nested as deep as a packet allows: refused or taken, never a stack too deep. */
static void deep_json_is_survived(void **state)
{
    static char deep[PS_TRAIT_MAX + 1];

    memset(deep, '[', PS_TRAIT_MAX / 2);
    memset(deep + PS_TRAIT_MAX / 2, ']', PS_TRAIT_MAX / 2);
    (void)have(*state);
    assert_int_equal(trait(*state, "k", deep), PS_COLLECT_BREACH);
}

/* Reals grow when they are printed: the limit is of what is printed. */
static void traits_stay_within_their_limit(void **state)
{
    static char json[40000];
    const struct ps_host_result *result;
    size_t len = 0;
    char key[16];

    json[len++] = '[';
    while (len < sizeof(json) - 8)
        len += (size_t)snprintf(json + len, sizeof(json) - len, "0.1,");
    (void)snprintf(json + len - 1, sizeof(json) - len, "]");
    (void)have(*state);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(trait(*state, key, json), PS_COLLECT_MORE);
    }
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_in_range(result->traits_len, 1, PS_TRAITS_MAX);
    assert_int_equal(result->outcome, PS_OUTCOME_INCOMPLETE);
    assert_string_not_equal(result->reason, "");
}

static void a_fate_decides_without_an_answer(void **state)
{
    static const struct {
        enum ps_fate fate;
        enum ps_outcome outcome, with_hit;
    } fates[] = {
        {PS_FATE_CRASHED, PS_OUTCOME_FAILURE, PS_OUTCOME_MALICIOUS},
        {PS_FATE_TIMEOUT, PS_OUTCOME_TIMEOUT, PS_OUTCOME_MALICIOUS},
        {PS_FATE_BREACH, PS_OUTCOME_FAILURE, PS_OUTCOME_FAILURE},
        {PS_FATE_FAILED, PS_OUTCOME_FAILURE, PS_OUTCOME_FAILURE},
        {PS_FATE_CANCELLED, PS_OUTCOME_CANCELLED, PS_OUTCOME_CANCELLED},
    };

    for (size_t i = 0; i < PS_ARRAY_N(fates); i++)
        for (int hit = 0; hit < 2; hit++) {
            const struct ps_host_result *result;

            ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
            (void)have(*state);
            if (hit)
                (void)finding(*state, PS_OUTCOME_MALICIOUS, "Bad");
            result = ps_collect_finish(*state, fates[i].fate, "why it was");
            assert_int_equal(result->outcome, hit ? fates[i].with_hit : fates[i].outcome);
            assert_non_null(strstr(result->reason, "why it was"));
            assert_int_equal(result->crashed, fates[i].fate == PS_FATE_CRASHED);
            assert_int_equal(result->timed_out, fates[i].fate == PS_FATE_TIMEOUT);
            assert_int_equal(result->lost, fates[i].fate == PS_FATE_FAILED);
        }
}

static void an_engine_that_describes_can_not_judge(void **state)
{
    ps_collect_start(*state, JOB, PS_KIND_METADATA);
    (void)have(*state);
    assert_int_equal(finding(*state, PS_OUTCOME_MALICIOUS, "Bad"), PS_COLLECT_BREACH);
    ps_collect_start(*state, JOB, PS_KIND_METADATA);
    (void)have(*state);
    assert_int_equal(done(*state, PS_OUTCOME_UNDETECTED, true), PS_COLLECT_BREACH);
    ps_collect_start(*state, JOB, PS_KIND_METADATA);
    (void)have(*state);
    assert_int_equal(done(*state, PS_OUTCOME_DESCRIBED, true), PS_COLLECT_DONE);
    assert_int_equal(finish(*state)->outcome, PS_OUTCOME_DESCRIBED);
}

static void a_restart_forgets_what_was_said(void **state)
{
    const struct ps_host_result *result;

    (void)have(*state);
    (void)finding(*state, PS_OUTCOME_SUSPICIOUS, "Odd");
    (void)trait(*state, "k", "1");
    ps_collect_restart(*state);
    assert_int_equal(have(*state), PS_COLLECT_HAVE);
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_int_equal(result->outcome, PS_OUTCOME_UNDETECTED);
    assert_string_equal(result->traits, "");
}

static void order_is_kept(void **state)
{
    assert_int_equal(finding(*state, PS_OUTCOME_MALICIOUS, "Bad"), PS_COLLECT_BREACH);
    ps_collect_restart(*state);
    (void)have(*state);
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    assert_int_equal(finding(*state, PS_OUTCOME_MALICIOUS, "Bad"), PS_COLLECT_BREACH);
    assert_int_equal(have(*state), PS_COLLECT_BREACH);
    assert_int_equal(ps_collect_take(*state, NULL), PS_COLLECT_BREACH);
}

static enum ps_collected file(struct ps_collect *self, bool picture, const char *name, const char *mime,
                              uint64_t size)
{
    return ps_collect_take(self, PS_MSG(H_FILE, .job = JOB, .picture = picture, .name = ps_bytes_of(name),
                                        .mime = ps_bytes_of(mime), .size = size));
}

static enum ps_collected bytes(struct ps_collect *self, const void *data, size_t len)
{
    return ps_collect_take(self, PS_MSG(H_BYTES, .job = JOB, .bytes = {data, len}));
}

static void files_are_collected_and_hashed(void **state)
{
    static uint8_t big[PS_CHUNK_MAX + 7];
    uint8_t sha256[PS_SHA256_BYTES], *back = NULL;
    const struct ps_host_result *result;

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7);
    (void)have(*state);
    assert_int_equal(file(*state, false, "../etc/pass\nwd", "text/plain", 5), PS_COLLECT_MORE);
    assert_int_equal(bytes(*state, "hello", 5), PS_COLLECT_MORE);
    assert_int_equal(file(*state, false, "..", "no mime", 0), PS_COLLECT_MORE);
    assert_int_equal(file(*state, true, "c:\\x\\p.png", "image/png", sizeof(big)), PS_COLLECT_MORE);
    assert_int_equal(bytes(*state, big, PS_CHUNK_MAX), PS_COLLECT_MORE);
    assert_int_equal(bytes(*state, big + PS_CHUNK_MAX, 7), PS_COLLECT_MORE);
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_int_equal(result->outcome, PS_OUTCOME_UNDETECTED);
    assert_int_equal(result->files_n, 3);
    assert_string_equal(result->files[0].name, "pass_wd");
    assert_string_equal(result->files[0].mime, "text/plain");
    assert_string_equal(result->files[1].name, "file");
    assert_string_equal(result->files[1].mime, "");
    assert_int_equal(result->files[1].size, 0);
    assert_string_equal(result->files[2].name, "p.png");
    assert_true(result->files[2].picture);
    assert_int_equal(ps_sha256(sha256, big, sizeof(big)), 0);
    assert_memory_equal(result->files[2].sha256, sha256, sizeof(sha256));
    back = ps_alloc(1, sizeof(big));
    assert_int_equal(ps_file_pread_all(result->files_fd, back, sizeof(big), result->files[2].at), 0);
    assert_memory_equal(back, big, sizeof(big));
    free(back);
}

/* What is too large is dropped with its bytes, the rest stays, and the answer is not a whole one. */
static void files_over_a_limit_are_dropped(void **state)
{
    static uint8_t chunk[PS_CHUNK_MAX];
    const struct ps_host_result *result;

    (void)have(*state);
    assert_int_equal(file(*state, false, "large", "", PS_FILE_MAX + 1), PS_COLLECT_MORE);
    for (size_t i = 0; i < PS_FILE_MAX / PS_CHUNK_MAX; i++)
        assert_int_equal(bytes(*state, chunk, sizeof(chunk)), PS_COLLECT_MORE);
    assert_int_equal(bytes(*state, chunk, 1), PS_COLLECT_MORE);
    for (size_t i = 0; i < PS_FILES_MAX + 1; i++)
        assert_int_equal(file(*state, false, "f", "", 0), PS_COLLECT_MORE);
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_int_equal(result->files_n, PS_FILES_MAX);
    assert_int_equal(result->outcome, PS_OUTCOME_INCOMPLETE);
    assert_string_equal(result->reason, "a derived file is larger than any that is carried: it was dropped");
}

static void files_together_have_a_limit(void **state)
{
    static uint8_t chunk[PS_CHUNK_MAX];
    const struct ps_host_result *result;

    (void)have(*state);
    for (size_t f = 0; f < 5; f++) {
        (void)file(*state, false, "f", "", PS_FILE_MAX);
        for (size_t i = 0; i < PS_FILE_MAX / PS_CHUNK_MAX; i++)
            assert_int_equal(bytes(*state, chunk, sizeof(chunk)), PS_COLLECT_MORE);
    }
    (void)done(*state, PS_OUTCOME_UNDETECTED, true);
    result = finish(*state);
    assert_int_equal(result->files_n, 4);
    assert_int_equal(result->outcome, PS_OUTCOME_INCOMPLETE);
}

/* Whole ones stand when the child died, the one under way does not. */
static void a_crash_in_a_file_keeps_the_whole_ones(void **state)
{
    const struct ps_host_result *result;

    (void)have(*state);
    (void)file(*state, false, "a", "", 1);
    (void)bytes(*state, "x", 1);
    (void)file(*state, false, "b", "", 100000);
    result = ps_collect_finish(*state, PS_FATE_CRASHED, "it died");
    assert_int_equal(result->files_n, 1);
    assert_int_equal(result->outcome, PS_OUTCOME_FAILURE);
    assert_string_equal(result->reason, "it died");
}

static void files_out_of_order_are_a_breach(void **state)
{
    (void)have(*state);
    assert_int_equal(bytes(*state, "x", 1), PS_COLLECT_BREACH);
    ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
    (void)have(*state);
    (void)file(*state, false, "a", "", 3);
    assert_int_equal(file(*state, false, "b", "", 3), PS_COLLECT_BREACH);
    ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
    (void)have(*state);
    (void)file(*state, false, "a", "", 3);
    assert_int_equal(bytes(*state, "x", 1), PS_COLLECT_BREACH); /* not all that is left */
    ps_collect_start(*state, JOB, PS_KIND_EVILNESS);
    (void)have(*state);
    (void)file(*state, false, "a", "", 3);
    assert_int_equal(done(*state, PS_OUTCOME_UNDETECTED, true), PS_COLLECT_BREACH);
    assert_int_equal(ps_collect_finish(*state, PS_FATE_BREACH, NULL)->files_n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_silent_engine_is_undetected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_may_not_count_but_hits_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_pair_is_decided_by_the_worse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(traits_become_one_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(traits_that_are_none_are_a_breach, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deep_json_is_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(traits_stay_within_their_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fate_decides_without_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_engine_that_describes_can_not_judge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_forgets_what_was_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_collected_and_hashed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_over_a_limit_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_together_have_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_crash_in_a_file_keeps_the_whole_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_out_of_order_are_a_breach, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("host_result", tests, NULL, NULL);
}
