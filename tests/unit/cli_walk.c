/* The walk: which files it brings, which it passes over, and what it says of the others. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/mem.h"
#include "cli/submit/walk.h"

#define FOUND_MAX 64

struct found {
    char paths[FOUND_MAX][UNIT_PATH_MAX]; /* below the directory of the test */
    size_t n;
    char errors[FOUND_MAX][PS_ERROR_TEXT_MAX + UNIT_PATH_MAX];
    size_t errors_n;
};

static void make_file(const char *dir, const char *name, const char *text)
{
    char path[UNIT_PATH_MAX];
    int fd = open(unit_path(path, dir, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ps_file_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

static void make_dir(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(mkdir(unit_path(path, dir, name), 0700), 0);
}

#define NAMES_MAX 8

/* Copies of names, each below dir when there is one. */
static char **copy_names(char to[NAMES_MAX][UNIT_PATH_MAX], char *list[NAMES_MAX + 1], const char *dir,
                         const char *const *names)
{
    size_t n = 0;

    for (; names && names[n]; n++) {
        assert_true(n < NAMES_MAX);
        (void)snprintf(to[n], UNIT_PATH_MAX, "%s%s%s", dir, *dir ? "/" : "", names[n]);
        list[n] = to[n];
    }
    list[n] = NULL;
    return list;
}

static struct ps_walk *begin(const char *dir, const char *const *names, const char *const *exclude, bool one)
{
    static char paths[NAMES_MAX][UNIT_PATH_MAX], globs[NAMES_MAX][UNIT_PATH_MAX];
    static char *path_list[NAMES_MAX + 1], *glob_list[NAMES_MAX + 1];
    static struct ps_opt_list excluded;
    struct ps_walk *walk = NULL;

    excluded = (struct ps_opt_list){.at = copy_names(globs, glob_list, "", exclude)};
    while (glob_list[excluded.n])
        excluded.n++;
    assert_int_equal(ps_walk_new(&walk, copy_names(paths, path_list, dir, names), &excluded, one, NULL), 0);
    return walk;
}

static void take(struct ps_walk *walk, const char *dir, struct found *found)
{
    struct ps_walk_file file;
    struct ps_error why = {0};
    int r;

    while ((r = ps_walk_next(walk, &file, &why)) != 0) {
        const char *path = file.path ? file.path + strlen(dir) + 1 : "(none)";

        assert_true(found->n < FOUND_MAX && found->errors_n < FOUND_MAX);
        if (r == 1)
            (void)snprintf(found->paths[found->n++], UNIT_PATH_MAX, "%s", path);
        else
            (void)snprintf(found->errors[found->errors_n++], sizeof(found->errors[0]), "%s: %s", path,
                           why.text);
    }
}

static bool has(const struct found *found, const char *path)
{
    for (size_t i = 0; i < found->n; i++)
        if (!strcmp(found->paths[i], path))
            return true;
    return false;
}

static bool has_error(const struct found *found, const char *text)
{
    for (size_t i = 0; i < found->errors_n; i++)
        if (!strcmp(found->errors[i], text))
            return true;
    return false;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void walk(const char *dir, const char *const *names, const char *const *exclude,
                 struct found *ret_found)
{
    PS_CLEANUP(ps_walk_free) struct ps_walk *self = begin(dir, names, exclude, false);

    *ret_found = (struct found){0};
    take(self, dir, ret_found);
}

/* Files of all depths, each once, with size and time; empty ones, too. */
static void finds_all_files(void **state)
{
    const char *dir = *state;
    struct found found;

    make_dir(dir, "t");
    make_dir(dir, "t/sub");
    make_file(dir, "t/a", "12345");
    make_file(dir, "t/empty", "");
    make_file(dir, "t/sub/b", "x");
    walk(dir, NAMES("t"), NULL, &found);
    assert_int_equal(found.n, 3);
    assert_true(has(&found, "t/a") && has(&found, "t/empty") && has(&found, "t/sub/b"));
    assert_int_equal(found.errors_n, 0);

    PS_CLEANUP(ps_walk_free) struct ps_walk *self = begin(dir, NAMES("t/a"), NULL, false);
    struct ps_walk_file file;
    struct stat st;
    char path[UNIT_PATH_MAX];
    assert_int_equal(ps_walk_next(self, &file, NULL), 1);
    assert_int_equal(stat(unit_path(path, dir, "t/a"), &st), 0);
    assert_int_equal(file.size, 5);
    assert_int_equal(file.mtime_ns, st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec);
    assert_int_equal(ps_walk_next(self, &file, NULL), 0);
    assert_int_equal(ps_walk_next(self, &file, NULL), 0); /* and stays there */
}

/* A link that was named is followed; links below are not, so no file comes twice and no loop is walked. */
static void links(void **state)
{
    const char *dir = *state;
    char path[UNIT_PATH_MAX];
    struct found found;

    make_dir(dir, "t");
    make_file(dir, "t/file", "x");
    make_file(dir, "outside", "x");
    assert_int_equal(symlink("../outside", unit_path(path, dir, "t/to-file")), 0);
    assert_int_equal(symlink("..", unit_path(path, dir, "t/up")), 0);
    assert_int_equal(symlink("t", unit_path(path, dir, "to-dir")), 0);
    assert_int_equal(symlink("nowhere", unit_path(path, dir, "dangling")), 0);

    walk(dir, NAMES("t"), NULL, &found);
    assert_int_equal(found.n, 1);
    assert_true(has(&found, "t/file"));

    walk(dir, NAMES("to-dir", "t/to-file", "dangling"), NULL, &found);
    assert_int_equal(found.n, 2);
    assert_true(has(&found, "to-dir/file") && has(&found, "t/to-file"));
    assert_int_equal(found.errors_n, 1);
    assert_true(has_error(&found, "dangling: No such file or directory"));
}

/* By name and by whole path; a folder that matches is not entered. */
static void excludes(void **state)
{
    const char *dir = *state;
    struct found found;

    make_dir(dir, "t");
    make_dir(dir, "t/.git");
    make_file(dir, "t/.git/object", "x");
    make_file(dir, "t/a.iso", "x");
    make_file(dir, "t/b.txt", "x");
    make_dir(dir, "t/keep");
    make_file(dir, "t/keep/c.txt", "x");
    walk(dir, NAMES("t"), NAMES("*.iso", ".git"), &found);
    assert_int_equal(found.n, 2);
    assert_true(has(&found, "t/b.txt") && has(&found, "t/keep/c.txt"));
    walk(dir, NAMES("t"), NAMES("*/keep/*"), &found);
    assert_int_equal(found.n, 3);
    assert_false(has(&found, "t/keep/c.txt"));
}

/* Special files: passed over in a folder, an error when named. Nothing waits for a fifo's other end. */
static void special_files(void **state)
{
    const char *dir = *state;
    char path[UNIT_PATH_MAX];
    struct found found;

    make_dir(dir, "t");
    make_file(dir, "t/file", "x");
    assert_int_equal(mkfifo(unit_path(path, dir, "t/fifo"), 0600), 0);
    walk(dir, NAMES("t"), NULL, &found);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.errors_n, 0);
    walk(dir, NAMES("t/fifo"), NULL, &found);
    assert_int_equal(found.n, 0);
    assert_int_equal(found.errors_n, 1);
    assert_true(has_error(&found, "t/fifo: it is neither a file nor a folder"));
}

/* What is not there, or goes while we walk, is told, and the walk goes on. */
static void vanished(void **state)
{
    const char *dir = *state;
    char path[UNIT_PATH_MAX];
    struct found found = {0};
    struct ps_walk_file file;
    struct ps_error why = {0};

    make_dir(dir, "a");
    make_file(dir, "a/1", "x");
    make_dir(dir, "b");
    make_file(dir, "b/2", "x");
    {
        PS_CLEANUP(ps_walk_free)
        struct ps_walk *self = begin(dir, NAMES("a", "nothing", "b"), NULL, false);

        assert_int_equal(ps_walk_next(self, &file, &why), 1);
        /* fts has looked at b itself at the begin, not into it. */
        assert_int_equal(unlink(unit_path(path, dir, "b/2")), 0);
        assert_int_equal(rmdir(unit_path(path, dir, "b")), 0);
        take(self, dir, &found);
    }
    assert_int_equal(found.n, 0);
    assert_int_equal(found.errors_n, 2);
    assert_true(has_error(&found, "nothing: No such file or directory"));
    assert_true(has_error(&found, "b: No such file or directory"));
}

/* A folder that may not be read is told; its neighbours come. Root may read all: then there is nothing to see. */
static void unreadable(void **state)
{
    const char *dir = *state;
    char path[UNIT_PATH_MAX];
    struct found found;

    make_dir(dir, "t");
    make_dir(dir, "t/closed");
    make_file(dir, "t/closed/x", "x");
    make_file(dir, "t/open", "x");
    assert_int_equal(chmod(unit_path(path, dir, "t/closed"), 0), 0);
    walk(dir, NAMES("t"), NULL, &found);
    assert_true(has(&found, "t/open"));
    if (geteuid() != 0)
        assert_true(has_error(&found, "t/closed: Permission denied"));
    assert_int_equal(chmod(path, 0700), 0);
}

/* In a mount namespace of its own: 0 when the mounted directory was left out. 77: no such namespace here. */
static int walk_beside_a_mount(const char *dir)
{
    char path[UNIT_PATH_MAX];
    struct found found = {0};

    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", unit_path(path, dir, "t/other"), "tmpfs", 0, NULL) < 0)
        return 77;
    make_file(dir, "t/other/there", "x");
    struct ps_walk *self = begin(dir, NAMES("t"), NULL, true);
    take(self, dir, &found);
    ps_walk_free(&self);
    bool one = found.n == 1 && has(&found, "t/here");
    found = (struct found){0};
    self = begin(dir, NAMES("t"), NULL, false);
    take(self, dir, &found);
    ps_walk_free(&self);
    return one && found.n == 2 ? 0 : 1;
}

static void one_file_system(void **state)
{
    const char *dir = *state;
    int status = 0;

    make_dir(dir, "t");
    make_dir(dir, "t/other");
    make_file(dir, "t/here", "x");
    pid_t pid = fork();
    if (pid == 0)
        _exit(walk_beside_a_mount(dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_all_files, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(links, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(excludes, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(special_files, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(vanished, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(unreadable, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(one_file_system, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests_name("cli_walk", tests, NULL, NULL);
}
