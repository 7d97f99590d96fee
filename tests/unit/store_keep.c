/* db/store/keep.c: derived files in the store. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/store/keep.h"
#include "db/store/store.h"

struct fixture {
    char dir[64];
    struct ps_store *store;
    struct ps_store_keep *keep;
    enum ps_store_sync sync;
};

static int set_up_with(void **state, enum ps_store_sync sync)
{
    struct fixture *f = PS_NEW(struct fixture);

    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/phagescan-keep.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(ps_store_open(&f->store, f->dir, sync, NULL, NULL), 0);
    assert_int_equal(ps_store_keep_new(f->store, 1, &f->keep, NULL), 0);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, PS_STORE_SYNC_GROUP);
}

static int set_up_each(void **state)
{
    return set_up_with(state, PS_STORE_SYNC_EACH);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_store_keep_free(&f->keep);
    ps_store_close(&f->store);
    assert_int_equal(ps_file_remove_tree(f->dir, true), 0);
    free(f);
    return 0;
}

static void arrive(struct ps_store_keep *keep, struct ps_store_file *file, const char *text)
{
    assert_int_equal(ps_store_keep_begin(keep, file, NULL), 0);
    assert_int_equal(ps_store_keep_put(keep, file, text, 1), 0);
    assert_int_equal(ps_store_keep_put(keep, file, text + 1, strlen(text) - 1), 0);
    assert_int_equal(ps_store_keep_end(keep, file), 0);
}

static void a_file_is_there_after_sync(void **state)
{
    struct fixture *f = *state;
    struct ps_store_file file, *files[] = {&file};
    uint8_t sha256[PS_SHA256_BYTES];
    char back[6] = "";
    PS_CLOSE int fd = -1;
    uint64_t size = 0;

    arrive(f->keep, &file, "hello");
    (void)ps_sha256(sha256, "hello", 5);
    assert_memory_equal(file.sha256, sha256, sizeof(sha256));
    assert_int_equal(ps_store_derived_open(f->store, sha256, &fd, &size), PS_ERR_NOTFOUND);
    assert_int_equal(ps_store_keep_sync(f->keep, files, 1, NULL), 0);
    ps_store_keep_drop(f->keep, &file); /* it is in place: it stays */
    assert_int_equal(ps_store_derived_open(f->store, sha256, &fd, &size), 0);
    assert_int_equal(size, 5);
    assert_int_equal(ps_file_pread_all(fd, back, 5, 0), 0);
    assert_string_equal(back, "hello");
    ps_close_fd_p(&fd);
    assert_int_equal(ps_store_open_sample(f->store, sha256, &fd, &size), PS_ERR_NOTFOUND);
    assert_int_equal(ps_store_keep_remove(f->keep, sha256), 0);
    assert_int_equal(ps_store_derived_open(f->store, sha256, &fd, &size), PS_ERR_NOTFOUND);
    assert_int_equal(ps_store_keep_remove(f->keep, sha256), PS_ERR_NOTFOUND);
}

/* A master that was stopped while another took over puts nothing into place, and removes nothing. */
static void an_older_master_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct ps_store_keep *newer = NULL;
    struct ps_store_file kept, late, *files[] = {&kept}, *late_files[] = {&late};
    PS_CLOSE int fd = -1;
    uint64_t size;

    arrive(f->keep, &kept, "kept");
    assert_int_equal(ps_store_keep_sync(f->keep, files, 1, NULL), 0);
    arrive(f->keep, &late, "late");
    assert_int_equal(ps_store_keep_new(f->store, 2, &newer, NULL), 0);
    assert_int_not_equal(ps_store_keep_sync(f->keep, late_files, 1, NULL), 0);
    assert_int_not_equal(ps_store_keep_remove(f->keep, kept.sha256), 0);
    assert_int_equal(ps_store_derived_open(f->store, kept.sha256, &fd, &size), 0);
    ps_store_keep_drop(f->keep, &late);
    ps_store_keep_drop(f->keep, &kept);
    ps_store_keep_free(&newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_there_after_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_is_there_after_sync, set_up_each, tear_down),
        cmocka_unit_test_setup_teardown(an_older_master_changes_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_keep", tests, NULL, NULL);
}
