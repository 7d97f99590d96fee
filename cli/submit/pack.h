/* cli/submit/pack.h: some files on their way together: the body of one POST /batch, or one large file that goes up in
 * chunks. Files are read as the caller, once. One thread. */
#ifndef PS_CLI_SUBMIT_PACK_H
#define PS_CLI_SUBMIT_PACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "cli/submit/seen.h"
#include "cli/submit/walk.h"

#define PS_PACK_BYTES      (16u * 1024 * 1024) /* a body, at most */
#define PS_PACK_TARGET     (4u * 1024 * 1024)  /* a body is sent when it is this large */
#define PS_PACK_FILES      1024                /* files in a body */
#define PS_PACK_SMALL      (8u * 1024 * 1024)  /* larger files go up in chunks */
#define PS_PACK_PATH_BYTES 8192                /* of a path as text in UTF-8; the rest is cut off */

struct ps_pack_file {
    char *path;               /* owned */
    uint64_t size;            /* bytes read */
    uint8_t key[PS_SEEN_KEY]; /* for the state file */
};

struct ps_pack {
    struct ps_buf body; /* of the batch; of the chunk under way for a large file */
    struct ps_pack_file files[PS_PACK_FILES];
    size_t n;                           /* files */
    uint64_t bytes;                     /* of files */
    char key[PS_SEEN_PACK_KEY_MAX + 1]; /* Idempotency-Key */
    struct ps_seen_plan *plan;          /* owned: an earlier run's, which may have sent it; else NULL */
    bool spooled;                       /* from standard input: lies nowhere */
    int fd;                             /* large: the open file, else -1 */
    bool large;
    int64_t mtime_ns; /* large: modification time when it was opened */
    char *upload;     /* large: its id at the server, NULL before */
    uint64_t offset;  /* large: bytes acknowledged */
};

/* What goes with every file of a run; lent. */
struct ps_pack_options {
    const char *batch;
    json_t *common; /* object: profile, engines, priority, tags, visibility */
};

/* NULL: out of memory. */
struct ps_pack *ps_pack_new(const char *key);
void ps_pack_free(struct ps_pack **self_p);

/* Reads a file into the pack; its size and time as the walk saw them go into its key.
 * 0; PS_ERR_AGAIN when it does not fit any more (send this one first); PS_ERR_LIMIT when it is large: then
 * ps_pack_large; else why it can't be read, with a sentence that does not repeat the path. */
int ps_pack_add(struct ps_pack *self, const struct ps_pack_options *options, const struct ps_walk_file *file,
                struct ps_error *reterr);

/* Makes an empty pack one of a single large file. */
int ps_pack_large(struct ps_pack *self, const struct ps_walk_file *file, struct ps_error *reterr);
/* Large: the body of POST /uploads goes into body. */
int ps_pack_announce(struct ps_pack *self, const struct ps_pack_options *options);
/* Large: reads the chunk at offset into body. PS_ERR_CONFLICT when the file has shrunk meanwhile. */
int ps_pack_read_chunk(struct ps_pack *self, size_t chunk_bytes, struct ps_error *reterr);
/* Large: true when the file is no longer as it was when it was opened. */
bool ps_pack_changed(const struct ps_pack *self);

/* Makes an empty pack one of what fd (standard input) holds, under the given name, spooled to an unlinked file.
 * PS_ERR_LIMIT when that is more than max_bytes, PS_ERR_CANCELLED when a signal came meanwhile. */
int ps_pack_spool(struct ps_pack *self, const struct ps_pack_options *options, const char *name, int fd,
                  uint64_t max_bytes, struct ps_error *reterr);

#endif
