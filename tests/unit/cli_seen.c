/* The state file of a sweep: what it remembers, what a crash leaves of it, what is none. */
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "cli/submit/seen.h"

static struct ps_seen *open_at(const char *dir)
{
    char path[UNIT_PATH_MAX];
    struct ps_seen *seen = NULL;
    struct ps_error why = {0};
    int r = ps_seen_open(&seen, unit_path(path, dir, "state"), "cli-0123", &why);

    if (r)
        print_error("%s\n", why.text);
    assert_int_equal(r, 0);
    return seen;
}

static int open_fails(const char *dir, struct ps_error *ret_why)
{
    char path[UNIT_PATH_MAX];
    struct ps_seen *seen = NULL;
    int r = ps_seen_open(&seen, unit_path(path, dir, "state"), "cli-new", ret_why);

    assert_null(seen);
    return r;
}

static void write_state(const char *dir, const char *text, size_t len)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_replace(unit_path(path, dir, "state"), text, len, 0600), 0);
}

static char *read_state(const char *dir)
{
    char path[UNIT_PATH_MAX];
    struct ps_buf text;

    ps_buf_init(&text, 64 << 20);
    assert_int_equal(ps_file_read(unit_path(path, dir, "state"), &text), 0);
    char *copy = ps_strf("%s", ps_buf_text(&text));
    ps_buf_fini(&text);
    return copy;
}

static void add(struct ps_seen *seen, const char *path, uint64_t size)
{
    uint8_t key[PS_SEEN_KEY];

    ps_seen_key(key, path, size, 7);
    assert_int_equal(ps_seen_add(seen, key), 0);
}

static bool has(struct ps_seen *seen, const char *path, uint64_t size)
{
    uint8_t key[PS_SEEN_KEY];

    ps_seen_key(key, path, size, 7);
    return ps_seen_has(seen, key);
}

static void plan(struct ps_seen *seen, const char *key, const char *path)
{
    uint8_t file[PS_SEEN_KEY];

    ps_seen_key(file, path, 1, 7);
    assert_int_equal(ps_seen_plan(seen, key), 0);
    assert_int_equal(ps_seen_plan_file(seen, file, path), 0);
}

static void finish(struct ps_seen **seen_p)
{
    struct ps_error why = {0};

    assert_int_equal(ps_seen_sync(*seen_p, &why), 0);
    ps_seen_close(seen_p);
}

/* What was acknowledged is seen by the next run, under the first run's batch; a change of any part is not. */
static void next_run_has_what_was_acknowledged(void **state)
{
    struct ps_seen *seen = open_at(*state);

    assert_string_equal(ps_seen_batch(seen), "cli-0123");
    add(seen, "/a/one", 10);
    add(seen, "/a/two", 20);
    assert_false(has(seen, "/a/one", 10)); /* this run walks no path twice */
    finish(&seen);

    struct ps_error why = {0};
    char path[UNIT_PATH_MAX];
    assert_int_equal(ps_seen_open(&seen, unit_path(path, *state, "state"), "cli-other", &why), 0);
    assert_string_equal(ps_seen_batch(seen), "cli-0123");
    assert_true(has(seen, "/a/one", 10));
    assert_true(has(seen, "/a/two", 20));
    assert_false(has(seen, "/a/one", 11));
    assert_false(has(seen, "/a/on", 10));
    assert_false(ps_seen_has_plan(seen));
    ps_seen_close(&seen);
}

/* A key can't be made by shifting bytes between its parts. */
static void keys_tell_parts_apart(void **state)
{
    uint8_t a[PS_SEEN_KEY], b[PS_SEEN_KEY];

    (void)state;
    ps_seen_key(a, "/x", 1, 2);
    ps_seen_key(b, "/x", 2, 1);
    assert_memory_not_equal(a, b, sizeof(a));
    ps_seen_key(b, "/x", 1, 2);
    assert_memory_equal(a, b, sizeof(a));
}

/* A crash in the middle of a line costs that line; what is written after it stands on its own. */
static void half_a_line_is_passed_over(void **state)
{
    struct ps_seen *seen = open_at(*state);

    add(seen, "/one", 1);
    add(seen, "/two", 2);
    finish(&seen);
    char *text = read_state(*state);
    write_state(*state, text, strlen(text) - 9);
    free(text);

    seen = open_at(*state);
    assert_true(has(seen, "/one", 1));
    assert_false(has(seen, "/two", 2));
    add(seen, "/three", 3);
    finish(&seen);

    seen = open_at(*state);
    assert_true(has(seen, "/one", 1));
    assert_false(has(seen, "/two", 2));
    assert_true(has(seen, "/three", 3));
    ps_seen_close(&seen);
}

