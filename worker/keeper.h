/* worker/keeper.h: results that wait until the files which their engines derived are safe with the master.
 *
 * KEEP names a file, WANT asks for its bytes, PIECEs carry them, KEPT says that they are durable there, or never will
 * be. A result goes on when all its files are settled: those that were refused are left out of it, and it is incomplete.
 * Until then its lease runs (READY and BEAT name it).
 *
 * Belongs to the session's thread and asks no clock: callers pass now_ms (monotonic milliseconds). One result a job.
 * Limits: as many results as the caller's window; PS_KEEPER_BYTES of files, above which the caller starts no job (what
 * runs then may go beyond it by PS_FILES_BYTES a slot); the files of PS_KEEPER_RESULTS results are told at a time, the
 * oldest first. */
#ifndef PS_WORKER_KEEPER_H
#define PS_WORKER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

#define PS_KEEPER_BYTES    (256ULL * 1024 * 1024) /* of files that wait */
#define PS_KEEPER_RESULTS  16                     /* results whose files are on their way */
#define PS_KEEPER_RETRY_MS 5000                   /* silence after which KEEP is said again */

struct ps_host_file;
struct ps_keeper;

/* A bit of work to be said. */
struct ps_keeper_piece {
    const uint8_t *sha256; /* lent until the next call */
    uint64_t size, offset; /* of the file; where the piece belongs */
    size_t len;            /* of the piece, at most PS_CHUNK_MAX */
    uint64_t at;           /* in fd */
    int fd;                /* lent until the next call */
};

/* 0 or PS_ERR_NOMEM. */
int ps_keeper_new(struct ps_keeper **ret_self, size_t limit_n);
void ps_keeper_free(struct ps_keeper **self_p);

/* Takes a result with its files (n of them, at least one; fd, which holds their bytes, is duplicated). A second one for
 * the same job replaces the first. 0; PS_ERR_LIMIT; PS_ERR_NOMEM; PS_ERR_IO when there is no descriptor. */
int ps_keeper_put(struct ps_keeper *self, const struct ps_msg_RESULT *result,
                  const struct ps_host_file *files, size_t n, int fd);
/* The next result whose files are settled, with them, or NULL. Lent: ps_keeper_forget its job when it is taken over. */
const struct ps_msg_RESULT *ps_keeper_settled(struct ps_keeper *self);

/* The next file to be named to the master at now_ms: true, and it counts as said. */
bool ps_keeper_next_keep(struct ps_keeper *self, uint64_t now_ms, uint8_t ret_sha256[PS_SHA256_BYTES],
                         uint64_t *ret_size);
/* The next piece that is wanted: true. ps_keeper_sent when it was said. */
bool ps_keeper_next_piece(struct ps_keeper *self, struct ps_keeper_piece *ret_piece);
void ps_keeper_sent(struct ps_keeper *self, const struct ps_keeper_piece *piece);
/* When ps_keeper_next_keep has something again; UINT64_MAX for never. */
uint64_t ps_keeper_due_ms(const struct ps_keeper *self, uint64_t now_ms);

/* What the master says. What is not here is ignored: its job was cancelled. */
void ps_keeper_want(struct ps_keeper *self, const struct ps_msg_WANT *msg, uint64_t now_ms);
void ps_keeper_kept(struct ps_keeper *self, const struct ps_msg_KEPT *msg);
/* A new session: nothing was said in it. */
void ps_keeper_rewind(struct ps_keeper *self);

/* As ps_results_rebind, ps_results_forget, ps_results_find. */
bool ps_keeper_rebind(struct ps_keeper *self, uint64_t job, uint64_t boot, uint64_t seq);
bool ps_keeper_forget(struct ps_keeper *self, uint64_t job);
const struct ps_msg_RESULT *ps_keeper_find(const struct ps_keeper *self, uint64_t job);
/* Walks them, oldest first: NULL first, then the last one got. */
const struct ps_msg_RESULT *ps_keeper_next(const struct ps_keeper *self, const struct ps_msg_RESULT *last);
size_t ps_keeper_n(const struct ps_keeper *self);
uint64_t ps_keeper_bytes(const struct ps_keeper *self);

#endif
