/* Chunked uploads: a file per upload that only grows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "db/store/store_private.h"

bool ps_store_upload_id_valid(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len <= PS_STORE_UPLOAD_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

/* Opens for appending with its length in *ret_size. A file is made only at offset 0. */
static int open_for_append(struct ps_store *self, const char *id, uint64_t offset, int *ret_fd,
                           uint64_t *ret_size)
{
    int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (offset == 0 ? O_CREAT : 0);
    PS_CLOSE int fd = self->io->openat(self->uploads_fd, id, flags, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return ps_err_from_errno(errno);
    *ret_size = (uint64_t)st.st_size;
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

int ps_store_upload_append(struct ps_store *self, const char *id, uint64_t offset, const void *data,
                           size_t len, uint64_t *ret_offset, struct ps_error *reterr)
{
    uint64_t size = 0;
    int fd = -1, code;

    if (!ps_store_upload_id_valid(id))
        return ps_error_set(reterr, PS_ERR_INVALID, "store: not an upload id");
    code = open_for_append(self, id, offset, &fd, &size);
    if (code == PS_ERR_NOTFOUND) {
        *ret_offset = 0;
        return ps_error_set(reterr, PS_ERR_CONFLICT,
                            "this chunk is for offset %llu, but nothing has been received yet",
                            (unsigned long long)offset);
    }
    if (code)
        return ps_error_set(reterr, code, "store: upload %s: %s", id, ps_err_text(code));
    *ret_offset = size;
    if (size != offset) {
        code = ps_error_set(reterr, PS_ERR_CONFLICT, "this chunk is for offset %llu, expected is %llu",
                            (unsigned long long)offset, (unsigned long long)size);
    } else if ((code = ps_store_write_all(self, fd, data, len)) != 0) {
        (void)ps_error_set(reterr, code, "store: upload %s: %s", id, ps_err_text(code));
        /* Half a chunk would look like progress; if even this fails, the client continues from the longer length. */
        (void)!ftruncate(fd, (off_t)offset);
    } else {
        *ret_offset = size + len;
    }
    if (self->io->close(fd) != 0 && code == 0)
        code = ps_store_fail(self, errno, "closing upload", id, reterr);
    return code;
}

int ps_store_upload_open(struct ps_store *self, const char *id, int *ret_fd)
{
    int fd;

    if (!ps_store_upload_id_valid(id))
        return PS_ERR_INVALID;
    fd = openat(self->uploads_fd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ps_err_from_errno(errno);
    *ret_fd = fd;
    return 0;
}

int ps_store_upload_size(struct ps_store *self, const char *id, uint64_t *ret_size)
{
    struct stat st;

    if (!ps_store_upload_id_valid(id))
        return PS_ERR_INVALID;
    if (fstatat(self->uploads_fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *ret_size = (uint64_t)st.st_size;
    else if (errno == ENOENT)
        *ret_size = 0;
    else
        return ps_err_from_errno(errno);
    return 0;
}

int ps_store_upload_remove(struct ps_store *self, const char *id)
{
    if (!ps_store_upload_id_valid(id))
        return PS_ERR_INVALID;
    if (self->io->unlinkat(self->uploads_fd, id, 0) != 0 && errno != ENOENT)
        return ps_err_from_errno(errno);
    return 0;
}
