/* db/store/store_private.h: the inside of the store, for the files of db/store/ only. */
#ifndef PS_DB_STORE_PRIVATE_H
#define PS_DB_STORE_PRIVATE_H

#include "base/bytes.h"
#include "db/store/store.h"

#define PS_STORE_DIRS_N   256                 /* directories for samples */
#define PS_STORE_PATH_MAX (3 + PS_SHA256_HEX) /* "ab/" and the digits, with the NUL */
#define PS_STORE_DIR_MAX  512                 /* the store's own path */

struct ps_store {
    uint32_t magic;
    char dir[PS_STORE_DIR_MAX];
    const struct ps_store_io *io;
    enum ps_store_sync sync; /* GROUP or EACH */
    int root_fd;             /* dir */
    int uploads_fd;          /* dir/uploads */
    int tmp_fd;              /* dir/tmp/EPOCH; -1 before the first epoch */
    uint64_t epoch;
    uint64_t serial;                   /* names of temporaries */
    uint8_t made[PS_STORE_DIRS_N / 8]; /* bit: this directory is known to be there (batches' thread only) */
};

#define PS_STORE_MAGIC 0x53544f52u

/* "ab/abc..." */
void ps_store_path(char ret_path[PS_STORE_PATH_MAX], const uint8_t sha256[32]);
/* Writes all of data; retries EINTR and short writes. 0 or a ps_err. */
int ps_store_write_all(const struct ps_store *self, int fd, const void *data, size_t len);
/* Opens path below dir and fsyncs it (a directory or a file). */
int ps_store_fsync_at(const struct ps_store *self, int dir, const char *path, int flags);
/* Errno as a ps_err with a sentence that names path. */
int ps_store_fail(const struct ps_store *self, int errnum, const char *what, const char *path,
                  struct ps_error *reterr);

#endif
