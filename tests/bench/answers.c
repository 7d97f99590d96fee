/* What the dispatch bench takes for a right answer: nothing but the one to that job, whole, once. */
#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/dispatch/payload.h"
#include "bench/dispatch/tally.h"

#define JOBS_N 4

static const size_t sizes[] = {8, 200, 4096, PAYLOAD_PIECE, PAYLOAD_PIECE + 8, 3 * PAYLOAD_PIECE};

/* The sum that is known without the bytes is the sum of the bytes. */
static void sums_are_of_the_bytes(void **state)
{
    for (size_t s = 0; s < PS_ARRAY_N(sizes); s++) {
        PS_FREE uint8_t *bytes = malloc(sizes[s]);

        assert_non_null(bytes);
        payload_init(sizes[s]);
        for (uint64_t job = 0; job < 1000; job += 333) {
            payload_write(bytes, job);
            assert_int_equal(payload_job(bytes), job);
            assert_int_equal(payload_sum(bytes, sizes[s]), payload_expected(job));
            assert_int_not_equal(payload_expected(job), payload_expected(job + 1));
        }
    }
}

static void a_changed_byte_changes_the_sum(void **state)
{
    for (size_t s = 0; s < PS_ARRAY_N(sizes); s++) {
        PS_FREE uint8_t *bytes = malloc(sizes[s]);
        size_t step = PS_MAX(sizes[s] / 500, (size_t)1);

        assert_non_null(bytes);
        payload_init(sizes[s]);
        payload_write(bytes, 7);
        for (size_t i = 0; i < sizes[s]; i += step) {
            bytes[i] ^= 1;
            assert_int_not_equal(payload_sum(bytes, sizes[s]), payload_expected(7));
            bytes[i] ^= 1;
        }
        assert_int_equal(payload_sum(bytes, sizes[s]), payload_expected(7));
    }
}

/* A piece that came at another's place, or from another job. */
static void pieces_have_their_place(void **state)
{
    static uint8_t bytes[2 * PAYLOAD_PIECE];
    size_t len;

    payload_init(sizeof(bytes));
    payload_write(bytes, 7);
    memcpy(bytes + PAYLOAD_PIECE, payload_piece(8, PAYLOAD_PIECE, &len), PAYLOAD_PIECE);
    assert_int_equal(len, PAYLOAD_PIECE);
    assert_int_not_equal(payload_sum(bytes, sizeof(bytes)), payload_expected(7));
    assert_int_not_equal(payload_sum(bytes, PAYLOAD_PIECE), payload_expected(7));
}

static void answers_are_whole_and_right(void **state)
{
    uint8_t answer[ANSWER_BYTES];
    uint64_t job = 0;

    payload_init(200);
    answer_write(answer, 42, payload_expected(42));
    assert_true(answer_check(answer, sizeof(answer), &job));
    assert_int_equal(job, 42);
    assert_false(answer_check(answer, sizeof(answer) - 1, &job));
    for (size_t i = 0; i < sizeof(answer); i++) {
        answer[i] ^= 0x10;
        assert_false(answer_check(answer, sizeof(answer), &job));
        answer[i] ^= 0x10;
    }
    answer_write(answer, 42, payload_expected(43));
    assert_false(answer_check(answer, sizeof(answer), &job));
}

/* In a process of its own, since a wrong answer ends it: JOBS_N jobs leave, those in the list are answered.
 * Returns its exit status. */
static int tally_of(const uint64_t *jobs, size_t n)
{
    const struct bench_options options = {.jobs = JOBS_N, .window = JOBS_N, .size = 200, .sessions = 1};
    struct bench_tally tally;
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        bench_tally_init(&tally, &options);
        for (size_t i = 0; i + 1 < JOBS_N; i++) /* all but the last */
            (void)bench_tally_send(&tally);
        for (size_t i = 0; i < n; i++)
            bench_tally_answer(&tally, jobs[i]);
        bench_tally_fini(&tally);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void each_job_is_answered_once(void **state)
{
    assert_int_equal(tally_of((uint64_t[]){2, 0, 1}, 3), 0);
    assert_int_equal(tally_of((uint64_t[]){2, 0, 2}, 3), 1); /* twice */
    assert_int_equal(tally_of((uint64_t[]){3}, 1), 1);       /* not sent yet */
    assert_int_equal(tally_of((uint64_t[]){99}, 1), 1);      /* no job */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_of_the_bytes),     cmocka_unit_test(a_changed_byte_changes_the_sum),
        cmocka_unit_test(pieces_have_their_place),   cmocka_unit_test(answers_are_whole_and_right),
        cmocka_unit_test(each_job_is_answered_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
