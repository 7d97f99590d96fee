#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/opt.h"

struct settings {
    bool wait, quiet;
    uint64_t slots, max_bytes, grace_ms;
    char *path;
    struct ps_opt_list engines;
};

static const struct ps_opt table[] = {
    {"wait", 'w', PS_OPT_FLAG, offsetof(struct settings, wait), 0, 0, "yes", NULL, "Wait for the verdicts."},
    {"quiet", 'q', PS_OPT_FLAG, offsetof(struct settings, quiet), 0, 0, NULL, NULL, "Say nothing."},
    {"slots", 's', PS_OPT_U64, offsetof(struct settings, slots), 1, 256, "4", "n", "Places for jobs."},
    {"max-bytes", 0, PS_OPT_U64, offsetof(struct settings, max_bytes), 0, 0, "512M", "bytes",
     "Largest sample."},
    {"grace", 0, PS_OPT_MS, offsetof(struct settings, grace_ms), 100, 3600000, "30s", "time", "Patience."},
    {"path", 'p', PS_OPT_TEXT, offsetof(struct settings, path), 0, 0, "/x", "path", "A place."},
    {"engines", 'e', PS_OPT_LIST, offsetof(struct settings, engines), 0, 0, "clamav,yara", "name", "Which."},
    {0},
};

static struct settings s;
static struct ps_error error;
static struct ps_opts_args rest;

static int setup(void **state)
{
    error = (struct ps_error){0};
    return ps_opts_defaults(table, &s, &error);
}

static int teardown(void **state)
{
    ps_opts_fini(table, &s);
    return s.path || s.engines.at || s.engines.n;
}

static int set(const char *name, const char *value)
{
    return ps_opts_set(table, &s, name, value, &error);
}

/* getopt sorts the words, but leaves their letters alone. */
#define ARGV(stop, ...)                                                                           \
    ({                                                                                            \
        static const char *argv_[] = {"prog", __VA_ARGS__, NULL};                                 \
        ps_opts_argv(table, &s, (int)PS_ARRAY_N(argv_) - 1, (char **)argv_, stop, &rest, &error); \
    })

static void defaults_fill_every_field(void **state)
{
    assert_true(s.wait);
    assert_false(s.quiet);
    assert_int_equal(s.slots, 4);
    assert_int_equal(s.max_bytes, 512 << 20);
    assert_int_equal(s.grace_ms, 30000);
    assert_string_equal(s.path, "/x");
    assert_int_equal(s.engines.n, 2);
    assert_string_equal(s.engines.at[1], "yara");
}

static void numbers_take_suffixes_where_they_fit(void **state)
{
    assert_int_equal(set("max-bytes", "0"), 0);
    assert_int_equal(s.max_bytes, 0);
    assert_int_equal(set("max-bytes", "3k"), 0);
    assert_int_equal(s.max_bytes, 3072);
    assert_int_equal(set("max-bytes", "18446744073709551615"), 0);
    assert_true(s.max_bytes == UINT64_MAX);
    assert_int_equal(set("grace", "250ms"), 0);
    assert_int_equal(s.grace_ms, 250);
    assert_int_equal(set("grace", "7"), 0);
    assert_int_equal(s.grace_ms, 7000);
    assert_int_equal(set("grace", "1h"), 0);
    assert_int_equal(s.grace_ms, 3600000);
    assert_int_equal(set("slots", "2k"), PS_ERR_INVALID);
}

static void bad_numbers_are_refused_and_nothing_changes(void **state)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x10",
                                      "1e3",
                                      "1.5",
                                      "k",
                                      "1kk",
                                      "18446744073709551616",
                                      "99999999999999999999999"};

    for (size_t i = 0; i < PS_ARRAY_N(bad); i++) {
        assert_int_equal(set("max-bytes", bad[i]), PS_ERR_INVALID);
        assert_int_equal(set("slots", bad[i]), PS_ERR_INVALID);
        assert_int_equal(set("grace", bad[i]), PS_ERR_INVALID);
    }
    assert_int_equal(set("max-bytes", "18014398509481984k"), PS_ERR_INVALID); /* 2^54 k is 2^64 */
    assert_int_equal(s.max_bytes, 512 << 20);
    assert_int_equal(s.slots, 4);
    assert_int_equal(s.grace_ms, 30000);
}

