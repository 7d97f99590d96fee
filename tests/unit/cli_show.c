/* What a person sees: exit statuses, and that nothing a stranger wrote reaches the terminal as a command. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "cli/command.h"
#include "cli/submit/show.h"
#include "cli/text.h"

#define HOSTILE                  \
    "a\x1b[31mred\x07\n\xc2\x9b" \
    "2J\xe2\x80\xaetxt.exe"

/* Standard output and error of a piece of work. */
struct heard {
    int saved[2], fds[2];
    char out[65536], err[65536];
};

static void hear(struct heard *heard)
{
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        heard->saved[i] = dup(1 + i);
        heard->fds[i] = open("/tmp", O_TMPFILE | O_RDWR, 0600);
        assert_true(heard->saved[i] >= 0 && heard->fds[i] >= 0);
        assert_int_equal(dup2(heard->fds[i], 1 + i), 1 + i);
    }
}

static void hear_end(struct heard *heard)
{
    char *texts[2] = {heard->out, heard->err};

    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        ssize_t n = pread(heard->fds[i], texts[i], sizeof(heard->out) - 1, 0);

        (void)dup2(heard->saved[i], 1 + i);
        (void)close(heard->saved[i]);
        (void)close(heard->fds[i]);
        assert_true(n >= 0);
        texts[i][n] = '\0';
    }
}

/* No control characters but newlines, none of Unicode's that turn text. */
static bool is_tame(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if ((*at < 0x20 && *at != '\n') || *at == 0x7f)
            return false;
        if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            return false;
        if (at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xae || at[2] == 0xa8))
            return false;
    }
    return true;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void take(struct ps_show *show, const char *path, const char *verdict, const char *label)
{
    json_t *event =
        json_pack("{s:s, s:{s:s, s:i, s:i, s:s*, s:s, s:[s]}}", "sha256", "00", "scan", "verdict", verdict,
                  "positives", 1, "total", 2, "label", label, "type", HOSTILE, "reasons", "because " HOSTILE);
    json_t *submission = json_pack("{s:i, s:s}", "id", 7, "source_path", path);

    assert_non_null(event);
    assert_non_null(submission);
    ps_show_verdict(show, event, submission);
    json_decref(event);
    json_decref(submission);
}

static int run(struct heard *heard, const struct ps_show_settings *settings, const char *const *verdicts)
{
    struct ps_show show;

    ps_show_init(&show, settings, 0);
    hear(heard);
    for (; *verdicts; verdicts++) {
        if (!strcmp(*verdicts, "error"))
            ps_show_error(&show, "/x/" HOSTILE, HOSTILE);
        else
            take(&show, "/x/" HOSTILE, *verdicts, !strcmp(*verdicts, "malicious") ? HOSTILE : NULL);
    }
    int status = ps_show_end(&show, 1000);
    hear_end(heard);
    ps_show_fini(&show);
    return status;
}

#define VERDICTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* As clamscan's: a finding wins over errors, an error over nothing found; inconclusive is no good news. */
static void exit_statuses(void **state)
{
    static const struct ps_show_settings settings = {.wait = true};
    static struct heard heard;

    (void)state;
    assert_int_equal(run(&heard, &settings, VERDICTS(NULL)), PS_EXIT_OK);
    assert_int_equal(run(&heard, &settings, VERDICTS("nothing-found", "known-good")), PS_EXIT_OK);
    assert_int_equal(run(&heard, &settings, VERDICTS("nothing-found", "malicious")), PS_EXIT_FOUND);
    assert_int_equal(run(&heard, &settings, VERDICTS("suspicious", "error", "inconclusive")), PS_EXIT_FOUND);
    assert_int_equal(run(&heard, &settings, VERDICTS("nothing-found", "inconclusive")), PS_EXIT_ERROR);
    assert_int_equal(run(&heard, &settings, VERDICTS("nothing-found", "error")), PS_EXIT_ERROR);
    assert_int_equal(run(&heard, &settings, VERDICTS("a word of tomorrow")), PS_EXIT_ERROR);
}

/* What earlier runs of a sweep found counts for it as a whole. */
static void earlier_runs_count(void **state)
{
    static const struct ps_show_settings settings = {.wait = true};
    static struct heard heard;
    struct ps_show show;

    (void)state;
    ps_show_init(&show, &settings, 0);
    hear(&heard);
    ps_show_earlier(&show, "inconclusive");
    assert_int_equal(ps_show_end(&show, 1), PS_EXIT_ERROR);
    ps_show_earlier(&show, "malicious");
    assert_int_equal(ps_show_end(&show, 1), PS_EXIT_FOUND);
    hear_end(&heard);
    assert_non_null(strstr(heard.out, "Earlier runs of this sweep found something"));
    ps_show_fini(&show);
}

/* Lines, tables and JSON: tame in all of them, one line for each file. */
static void hostile_text_is_shown_not_obeyed(void **state)
{
    static const struct ps_show_settings lines = {.wait = true}, table = {.wait = true, .table = true},
                                         json = {.wait = true, .json = true};
    static struct heard heard;

    (void)state;
    (void)run(&heard, &lines, VERDICTS("malicious", "inconclusive", "error"));
    assert_true(is_tame(heard.out) && is_tame(heard.err));
    assert_non_null(strstr(heard.out, "malicious 1/2 a\\x1b[31mred\\x07\\n\\x9b2J\\u{202E}txt.exe"));
    assert_non_null(strstr(heard.out, "inconclusive 1/2 (because a\\x1b"));
    assert_non_null(strstr(heard.err, "/x/a\\x1b[31m"));
    assert_int_equal(count_lines(heard.err), 1);

    (void)run(&heard, &table, VERDICTS("malicious", "inconclusive"));
    assert_true(is_tame(heard.out));
    assert_int_equal(count_lines(heard.out), 3 + 3);

    (void)run(&heard, &json, VERDICTS("malicious", "inconclusive", "error"));
    assert_true(is_tame(heard.out));
    assert_int_equal(count_lines(heard.out), 3);
    for (char *at = heard.out, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        *end = '\0';
        json_t *line = json_loads(at, 0, NULL);
        assert_non_null(line);
        assert_string_equal(ps_text_of(line, "path"), "/x/" HOSTILE);
        json_decref(line);
        for (const char *c = at; *c; c++)
            assert_true((unsigned char)*c < 0x80);
    }
}

