/* proto/limits.h: the limits of the wire. */
#ifndef PS_PROTO_LIMITS_H
#define PS_PROTO_LIMITS_H

#define PS_PROTO_VERSION_MIN 1
#define PS_PROTO_VERSION_MAX 1

#define PS_NAME_MAX    128                /* bytes of a name: engine, worker, MIME type */
#define PS_VERSION_MAX 128                /* bytes of a version */
#define PS_LABEL_MAX   512                /* bytes of a label */
#define PS_TEXT_MAX    1024               /* bytes of a sentence */
#define PS_TOKEN_BYTES 16                 /* bytes of a session token */
#define PS_INLINE_MAX  (64 * 1024)        /* bytes of a sample that travels inside SUBMIT and JOB */
#define PS_CHUNK_MAX   (64 * 1024)        /* bytes of one CHUNK's frame */
#define PS_TRAIT_MAX   (64 * 1024)        /* bytes of one trait's JSON */
#define PS_TRAITS_MAX  (256 * 1024)       /* bytes of all traits of a result */
#define PS_FILES_MAX   256                /* files that an engine derived, of a result */
#define PS_FILE_MAX    (16 * 1024 * 1024) /* bytes of one of them */
#define PS_FILES_BYTES (64 * 1024 * 1024) /* bytes of all of them */
#define PS_ENGINES_MAX 255                /* engines of a worker, of a fleet, of a scan */
#define PS_WORKERS_MAX 4096               /* workers of a broker */
#define PS_WINDOW_MAX  4096               /* leases of a worker */
#define PS_BATCH_MAX   4096               /* jobs in one list */
#define PS_FRAME_MAX   (4 * 1024 * 1024)  /* bytes of one frame of records */
#define PS_FRAME_RECORDS \
    512 /* in a frame before it goes, though more may come soon: few wake-ups, yet sides that work at once */
#define PS_PACKET_MAX (128 * 1024) /* bytes of one packet between session and engine host */

/* A job's id: scan id * 256 + ordinal, so that the rows of one scan lie together under one index. */
#define PS_JOB_ORDINALS 256

#endif
