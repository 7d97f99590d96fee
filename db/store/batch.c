/* A batch: temporaries, renames, one sync. The order of the system calls here is the promise of store.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include <uthash.h>

#include "base/mem.h"
#include "db/store/store_private.h"

#define BATCH_MAGIC 0x53424154u

enum entry_state { ENTRY_TEMPORARY, ENTRY_RENAMED };

struct entry {
    uint8_t sha256[32];
    uint64_t serial; /* its temporary's name */
    char *upload_id; /* owned; NULL: written from memory */
    enum entry_state state;
    UT_hash_handle hh;
};

struct ps_store_batch {
    uint32_t magic;
    struct ps_store *store;
    int root_fd;                        /* opened before the first write: it hears of failed write-backs */
    struct entry *entries;              /* uthash by sha256, in the order of arrival */
    uint8_t dirty[PS_STORE_DIRS_N / 8]; /* EACH: directories that got a file */
    bool kept, undo;
};

static void temporary_name(char name[24], uint64_t serial)
{
    (void)snprintf(name, 24, "%" PRIu64, serial); /* fits: at most 20 digits */
}

int ps_store_batch_new(struct ps_store *self, struct ps_store_batch **ret_batch, struct ps_error *reterr)
{
    struct ps_store_batch *batch;

    PS_CHECK_MAGIC(self, PS_STORE_MAGIC);
    if (self->tmp_fd < 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "store: no epoch, this master does not write");
    if (!(batch = PS_NEW(struct ps_store_batch)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    batch->magic = BATCH_MAGIC;
    batch->store = self;
    batch->root_fd = self->io->openat(self->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (batch->root_fd < 0) {
        int code = ps_store_fail(self, errno, "opening", ".", reterr);

        free(batch);
        return code;
    }
    *ret_batch = batch;
    return 0;
}

/* Makes the entry of a sample; *ret NULL when the batch has it already. */
static int add_entry(struct ps_store_batch *batch, const uint8_t sha256[32], const char *upload_id,
                     struct entry **ret_entry, struct ps_error *reterr)
{
    struct entry *entry = NULL;

    *ret_entry = NULL;
    HASH_FIND(hh, batch->entries, sha256, 32, entry);
    if (entry)
        return 0;
    if (HASH_COUNT(batch->entries) >= PS_STORE_BATCH_FILES)
        return ps_error_set(reterr, PS_ERR_LIMIT, "store: more than %d files in a batch",
                            PS_STORE_BATCH_FILES);
    if (!(entry = PS_NEW(struct entry)) || (upload_id && !(entry->upload_id = ps_strf("%s", upload_id)))) {
        free(entry);
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    }
    memcpy(entry->sha256, sha256, 32);
    entry->serial = ++batch->store->serial;
    HASH_ADD(hh, batch->entries, sha256, 32, entry);
    *ret_entry = entry;
    return 0;
}

static void drop_entry(struct ps_store_batch *batch, struct entry *entry)
{
    HASH_DEL(batch->entries, entry);
    free(entry->upload_id);
    free(entry);
}

int ps_store_batch_put(struct ps_store_batch *batch, const uint8_t sha256[32], const void *data, size_t len,
                       struct ps_error *reterr)
{
    struct ps_store *store = batch->store;
    char name[24];
    struct entry *entry;
    int fd, code = add_entry(batch, sha256, NULL, &entry, reterr);

    PS_CHECK_MAGIC(batch, BATCH_MAGIC);
    if (code || !entry)
        return code;
    temporary_name(name, entry->serial);
    fd = store->io->openat(store->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        code = ps_store_fail(store, errno, "creating a temporary", name, reterr);
        drop_entry(batch, entry);
        return code;
    }
    code = ps_store_write_all(store, fd, data, len);
    if (code == 0 && store->sync == PS_STORE_SYNC_EACH && store->io->fsync(fd) != 0)
        code = ps_err_from_errno(errno);
    if (store->io->close(fd) != 0 && code == 0) /* NFS reports a full disk here */
        code = ps_err_from_errno(errno);
    if (code)
        return ps_error_set(reterr, code, "store: writing a sample of %zu bytes: %s", len, ps_err_text(code));
    return 0;
}

int ps_store_batch_adopt(struct ps_store_batch *batch, const uint8_t sha256[32], const char *upload_id,
                         struct ps_error *reterr)
{
    struct ps_store *store = batch->store;
    char name[24];
    struct entry *entry;
    int code;

    PS_CHECK_MAGIC(batch, BATCH_MAGIC);
    if (!ps_store_upload_id_valid(upload_id))
        return ps_error_set(reterr, PS_ERR_INVALID, "store: not an upload id");
    if ((code = add_entry(batch, sha256, upload_id, &entry, reterr)) != 0 || !entry)
        return code;
    /* Its bytes were written before this batch began, so their write-back may have failed before: fsync tells. */
    if ((code = ps_store_fsync_at(store, store->uploads_fd, upload_id, O_NOFOLLOW)) != 0) {
        (void)ps_error_set(reterr, code, "store: upload %s: %s", upload_id, ps_err_text(code));
    } else {
        temporary_name(name, entry->serial);
        if (store->io->linkat(store->uploads_fd, upload_id, store->tmp_fd, name, 0) != 0)
            code = ps_store_fail(store, errno, "linking upload", upload_id, reterr);
    }
    if (code)
        drop_entry(batch, entry);
    return code;
}

/* The directory of a sample, made when it is first needed. */
static int make_dir(struct ps_store *store, unsigned dir, struct ps_error *reterr)
{
    char path[3];
    int code;

    if (store->made[dir / 8] & 1u << dir % 8)
        return 0;
    (void)snprintf(path, sizeof(path), "%02x", dir & 0xff);
    if (store->io->mkdirat(store->root_fd, path, 0700) != 0) {
        if (errno != EEXIST)
            return ps_store_fail(store, errno, "creating", path, reterr);
    } else if (store->sync == PS_STORE_SYNC_EACH &&
               (code = ps_store_fsync_at(store, store->root_fd, ".", O_DIRECTORY)) != 0) {
        return ps_error_set(reterr, code, "store: fsync of its directory: %s", ps_err_text(code));
    }
    store->made[dir / 8] |= (uint8_t)(1u << dir % 8);
    return 0;
}

static int rename_all(struct ps_store_batch *batch, struct ps_error *reterr)
{
    struct ps_store *store = batch->store;
    struct entry *entry, *next;
    char name[24], path[PS_STORE_PATH_MAX];
    int code;

    HASH_ITER (hh, batch->entries, entry, next) {
        unsigned dir = entry->sha256[0];

        if ((code = make_dir(store, dir, reterr)) != 0)
            return code;
        temporary_name(name, entry->serial);
        ps_store_path(path, entry->sha256);
        if (store->io->renameat(store->tmp_fd, name, store->root_fd, path) != 0) {
            store->made[dir / 8] &= (uint8_t) ~(1u << dir % 8); /* someone may have removed it */
            return ps_store_fail(store, errno, "renaming a sample to", path, reterr);
        }
        entry->state = ENTRY_RENAMED;
        batch->dirty[dir / 8] |= (uint8_t)(1u << dir % 8);
    }
    return 0;
}

static int sync_dirs(struct ps_store_batch *batch, struct ps_error *reterr)
{
    char path[3];
    int code;

    for (unsigned dir = 0; dir < PS_STORE_DIRS_N; dir++) {
        if (!(batch->dirty[dir / 8] & 1u << dir % 8))
            continue;
        (void)snprintf(path, sizeof(path), "%02x", dir & 0xff);
        code = ps_store_fsync_at(batch->store, batch->store->root_fd, path, O_DIRECTORY);
        if (code)
            return ps_error_set(reterr, code, "store: fsync of directory %s: %s", path, ps_err_text(code));
    }
    return 0;
}

int ps_store_batch_sync(struct ps_store_batch *batch, struct ps_error *reterr)
{
    int code;

    PS_CHECK_MAGIC(batch, BATCH_MAGIC);
    if (!batch->entries)
        return 0;
    if ((code = rename_all(batch, reterr)) != 0)
        return code;
    if (batch->store->sync == PS_STORE_SYNC_EACH)
        return sync_dirs(batch, reterr);
    if (batch->store->io->syncfs(batch->root_fd) != 0)
        return ps_store_fail(batch->store, errno, "syncfs of", ".", reterr);
    return 0;
}

void ps_store_batch_keep(struct ps_store_batch *batch)
{
    batch->kept = true;
}

void ps_store_batch_undo(struct ps_store_batch *batch)
{
    batch->undo = true;
}

size_t ps_store_batch_files(const struct ps_store_batch *batch)
{
    return HASH_COUNT(batch->entries);
}

/* Errors are of no use here: what stays behind is a leftover that the next epoch (temporaries) or the next put of the
 * same bytes (samples) replaces. */
static void forget_entry(const struct ps_store_batch *batch, const struct entry *entry)
{
    const struct ps_store *store = batch->store;
    char name[24], path[PS_STORE_PATH_MAX];

    if (batch->kept) {
        if (entry->upload_id)
            (void)store->io->unlinkat(store->uploads_fd, entry->upload_id, 0);
    } else if (entry->state == ENTRY_TEMPORARY) {
        temporary_name(name, entry->serial);
        (void)store->io->unlinkat(store->tmp_fd, name, 0);
    } else if (batch->undo) {
        ps_store_path(path, entry->sha256);
        (void)store->io->unlinkat(store->root_fd, path, 0);
    }
}

void ps_store_batch_free(struct ps_store_batch **batch_p)
{
    struct ps_store_batch *batch = *batch_p;
    struct entry *entry, *next;

    if (!batch)
        return;
    PS_CHECK_MAGIC(batch, BATCH_MAGIC);
    HASH_ITER (hh, batch->entries, entry, next) {
        forget_entry(batch, entry);
        drop_entry(batch, entry);
    }
    (void)batch->store->io->close(batch->root_fd); /* only synced through */
    free(batch);
    *batch_p = NULL;
}
