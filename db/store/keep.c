#include "db/store/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/store/store_private.h"

struct ps_store_keep {
    struct ps_store *store; /* lent */
    int root_fd;            /* derived/: opened before the first write, so it hears of failed write-backs */
    int tmp_fd;             /* derived/tmp/EPOCH */
    uint64_t serial;
};

#define NAME_MAX_BYTES 24

static void temporary_name(char name[NAME_MAX_BYTES], uint64_t serial)
{
    (void)snprintf(name, NAME_MAX_BYTES, "%" PRIu64, serial); /* fits: at most 20 digits */
}

/* Without its directory an older master, that was only stopped, fails at its next rename. */
static void remove_older(const char *tmp, uint64_t epoch)
{
    DIR *dir = opendir(tmp);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char *end;
        unsigned long long number = strtoull(entry->d_name, &end, 10);
        PS_FREE char *old = NULL;

        if (entry->d_name[0] == '.' || *end != '\0' || number > epoch)
            continue;
        old = ps_strf("%s/%s", tmp, entry->d_name);
        if (old)
            (void)ps_file_remove_tree(old, true); /* the next master tries again */
    }
    if (dir)
        (void)closedir(dir); /* only read from */
}

int ps_store_keep_new(struct ps_store *store, uint64_t epoch, struct ps_store_keep **ret_self,
                      struct ps_error *reterr)
{
    PS_CLEANUP(ps_store_keep_free) struct ps_store_keep *self = PS_NEW(struct ps_store_keep);
    PS_FREE char *tmp = ps_strf("%s/derived/tmp", store->dir);
    PS_FREE char *own = ps_strf("%s/derived/tmp/%" PRIu64, store->dir, epoch);
    int code;

    if (!self || !tmp || !own)
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    self->store = store;
    self->root_fd = self->tmp_fd = -1;
    remove_older(tmp, epoch);
    if ((code = ps_file_mkdirs(own, 0700)))
        return ps_error_set(reterr, code, "store: %s cannot be created: %s", own, ps_err_text(code));
    self->root_fd = openat(store->root_fd, "derived", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    self->tmp_fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (self->root_fd < 0 || self->tmp_fd < 0)
        return ps_store_fail(store, errno, "opening", "derived", reterr);
    if (fsync(store->root_fd) < 0)
        return ps_store_fail(store, errno, "fsync of", ".", reterr);
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_store_keep_free(struct ps_store_keep **self_p)
{
    struct ps_store_keep *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_close_fd_p(&self->root_fd);
    ps_close_fd_p(&self->tmp_fd);
    free(self);
}

int ps_store_keep_begin(struct ps_store_keep *self, struct ps_store_file *ret_file, struct ps_error *reterr)
{
    struct ps_store_file file = {.serial = ++self->serial};
    char name[NAME_MAX_BYTES];

    temporary_name(name, file.serial);
    if (ps_sha256_new(&file.hash))
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    file.fd = self->store->io->openat(self->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file.fd < 0) {
        int code = ps_store_fail(self->store, errno, "creating a temporary", name, reterr);
        ps_sha256_free(&file.hash);
        return code;
    }
    *ret_file = file;
    return 0;
}

int ps_store_keep_put(struct ps_store_keep *self, struct ps_store_file *file, const void *data, size_t len)
{
    int code = ps_store_write_all(self->store, file->fd, data, len);

    if (code)
        return code;
    ps_sha256_update(file->hash, data, len);
    file->have += len;
    return 0;
}

int ps_store_keep_end(struct ps_store_keep *self, struct ps_store_file *file)
{
    const struct ps_store_io *io = self->store->io;
    int code = 0;

    if (self->store->sync == PS_STORE_SYNC_EACH && io->fsync(file->fd) != 0)
        code = ps_err_from_errno(errno);
    if (io->close(PS_TAKE_FD(file->fd)) != 0 && code == 0) /* NFS reports a full disk here */
        code = ps_err_from_errno(errno);
    ps_sha256_final(file->hash, file->sha256);
    return code;
}

void ps_store_keep_drop(struct ps_store_keep *self, struct ps_store_file *file)
{
    char name[NAME_MAX_BYTES];

    ps_close_fd_p(&file->fd);
    ps_sha256_free(&file->hash);
    if (file->serial) {
        temporary_name(name, file->serial);
        (void)self->store->io->unlinkat(self->tmp_fd, name, 0); /* in place it has another name */
    }
    *file = (struct ps_store_file){.fd = -1};
}

static int put_in_place(struct ps_store_keep *self, const struct ps_store_file *file, struct ps_error *reterr)
{
    const struct ps_store_io *io = self->store->io;
    char name[NAME_MAX_BYTES], path[PS_STORE_PATH_MAX], dir[3];

    temporary_name(name, file->serial);
    ps_store_path(path, file->sha256);
    (void)snprintf(dir, sizeof(dir), "%02x", file->sha256[0]);
    if (io->mkdirat(self->root_fd, dir, 0700) != 0 && errno != EEXIST)
        return ps_store_fail(self->store, errno, "creating", dir, reterr);
    if (io->renameat(self->tmp_fd, name, self->root_fd, path) != 0)
        return ps_store_fail(self->store, errno, "renaming a derived file to", path, reterr);
    if (self->store->sync != PS_STORE_SYNC_EACH)
        return 0;
    if (ps_store_fsync_at(self->store, self->root_fd, dir, O_DIRECTORY) ||
        ps_store_fsync_at(self->store, self->root_fd, ".", O_DIRECTORY))
        return ps_error_set(reterr, PS_ERR_IO, "store: fsync of directory derived/%s", dir);
    return 0;
}

int ps_store_keep_sync(struct ps_store_keep *self, struct ps_store_file *const *files, size_t n,
                       struct ps_error *reterr)
{
    int code = 0;

    for (size_t i = 0; i < n && code == 0; i++)
        code = put_in_place(self, files[i], reterr);
    if (code || self->store->sync == PS_STORE_SYNC_EACH)
        return code;
    if (self->store->io->syncfs(self->root_fd) != 0)
        return ps_store_fail(self->store, errno, "syncfs of", "derived", reterr);
    return 0;
}

int ps_store_keep_remove(struct ps_store_keep *self, const uint8_t sha256[32])
{
    const struct ps_store_io *io = self->store->io;
    char name[NAME_MAX_BYTES], path[PS_STORE_PATH_MAX];

    /* By way of our own directory: a master that was superseded can't get there any more, and removes nothing. */
    temporary_name(name, ++self->serial);
    ps_store_path(path, sha256);
    if (io->renameat(self->root_fd, path, self->tmp_fd, name) != 0)
        return errno == ENOENT ? PS_ERR_NOTFOUND : ps_err_from_errno(errno);
    return io->unlinkat(self->tmp_fd, name, 0) == 0 ? 0 : ps_err_from_errno(errno);
}

int ps_store_derived_open(struct ps_store *store, const uint8_t sha256[32], int *ret_fd, uint64_t *ret_size)
{
    char path[sizeof("derived/") + PS_STORE_PATH_MAX], below[PS_STORE_PATH_MAX];
    PS_CLOSE int fd = -1;
    struct stat st;

    ps_store_path(below, sha256);
    (void)snprintf(path, sizeof(path), "derived/%s", below); /* fits by its size */
    fd = openat(store->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0)
        return ps_err_from_errno(errno);
    *ret_size = (uint64_t)st.st_size;
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}
