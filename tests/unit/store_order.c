/* The store's promise: temporaries, renames, one syncfs on a descriptor that was opened before the first write, and
 * nothing kept of a batch that failed. The system calls are recorded and made to fail through struct ps_store_io. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/store/store.h"
#include "tests/unit/unit.h"

enum call { OPEN_DIR, OPEN_TMP, WRITE, CLOSE, MKDIR, RENAME, LINK, UNLINK, FSYNC, SYNCFS };

/* What the store did, in order, and what is to fail. The io table has no place for an argument, hence static. */
static struct {
    struct {
        enum call call;
        int fd;
    } log[4096];
    size_t n;
    enum call fail_call; /* fails at its fail_at-th time (from 1), 0: never */
    int fail_at, fail_errno;
    int short_writes; /* bytes a write may take; 0: all */
} tape;

static bool record(enum call call, int fd)
{
    assert_true(tape.n < sizeof(tape.log) / sizeof(tape.log[0]));
    tape.log[tape.n].call = call;
    tape.log[tape.n++].fd = fd;
    if (tape.fail_at > 0 && tape.fail_call == call && --tape.fail_at == 0) {
        errno = tape.fail_errno;
        return false;
    }
    return true;
}

static int t_openat(int dir, const char *path, int flags, mode_t mode)
{
    int fd;

    if (!record(flags & O_CREAT ? OPEN_TMP : OPEN_DIR, -1))
        return -1;
    fd = openat(dir, path, flags, mode);
    tape.log[tape.n - 1].fd = fd;
    return fd;
}

static ssize_t t_write(int fd, const void *data, size_t len)
{
    if (!record(WRITE, fd))
        return -1;
    return write(fd, data,
                 tape.short_writes && len > (size_t)tape.short_writes ? (size_t)tape.short_writes : len);
}

static int t_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return record(RENAME, -1) ? renameat(from_dir, from, to_dir, to) : -1;
}

static int t_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return record(LINK, -1) ? linkat(from_dir, from, to_dir, to, flags) : -1;
}

static int t_unlinkat(int dir, const char *path, int flags)
{
    return record(UNLINK, -1) ? unlinkat(dir, path, flags) : -1;
}

static int t_mkdirat(int dir, const char *path, mode_t mode)
{
    return record(MKDIR, -1) ? mkdirat(dir, path, mode) : -1;
}

static int t_fsync(int fd)
{
    return record(FSYNC, fd) ? 0 : -1;
}

static int t_syncfs(int fd)
{
    return record(SYNCFS, fd) ? 0 : -1;
}

static int t_close(int fd)
{
    int failed = !record(CLOSE, fd);

    close(fd);
    errno = tape.fail_errno;
    return failed ? -1 : 0;
}

static const struct ps_store_io tape_io = {t_openat,  t_write, t_renameat, t_linkat, t_unlinkat,
                                           t_mkdirat, t_fsync, t_syncfs,   t_close};

static void fail_at(enum call call, int at, int errnum)
{
    tape.fail_call = call;
    tape.fail_at = at;
    tape.fail_errno = errnum;
}

static struct ps_store *store_open(const char *dir, enum ps_store_sync sync)
{
    struct ps_store *store;
    struct ps_error error;

    memset(&tape, 0, sizeof(tape));
    assert_int_equal(ps_store_open(&store, dir, sync, &tape_io, &error), 0);
    assert_int_equal(ps_store_set_epoch(store, 1, &error), 0);
    return store;
}

/* The i-th of some samples, with its hash. */
static const char *sample(int i, uint8_t sha256[32])
{
    static char text[32];

    snprintf(text, sizeof(text), "sample %d", i);
    assert_int_equal(ps_sha256(sha256, text, strlen(text)), 0);
    return text;
}

static bool there(struct ps_store *store, int i)
{
    uint8_t sha256[32];
    char got[64];
    const char *text = sample(i, sha256);
    uint64_t size = 0;
    int fd;
    bool same;

    if (ps_store_open_sample(store, sha256, &fd, &size) != 0)
        return false;
    same =
        size == strlen(text) && read(fd, got, sizeof(got)) == (ssize_t)size && memcmp(got, text, size) == 0;
    assert_true(same);
    close(fd);
    return true;
}

