/* Derived files on their way from a worker: its result waits, and comes with them or without. */
#include "base/hash.h"
#include "tests/flow/worker_rig.h"

#define SIZE 150000

/* A job whose engine derived one file, which the worker has named. */
static void begin(struct rig *rig)
{
    char text[64];

    rig_start(rig, RIG_ARGS("--engines", "crashy", "--slots", "2"));
    RIG_WAIT(rig, rig->readies == 1);
    (void)snprintf(text, sizeof(text), "CRASHY files 1 %d", SIZE);
    rig_lease(rig, rig_content(rig, text, 0), 1, "crashy");
    RIG_WAIT(rig, rig->keeps == 1);
    assert_int_equal(rig->keep.size, SIZE);
    assert_null(rig_result(rig, 1));
}

static void want(struct rig *rig, uint64_t offset, uint32_t bytes)
{
    struct ps_msg msg = {.id = PS_MSG_WANT, .WANT = {.offset = offset, .bytes = bytes}};

    memcpy(msg.WANT.sha256, rig->keep.sha256, PS_SHA256_BYTES);
    rig_say(rig, &msg);
}

static void kept(struct rig *rig, const char *reason)
{
    struct ps_msg msg = {.id = PS_MSG_KEPT, .KEPT = {.reason = ps_bytes_of(reason)}};

    memcpy(msg.KEPT.sha256, rig->keep.sha256, PS_SHA256_BYTES);
    rig_say(rig, &msg);
}

static void hang_up(struct rig *rig)
{
    unsigned readies = rig->readies;

    broker_hang_up(&rig->broker);
    broker_listen(&rig->broker);
    RIG_WAIT(rig, rig->readies > readies);
}

static void bytes_come_as_wanted_and_the_result_last(void **state)
{
    struct rig *rig = *state;
    uint8_t sha256[PS_SHA256_BYTES];

    begin(rig);
    want(rig, 0, PS_CHUNK_MAX);
    RIG_WAIT(rig, rig->pieces_len == PS_CHUNK_MAX);
    want(rig, PS_CHUNK_MAX, UINT32_MAX);
    RIG_WAIT(rig, rig->pieces_len == SIZE);
    assert_int_equal(rig->pieces_max, PS_CHUNK_MAX);
    assert_int_equal(ps_sha256(sha256, rig->pieces, SIZE), 0);
    assert_memory_equal(sha256, rig->keep.sha256, sizeof(sha256));
    assert_null(rig_result(rig, 1));
    RIG_WAIT(rig, rig_runs(rig, 1)); /* its lease does */
    kept(rig, "");
    assert_int_equal(rig_expect(rig, 1, PS_OUTCOME_UNDETECTED)->files_n, 1);
    RIG_WAIT(rig, !rig_runs(rig, 1));
}

static void a_refused_file_leaves_the_result_incomplete(void **state)
{
    struct rig *rig = *state;
    const struct rig_result *result;

    begin(rig);
    kept(rig, "the store is full");
    result = rig_expect(rig, 1, PS_OUTCOME_INCOMPLETE);
    assert_int_equal(result->files_n, 0);
    assert_non_null(strstr(result->reason, "the store is full"));
}

static void a_new_connection_hears_of_it_again(void **state)
{
    struct rig *rig = *state;
    unsigned keeps;

    begin(rig);
    want(rig, 0, PS_CHUNK_MAX);
    RIG_WAIT(rig, rig->pieces_len == PS_CHUNK_MAX);
    keeps = rig->keeps;
    hang_up(rig);
    assert_int_equal(rig->held_n, 1);
    assert_int_equal(rig->held[0].job, 1);
    assert_true(rig->held[0].running);
    assert_int_equal(rig->uncommitted_n, 0);
    RIG_WAIT(rig, rig->keeps > keeps);
    kept(rig, "");
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
}

static void silence_is_asked_again(void **state)
{
    struct rig *rig = *state;

    begin(rig);
    RIG_WAIT(rig, rig->keeps >= 2);
    kept(rig, "");
    (void)rig_expect(rig, 1, PS_OUTCOME_UNDETECTED);
}

static void a_cancelled_job_keeps_nothing(void **state)
{
    struct rig *rig = *state;
    const struct ps_part_lease_ref ref = {.job = 1};

    begin(rig);
    RIG_WAIT(rig, rig_runs(rig, 1));
    rig_say(rig, PS_MSG(CANCEL, .leases = {.items = &ref, .n = 1}));
    RIG_WAIT(rig, !rig_runs(rig, 1));
    want(rig, 0, PS_CHUNK_MAX);
    kept(rig, "");
    rig_lease(rig, rig_content(rig, "fine", 0), 2, "crashy");
    (void)rig_expect(rig, 2, PS_OUTCOME_UNDETECTED);
    assert_null(rig_result(rig, 1));
    assert_int_equal(rig->pieces_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_come_as_wanted_and_the_result_last, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(a_refused_file_leaves_the_result_incomplete, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(a_new_connection_hears_of_it_again, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(silence_is_asked_again, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_job_keeps_nothing, rig_set_up, rig_tear_down),
    };

    return cmocka_run_group_tests_name("worker_files", tests, NULL, NULL);
}