/* A path that is no UTF-8 still makes a line of JSON. */
static void bad_utf8_makes_json(void **state)
{
    static const struct ps_show_settings json = {.json = true};
    static struct heard heard;
    struct ps_show show;
    json_t *answer = json_pack("{s:s, s:i, s:i, s:b, s:i}", "sha256", "00", "submission", 1, "scan", 2,
                               "known", 0, "n", 3);

    (void)state;
    ps_show_init(&show, &json, 0);
    hear(&heard);
    ps_show_error(&show, "/x/\xff\xfe", "no \xff");
    ps_show_error(&show, NULL, "no path");
    ps_show_sent(&show, "/x/\xff", 1, answer);
    (void)ps_show_end(&show, 1);
    hear_end(&heard);
    json_decref(answer);
    ps_show_fini(&show);
    assert_string_equal(heard.out, "{\"path\":\"/x/\\\\xff\\\\xfe\",\"error\":\"no \\\\xff\"}\n"
                                   "{\"path\":null,\"error\":\"no path\"}\n"
                                   "{\"path\":\"/x/\\\\xff\",\"sha256\":\"00\",\"submission\":1,\"scan\":2,"
                                   "\"known\":false}\n");
}

/* Quiet: findings and errors, and the sum beside them on standard error. */
static void quiet_tells_findings(void **state)
{
    static const struct ps_show_settings quiet = {.wait = true, .quiet = true};
    static struct heard heard;

    (void)state;
    (void)run(&heard, &quiet, VERDICTS("malicious", "nothing-found", "inconclusive"));
    assert_int_equal(count_lines(heard.out), 1);
    assert_non_null(strstr(heard.err, "1 malicious, 0 suspicious, 1 nothing found"));
}

/* Rows beyond the limit are counted. */
static void table_has_a_limit(void **state)
{
    static const struct ps_show_settings settings = {.wait = true, .table = true};
    static struct heard heard;
    struct ps_show show;

    (void)state;
    ps_show_init(&show, &settings, 0);
    for (size_t i = 0; i < PS_SHOW_ROWS_MAX + 5; i++)
        take(&show, "/x", "nothing-found", NULL);
    assert_int_equal(json_array_size(show.rows), PS_SHOW_ROWS_MAX);
    assert_int_equal(show.noted_n, 5);
    json_array_clear(show.rows);
    hear(&heard);
    (void)ps_show_end(&show, 1);
    hear_end(&heard);
    assert_non_null(strstr(heard.out, "(and 5 more files; --json shows them all)"));
    ps_show_fini(&show);
}

/* The progress line fits the terminal and takes nothing for a command; without a terminal there is none. */
static void progress_line(void **state)
{
    static const struct ps_show_settings settings = {.wait = true};
    static struct heard heard;
    struct ps_show show;

    (void)state;
    ps_show_init(&show, &settings, 0);
    show.terminal = false;
    hear(&heard);
    ps_show_progress(&show, 10000, "x");
    hear_end(&heard);
    assert_string_equal(heard.err, "");

    show.terminal = true;
    show.total_n = 3;
    show.sent_n = show.done_n = 2;
    show.failed_n = 5; /* more than was counted: files came meanwhile */
    hear(&heard);
    ps_show_progress(&show, 10000,
                     "waiting: " HOSTILE " and a long story that would make this line wrap around");
    hear_end(&heard);
    assert_true(!strncmp(heard.err, "\r\033[K[", 5));
    assert_true(is_tame(heard.err + 4));
    assert_non_null(strstr(heard.err, "] 7/7"));
    assert_true(ps_text_width(heard.err + 4) <= 79);
    ps_show_fini(&show);
}

/* A cell loses its middle, never half a character; a text that is too long is cut, not lost. */
static void cells(void **state)
{
    static struct heard heard;
    char *text = calloc(1, 3 * PS_TEXT_SHOWN_MAX);

    (void)state;
    hear(&heard);
    assert_int_equal(ps_text_put(stdout, "äöüäöüäöü", 5), 5);
    (void)putchar('|');
    assert_int_equal(ps_text_put(stdout, "short", 5), 5);
    (void)putchar('|');
    assert_int_equal(ps_text_put(stdout, "ab", 1), 1);
    hear_end(&heard);
    assert_string_equal(heard.out, "äö…öü|short|…");

    memset(text, 'x', 3 * PS_TEXT_SHOWN_MAX - 1);
    assert_int_equal(ps_text_width(text), PS_TEXT_SHOWN_MAX);
    memset(text, '\x01', 3 * PS_TEXT_SHOWN_MAX - 1);
    assert_int_equal(ps_text_width(text), 4 * PS_TEXT_SHOWN_MAX);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_statuses),
        cmocka_unit_test(earlier_runs_count),
        cmocka_unit_test(hostile_text_is_shown_not_obeyed),
        cmocka_unit_test(bad_utf8_makes_json),
        cmocka_unit_test(quiet_tells_findings),
        cmocka_unit_test(table_has_a_limit),
        cmocka_unit_test(progress_line),
        cmocka_unit_test(cells),
    };

    return cmocka_run_group_tests_name("cli_show", tests, NULL, NULL);
}