static int put_range(struct ps_store_batch *batch, int from, int to)
{
    struct ps_error error;
    int code = 0;

    for (int i = from; i < to && code == 0; i++) {
        uint8_t sha256[32];
        const char *text = sample(i, sha256);

        code = ps_store_batch_put(batch, sha256, text, strlen(text), &error);
    }
    return code;
}

static int count_files(const char *dir, const char *name)
{
    PS_FREE char *command = ps_strf("find %s/%s -type f | wc -l", dir, name);
    FILE *pipe = popen(command, "r");
    int n = -1;

    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &n), 1);
    pclose(pipe);
    return n;
}

static size_t count_calls(enum call call)
{
    size_t n = 0;

    for (size_t i = 0; i < tape.n; i++)
        n += tape.log[i].call == call;
    return n;
}

static size_t first(enum call call)
{
    for (size_t i = 0; i < tape.n; i++)
        if (tape.log[i].call == call)
            return i;
    return SIZE_MAX;
}

static size_t last(enum call call)
{
    size_t at = SIZE_MAX;

    for (size_t i = 0; i < tape.n; i++)
        if (tape.log[i].call == call)
            at = i;
    return at;
}

/* The order that makes an acknowledgement true. */
static void group_commit_keeps_its_order(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_GROUP);
    struct ps_store_batch *batch;
    struct ps_error error;

    tape.n = 0;
    assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
    assert_int_equal(put_range(batch, 0, 10), 0);
    assert_int_equal(count_calls(RENAME), 0);
    assert_int_equal(ps_store_batch_sync(batch, &error), 0);

    /* The descriptor that syncfs asks was opened before anything was written, and is still the same one. */
    assert_int_equal(first(OPEN_DIR), 0);
    assert_true(first(OPEN_DIR) < first(OPEN_TMP) && first(OPEN_DIR) < first(WRITE));
    assert_int_equal(count_calls(SYNCFS), 1);
    assert_int_equal(tape.log[first(SYNCFS)].fd, tape.log[0].fd);
    for (size_t i = 1; i < first(SYNCFS); i++)
        assert_false(tape.log[i].call == CLOSE && tape.log[i].fd == tape.log[0].fd);

    /* All writes, then all renames, then the sync as the very last. */
    assert_int_equal(count_calls(WRITE), 10);
    assert_int_equal(count_calls(RENAME), 10);
    assert_true(last(WRITE) < first(RENAME));
    assert_true(last(CLOSE) < first(RENAME));
    assert_true(last(RENAME) < first(SYNCFS));
    assert_int_equal(first(SYNCFS), tape.n - 1);

    ps_store_batch_keep(batch);
    ps_store_batch_free(&batch);
    for (int i = 0; i < 10; i++)
        assert_true(there(store, i));
    assert_int_equal(count_files(*state, "tmp"), 0);
    ps_store_close(&store);
}

/* On other file systems every file is synced before its rename, and its directory after. */
static void each_mode_syncs_file_then_directory(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_EACH);
    struct ps_store_batch *batch;
    struct ps_error error;
    size_t before;

    assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
    tape.n = 0;
    assert_int_equal(put_range(batch, 0, 1), 0);
    assert_int_equal(tape.log[0].call, OPEN_TMP);
    assert_int_equal(tape.log[1].call, WRITE);
    assert_int_equal(tape.log[2].call, FSYNC);
    assert_int_equal(tape.log[2].fd, tape.log[0].fd);
    assert_int_equal(tape.log[3].call, CLOSE);
    before = tape.n;
    assert_int_equal(ps_store_batch_sync(batch, &error), 0);
    assert_true(last(FSYNC) > first(RENAME) && first(RENAME) > before);
    assert_int_equal(count_calls(SYNCFS), 0);
    assert_int_equal(count_calls(MKDIR), 1);
    assert_int_equal(count_calls(FSYNC),
                     3); /* the file, the new directory's parent, the sample's directory */
    ps_store_batch_keep(batch);
    ps_store_batch_free(&batch);
    assert_true(there(store, 0));
    ps_store_close(&store);
}

