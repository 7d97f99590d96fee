#include "worker/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

bool ps_blob_in_memory(uint64_t size)
{
    return size <= PS_BLOB_MEMORY_MAX;
}

/* Mode 0400 on an unlinked file: nobody of this uid reopens the bytes for writing through /proc. */
static int nameless_file(const char *dir, int *ret_fd)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/sample-XXXXXX", dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return PS_ERR_LIMIT;

    PS_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return ps_err_from_errno(errno);
    if (unlink(path) < 0 || fchmod(fd, S_IRUSR) < 0)
        return ps_err_from_errno(errno);

    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int memory_file(int *ret_fd)
{
    int fd = memfd_create("sample", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 does not know the last flag */
        fd = memfd_create("sample", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ps_err_from_errno(errno);

    *ret_fd = fd;
    return 0;
}

int ps_blob_begin(struct ps_blob *self, uint64_t size, const char *dir)
{
    struct ps_blob blob = PS_BLOB_EMPTY;
    int error = ps_blob_in_memory(size) ? memory_file(&blob.fd) : nameless_file(dir, &blob.fd);

    if (!error)
        error = ps_sha256_new(&blob.hash);
    if (error) {
        ps_blob_fini(&blob);
        return error;
    }

    blob.size = size;
    *self = blob;
    return 0;
}

int ps_blob_put(struct ps_blob *self, const uint8_t *data, size_t len)
{
    if (len > self->size - self->have)
        return PS_ERR_LIMIT;

    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(self->fd, data + done, len - done, (off_t)(self->have + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ps_err_from_errno(errno) : PS_ERR_IO;
        done += (size_t)n;
    }

    ps_sha256_update(self->hash, data, len);
    self->have += len;
    return 0;
}

int ps_blob_finish(struct ps_blob *self, const uint8_t sha256[PS_SHA256_BYTES])
{
    uint8_t digest[PS_SHA256_BYTES];

    if (self->have != self->size)
        return PS_ERR_CORRUPT;
    ps_sha256_final(self->hash, digest);
    if (memcmp(digest, sha256, sizeof(digest)) != 0)
        return PS_ERR_CORRUPT;

    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (ps_blob_in_memory(self->size) && fcntl(self->fd, F_ADD_SEALS, seals) < 0)
        return ps_err_from_errno(errno);

    ps_sha256_free(&self->hash);
    self->whole = true;
    return 0;
}

void ps_blob_fini(struct ps_blob *self)
{
    ps_close_fd_p(&self->fd);
    ps_sha256_free(&self->hash);
    *self = PS_BLOB_EMPTY;
}
