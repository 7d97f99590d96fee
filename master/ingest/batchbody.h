/* master/ingest/batchbody.h: reads the body of POST /batch: a sequence of {u32 big-endian header length, JSON
 * header, bytes}. Pure: no I/O, no clock. What a peer sends is checked against the bytes that are there
 * before anything is allocated for it. Also reads single headers (POST /uploads has the same fields). */
#ifndef PS_MASTER_INGEST_BATCHBODY_H
#define PS_MASTER_INGEST_BATCHBODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/outcome.h"

#define PS_BATCH_BYTES        (16u << 20) /* a whole body */
#define PS_BATCH_FILES        4096
#define PS_BATCH_HEADER_BYTES 65536
#define PS_NAME_BYTES         4096 /* file name */
#define PS_SOURCE_PATH_BYTES  8192
#define PS_BATCH_ID_BYTES     128
#define PS_PROFILE_BYTES      64 /* also an engine's name */
#define PS_TAGS_N             32
#define PS_TAG_BYTES          128
#define PS_ENGINES_N          32

enum ps_visibility { PS_VISIBLE_EVERYONE = 0, PS_VISIBLE_TEAM = 1, PS_VISIBLE_OWNER = 2 };

/* One file that wants in, with its options. Texts are lent: by json when it is set, else by whoever filled
 * it. */
struct ps_ingest_file {
    uint64_t n;           /* the client's number of it, repeated in the answer */
    struct ps_bytes name; /* as the client calls it; any bytes: cleaned and cut to the base name by ingest */
    struct ps_bytes source_path; /* empty: none */
    struct ps_bytes batch;       /* empty: none */
    struct ps_bytes profile;     /* empty: "custom" when engines are named, else "full" */
    struct ps_bytes tags[PS_TAGS_N];
    struct ps_bytes engines[PS_ENGINES_N];
    uint8_t tags_n, engines_n;
    enum ps_visibility visibility;
    enum ps_band band; /* interactive or batch */
    bool has_sha256;   /* the client said what it should hash to */
    uint8_t sha256[32];
    uint64_t size;         /* bytes, as declared */
    struct ps_bytes data;  /* the bytes; empty for uploads */
    const char *upload_id; /* NULL, or the complete upload that holds the bytes */
    json_t *json;          /* owned; NULL: the texts are lent by the caller */
};

/* The defaults: name empty, visibility everyone, band batch, nothing else. */
void ps_ingest_file_init(struct ps_ingest_file *file);
void ps_ingest_file_fini(struct ps_ingest_file *file); /* releases json */

/* Reads one JSON header strictly: an object; unknown keys, wrong types, values over their limits, texts with
 * NUL, are refused by name. name and size are required; n too when need_n. On success *ret_file owns its
 * json. 0, PS_ERR_INVALID, PS_ERR_LIMIT, PS_ERR_NOMEM. */
int ps_batch_header(struct ps_bytes json, bool need_n, struct ps_ingest_file *ret_file,
                    struct ps_error *reterr);

/* A cursor over a body. */
struct ps_batch {
    struct ps_bytes body; /* borrowed */
    size_t at;            /* next byte; after a failure: the offset of the header that is bad */
    uint32_t files_n;     /* files read so far */
};

void ps_batch_init(struct ps_batch *self, struct ps_bytes body);
/* The next file, its data lent by the body. 1 with *ret_file; 0 at the end; PS_ERR_INVALID or PS_ERR_LIMIT
 * when what comes next is not a file: then nothing after it can be read (at says where). */
int ps_batch_next(struct ps_batch *self, struct ps_ingest_file *ret_file, struct ps_error *reterr);

#endif
