/* worker/keeper.c alone: results that wait for their files. */
#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "worker/host/files.h"
#include "worker/keeper.h"

static int setup(void **state)
{
    struct ps_keeper *keeper = NULL;

    assert_int_equal(ps_keeper_new(&keeper, 20), 0);
    *state = keeper;
    return 0;
}

static int teardown(void **state)
{
    struct ps_keeper *keeper = *state;

    ps_keeper_free(&keeper);
    return 0;
}

static struct ps_host_file file(uint8_t sha, uint64_t size)
{
    struct ps_host_file file = {.size = size, .name = "name", .mime = "a/b", .picture = true};

    memset(file.sha256, sha, sizeof(file.sha256));
    return file;
}

static int put(struct ps_keeper *keeper, uint64_t job, enum ps_outcome outcome,
               const struct ps_host_file *files, size_t n)
{
    const struct ps_msg_RESULT result = {
        .boot = 1, .seq = job, .job = job, .outcome = outcome, .engine = PS_BYTES_LIT("e")};

    return ps_keeper_put(keeper, &result, files, n, -1);
}

static bool keep_is(struct ps_keeper *keeper, uint64_t now_ms, uint8_t sha)
{
    uint8_t got[PS_SHA256_BYTES];
    uint64_t size;

    return ps_keeper_next_keep(keeper, now_ms, got, &size) && got[0] == sha;
}

static void kept(struct ps_keeper *keeper, uint8_t sha, const char *reason)
{
    struct ps_msg_KEPT msg = {.reason = ps_bytes_of(reason)};

    memset(msg.sha256, sha, sizeof(msg.sha256));
    ps_keeper_kept(keeper, &msg);
}

static void want(struct ps_keeper *keeper, uint8_t sha, uint64_t offset, uint32_t bytes)
{
    struct ps_msg_WANT msg = {.offset = offset, .bytes = bytes};

    memset(msg.sha256, sha, sizeof(msg.sha256));
    ps_keeper_want(keeper, &msg, 0);
}

static void a_result_goes_on_when_all_are_kept(void **state)
{
    const struct ps_host_file files[] = {file(1, 5), file(2, 6)};
    struct ps_keeper *keeper = *state;
    const struct ps_msg_RESULT *result;

    assert_int_equal(put(keeper, 7, PS_OUTCOME_DESCRIBED, files, 2), 0);
    assert_int_equal(ps_keeper_bytes(keeper), 11);
    assert_true(keep_is(keeper, 0, 1));
    assert_true(keep_is(keeper, 0, 2));
    assert_false(keep_is(keeper, 0, 1));
    kept(keeper, 1, "");
    assert_null(ps_keeper_settled(keeper));
    kept(keeper, 2, "");
    result = ps_keeper_settled(keeper);
    assert_non_null(result);
    assert_int_equal(result->outcome, PS_OUTCOME_DESCRIBED);
    assert_int_equal(result->files.n, 2);
    assert_true(ps_bytes_is(result->files.items[1].name, "name"));
    assert_true(result->files.items[1].picture);
    assert_true(ps_keeper_forget(keeper, 7));
    assert_int_equal(ps_keeper_n(keeper), 0);
    assert_int_equal(ps_keeper_bytes(keeper), 0);
}

/* What is refused is left out, and an answer that sounded whole is not. A hit stays one. */
static void a_refused_file_makes_it_incomplete(void **state)
{
    const struct ps_host_file files[] = {file(1, 5), file(2, 6)};
    struct ps_keeper *keeper = *state;
    const struct ps_msg_RESULT *result;

    (void)put(keeper, 7, PS_OUTCOME_UNDETECTED, files, 2);
    (void)put(keeper, 8, PS_OUTCOME_MALICIOUS, files, 1);
    kept(keeper, 1, "the store is full");
    kept(keeper, 2, "");
    result = ps_keeper_settled(keeper);
    assert_int_equal(result->outcome, PS_OUTCOME_INCOMPLETE);
    assert_true(ps_bytes_is(result->reason, "a derived file could not be kept: the store is full"));
    assert_int_equal(result->files.n, 1);
    assert_int_equal(result->files.items[0].sha256[0], 2);
    (void)ps_keeper_forget(keeper, 7);
    result = ps_keeper_settled(keeper); /* one word settles the file for all who have it */
    assert_int_equal(result->job, 8);
    assert_int_equal(result->outcome, PS_OUTCOME_MALICIOUS);
    assert_int_equal(result->files.n, 0);
}