static void ranges_hold_at_both_ends(void **state)
{
    assert_int_equal(set("slots", "1"), 0);
    assert_int_equal(set("slots", "256"), 0);
    assert_int_equal(set("slots", "0"), PS_ERR_INVALID);
    assert_int_equal(set("slots", "257"), PS_ERR_INVALID);
    assert_string_equal(error.text, "slots: 257 is not between 1 and 256");
    assert_int_equal(set("grace", "99ms"), PS_ERR_INVALID);
    assert_int_equal(set("grace", "2h"), PS_ERR_INVALID);
    assert_int_equal(s.slots, 256);
}

static void flags_take_words(void **state)
{
    assert_int_equal(set("wait", "no"), 0);
    assert_false(s.wait);
    assert_int_equal(set("wait", NULL), 0);
    assert_true(s.wait);
    assert_int_equal(set("wait", "off"), 0);
    assert_false(s.wait);
    assert_int_equal(set("wait", "maybe"), PS_ERR_INVALID);
}

static void unknown_names_get_the_nearest_suggested(void **state)
{
    assert_int_equal(set("slot", "1"), PS_ERR_INVALID);
    assert_string_equal(error.text, "unknown option \"slot\": did you mean \"slots\"?");
    assert_int_equal(set("maxbytes", "1"), PS_ERR_INVALID);
    assert_string_equal(error.text, "unknown option \"maxbytes\": did you mean \"max-bytes\"?");
    assert_int_equal(set("colour", "1"), PS_ERR_INVALID);
    assert_string_equal(error.text, "unknown option \"colour\"");
}

static void lists_add_up_and_have_a_limit(void **state)
{
    assert_int_equal(set("engines", " type , ,hashes,"), 0);
    assert_int_equal(s.engines.n, 4);
    assert_string_equal(s.engines.at[2], "type");
    assert_string_equal(s.engines.at[3], "hashes");
    ps_opts_forget(table, &s, "engines");
    ps_opts_forget(table, &s, "path");
    ps_opts_forget(table, &s, "no such");
    assert_int_equal(s.engines.n, 0);
    assert_non_null(s.path);
    for (int i = 0; i < PS_OPT_LIST_ITEMS_MAX; i++)
        assert_int_equal(set("engines", "x"), 0);
    assert_int_equal(set("engines", "x"), PS_ERR_INVALID);
}

static void values_have_a_longest_length(void **state)
{
    PS_FREE char *text = malloc(PS_OPT_TEXT_BYTES_MAX + 2);

    memset(text, 'x', PS_OPT_TEXT_BYTES_MAX + 1);
    text[PS_OPT_TEXT_BYTES_MAX + 1] = '\0';
    assert_int_equal(set("path", text), PS_ERR_INVALID);
    text[PS_OPT_TEXT_BYTES_MAX] = '\0';
    assert_int_equal(set("path", text), 0);
}

static void command_line_mixes_options_and_arguments(void **state)
{
    assert_int_equal(ARGV(false, "a", "--slots=7", "-q", "b", "-p", "/y", "--wait=no", "--", "-c"), 0);
    assert_int_equal(s.slots, 7);
    assert_true(s.quiet);
    assert_false(s.wait);
    assert_string_equal(s.path, "/y");
    assert_int_equal(rest.argc, 3);
    assert_string_equal(rest.argv[0], "a");
    assert_string_equal(rest.argv[1], "b");
    assert_string_equal(rest.argv[2], "-c");
}

static void command_line_may_stop_at_the_first_argument(void **state)
{
    assert_int_equal(ARGV(true, "-q", "submit", "--slots=999"), 0);
    assert_true(s.quiet);
    assert_int_equal(rest.argc, 2);
    assert_string_equal(rest.argv[0], "submit");
}

static void list_on_the_command_line_replaces_the_default(void **state)
{
    assert_int_equal(ARGV(false, "-e", "type", "--engines=hashes,crashy"), 0);
    assert_int_equal(s.engines.n, 3);
    assert_string_equal(s.engines.at[0], "type");
    assert_string_equal(s.engines.at[2], "crashy");
    assert_int_equal(ARGV(false, "-e", "clamav"), 0);
    assert_int_equal(s.engines.n, 1);
}

