#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

#define READ_BYTES (64 * 1024) /* one read of ps_file_read */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

int ps_file_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) ? PS_ERR_NOSPACE
                                                                                   : PS_ERR_IO;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int ps_file_pread_all(int fd, void *ret_data, size_t len, uint64_t offset)
{
    char *at = ret_data;

    while (len > 0) {
        ssize_t n = pread(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? PS_ERR_IO : PS_ERR_CORRUPT;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* One read into out: 1 at the end of the file, 0 when there may be more. */
static int read_some(int fd, struct ps_buf *out)
{
    size_t room = PS_MIN((size_t)READ_BYTES, out->max - out->len);
    uint8_t probe, *to = room > 0 ? ps_buf_reserve(out, room) : &probe;
    ssize_t n;

    if (!to)
        return ps_buf_error(out);
    do
        n = read(fd, to, room > 0 ? room : 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return PS_ERR_IO;
    if (n == 0)
        return 1;
    if (room == 0) { /* out is full, and yet the file goes on */
        out->error = PS_ERR_LIMIT;
        return PS_ERR_LIMIT;
    }
    out->len += (size_t)n;
    return 0;
}

int ps_file_read(const char *path, struct ps_buf *out)
{
    PS_CLOSE int fd = -1;
    int rc;

    if (ps_buf_error(out))
        return ps_buf_error(out);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? PS_ERR_NOTFOUND : ps_err_from_errno(errno);
    do
        rc = read_some(fd, out);
    while (rc == 0);
    return rc < 0 ? rc : 0;
}

static int fsync_directory_of(const char *path)
{
    PS_FREE char *copy = ps_strndup(path, strlen(path));
    PS_CLOSE int fd = -1;

    if (!copy)
        return PS_ERR_NOMEM;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return PS_ERR_IO;
    return 0;
}

static int fill_and_sync(int fd, const void *data, size_t len, mode_t mode)
{
    int rc = ps_file_write_all(fd, data, len);

    if (rc)
        return rc;
    return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? ps_err_from_errno(errno) : 0;
}

int ps_file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
    PS_FREE char *temporary = ps_strf("%s.XXXXXX", path);
    PS_CLOSE int fd = -1;
    int rc;

    if (!temporary)
        return PS_ERR_NOMEM;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return ps_err_from_errno(errno);
    rc = fill_and_sync(fd, data, len, mode);
    if (!rc && rename(temporary, path) < 0)
        rc = ps_err_from_errno(errno);
    if (rc) {
        (void)unlink(temporary); /* the first error is the one to tell */
        return rc;
    }
    return fsync_directory_of(path);
}

int ps_file_mkdirs(const char *path, mode_t mode)
{
    PS_FREE char *copy = ps_strndup(path, strlen(path));
    struct stat st;

    if (!copy)
        return PS_ERR_NOMEM;
    if (!copy[0])
        return PS_ERR_INVALID;
    for (char *at = copy + 1;; at++) {
        char was = *at;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        /* Any failure but "it is there" shows at the end: EACCES on a parent that exists does no harm. */
        if (mkdir(copy, mode) < 0 && errno != EEXIST && was == '\0')
            return ps_err_from_errno(errno);
        *at = was;
        if (was == '\0')
            break;
    }
    if (stat(path, &st) < 0)
        return ps_err_from_errno(errno);
    return S_ISDIR(st.st_mode) ? 0 : PS_ERR_CONFLICT;
}

static int seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

int ps_file_memfd(const char *name, const void *data, size_t len, int *ret_fd)
{
    PS_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    int rc;

    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 does not know the last flag */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ps_err_from_errno(errno);
    rc = ps_file_write_all(fd, data, len);
    if (rc)
        return rc;
    if (lseek(fd, 0, SEEK_SET) < 0 || seal(fd) < 0)
        return ps_err_from_errno(errno);
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}