/* A maker that was killed within the first line had sent nothing: the file begins anew. */
static void half_a_first_line_begins_anew(void **state)
{
    static const char half[] = "phagescan-sw";

    write_state(*state, half, sizeof(half) - 1);
    struct ps_seen *seen = open_at(*state);
    assert_string_equal(ps_seen_batch(seen), "cli-0123");
    finish(&seen);
    char *text = read_state(*state);
    assert_string_equal(text, "phagescan-sweep 1 cli-0123\n");
    free(text);
}

/* Whatever else the file is, it is refused and left as it was. */
static void other_files_are_left_alone(void **state)
{
    static const char *const others[] = {
        "\n",
        "hello\n",
        "phagescan-sweep 2 x\n",
        "phagescan-sweep 1 \n",
        "phagescan-sweep 1 a/b&c=d\n",
        "phagescan-sweep 1 "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"};

    for (size_t i = 0; i < PS_ARRAY_N(others); i++) {
        struct ps_error why = {0};

        write_state(*state, others[i], strlen(others[i]));
        assert_int_equal(open_fails(*state, &why), PS_ERR_INVALID);
        assert_non_null(strstr(why.text, "is not a state file"));
        char *text = read_state(*state);
        assert_string_equal(text, others[i]);
        free(text);
    }
}

/* A line that no run of ours writes is damage, not memory. */
static void endless_lines_are_refused(void **state)
{
    struct ps_error why = {0};
    struct ps_buf text;

    ps_buf_init(&text, 1 << 20);
    ps_buf_put_text(&text, "phagescan-sweep 1 cli-0123\n=");
    for (int i = 0; i < 40000; i++)
        ps_buf_put_text(&text, "x");
    write_state(*state, (const char *)text.data, text.len);
    ps_buf_fini(&text);
    assert_int_equal(open_fails(*state, &why), PS_ERR_INVALID);
    assert_non_null(strstr(why.text, "damaged"));
}

/* Lines that can't be read are passed over one by one. */
static void strange_lines_are_passed_over(void **state)
{
    static const char text[] = "phagescan-sweep 1 cli-0123\n"
                               "=00112233445566778899aabbccddeeff /no/plan/yet\n"
                               "\n+\n-\n@\n@up\n=\n-nobody\n@../../x key-1\n"
                               "00112233445566778899AABBCCDDEEFF\n"
                               "00112233445566778899aabbccddeef\n"
                               "+key-1\n"
                               "=short /x\n"
                               "=0011223344556677889900112233445z /x\n"
                               "=00112233445566778899aabbccddeeff /%41%zz%2\n"
                               "@../../x key-1\n";
    uint8_t key[PS_SEEN_KEY];

    write_state(*state, text, sizeof(text) - 1);
    struct ps_seen *seen = open_at(*state);
    assert_int_equal(ps_hex_decode(key, PS_SEEN_KEY, "00112233445566778899aabbccddeeff", 32), 0);
    assert_true(ps_seen_has(seen, key));
    struct ps_seen_plan *got = ps_seen_take_plan(seen);
    assert_non_null(got);
    assert_string_equal(got->key, "key-1");
    assert_string_equal(got->upload, ""); /* it would become part of an address */
    assert_int_equal(got->n, 1);
    assert_string_equal(got->files[0].path, "/A%zz%2");
    ps_seen_plan_free(&got);
    assert_null(ps_seen_take_plan(seen));
    ps_seen_close(&seen);
}

/* A plan that was settled is gone; one that was not comes back with its paths as they were, whatever is in them. */
static void open_plans_come_back(void **state)
{
    static const char odd[] = "/a/new\nline%0a\x01\x7f\xff\xfe b";
    struct ps_seen *seen = open_at(*state);
    uint8_t key[PS_SEEN_KEY], want[PS_SEEN_KEY];

    plan(seen, "cli-0123-1", "/settled");
    assert_int_equal(ps_seen_settled(seen, "cli-0123-1"), 0);
    plan(seen, "cli-0123-2", odd);
    ps_seen_key(key, "/second", 5, 6);
    assert_int_equal(ps_seen_plan_file(seen, key, "/second"), 0);
    plan(seen, "cli-0123-3", "/big");
    assert_int_equal(ps_seen_upload(seen, "cli-0123-3", "abcdef0123"), 0);
    finish(&seen);

    seen = open_at(*state);
    assert_true(ps_seen_has_plan(seen));
    struct ps_seen_plan *got = ps_seen_take_plan(seen);
    assert_string_equal(got->key, "cli-0123-3");
    assert_string_equal(got->upload, "abcdef0123");
    ps_seen_plan_free(&got);
    got = ps_seen_take_plan(seen);
    assert_string_equal(got->key, "cli-0123-2");
    assert_string_equal(got->upload, "");
    assert_int_equal(got->n, 2);
    assert_string_equal(got->files[0].path, odd);
    ps_seen_key(want, odd, 1, 7);
    assert_memory_equal(got->files[0].key, want, sizeof(want));
    assert_memory_equal(got->files[1].key, key, sizeof(key));
    ps_seen_plan_free(&got);
    assert_false(ps_seen_has_plan(seen));
    ps_seen_close(&seen);
}

/* A run that repeats a plan and is killed, too, leaves one plan, not two. */
static void repeated_plans_are_one(void **state)
{
    struct ps_seen *seen = open_at(*state);

    plan(seen, "cli-0123-1", "/x");
    plan(seen, "cli-0123-2", "/y");
    assert_int_equal(ps_seen_plan(seen, "cli-0123-1"), 0);
    finish(&seen);
    seen = open_at(*state);
    for (int i = 0; i < 2; i++) {
        struct ps_seen_plan *got = ps_seen_take_plan(seen);

        assert_non_null(got);
        ps_seen_plan_free(&got);
    }
    assert_false(ps_seen_has_plan(seen));
    ps_seen_close(&seen);
}

/* The longest path that can be opened, of bytes that are all escaped, fits. */
static void longest_path_fits(void **state)
{
    struct ps_seen *seen = open_at(*state);
    char path[4096], longer[PS_SEEN_PATH_MAX];
    uint8_t key[PS_SEEN_KEY];

    memset(path, '\n', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    plan(seen, "k", path);
    memset(longer, '%', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ps_seen_key(key, longer, 1, 1);
    assert_int_equal(ps_seen_plan_file(seen, key, longer), PS_ERR_LIMIT);
    finish(&seen);
    seen = open_at(*state);
    struct ps_seen_plan *got = ps_seen_take_plan(seen);
    assert_string_equal(got->files[0].path, path);
    ps_seen_plan_free(&got);
    ps_seen_close(&seen);
}

/* Two sweeps at once would send files twice. */
static void second_run_is_refused(void **state)
{
    struct ps_seen *seen = open_at(*state);
    struct ps_error why = {0};

    assert_int_equal(open_fails(*state, &why), PS_ERR_CONFLICT);
    assert_non_null(strstr(why.text, "in use"));
    ps_seen_close(&seen);
    seen = open_at(*state);
    ps_seen_close(&seen);
}

/* 100,000 files: all are there, none is invented, and a look-up does not go through them all. */
static void many_are_remembered(void **state)
{
    struct ps_seen *seen = open_at(*state);
    char path[64];

    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(path, sizeof(path), "/many/%u", i);
        add(seen, path, i);
    }
    finish(&seen);
    seen = open_at(*state);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(path, sizeof(path), "/many/%u", i);
        assert_true(has(seen, path, i));
        assert_false(has(seen, path, i + 1));
    }
    ps_seen_close(&seen);
}

/* What is noted in memory is seen at once. */
static void noted_is_seen(void **state)
{
    struct ps_seen *seen = open_at(*state);
    uint8_t key[PS_SEEN_KEY];

    ps_seen_key(key, "/n", 1, 7);
    assert_false(ps_seen_has(seen, key));
    assert_int_equal(ps_seen_note(seen, key), 0);
    assert_true(ps_seen_has(seen, key));
    ps_seen_close(&seen);
}

static void directories_are_no_state(void **state)
{
    struct ps_seen *seen = NULL;
    struct ps_error why = {0};

    assert_int_not_equal(ps_seen_open(&seen, *state, "cli-1", &why), 0);
    assert_null(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(next_run_has_what_was_acknowledged, unit_setup_dir,
                                        unit_teardown_dir),
        cmocka_unit_test(keys_tell_parts_apart),
        cmocka_unit_test_setup_teardown(half_a_line_is_passed_over, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(half_a_first_line_begins_anew, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(other_files_are_left_alone, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(endless_lines_are_refused, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(strange_lines_are_passed_over, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(open_plans_come_back, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(repeated_plans_are_one, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(longest_path_fits, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(second_run_is_refused, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(many_are_remembered, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(noted_is_seen, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(directories_are_no_state, unit_setup_dir, unit_teardown_dir),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests_name("cli_seen", tests, NULL, NULL);
}
