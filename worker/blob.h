/* worker/blob.h: the bytes of one sample, while they arrive and afterwards: a sealed memfd, or an unlinked file
 * when they are many.
 *
 * A plain value owned by its sample; one thread at a time. Bytes come in order; once the hash is right
 * nobody can change them. Jobs do not share fd's offset: the engine host opens it anew for each of them. */
#ifndef PS_WORKER_BLOB_H
#define PS_WORKER_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define PS_BLOB_MEMORY_MAX (64ULL * 1024 * 1024) /* bytes; a larger sample goes to a file */

struct ps_sha256;

struct ps_blob {
    int fd;                 /* owned; -1 before begin */
    bool whole;             /* complete, verified, read-only from here on */
    uint64_t size;          /* bytes it will have */
    uint64_t have;          /* bytes written so far */
    struct ps_sha256 *hash; /* running over them; NULL when whole */
};

#define PS_BLOB_EMPTY ((struct ps_blob){.fd = -1})

/* True when a sample of size bytes lives in memory, false when in a file. */
bool ps_blob_in_memory(uint64_t size);
/* Makes room for size bytes: a memfd, or a file without a name in dir. self must be empty.
 * 0, PS_ERR_NOMEM, PS_ERR_NOSPACE, PS_ERR_LIMIT (descriptors), PS_ERR_IO and what the directory gives. */
int ps_blob_begin(struct ps_blob *self, uint64_t size, const char *dir);
/* Appends len bytes. 0; PS_ERR_LIMIT when they are more than announced; PS_ERR_NOSPACE, PS_ERR_IO. */
int ps_blob_put(struct ps_blob *self, const uint8_t *data, size_t len);
/* All is there: checks the hash and makes the bytes unchangeable. 0; PS_ERR_CORRUPT when it is another sample's;
 * PS_ERR_IO. */
int ps_blob_finish(struct ps_blob *self, const uint8_t sha256[PS_SHA256_BYTES]);
/* Lets go of the bytes and makes self empty again. */
void ps_blob_fini(struct ps_blob *self);

#endif
