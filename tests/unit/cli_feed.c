/* What is sent, pack by pack: plans of an earlier run before the walk, and each file once. */
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/mem.h"
#include "cli/submit/feed.h"

static atomic_int stop;
static const struct ps_opt_list no_globs;
static json_t *common;
static struct ps_pack_options pack_options;

struct rig {
    char *dir;
    char tree[UNIT_PATH_MAX], state[UNIT_PATH_MAX];
    struct ps_seen *seen;
    struct ps_show show;
    struct ps_feed *feed;
    char *paths[2];
};

static void make_file(struct rig *rig, const char *name, const char *text)
{
    char path[UNIT_PATH_MAX];
    int fd = open(unit_path(path, rig->tree, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ps_file_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

/* A run begins: the state file is opened, or left out. */
static void begin(struct rig *rig, bool with_state)
{
    static const struct ps_show_settings show = {.wait = true, .json = false, .quiet = true};

    ps_show_init(&rig->show, &show, 0);
    if (with_state)
        assert_int_equal(ps_seen_open(&rig->seen, rig->state, "cli-1", NULL), 0);
    rig->paths[0] = rig->tree;
    const struct ps_feed_settings settings = {.paths = rig->paths,
                                              .paths_n = 1,
                                              .exclude = &no_globs,
                                              .pack = &pack_options,
                                              .seen = rig->seen,
                                              .show = &rig->show,
                                              .stop = &stop};
    assert_int_equal(ps_feed_new(&rig->feed, &settings, NULL), 0);
}

/* The run ends, as by a kill: nothing is noted. */
static void end(struct rig *rig)
{
    ps_feed_free(&rig->feed);
    ps_seen_close(&rig->seen);
    ps_show_fini(&rig->show);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->dir = unit_dir_make();
    (void)unit_path(rig->tree, rig->dir, "t");
    (void)unit_path(rig->state, rig->dir, "state");
    *state = rig;
    return mkdir(rig->tree, 0700);
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    unit_dir_remove(rig->dir);
    free(rig);
    return 0;
}

static struct ps_pack *next(struct rig *rig)
{
    assert_true(ps_feed_more(rig->feed));
    return ps_feed_next(rig->feed);
}

static void nothing_more(struct rig *rig)
{
    assert_null(ps_feed_next(rig->feed));
    assert_false(ps_feed_more(rig->feed));
}

/* The server has taken all of it. */
static void acknowledge(struct rig *rig, struct ps_pack **pack_p)
{
    for (size_t i = 0; i < (*pack_p)->n; i++)
        ps_feed_acknowledged(rig->feed, *pack_p, &(*pack_p)->files[i]);
    ps_feed_settled(rig->feed, *pack_p);
    ps_pack_free(pack_p);
}

static bool holds(const struct ps_pack *pack, const char *name)
{
    for (size_t i = 0; i < pack->n; i++)
        if (!strcmp(strrchr(pack->files[i].path, '/') + 1, name))
            return true;
    return false;
}

/* A sweep, and the same once more: nothing is sent, all is counted as unchanged. A file that has changed goes alone. */
static void second_sweep_sends_what_has_changed(void **state)
{
    struct rig *rig = *state;

    make_file(rig, "a", "1");
    make_file(rig, "b", "2");
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    assert_int_equal(pack->n, 2);
    acknowledge(rig, &pack);
    nothing_more(rig);
    end(rig);

    begin(rig, true);
    nothing_more(rig);
    assert_int_equal(rig->show.skipped_n, 2);
    end(rig);

    make_file(rig, "b", "22");
    begin(rig, true);
    pack = next(rig);
    assert_int_equal(pack->n, 1);
    assert_true(holds(pack, "b"));
    acknowledge(rig, &pack);
    nothing_more(rig);
    assert_int_equal(rig->show.skipped_n, 1);
    end(rig);
}

/* Killed after the pack went out: the same bytes under the same key come first, and the walk waits for them. */
static void killed_sweep_repeats_its_pack(void **state)
{
    struct rig *rig = *state;
    char key[PS_SEEN_PACK_KEY_MAX + 1];
    struct ps_buf body;

    make_file(rig, "a", "1");
    make_file(rig, "b", "2");
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    (void)snprintf(key, sizeof(key), "%s", pack->key);
    ps_buf_init(&body, 1 << 20);
    ps_buf_put(&body, pack->body.data, pack->body.len);
    ps_pack_free(&pack);
    end(rig);

    make_file(rig, "c", "3");
    begin(rig, true);
    pack = next(rig);
    assert_string_equal(pack->key, key);
    assert_non_null(pack->plan);
    assert_int_equal(pack->body.len, body.len);
    assert_memory_equal(pack->body.data, body.data, body.len);
    assert_true(ps_feed_more(rig->feed));
    assert_null(ps_feed_next(rig->feed)); /* not yet: it is not known what the server says */
    acknowledge(rig, &pack);
    pack = next(rig);
    assert_int_equal(pack->n, 1);
    assert_true(holds(pack, "c"));
    acknowledge(rig, &pack);
    nothing_more(rig);
    assert_int_equal(rig->show.skipped_n, 0); /* a and b count as sent */
    end(rig);
    ps_buf_fini(&body);
}

/* The server had taken the pack, and a file of it has changed since (409): the others are done, that one goes anew. */
static void conflict_leaves_what_has_changed(void **state)
{
    struct rig *rig = *state;

    make_file(rig, "a", "1");
    make_file(rig, "b", "2");
    make_file(rig, "gone", "3");
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    assert_false(ps_feed_conflict(rig->feed, pack)); /* of this run: that would be a wonder */
    ps_pack_free(&pack);
    end(rig);

    char path[UNIT_PATH_MAX];
    make_file(rig, "b", "changed");
    assert_int_equal(unlink(unit_path(path, rig->tree, "gone")), 0);
    begin(rig, true);
    pack = next(rig);
    assert_int_equal(pack->n, 2);
    assert_true(ps_feed_conflict(rig->feed, pack));
    ps_feed_settled(rig->feed, pack);
    ps_pack_free(&pack);
    pack = next(rig);
    assert_int_equal(pack->n, 1);
    assert_true(holds(pack, "b"));
    assert_null(pack->plan);
    acknowledge(rig, &pack);
    nothing_more(rig);
    assert_int_equal(rig->show.skipped_n, 1);
    end(rig);

    begin(rig, true);
    nothing_more(rig);
    assert_int_equal(rig->show.skipped_n, 2);
    end(rig);
}

/* Nothing is left of a pack: its plan is closed, nobody complains. */
static void plan_of_vanished_files_is_closed(void **state)
{
    struct rig *rig = *state;
    char path[UNIT_PATH_MAX];

    make_file(rig, "a", "1");
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    ps_pack_free(&pack);
    end(rig);
    assert_int_equal(unlink(unit_path(path, rig->tree, "a")), 0);
    for (int i = 0; i < 2; i++) {
        begin(rig, true);
        while (ps_feed_more(rig->feed))
            assert_null(ps_feed_next(rig->feed));
        assert_int_equal(rig->show.errors_n, 0);
        assert_int_equal(ps_seen_has_plan(rig->seen), 0);
        end(rig);
    }
}

/* A large file's upload goes on in the next run, unless the file has changed. */
static void large_file_goes_on_with_its_upload(void **state)
{
    struct rig *rig = *state;
    char path[UNIT_PATH_MAX];

    make_file(rig, "large", "x");
    assert_int_equal(truncate(unit_path(path, rig->tree, "large"), (off_t)PS_PACK_SMALL + 1), 0);
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    assert_true(pack->large);
    pack->upload = ps_strf("%s", "0123abcd");
    ps_feed_opened(rig->feed, pack);
    ps_pack_free(&pack);
    end(rig);

    begin(rig, true);
    pack = next(rig);
    assert_true(pack->large);
    assert_string_equal(pack->upload, "0123abcd");
    ps_pack_free(&pack);
    end(rig);

    assert_int_equal(truncate(path, (off_t)PS_PACK_SMALL + 2), 0);
    begin(rig, true);
    pack = next(rig);
    assert_true(pack->large);
    assert_null(pack->upload);
    acknowledge(rig, &pack);
    nothing_more(rig);
    end(rig);
}

/* Files over a pack's size, and large ones between small ones: all come, each once. */
static void nothing_is_left_out_between_packs(void **state)
{
    struct rig *rig = *state;
    char name[32], path[UNIT_PATH_MAX];
    size_t files = 0, large = 0;
    struct ps_pack *pack;

    for (int i = 0; i < 30; i++) {
        (void)snprintf(name, sizeof(name), "f%02d", i);
        make_file(rig, name, "x");
        assert_int_equal(
            truncate(unit_path(path, rig->tree, name), i % 10 == 5 ? (off_t)PS_PACK_SMALL + 1 : 700000), 0);
    }
    begin(rig, false);
    while (ps_feed_more(rig->feed)) {
        if (!(pack = ps_feed_next(rig->feed)))
            continue;
        files += pack->n;
        large += pack->large;
        assert_true(!pack->large || pack->n == 1);
        acknowledge(rig, &pack);
    }
    assert_int_equal(files, 30);
    assert_int_equal(large, 3);
    end(rig);
}

/* From another directory, by another name: the same files. */
static void paths_are_whole(void **state)
{
    struct rig *rig = *state;
    int here = open(".", O_RDONLY | O_DIRECTORY);

    make_file(rig, "a", "1");
    begin(rig, true);
    struct ps_pack *pack = next(rig);
    acknowledge(rig, &pack);
    end(rig);

    assert_int_equal(chdir(rig->tree), 0);
    static const char *const names[] = {".", "./", "a", "./a", "../t"};
    for (size_t i = 0; i < 4; i++) {
        char *name = ps_strf("%s", names[i]);
        char whole[UNIT_PATH_MAX];

        (void)snprintf(whole, sizeof(whole), "%s", rig->tree);
        (void)snprintf(rig->tree, sizeof(rig->tree), "%s", name);
        begin(rig, true);
        while (ps_feed_more(rig->feed))
            assert_null(ps_feed_next(rig->feed));
        assert_int_equal(rig->show.skipped_n, 1);
        end(rig);
        (void)snprintf(rig->tree, sizeof(rig->tree), "%s", whole);
        free(name);
    }
    assert_int_equal(fchdir(here), 0);
    (void)close(here);
}

static int group_setup(void **state)
{
    (void)state;
    common = json_object();
    pack_options = (struct ps_pack_options){.batch = "cli-1", .common = common};
    return common ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    json_decref(common);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(second_sweep_sends_what_has_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_sweep_repeats_its_pack, setup, teardown),
        cmocka_unit_test_setup_teardown(conflict_leaves_what_has_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(plan_of_vanished_files_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(large_file_goes_on_with_its_upload, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_out_between_packs, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_are_whole, setup, teardown),
    };

    return sodium_init() < 0 ? 1
                             : cmocka_run_group_tests_name("cli_feed", tests, group_setup, group_teardown);
}
