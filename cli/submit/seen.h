/* cli/submit/seen.h: the state file of a sweep (--resume): which files the server has acknowledged, by path, size and
 * modification time, so that a sweep goes on where it stopped and a later one skips what has not changed.
 *
 * Text, append-only, one sweep at a time (flock). A line "phagescan-sweep 1 BATCH"; before a pack is sent "+KEY" and a
 * line "=32HEX PATH" for each of its files (control characters and % as %HH); for a large file "@UPLOAD" when the
 * server has opened an upload for it; when it is acknowledged 32 hex digits a file; "-KEY" when the pack is settled. So
 * a sweep that was killed between the server's commit and its own note sends the same pack again under the same
 * Idempotency-Key, and the server takes no file twice. A line that was cut off by a crash is passed over. 16 bytes of
 * memory a file. One thread. */
#ifndef PS_CLI_SUBMIT_SEEN_H
#define PS_CLI_SUBMIT_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ps_seen;

#define PS_SEEN_BATCH_MAX    64
#define PS_SEEN_PACK_KEY_MAX 95
#define PS_SEEN_UPLOAD_MAX   63
#define PS_SEEN_PATH_MAX     16384 /* a path, escaped; a longer one makes no plan */
#define PS_SEEN_KEY          16    /* bytes of a file's key */

/* Opens or makes the file; batch is the one to write into a new file. PS_ERR_INVALID when it is something else,
 * PS_ERR_CONFLICT when another run has it. */
int ps_seen_open(struct ps_seen **ret_self, const char *path, const char *batch, struct ps_error *reterr);
void ps_seen_close(struct ps_seen **self_p);

/* The sweep's batch: the file's own when it was there. Lent. */
const char *ps_seen_batch(const struct ps_seen *self);

void ps_seen_key(uint8_t ret_key[PS_SEEN_KEY], const char *path, uint64_t size, int64_t mtime_ns);
/* True when the file was acknowledged by an earlier run, or noted in this one. */
bool ps_seen_has(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY]);
/* Counts a file as seen from now on, in memory alone. */
int ps_seen_note(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY]);

/* What is written is durable after ps_seen_sync; errors of the others show there at the latest. */
int ps_seen_add(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY]); /* acknowledged */
int ps_seen_plan(struct ps_seen *self, const char *key); /* a pack that will be sent under this key: */
int ps_seen_plan_file(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY],
                      const char *path);                                       /* and its files */
int ps_seen_upload(struct ps_seen *self, const char *key, const char *upload); /* its upload at the server */
int ps_seen_settled(struct ps_seen *self, const char *key); /* answered; what was acknowledged was added */
int ps_seen_sync(struct ps_seen *self, struct ps_error *reterr);

struct ps_seen_file {
    char *path; /* owned */
    uint8_t key[PS_SEEN_KEY];
};

/* A pack that an earlier run planned, and of which it does not know whether it was acknowledged. */
struct ps_seen_plan {
    char key[PS_SEEN_PACK_KEY_MAX + 1]; /* its Idempotency-Key */
    char upload[PS_SEEN_UPLOAD_MAX + 1];
    struct ps_seen_file *files; /* owned */
    size_t n;
    struct ps_seen_plan *next;
};

/* Takes out the next plan left open by an earlier run; NULL when there is none. The caller frees it. */
struct ps_seen_plan *ps_seen_take_plan(struct ps_seen *self);
bool ps_seen_has_plan(const struct ps_seen *self);
void ps_seen_plan_free(struct ps_seen_plan **plan_p);

#endif