/* Whatever fails, the batch leaves no temporaries; after undo no sample either; and a second try works. */
static void failures_fail_the_whole_batch(void **state)
{
    static const struct {
        enum call call;
        int at, errnum, code;
    } cases[] = {
        {OPEN_TMP, 3, ENOSPC, PS_ERR_NOSPACE},
        {WRITE, 5, ENOSPC, PS_ERR_NOSPACE},
        {WRITE, 1, EIO, PS_ERR_IO},
        {CLOSE, 4, EDQUOT, PS_ERR_NOSPACE},
        {MKDIR, 1, ENOSPC, PS_ERR_NOSPACE},
        {RENAME, 1, EIO, PS_ERR_IO},
        {RENAME, 7, ENOSPC, PS_ERR_NOSPACE},
        {SYNCFS, 1, EIO, PS_ERR_IO},
        {SYNCFS, 1, ENOSPC, PS_ERR_NOSPACE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[UNIT_PATH_MAX], name[16];
        struct ps_store_batch *batch;
        struct ps_store *store;
        struct ps_error error;
        int code;

        snprintf(name, sizeof(name), "store%zu", i);
        store = store_open(unit_path(path, *state, name), PS_STORE_SYNC_GROUP);
        assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
        fail_at(cases[i].call, cases[i].at, cases[i].errnum);
        code = put_range(batch, 0, 10);
        if (code == 0)
            code = ps_store_batch_sync(batch, &error);
        assert_int_equal(code, cases[i].code);
        ps_store_batch_undo(batch);
        ps_store_batch_free(&batch);
        assert_int_equal(count_files(path, ""), 0);

        assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
        assert_int_equal(put_range(batch, 0, 10), 0);
        assert_int_equal(ps_store_batch_sync(batch, &error), 0);
        ps_store_batch_keep(batch);
        ps_store_batch_free(&batch);
        assert_int_equal(count_files(path, ""), 10);
        for (int k = 0; k < 10; k++)
            assert_true(there(store, k));
        ps_store_close(&store);
    }
}

/* A COMMIT of which nobody knows leaves the files: they may have rows. A put of the same bytes replaces them. */
static void unknown_commit_leaves_the_files(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_GROUP);
    struct ps_store_batch *batch;
    struct ps_error error;

    for (int round = 0; round < 2; round++) {
        assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
        assert_int_equal(put_range(batch, 0, 3), 0);
        assert_int_equal(ps_store_batch_sync(batch, &error), 0);
        ps_store_batch_free(&batch);
        assert_int_equal(count_files(*state, ""), 3);
    }
    ps_store_close(&store);
}

/* The same sample twice in a batch is one file; short writes are continued. */
static void twice_is_stored_once(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_GROUP);
    struct ps_store_batch *batch;
    struct ps_error error;

    tape.short_writes = 3;
    assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
    assert_int_equal(put_range(batch, 0, 2), 0);
    assert_int_equal(put_range(batch, 0, 2), 0);
    assert_int_equal(ps_store_batch_files(batch), 2);
    assert_int_equal(ps_store_batch_sync(batch, &error), 0);
    ps_store_batch_keep(batch);
    ps_store_batch_free(&batch);
    assert_true(there(store, 0) && there(store, 1));
    ps_store_close(&store);
}

