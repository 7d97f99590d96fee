#include "db/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/mem.h"
#include "db/store/store_private.h"

#define MAGIC_EXT 0xEF53
#define MAGIC_XFS 0x58465342

#define RESERVE_BYTES (64ull << 20)
#define RESERVE_SHARE 50 /* of a small file system: a fiftieth */

void ps_store_path(char ret_path[PS_STORE_PATH_MAX], const uint8_t sha256[32])
{
    char hex[PS_SHA256_HEX];

    ps_hex_encode(hex, sha256, PS_SHA256_BYTES);
    (void)snprintf(ret_path, PS_STORE_PATH_MAX, "%.2s/%.64s", hex, hex); /* fits by its definition */
}

int ps_store_fail(const struct ps_store *self, int errnum, const char *what, const char *path,
                  struct ps_error *reterr)
{
    return ps_error_set(reterr, ps_err_from_errno(errnum), "store: %s %s/%s: %s", what, self->dir, path,
                        strerror(errnum));
}

int ps_store_write_all(const struct ps_store *self, int fd, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = self->io->write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ps_err_from_errno(errno) : PS_ERR_IO;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int ps_store_fsync_at(const struct ps_store *self, int dir, const char *path, int flags)
{
    int fd = self->io->openat(dir, path, O_RDONLY | O_CLOEXEC | flags, 0);
    int code;

    if (fd < 0)
        return ps_err_from_errno(errno);
    code = self->io->fsync(fd) == 0 ? 0 : ps_err_from_errno(errno);
    if (self->io->close(fd) != 0 && code == 0)
        code = ps_err_from_errno(errno);
    return code;
}

static enum ps_store_sync detect(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && (fs.f_type == MAGIC_EXT || (unsigned long)fs.f_type == MAGIC_XFS))
        return PS_STORE_SYNC_GROUP;
    return PS_STORE_SYNC_EACH;
}

static int open_dir(const struct ps_store *self, const char *path, int *ret_fd, struct ps_error *reterr)
{
    int fd;

    if (mkdirat(self->root_fd, path, 0700) != 0 && errno != EEXIST)
        return ps_store_fail(self, errno, "creating", path, reterr);
    fd = openat(self->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ps_store_fail(self, errno, "opening", path, reterr);
    *ret_fd = fd;
    return 0;
}

int ps_store_open(struct ps_store **ret_self, const char *dir, enum ps_store_sync sync,
                  const struct ps_store_io *io, struct ps_error *reterr)
{
    PS_CLEANUP(ps_store_close) struct ps_store *self = PS_NEW(struct ps_store);
    PS_CLOSE int tmp_fd = -1;
    int code;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    self->magic = PS_STORE_MAGIC;
    self->io = io ? io : &ps_store_io_system;
    self->root_fd = self->uploads_fd = self->tmp_fd = -1;
    if ((size_t)snprintf(self->dir, sizeof(self->dir), "%s", dir) >= sizeof(self->dir))
        return ps_error_set(reterr, PS_ERR_LIMIT, "store: the path is longer than %zu bytes",
                            sizeof(self->dir) - 1);
    if ((code = ps_file_mkdirs(dir, 0700)) != 0)
        return ps_error_set(reterr, code, "store: %s cannot be created: %s", dir, ps_err_text(code));
    self->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self->root_fd < 0)
        return ps_store_fail(self, errno, "opening", ".", reterr);
    if ((code = open_dir(self, "uploads", &self->uploads_fd, reterr)) != 0 ||
        (code = open_dir(self, "tmp", &tmp_fd, reterr)) != 0)
        return code;
    self->sync = sync == PS_STORE_SYNC_AUTO ? detect(self->root_fd) : sync;
    if (fsync(self->root_fd) != 0)
        return ps_store_fail(self, errno, "fsync of", ".", reterr);
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_store_close(struct ps_store **self_p)
{
    struct ps_store *self = *self_p;

    if (!self)
        return;
    ps_close_fd_p(&self->root_fd);
    ps_close_fd_p(&self->uploads_fd);
    ps_close_fd_p(&self->tmp_fd);
    free(self);
    *self_p = NULL;
}

enum ps_store_sync ps_store_sync_mode(const struct ps_store *self)
{
    return self->sync;
}

/* Removes the temporaries of masters that came before. */
static void remove_older(const struct ps_store *self, uint64_t epoch)
{
    PS_FREE char *path = ps_strf("%s/tmp", self->dir);
    DIR *tmp = path ? opendir(path) : NULL;
    const struct dirent *entry;

    while (tmp && (entry = readdir(tmp)) != NULL) {
        char *end;
        unsigned long long number = strtoull(entry->d_name, &end, 10);
        PS_FREE char *old = NULL;

        if (entry->d_name[0] == '.' || *end != '\0' || number >= epoch)
            continue;
        old = ps_strf("%s/%s", path, entry->d_name);
        if (old)
            (void)ps_file_remove_tree(old, true); /* the next master tries again */
    }
    if (tmp)
        (void)closedir(tmp); /* only read from */
}

int ps_store_set_epoch(struct ps_store *self, uint64_t epoch, struct ps_error *reterr)
{
    PS_FREE char *whole = ps_strf("%s/tmp/%" PRIu64, self->dir, epoch);
    char path[32];
    int fd = -1, code;

    PS_CHECK_MAGIC(self, PS_STORE_MAGIC);
    if (epoch == self->epoch && self->tmp_fd >= 0)
        return 0;
    if (!whole)
        return ps_error_set(reterr, PS_ERR_NOMEM, "store: out of memory");
    remove_older(self, epoch);
    (void)ps_file_remove_tree(whole, false); /* usually it is not there */
    (void)snprintf(path, sizeof(path), "tmp/%" PRIu64, epoch);
    if ((code = open_dir(self, path, &fd, reterr)) != 0)
        return code;
    ps_close_fd_p(&self->tmp_fd);
    self->tmp_fd = fd;
    self->epoch = epoch;
    return 0;
}

int ps_store_open_sample(struct ps_store *self, const uint8_t sha256[32], int *ret_fd, uint64_t *ret_size)
{
    char path[PS_STORE_PATH_MAX];
    struct stat st;
    PS_CLOSE int fd = -1;

    ps_store_path(path, sha256);
    fd = openat(self->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0)
        return ps_err_from_errno(errno);
    if (ret_size)
        *ret_size = (uint64_t)st.st_size;
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

int ps_store_free_bytes(struct ps_store *self, uint64_t *ret_bytes)
{
    struct statvfs fs;

    if (fstatvfs(self->root_fd, &fs) != 0)
        return ps_err_from_errno(errno);
    *ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return 0;
}

int ps_store_room(struct ps_store *self, uint64_t bytes, struct ps_error *reterr)
{
    struct statvfs fs;
    uint64_t free_bytes, reserve;

    if (fstatvfs(self->root_fd, &fs) != 0)
        return ps_store_fail(self, errno, "looking at", ".", reterr);
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    reserve = PS_MIN(RESERVE_BYTES, (uint64_t)fs.f_blocks * fs.f_frsize / RESERVE_SHARE);
    if (free_bytes >= reserve && free_bytes - reserve >= bytes)
        return 0;
    return ps_error_set(reterr, PS_ERR_NOSPACE, "store: %llu bytes are free in %s, too few for %llu more",
                        (unsigned long long)free_bytes, self->dir, (unsigned long long)bytes);
}
