#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Standard error goes into a pipe while a line is written; what came out is in line. */
static char line[8192];

#define CAPTURE(call)            \
    do {                         \
        int saved_ = redirect(); \
                                 \
        call;                    \
        restore(saved_);         \
    } while (0)

static int pipe_fd = -1;

static int redirect(void)
{
    int fds[2], saved = dup(STDERR_FILENO);

    assert_true(saved >= 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    ps_close_fd_p(&fds[1]);
    pipe_fd = fds[0];
    return saved;
}

static void restore(int saved)
{
    ssize_t n;

    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    ps_close_fd_p(&saved);
    n = read(pipe_fd, line, sizeof(line) - 1);
    line[n > 0 ? n : 0] = '\0';
    ps_close_fd_p(&pipe_fd);
}

static void line_is_logfmt_with_one_newline(void **state)
{
    ps_log_init("prog", PS_LOG_INFO);
    CAPTURE(ps_log(PS_LOG_WARN, "joined", "name=%s slots=%d", PS_LOGQ("w 1"), 2));
    assert_memory_equal(line, "ts=20", 5);
    assert_string_equal(strchr(line, ' '), " level=warn prog=prog event=joined name=\"w 1\" slots=2\n");
    CAPTURE(ps_log(PS_LOG_INFO, "bare", "%s", ""));
    assert_non_null(strstr(line, "event=bare"));
}

static void less_severe_levels_are_silent(void **state)
{
    ps_log_init("prog", PS_LOG_WARN);
    CAPTURE(ps_log(PS_LOG_INFO, "quiet", "x=%d", 1));
    assert_string_equal(line, "");
    CAPTURE(ps_log(PS_LOG_ERROR, "loud", "x=%d", 1));
    assert_non_null(strstr(line, "level=error"));
}

static void unquoted_control_bytes_can_not_start_a_line(void **state)
{
    ps_log_init("prog", PS_LOG_INFO);
    CAPTURE(ps_log(PS_LOG_INFO, "bad", "raw=%s", "a\nts=forged\x1b"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strchr(line, '\x1b'));
}

static void long_lines_are_cut_and_say_so(void **state)
{
    char text[10000];
    size_t len;

    for (size_t shift = 0; shift < 4; shift++) { /* the cut falls on each byte of a code point */
        memset(text, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xf0\x9f\x90\x9b", 4);
        text[sizeof(text) - 4] = '\0';
        ps_log_init("prog", PS_LOG_INFO);
        CAPTURE(ps_log(PS_LOG_INFO, "long", "text=%s", text));
        len = strlen(line);
        assert_true(len > 4000 && len <= 4096);
        assert_string_equal(line + len - 9, " cut=yes\n");
        assert_true(ps_utf8_valid(line, len));
    }
}

static void logging_leaves_errno_alone(void **state)
{
    errno = EXDEV;
    CAPTURE(ps_log(PS_LOG_INFO, "x", "%d", 1));
    errno = EXDEV;
    ps_log(PS_LOG_DEBUG, "x", "%d", 1);
    assert_int_equal(errno, EXDEV);
}

static void plain_values_stay_bare(void **state)
{
    assert_string_equal(PS_LOGQ("worker-1.example:8481/a_b"), "worker-1.example:8481/a_b");
    assert_string_equal(PS_LOGQ(NULL), "-");
    assert_string_equal(PS_LOGQ("-"), "\"-\"");
    assert_string_equal(PS_LOGQ(""), "\"\"");
}

static void hostile_values_are_escaped(void **state)
{
    assert_string_equal(PS_LOGQ("a b"), "\"a b\"");
    assert_string_equal(PS_LOGQ("k=v"), "\"k=v\"");
    assert_string_equal(PS_LOGQ("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_string_equal(PS_LOGQ("a\nb\tc\rd\x1b"), "\"a\\nb\\tc\\rd\\x1b\"");
    assert_string_equal(PS_LOGQ("\xff\xe2\x80\xae\xc3\xa9"), "\"\\xff\\u{202E}\xc3\xa9\"");
    assert_string_equal(ps_log_quote("a\0b", 3).text, "\"a\\x00b\"");
}

static void long_values_keep_both_ends(void **state)
{
    PS_FREE char *text = malloc(100001);
    struct ps_log_quoted quoted;
    size_t len;

    for (int wide = 0; wide < 2; wide++) {
        for (size_t i = 0; i < 100000; i += 2)
            memcpy(text + i, wide ? "\xc3\xa9" : "\x01\x02", 2);
        memcpy(text, "head", 4);
        memcpy(text + 99996, "tail", 5);
        quoted = ps_log_quote_text(text);
        len = strlen(quoted.text);
        assert_true(len < PS_LOG_QUOTED_MAX && len > PS_LOG_QUOTED_MAX - 20);
        assert_memory_equal(quoted.text, "\"head", 5);
        assert_string_equal(quoted.text + len - 5, "tail\"");
        assert_non_null(strstr(quoted.text, "..."));
        assert_true(ps_utf8_valid(quoted.text, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_is_logfmt_with_one_newline),
        cmocka_unit_test(less_severe_levels_are_silent),
        cmocka_unit_test(unquoted_control_bytes_can_not_start_a_line),
        cmocka_unit_test(long_lines_are_cut_and_say_so),
        cmocka_unit_test(logging_leaves_errno_alone),
        cmocka_unit_test(plain_values_stay_bare),
        cmocka_unit_test(hostile_values_are_escaped),
        cmocka_unit_test(long_values_keep_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
