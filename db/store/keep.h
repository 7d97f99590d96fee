/* db/store/keep.h: files that engines derived, beside the samples in the same store.
 *
 *   <store>/derived/ab/abc...    a file (64 hex digits of its SHA-256)
 *   <store>/derived/tmp/<epoch>/ those that arrive at the master with that epoch, or are on their way out
 *
 * As with samples, a file is there when its row in table artifact_file is committed. They have a tree of their own, so
 * that nobody sweeps what somebody else has just put there. One master, one thread; an older master fails at its next
 * rename, because its tmp directory is gone. Reading (ps_store_derived_open): any thread. */
#ifndef PS_DB_STORE_KEEP_H
#define PS_DB_STORE_KEEP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ps_sha256;
struct ps_store;
struct ps_store_keep;

/* A file that arrives. Plain value; {.fd = -1} is none. */
struct ps_store_file {
    int fd;          /* owned; -1 when it is complete, or none */
    uint64_t serial; /* its temporary's name */
    uint64_t have;   /* bytes */
    struct ps_sha256 *hash;
    uint8_t sha256[32]; /* once it has ended */
};

/* For a master's epoch (> 0); what older ones left half done is removed. */
int ps_store_keep_new(struct ps_store *store, uint64_t epoch, struct ps_store_keep **ret_self,
                      struct ps_error *reterr);
void ps_store_keep_free(struct ps_store_keep **self_p);

int ps_store_keep_begin(struct ps_store_keep *self, struct ps_store_file *ret_file, struct ps_error *reterr);
/* Appends. 0; PS_ERR_NOSPACE, PS_ERR_IO: drop it. */
int ps_store_keep_put(struct ps_store_keep *self, struct ps_store_file *file, const void *data, size_t len);
/* It is complete: its hash is known. */
int ps_store_keep_end(struct ps_store_keep *self, struct ps_store_file *file);
/* Forgets it, with its bytes when it was not put into place. */
void ps_store_keep_drop(struct ps_store_keep *self, struct ps_store_file *file);
/* Puts n complete files into place and makes them durable. A failure says nothing good of anything that was written
 * since the last success: drop all. */
int ps_store_keep_sync(struct ps_store_keep *self, struct ps_store_file *const *files, size_t n,
                       struct ps_error *reterr);
/* Removes a file whose row is gone, or goes with this transaction. */
int ps_store_keep_remove(struct ps_store_keep *self, const uint8_t sha256[32]);

/* Opens a file for reading, close-on-exec. PS_ERR_NOTFOUND. */
int ps_store_derived_open(struct ps_store *store, const uint8_t sha256[32], int *ret_fd, uint64_t *ret_size);

#endif
