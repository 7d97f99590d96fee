/* tests/unit/engine_kit.c: what our own engines share. */
#include "unit.h"

#include "engines/kit/kit.h"
#include "engines/kit/sigset.h"
#include "tests/unit/engine_fake.h"

#include <sys/stat.h>

static void make_dir(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(mkdir(unit_path(path, dir, name), 0700), 0);
}

/* Numbers take a unit and a range; what is not one is refused with the key in the sentence. */
static void numbers(void **state)
{
    static const struct {
        const char *setting;
        uint64_t number;
        bool good;
    } cases[] = {
        {"n=7", 7, true},
        {"n=7k", 7168, true},
        {"n=2G", UINT64_C(2) << 30, true},
        {"n=-1", 0, false},
        {"n= 7", 0, false},
        {"n=", 0, false},
        {"n=7x", 0, false},
        {"n=7kk", 0, false},
        {"n=4", 0, false},
        {"n=9G", 0, false},
        {"n=99999999999999999999", 0, false},
        {"n=99999999999G", 0, false},
    };
    struct fake_conf conf;
    char err[256];
    uint64_t number;

    (void)state;
    fake_conf_init(&conf, NULL, "/tmp");
    assert_int_equal(ps_kit_number(&conf.conf, "n", 42, 5, UINT64_C(4) << 30, &number, err, sizeof(err)), 0);
    assert_int_equal(number, 42);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        conf.settings[0] = cases[i].setting;
        number = 0;
        err[0] = '\0';
        assert_int_equal(ps_kit_number(&conf.conf, "n", 42, 5, UINT64_C(4) << 30, &number, err, sizeof(err)),
                         cases[i].good ? 0 : -1);
        assert_int_equal(number, cases[i].number);
        assert_true(cases[i].good || strstr(err, "setting n"));
    }
}

static void switches(void **state)
{
    struct fake_conf conf;
    char err[256];
    bool on = false;

    (void)state;
    fake_conf_init(&conf, NULL, "/tmp");
    assert_int_equal(ps_kit_switch(&conf.conf, "s", true, &on, err, sizeof(err)), 0);
    assert_true(on);
    conf.settings[0] = "s=No";
    assert_int_equal(ps_kit_switch(&conf.conf, "s", true, &on, err, sizeof(err)), 0);
    assert_false(on);
    conf.settings[0] = "s=on";
    assert_int_equal(ps_kit_switch(&conf.conf, "s", false, &on, err, sizeof(err)), 0);
    assert_true(on);
    conf.settings[0] = "s=perhaps";
    assert_int_equal(ps_kit_switch(&conf.conf, "s", false, &on, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "perhaps"));
}

/* Hostile text becomes UTF-8 without controls, cut between characters. */
static void texts(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"a\nb\x1b[0m", "a?b?[0m"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9b", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9b"},
        {"\xc3", "?"},
        {"\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80", "?????????"},
        {"\xe2\x82", "??"},
        {"", ""},
    };
    char clean[64], four[4];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(ps_kit_text(clean, sizeof(clean), cases[i][0]), cases[i][1]);
    assert_string_equal(ps_kit_text(four, sizeof(four), "ab\xc3\xa9"), "ab");
    assert_string_equal(ps_kit_text(four, sizeof(four), "abcdef"), "abc");
}

static bool is_rule(const char *name)
{
    return strstr(name, ".yar") != NULL;
}

/* A set is listed in order, below directories, without what is hidden; the fingerprint follows names and bytes and
 * nothing else. */
static void sets(void **state)
{
    char *dir = *state, err[256], path[UNIT_PATH_MAX], first[PS_SIGSET_HASH_LEN + 1];
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    struct ps_sigset set;

    make_dir(dir, "b");
    make_dir(dir, ".git");
    fake_write(dir, "z.yar", "one");
    fake_write(dir, "b/a.yar", "two");
    fake_write(dir, ".git/c.yar", "hidden");
    fake_write(dir, "note.txt", "other");
    assert_int_equal(utimensat(AT_FDCWD, unit_path(path, dir, "z.yar"), times, 0), 0);

    assert_int_equal(ps_sigset_list(&set, dir, true, is_rule, err, sizeof(err)), 0);
    assert_int_equal(set.n, 2);
    assert_string_equal(set.files[0].name, "b/a.yar");
    assert_string_equal(set.files[1].name, "z.yar");
    assert_int_equal(set.files[1].mtime, 2000);
    assert_int_equal(set.newest, set.files[0].mtime);
    assert_int_equal(ps_sigset_hash(&set, NULL, err, sizeof(err)), 0);
    assert_int_equal(strlen(set.hash), PS_SIGSET_HASH_LEN);
    memcpy(first, set.hash, sizeof(first));
    ps_sigset_fini(&set);

    assert_int_equal(utimensat(AT_FDCWD, unit_path(path, dir, "b/a.yar"), times, 0), 0);
    assert_int_equal(ps_sigset_list(&set, dir, true, is_rule, err, sizeof(err)), 0);
    assert_int_equal(ps_sigset_hash(&set, NULL, err, sizeof(err)), 0);
    assert_string_equal(set.hash, first);
    ps_sigset_fini(&set);

    fake_write(dir, "z.yar", "onE");
    assert_int_equal(ps_sigset_list(&set, dir, true, is_rule, err, sizeof(err)), 0);
    assert_int_equal(ps_sigset_hash(&set, NULL, err, sizeof(err)), 0);
    assert_string_not_equal(set.hash, first);
    ps_sigset_fini(&set);

    assert_int_equal(ps_sigset_list(&set, dir, false, is_rule, err, sizeof(err)), 0);
    assert_int_equal(set.n, 1);
    ps_sigset_fini(&set);
}

/* No directory is an empty set; a file that can't be read is an error that names it. */
static void sets_that_are_not_there(void **state)
{
    char *dir = *state, err[256] = "", path[UNIT_PATH_MAX];
    struct ps_sigset set;

    assert_int_equal(ps_sigset_list(&set, unit_path(path, dir, "absent"), true, is_rule, err, sizeof(err)),
                     0);
    assert_int_equal(set.n, 0);
    ps_sigset_fini(&set);
    assert_int_equal(ps_sigset_list(&set, NULL, true, is_rule, err, sizeof(err)), 0);
    assert_int_equal(set.n, 0);
    ps_sigset_fini(&set);

    fake_write(dir, "gone.yar", "x");
    assert_int_equal(ps_sigset_list(&set, dir, true, is_rule, err, sizeof(err)), 0);
    assert_int_equal(unlink(unit_path(path, dir, "gone.yar")), 0);
    assert_int_equal(ps_sigset_hash(&set, NULL, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "gone.yar"));
    ps_sigset_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(switches),
        cmocka_unit_test(texts),
        cmocka_unit_test_setup_teardown(sets, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(sets_that_are_not_there, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