/* A master that was superseded (its temporaries are gone) cannot bring its batch to an end. */
static void older_epoch_fails_at_its_rename(void **state)
{
    struct ps_store *old = store_open(*state, PS_STORE_SYNC_GROUP), *new;
    struct ps_store_batch *batch;
    struct ps_error error;

    assert_int_equal(ps_store_batch_new(old, &batch, &error), 0);
    assert_int_equal(put_range(batch, 0, 2), 0);
    assert_int_equal(ps_store_open(&new, *state, PS_STORE_SYNC_GROUP, NULL, &error), 0);
    assert_int_equal(ps_store_set_epoch(new, 2, &error), 0);
    assert_int_not_equal(ps_store_batch_sync(batch, &error), 0);
    ps_store_batch_free(&batch);
    assert_int_not_equal(ps_store_batch_new(old, &batch, &error) == 0 ? put_range(batch, 0, 1) : -1, 0);
    ps_store_batch_free(&batch);
    ps_store_close(&old);
    ps_store_close(&new);
}

static void uploads_grow_in_order(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_GROUP);
    struct ps_error error;
    uint64_t at = 99;

    assert_int_equal(ps_store_upload_append(store, "u1", 5, "late", 4, &at, &error), PS_ERR_CONFLICT);
    assert_int_equal(at, 0);
    assert_int_equal(ps_store_upload_append(store, "u1", 0, "samp", 4, &at, &error), 0);
    assert_int_equal(at, 4);
    assert_int_equal(ps_store_upload_append(store, "u1", 0, "samp", 4, &at, &error), PS_ERR_CONFLICT);
    assert_int_equal(at, 4);
    fail_at(WRITE, (int)count_calls(WRITE) + 1, ENOSPC);
    tape.fail_at = 1;
    assert_int_equal(ps_store_upload_append(store, "u1", 4, "le 0", 4, &at, &error), PS_ERR_NOSPACE);
    assert_int_equal(at, 4);
    assert_int_equal(ps_store_upload_append(store, "u1", 4, "le 0", 4, &at, &error), 0);
    assert_int_equal(at, 8);
    at = 0;
    assert_int_equal(ps_store_upload_size(store, "u1", &at), 0);
    assert_int_equal(at, 8);
    assert_int_equal(ps_store_upload_append(store, "../u1", 0, "x", 1, &at, &error), PS_ERR_INVALID);
    assert_int_equal(ps_store_upload_remove(store, "u1"), 0);
    assert_int_equal(ps_store_upload_remove(store, "u1"), 0);
    assert_int_equal(ps_store_upload_size(store, "u1", &at), 0);
    assert_int_equal(at, 0);
    ps_store_close(&store);
}

/* An upload becomes a sample at sync, and stays an upload until the rows are committed. */
static void adopted_upload_survives_a_failure(void **state)
{
    struct ps_store *store = store_open(*state, PS_STORE_SYNC_GROUP);
    struct ps_store_batch *batch;
    struct ps_error error;
    uint8_t sha256[32];
    const char *text = sample(0, sha256);
    uint64_t at;

    assert_int_equal(ps_store_upload_append(store, "up-1", 0, text, strlen(text), &at, &error), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ps_store_batch_new(store, &batch, &error), 0);
        tape.n = 0;
        if (round == 0)
            fail_at(SYNCFS, 1, EIO);
        assert_int_equal(ps_store_batch_adopt(batch, sha256, "up-1", &error), 0);
        assert_true(first(FSYNC) < first(LINK));
        assert_int_equal(ps_store_batch_sync(batch, &error), round == 0 ? PS_ERR_IO : 0);
        if (round == 0)
            ps_store_batch_undo(batch);
        else
            ps_store_batch_keep(batch);
        ps_store_batch_free(&batch);
        assert_int_equal(there(store, 0), round == 1);
        assert_int_equal(ps_store_upload_size(store, "up-1", &at), 0);
        assert_int_equal(at, round == 0 ? strlen(text) : 0);
    }
    ps_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(group_commit_keeps_its_order, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(each_mode_syncs_file_then_directory, unit_setup_dir,
                                        unit_teardown_dir),
        cmocka_unit_test_setup_teardown(failures_fail_the_whole_batch, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(unknown_commit_leaves_the_files, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(twice_is_stored_once, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(older_epoch_fails_at_its_rename, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(uploads_grow_in_order, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(adopted_upload_survives_a_failure, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