static void pieces_are_cut_as_they_are_wanted(void **state)
{
    const struct ps_host_file files[] = {file(1, 3 * PS_CHUNK_MAX + 9)};
    struct ps_keeper *keeper = *state;
    struct ps_keeper_piece piece;

    (void)put(keeper, 7, PS_OUTCOME_DESCRIBED, files, 1);
    assert_false(ps_keeper_next_piece(keeper, &piece));
    want(keeper, 1, 0, 10); /* not named yet: nobody can want it */
    assert_false(ps_keeper_next_piece(keeper, &piece));
    (void)keep_is(keeper, 0, 1);
    want(keeper, 1, 2 * PS_CHUNK_MAX, UINT32_MAX);
    assert_true(ps_keeper_next_piece(keeper, &piece));
    assert_int_equal(piece.offset, 2 * PS_CHUNK_MAX);
    assert_int_equal(piece.len, PS_CHUNK_MAX);
    ps_keeper_sent(keeper, &piece);
    assert_true(ps_keeper_next_piece(keeper, &piece));
    assert_int_equal(piece.len, 9);
    ps_keeper_sent(keeper, &piece);
    assert_false(ps_keeper_next_piece(keeper, &piece));
    want(keeper, 1, 3 * PS_CHUNK_MAX + 9, 1); /* behind its end */
    assert_false(ps_keeper_next_piece(keeper, &piece));
}

static void silence_and_a_new_session_name_it_again(void **state)
{
    const struct ps_host_file files[] = {file(1, 5)};
    struct ps_keeper *keeper = *state;

    (void)put(keeper, 7, PS_OUTCOME_DESCRIBED, files, 1);
    assert_int_equal(ps_keeper_due_ms(keeper, 3), 3);
    assert_true(keep_is(keeper, 100, 1));
    assert_int_equal(ps_keeper_due_ms(keeper, 100), 100 + PS_KEEPER_RETRY_MS);
    assert_false(keep_is(keeper, 99 + PS_KEEPER_RETRY_MS, 1));
    assert_true(keep_is(keeper, 100 + PS_KEEPER_RETRY_MS, 1));
    ps_keeper_rewind(keeper);
    assert_true(keep_is(keeper, 100 + PS_KEEPER_RETRY_MS, 1));
    kept(keeper, 1, "");
    ps_keeper_rewind(keeper); /* what is kept stays so */
    assert_non_null(ps_keeper_settled(keeper));
}

static void limits_hold(void **state)
{
    const struct ps_host_file files[] = {file(1, 5)}, other[] = {file(2, 5)};
    struct ps_keeper *keeper = *state;
    uint64_t job;

    for (job = 1; job <= 20; job++)
        assert_int_equal(put(keeper, job, PS_OUTCOME_DESCRIBED, job <= PS_KEEPER_RESULTS ? files : other, 1),
                         0);
    assert_int_equal(put(keeper, job, PS_OUTCOME_DESCRIBED, files, 1), PS_ERR_LIMIT);
    for (job = 1; job <= PS_KEEPER_RESULTS; job++)
        assert_true(keep_is(keeper, 0, 1));
    assert_false(keep_is(keeper, 0, 2)); /* the others wait for their turn */
    assert_true(ps_keeper_rebind(keeper, 3, 9, 99));
    assert_int_equal(ps_keeper_find(keeper, 3)->seq, 99);
    assert_true(ps_keeper_forget(keeper, 1));
    assert_false(ps_keeper_forget(keeper, 1));
    assert_true(keep_is(keeper, 0, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_goes_on_when_all_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_file_makes_it_incomplete, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_are_cut_as_they_are_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_and_a_new_session_name_it_again, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
    };

    return cmocka_run_group_tests_name("worker_keeper", tests, NULL, NULL);
}
