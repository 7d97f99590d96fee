#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

static int entries_n(const char *dir)
{
    PS_FREE char *command = ps_strf("ls -A '%s' | wc -l", dir);
    FILE *p = popen(command, "re");
    int n = -1;

    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    assert_int_equal(pclose(p), 0);
    return n;
}

static void replace_writes_whole_files_and_leaves_no_temporary(void **state)
{
    PS_BUF struct ps_buf buf;
    char path[UNIT_PATH_MAX];
    struct stat st;

    ps_buf_init(&buf, 100);
    unit_path(path, *state, "file");
    assert_int_equal(ps_file_replace(path, "old", 3, 0600), 0);
    assert_int_equal(ps_file_replace(path, "newer", 5, 0644), 0);
    assert_int_equal(ps_file_read(path, &buf), 0);
    assert_string_equal(ps_buf_text(&buf), "newer");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(entries_n(*state), 1);
}

static void replace_that_fails_leaves_the_old_file_and_no_temporary(void **state)
{
    char dir[UNIT_PATH_MAX], deep[UNIT_PATH_MAX];

    unit_path(dir, *state, "dir");
    unit_path(deep, *state, "no/such/file");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_true(ps_file_replace(dir, "x", 1, 0600) < 0);
    assert_int_equal(ps_file_replace(deep, "x", 1, 0600), PS_ERR_NOTFOUND);
    assert_int_equal(entries_n(*state), 1);
}

static void read_appends_and_keeps_to_the_limit(void **state)
{
    PS_BUF struct ps_buf buf;
    char path[UNIT_PATH_MAX];

    unit_path(path, *state, "file");
    assert_int_equal(ps_file_replace(path, "12345", 5, 0600), 0);
    ps_buf_init(&buf, 10);
    assert_int_equal(ps_file_read(path, &buf), 0);
    assert_int_equal(ps_file_read(path, &buf), 0); /* exactly full */
    assert_string_equal(ps_buf_text(&buf), "1234512345");
    assert_int_equal(ps_file_read(path, &buf), PS_ERR_LIMIT);
    assert_int_equal(ps_buf_error(&buf), PS_ERR_LIMIT);
    assert_int_equal(ps_file_read(path, &buf), PS_ERR_LIMIT);
}

static void read_tells_missing_from_unreadable(void **state)
{
    PS_BUF struct ps_buf buf;
    char path[UNIT_PATH_MAX];

    ps_buf_init(&buf, 10);
    assert_int_equal(ps_file_read(unit_path(path, *state, "none"), &buf), PS_ERR_NOTFOUND);
    assert_int_equal(ps_file_read(*state, &buf), PS_ERR_IO);
}

static void pread_is_exact(void **state)
{
    PS_CLOSE int fd = -1;
    char got[4];

    assert_int_equal(ps_file_memfd("unit", "012345", 6, &fd), 0);
    assert_int_equal(ps_file_pread_all(fd, got, 4, 2), 0);
    assert_memory_equal(got, "2345", 4);
    assert_int_equal(ps_file_pread_all(fd, got, 4, 3), PS_ERR_CORRUPT);
    assert_int_equal(ps_file_pread_all(-1, got, 4, 3), PS_ERR_IO);
    assert_int_equal(ps_file_pread_all(fd, got, 0, 100), 0);
}

static void write_to_a_full_device_is_no_space(void **state)
{
    PS_CLOSE int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_int_equal(ps_file_write_all(fd, "x", 1), PS_ERR_NOSPACE);
    assert_int_equal(ps_file_write_all(-1, "x", 1), PS_ERR_IO);
    assert_int_equal(ps_file_write_all(-1, NULL, 0), 0);
}

