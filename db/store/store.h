/* db/store/store.h: the sample store: files named by their SHA-256 below <state>/store.
 *
 *   <dir>/ab/abc...     a sample (64 hex digits), in one of 256 directories
 *   <dir>/tmp/<epoch>/  temporaries of the master with that epoch
 *   <dir>/uploads/<id>  chunked uploads under way
 *
 * Invariant: a sample exists when its row in table sample is committed, never because a file is there. A file
 * without a row is left over from a failed group; it is written anew and replaced. So whoever puts a sample
 * asks the database first, and stores every sample that has no row.
 *
 * Group commit: ps_store_batch_new opens a descriptor of the store's directory before the first write (the
 * kernel reports a failed write-back to descriptors that were open before it happened); put and adopt write
 * temporaries; ps_store_batch_sync renames them into place and calls syncfs on that descriptor; then the
 * caller COMMITs its rows, acknowledges, and calls ps_store_batch_keep. An error anywhere fails the whole
 * batch. Where the store does not lie on a local ext4 or xfs, every file and directory is fsynced instead
 * (rename order and syncfs errors are only known to hold there).
 *
 * Threads: reading (ps_store_open_sample, ps_store_free_bytes) from any; batches and uploads each from one
 * thread at a time. System calls go through a table, so that tests record their order and make them fail. */
#ifndef PS_DB_STORE_STORE_H
#define PS_DB_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define PS_STORE_UPLOAD_ID_MAX 64   /* letters, digits, - and _ */
#define PS_STORE_BATCH_FILES   8192 /* files in one batch: then PS_ERR_LIMIT */

/* System calls as the store makes them; each returns as its namesake, errno on failure. */
struct ps_store_io {
    int (*openat)(int dir, const char *path, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t len);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
    int (*unlinkat)(int dir, const char *path, int flags);
    int (*mkdirat)(int dir, const char *path, mode_t mode);
    int (*fsync)(int fd);
    int (*syncfs)(int fd);
    int (*close)(int fd);
};
extern const struct ps_store_io ps_store_io_system;

struct ps_store;
struct ps_store_batch;

/* How a batch becomes durable. AUTO looks at the file system. */
enum ps_store_sync { PS_STORE_SYNC_AUTO, PS_STORE_SYNC_GROUP, PS_STORE_SYNC_EACH };

/* Opens (and creates) the store at dir, mode 0700 for what is created. io NULL: the system's. */
int ps_store_open(struct ps_store **ret_self, const char *dir, enum ps_store_sync sync,
                  const struct ps_store_io *io, struct ps_error *reterr);
void ps_store_close(struct ps_store **self_p);
enum ps_store_sync ps_store_sync_mode(const struct ps_store *self); /* GROUP or EACH */

/* Takes the store for a master's epoch (> 0): temporaries of older epochs are removed; a master that was
 * superseded fails at its next rename. Called before the first batch and after every change of epoch. */
int ps_store_set_epoch(struct ps_store *self, uint64_t epoch, struct ps_error *reterr);

/* Opens a sample for reading, close-on-exec. PS_ERR_NOTFOUND when there is no file. The bytes are not
 * verified here. */
int ps_store_open_sample(struct ps_store *self, const uint8_t sha256[32], int *ret_fd, uint64_t *ret_size);
/* Free bytes for unprivileged users on the store's file system. */
int ps_store_free_bytes(struct ps_store *self, uint64_t *ret_bytes);

/* Is there room for so many bytes more? PS_ERR_NOSPACE when they would leave less than a reserve (64 MiB, or 2 % of a
 * small file system): the database lives there too, and does not take a full disk well. */
int ps_store_room(struct ps_store *self, uint64_t bytes, struct ps_error *reterr);

/* Begins a batch. */
int ps_store_batch_new(struct ps_store *self, struct ps_store_batch **ret_batch, struct ps_error *reterr);
/* Writes data as a temporary. The same sha256 twice in a batch is stored once. */
int ps_store_batch_put(struct ps_store_batch *batch, const uint8_t sha256[32], const void *data, size_t len,
                       struct ps_error *reterr);
/* Takes a complete upload, whose bytes the caller has hashed, into the batch: it is fsynced and gets a second name.
 * The upload itself stays until ps_store_batch_keep, so that after a failure the client can ask again. Nobody may
 * append to it any more. */
int ps_store_batch_adopt(struct ps_store_batch *batch, const uint8_t sha256[32], const char *upload_id,
                         struct ps_error *reterr);
/* Makes all of it durable: renames, then syncfs. PS_ERR_NOSPACE, PS_ERR_IO: the batch failed; free it. */
int ps_store_batch_sync(struct ps_store_batch *batch, struct ps_error *reterr);
/* The rows are committed: the files stay, adopted uploads lose their first name. */
void ps_store_batch_keep(struct ps_store_batch *batch);
/* The rows are certainly not committed and this master's epoch still holds: also the files already in place
 * go when the batch is freed. Without it they stay as leftovers without a row, which harms nothing. */
void ps_store_batch_undo(struct ps_store_batch *batch);
/* Ends a batch; removes its temporaries unless it was kept. */
void ps_store_batch_free(struct ps_store_batch **batch_p);
size_t ps_store_batch_files(const struct ps_store_batch *batch);

/* Uploads. The bytes received are the length of the file: a lost acknowledgement costs a chunk, never a hole.
 * append writes at offset, which must be the length (0 creates): else PS_ERR_CONFLICT with the right offset
 * in *ret_offset. On success *ret_offset is the new length. A failed append is cut back. */
int ps_store_upload_append(struct ps_store *self, const char *id, uint64_t offset, const void *data,
                           size_t len, uint64_t *ret_offset, struct ps_error *reterr);
/* The length received so far; 0 for an upload without a file. */
int ps_store_upload_size(struct ps_store *self, const char *id, uint64_t *ret_size);
int ps_store_upload_open(struct ps_store *self, const char *id, int *ret_fd);
/* Removes it; fine when it is not there. */
int ps_store_upload_remove(struct ps_store *self, const char *id);
bool ps_store_upload_id_valid(const char *id);

#endif
