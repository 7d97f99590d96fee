/* cli/submit/seen.h: the state file of a sweep (--resume): which files the server has acknowledged, by path, size and
 * modification time, so that a sweep goes on where it stopped and a later one skips what has not changed.
 *
 * Text, append-only: a line "phagescan-sweep 1 BATCH", then 32 hex digits a file. A line that was cut off by a crash is
 * passed over. 16 bytes of memory a file. One thread. */
#ifndef PS_CLI_SUBMIT_SEEN_H
#define PS_CLI_SUBMIT_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ps_seen;

#define PS_SEEN_BATCH_MAX 64

/* Opens or makes the file; batch is the one to write into a new file. */
int ps_seen_open(struct ps_seen **ret_self, const char *path, const char *batch, struct ps_error *reterr);
void ps_seen_close(struct ps_seen **self_p);

/* The sweep's batch: the file's own when it was there. Lent. */
const char *ps_seen_batch(const struct ps_seen *self);

#define PS_SEEN_KEY 16
void ps_seen_key(uint8_t ret_key[PS_SEEN_KEY], const char *path, uint64_t size, int64_t mtime_ns);
/* True when the file was acknowledged by an earlier run. */
bool ps_seen_has(const struct ps_seen *self, const uint8_t key[PS_SEEN_KEY]);
/* Adds a key; durable after ps_seen_sync. */
int ps_seen_add(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY]);
int ps_seen_sync(struct ps_seen *self, struct ps_error *reterr);

#endif
