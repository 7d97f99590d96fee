#include "tests/unit/unit.h"

#include "base/conf.h"
#include "base/mem.h"

struct settings {
    bool wait;
    uint64_t slots;
    char *path;
    struct ps_opt_list engines;
};

static const struct ps_opt table[] = {
    {"wait", 0, PS_OPT_FLAG, offsetof(struct settings, wait), 0, 0, NULL, NULL, ""},
    {"slots", 0, PS_OPT_U64, offsetof(struct settings, slots), 1, 256, "4", "n", ""},
    {"path", 0, PS_OPT_TEXT, offsetof(struct settings, path), 0, 0, NULL, "path", ""},
    {"engines", 0, PS_OPT_LIST, offsetof(struct settings, engines), 0, 0, "clamav", "name", ""},
    {0},
};

static struct settings s;
static struct ps_error error;
static char path[UNIT_PATH_MAX];

static int setup(void **state)
{
    error = (struct ps_error){0};
    return unit_setup_dir(state) || ps_opts_defaults(table, &s, &error);
}

static int teardown(void **state)
{
    ps_opts_fini(table, &s);
    return unit_teardown_dir(state);
}

static int load(void **state, const char *text)
{
    unit_path(path, *state, "phagescan.conf");
    assert_int_equal(ps_file_replace(path, text, strlen(text), 0600), 0);
    return ps_conf_load(path, true, "phagescan-worker", table, &s, &error);
}

static void assert_error_tells(const char *what)
{
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, what));
}

static void section_of_the_program_is_applied_and_others_are_not(void **state)
{
    assert_int_equal(load(state, "# a comment\n"
                                 "phagescan-master\n"
                                 "    port = 8480\n"
                                 "phagescan-worker\n"
                                 "    wait = yes\n"
                                 "    slots = 8\n"
                                 "    path = \"/a b\"\n"
                                 "    engines = type, hashes\n"),
                     0);
    assert_true(s.wait);
    assert_int_equal(s.slots, 8);
    assert_string_equal(s.path, "/a b");
    assert_int_equal(s.engines.n, 2);
    assert_string_equal(s.engines.at[1], "hashes");
}

static void file_without_the_section_changes_nothing(void **state)
{
    assert_int_equal(load(state, "phagescan-master\n    port = 1\n"), 0);
    assert_int_equal(load(state, ""), 0);
    assert_int_equal(s.slots, 4);
    assert_int_equal(s.engines.n, 1);
}

static void repeated_list_keys_add_up(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n    engines = type\n    engines = yara\n"), 0);
    assert_int_equal(s.engines.n, 2);
    assert_string_equal(s.engines.at[0], "type");
}

static void unknown_key_is_refused_with_file_and_key(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n    slot = 3\n"), PS_ERR_INVALID);
    assert_error_tells("slot\"");
    assert_error_tells("did you mean \"slots\"");
}

static void bad_value_is_refused_with_file_and_key(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n    slots = many\n"), PS_ERR_INVALID);
    assert_error_tells("slots: \"many\" is not a number");
    assert_int_equal(load(state, "phagescan-worker\n    slots\n"), PS_ERR_INVALID);
    assert_error_tells("slots");
    assert_int_equal(s.slots, 4);
}

static void key_given_twice_is_refused(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n    slots = 3\n    slots = 4\n"), PS_ERR_INVALID);
    assert_error_tells("slots is given twice");
}

static void key_with_keys_below_is_refused(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n    path = /x\n        slots = 4\n"), PS_ERR_INVALID);
    assert_error_tells("path is an option, not a section");
}

static void text_that_is_not_zpl_is_refused(void **state)
{
    assert_int_equal(load(state, "phagescan-worker\n  = {]\n"), PS_ERR_INVALID);
    assert_error_tells("not ZPL");
    assert_int_equal(load(state, "phagescan-worker\n            slots = 4\n"), PS_ERR_INVALID);
}

static void file_of_other_kinds_is_refused(void **state)
{
    PS_FREE char *large = malloc((1 << 20) + 2);

    unit_path(path, *state, "phagescan.conf");
    assert_int_equal(ps_file_replace(path, "phagescan-worker\n\0", 18, 0600), 0);
    assert_int_equal(ps_conf_load(path, true, "phagescan-worker", table, &s, &error), PS_ERR_INVALID);
    memset(large, '\n', (1 << 20) + 1);
    large[(1 << 20) + 1] = '\0';
    assert_int_equal(load(state, large), PS_ERR_LIMIT);
}

static void missing_file_is_an_error_only_when_it_must_be_there(void **state)
{
    unit_path(path, *state, "none");
    assert_int_equal(ps_conf_load(path, false, "phagescan-worker", table, &s, &error), 0);
    assert_int_equal(ps_conf_load(path, true, "phagescan-worker", table, &s, &error), PS_ERR_NOTFOUND);
    assert_error_tells("not found");
    assert_true(ps_conf_load(*state, false, "phagescan-worker", table, &s, &error) < 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(section_of_the_program_is_applied_and_others_are_not),
        T(file_without_the_section_changes_nothing),
        T(repeated_list_keys_add_up),
        T(unknown_key_is_refused_with_file_and_key),
        T(bad_value_is_refused_with_file_and_key),
        T(key_given_twice_is_refused),
        T(key_with_keys_below_is_refused),
        T(text_that_is_not_zpl_is_refused),
        T(file_of_other_kinds_is_refused),
        T(missing_file_is_an_error_only_when_it_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