static void mkdirs_makes_what_is_missing(void **state)
{
    char path[UNIT_PATH_MAX], file[UNIT_PATH_MAX], below[UNIT_PATH_MAX];
    struct stat st;

    unit_path(path, *state, "a//b/c/");
    assert_int_equal(ps_file_mkdirs(path, 0700), 0);
    assert_int_equal(ps_file_mkdirs(path, 0700), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(ps_file_mkdirs("/", 0700), 0);
    assert_int_equal(ps_file_mkdirs("", 0700), PS_ERR_INVALID);
    unit_path(file, *state, "file");
    unit_path(below, *state, "file/x");
    assert_int_equal(ps_file_replace(file, "x", 1, 0600), 0);
    assert_int_equal(ps_file_mkdirs(file, 0700), PS_ERR_CONFLICT);
    assert_true(ps_file_mkdirs(below, 0700) < 0);
}

static void memfd_is_sealed_rewound_and_readable(void **state)
{
    PS_CLOSE int fd = -1, empty = -1;
    char got[4] = {0};

    assert_int_equal(ps_file_memfd("unit", "abc", 3, &fd), 0);
    assert_int_equal(read(fd, got, sizeof(got)), 3);
    assert_string_equal(got, "abc");
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_ptr_equal(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(ps_file_memfd("unit", NULL, 0, &empty), 0);
    assert_int_equal(read(empty, got, sizeof(got)), 0);
}

static void remove_tree_never_follows_links(void **state)
{
    char outside[UNIT_PATH_MAX], tree[UNIT_PATH_MAX], sub[UNIT_PATH_MAX], keep[UNIT_PATH_MAX],
        link[UNIT_PATH_MAX];

    unit_path(outside, *state, "outside");
    unit_path(tree, *state, "tree");
    unit_path(keep, *state, "outside/keep");
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(ps_file_replace(keep, "x", 1, 0600), 0);
    assert_int_equal(ps_file_mkdirs(unit_path(sub, *state, "tree/a/b"), 0700), 0);
    assert_int_equal(symlink(outside, unit_path(link, *state, "tree/link")), 0);
    assert_int_equal(symlink(outside, unit_path(link, *state, "tree/a/b/link")), 0);
    assert_int_equal(symlink("/nonexistent", unit_path(link, *state, "tree/dangling")), 0);
    assert_int_equal(mkfifo(unit_path(link, *state, "tree/a/fifo"), 0600), 0);
    assert_int_equal(ps_file_remove_tree(tree, false), 0);
    assert_int_equal(entries_n(tree), 0);
    assert_int_equal(ps_file_remove_tree(tree, true), 0);
    assert_int_equal(access(tree, F_OK), -1);
    assert_int_equal(access(keep, F_OK), 0);
    assert_int_equal(symlink(outside, tree), 0);
    assert_true(ps_file_remove_tree(tree, true) < 0);
    assert_int_equal(access(keep, F_OK), 0);
    assert_int_equal(ps_file_remove_tree(unit_path(link, *state, "none"), true), PS_ERR_NOTFOUND);
}

/* Deeper than PATH_MAX and than the descriptors of a process, with names like those that the removal makes.
 */
static void remove_tree_takes_any_depth(void **state)
{
    PS_CLOSE int at = -1;
    char tree[UNIT_PATH_MAX];

    assert_int_equal(mkdir(unit_path(tree, *state, "tree"), 0700), 0);
    at = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        int next;

        assert_int_equal(mkdirat(at, i % 2 ? "0" : "1", 0700), 0);
        next = openat(at, i % 2 ? "0" : "1", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        ps_close_fd_p(&at);
        at = next;
    }
    assert_int_equal(ps_file_remove_tree(tree, true), 0);
    assert_int_equal(access(tree, F_OK), -1);
}

static void remove_tree_opens_what_was_closed_against_it(void **state)
{
    char tree[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    unit_path(tree, *state, "tree");
    assert_int_equal(ps_file_mkdirs(unit_path(path, *state, "tree/a/b/c"), 0700), 0);
    assert_int_equal(ps_file_replace(unit_path(path, *state, "tree/a/b/c/file"), "x", 1, 0), 0);
    assert_int_equal(chmod(unit_path(path, *state, "tree/a/b/c"), 0), 0);
    assert_int_equal(chmod(unit_path(path, *state, "tree/a/b"), 0500), 0);
    assert_int_equal(chmod(unit_path(path, *state, "tree/a"), 0), 0);
    assert_int_equal(ps_file_remove_tree(tree, true), 0);
    assert_int_equal(access(tree, F_OK), -1);
}

int main(void)
{
#define DIR_(name) cmocka_unit_test_setup_teardown(name, unit_setup_dir, unit_teardown_dir)
    const struct CMUnitTest tests[] = {
        DIR_(replace_writes_whole_files_and_leaves_no_temporary),
        DIR_(replace_that_fails_leaves_the_old_file_and_no_temporary),
        DIR_(read_appends_and_keeps_to_the_limit),
        DIR_(read_tells_missing_from_unreadable),
        cmocka_unit_test(pread_is_exact),
        cmocka_unit_test(write_to_a_full_device_is_no_space),
        DIR_(mkdirs_makes_what_is_missing),
        cmocka_unit_test(memfd_is_sealed_rewound_and_readable),
        DIR_(remove_tree_never_follows_links),
        DIR_(remove_tree_takes_any_depth),
        DIR_(remove_tree_opens_what_was_closed_against_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