static void help_and_version_are_told_to_the_caller(void **state)
{
    assert_int_equal(ARGV(false, "--help"), PS_ERR_CANCELLED);
    assert_string_equal(error.text, "help");
    assert_int_equal(ARGV(false, "-h"), PS_ERR_CANCELLED);
    assert_string_equal(error.text, "help");
    assert_int_equal(ARGV(false, "-V"), PS_ERR_CANCELLED);
    assert_string_equal(error.text, "version");
}

static void bad_command_lines_are_explained(void **state)
{
    assert_int_equal(ARGV(false, "--slotz=3"), PS_ERR_INVALID);
    assert_string_equal(error.text, "unknown option \"slotz\": did you mean \"slots\"?");
    assert_int_equal(ARGV(false, "-qx"), PS_ERR_INVALID);
    assert_string_equal(error.text, "unknown option -x");
    assert_int_equal(ARGV(false, "--path"), PS_ERR_INVALID);
    assert_string_equal(error.text, "option --path needs a value");
    assert_int_equal(ARGV(false, "-p"), PS_ERR_INVALID);
    assert_string_equal(error.text, "option -p needs a value");
    assert_int_equal(ARGV(false, "--help=me"), PS_ERR_INVALID);
    assert_string_equal(error.text, "option --help takes no value");
}

static void help_is_neat(void **state)
{
    PS_FREE char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    ps_opts_help(table, to);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, "  -w, --wait                Wait for the verdicts. [yes]\n"
                              "  -q, --quiet               Say nothing.\n"
                              "  -s, --slots=N             Places for jobs. [4]\n"
                              "      --max-bytes=BYTES     Largest sample. [512M]\n"
                              "      --grace=TIME          Patience. [30s]\n"
                              "  -p, --path=PATH           A place. [/x]\n"
                              "  -e, --engines=NAME        Which. [clamav,yara]\n"
                              "  -h, --help                Print this and exit.\n"
                              "  -V, --version             Print the version and exit.\n");
}

static void help_wraps_long_prose(void **state)
{
    static const struct ps_opt long_table[] = {
        {"a-name-too-long-for-its-column", 0, PS_OPT_FLAG, 0, 0, 0, NULL, NULL,
         "Words that go on beyond the eightieth column of the line and are therefore wrapped."},
        {0},
    };
    PS_FREE char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    ps_opts_help(long_table, to);
    assert_int_equal(fclose(to), 0);
    *strstr(text, "  -h") = '\0';
    assert_string_equal(text,
                        "      --a-name-too-long-for-its-column\n"
                        "                            Words that go on beyond the eightieth column of the\n"
                        "                            line and are therefore wrapped.\n");
}

static void defaults_that_fail_can_still_be_freed(void **state)
{
    static const struct ps_opt bad_table[] = {
        {"path", 0, PS_OPT_TEXT, offsetof(struct settings, path), 0, 0, "x", NULL, ""},
        {"slots", 0, PS_OPT_U64, offsetof(struct settings, slots), 5, 9, "1", NULL, ""},
        {0},
    };
    struct settings bad;

    assert_int_equal(ps_opts_defaults(bad_table, &bad, &error), PS_ERR_INVALID);
    ps_opts_fini(bad_table, &bad);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(defaults_fill_every_field),
        T(numbers_take_suffixes_where_they_fit),
        T(bad_numbers_are_refused_and_nothing_changes),
        T(ranges_hold_at_both_ends),
        T(flags_take_words),
        T(unknown_names_get_the_nearest_suggested),
        T(lists_add_up_and_have_a_limit),
        T(values_have_a_longest_length),
        T(command_line_mixes_options_and_arguments),
        T(command_line_may_stop_at_the_first_argument),
        T(list_on_the_command_line_replaces_the_default),
        T(help_and_version_are_told_to_the_caller),
        T(bad_command_lines_are_explained),
        T(help_is_neat),
        T(help_wraps_long_prose),
        T(defaults_that_fail_can_still_be_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
