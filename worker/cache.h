/* worker/cache.h: the samples of a worker. Each crosses to it once, however many engines look at it and however
 * often it is scanned while it stays here.
 *
 * A cache belongs to the session's thread. It does no network I/O: next_fetch says what to ask for, chunk and
 * gone take what comes. It asks no clock: callers pass now_ms (monotonic milliseconds).
 *
 * A sample is pinned by the jobs that need it. One that nobody pins stays when it is whole, until its room is
 * wanted (least recently used first), and goes at once when it is not.
 *
 * Limits, and what happens there: memory_bytes and disk_bytes (a further sample WAITs, first come first served,
 * until pins are dropped; pressed says so, and the session lowers its credit; a sample that could never fit
 * FAILS); samples_n (unpinned ones go, then a further one is refused); PS_CACHE_FETCHES_MAX samples are asked for at
 * a time, and of each its part of PS_CACHE_WINDOW bytes, but PS_CACHE_PART at least: what was asked for lies before
 * the next JOB when we are the slow ones. Bytes that came inside a JOB are taken even beyond the
 * budget: the lease window bounds them (PS_INLINE_MAX each). */
#ifndef PS_WORKER_CACHE_H
#define PS_WORKER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "proto/limits.h"

#define PS_CACHE_FETCHES_MAX 8                   /* samples that are fetched at the same time */
#define PS_CACHE_WINDOW      (16 * PS_CHUNK_MAX) /* bytes asked for and not here yet, shared by those samples */
#define PS_CACHE_PART        (4 * PS_CHUNK_MAX) /* but of each so many */
#define PS_CACHE_RETRY_MS    5000               /* silence after which a piece is asked for again */
#define PS_CACHE_ATTEMPTS    2                  /* times a sample is fetched before it counts as bad */
#define PS_CACHE_SAMPLES_MAX 8192               /* most samples, whatever samples_n says */

struct ps_cache;
struct ps_sample; /* one sample of the cache; lives while pinned */

enum ps_sample_state {
    PS_SAMPLE_WAITING,  /* for room */
    PS_SAMPLE_FETCHING, /* bytes are on their way */
    PS_SAMPLE_READY,    /* whole and verified */
    PS_SAMPLE_FAILED,   /* can't be had: see the reason */
};

struct ps_cache_conf {
    uint64_t memory_bytes; /* of samples in memfds (up to PS_BLOB_MEMORY_MAX each) */
    uint64_t disk_bytes;   /* of larger ones, in files */
    size_t samples_n;      /* samples at most: each costs a descriptor */
    const char *dir;       /* where files go; copied */
};

struct ps_cache_stats {
    uint64_t memory_bytes, disk_bytes;               /* used */
    uint64_t pinned_memory_bytes, pinned_disk_bytes; /* of these, by samples in use */
    size_t samples_n;                                /* known, in any state */
    size_t waiting_n;                                /* for room */
    uint64_t hits, misses;                           /* pins that found a whole sample, and that did not */
    uint64_t evicted;                                /* whole samples that made room */
    uint64_t fetched_bytes;                          /* that came in pieces */
};

struct ps_fetch {
    uint8_t sha256[PS_SHA256_BYTES]; /* the sample */
    uint64_t offset;                 /* first byte wanted */
    uint32_t bytes;                  /* how many at most */
};

/* 0, PS_ERR_NOMEM or PS_ERR_INVALID (a budget of 0). */
int ps_cache_new(struct ps_cache **ret_self, const struct ps_cache_conf *conf);
void ps_cache_free(struct ps_cache **self_p);

/* Pins the sample: the caller unpins it once. bytes are its bytes when they came along, else empty; when they
 * are not what sha256 says, the sample is fetched instead. Look at its state next.
 * 0; PS_ERR_CONFLICT when it is known with another size; PS_ERR_LIMIT when samples_n are pinned; PS_ERR_NOMEM. */
int ps_cache_pin(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], uint64_t size,
                 struct ps_bytes bytes, struct ps_sample **ret_sample);
/* Drops one pin and nulls the pointer; NULL content is fine. */
void ps_cache_unpin(struct ps_cache *self, struct ps_sample **sample_p);

/* What to ask the broker for now. True with *ret_fetch set: send it and call again; false: nothing now. */
bool ps_cache_next_fetch(struct ps_cache *self, uint64_t now_ms, struct ps_fetch *ret_fetch);
/* A piece came. What does not fit (late, repeated, not asked for) is ignored.
 * *ret_settled is the sample when this made it READY or FAILED, else NULL. */
void ps_cache_chunk(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], uint64_t offset,
                    uint64_t size, struct ps_bytes bytes, uint64_t now_ms, struct ps_sample **ret_settled);
/* The sample can't be had: *ret_settled is the sample, FAILED, or NULL when nobody waits for it. */
void ps_cache_gone(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], struct ps_bytes reason,
                   struct ps_sample **ret_settled);
/* Makes the next sample that failed without a message (no room ever, no descriptor) known: the sample, or NULL. */
struct ps_sample *ps_cache_next_failed(struct ps_cache *self);
/* What was asked for will not come (a new session): ask again. */
void ps_cache_rewind(struct ps_cache *self);
/* When next_fetch has something to say again at the latest; UINT64_MAX when only events can change that. */
uint64_t ps_cache_due_ms(const struct ps_cache *self);

/* True while samples wait for room. */
bool ps_cache_pressed(const struct ps_cache *self);
void ps_cache_stats(const struct ps_cache *self, struct ps_cache_stats *ret_stats);

/* ---- one sample; valid while pinned ---- */

enum ps_sample_state ps_sample_state(const struct ps_sample *sample);
const char *ps_sample_reason(const struct ps_sample *sample); /* why it FAILED, else "" */
const uint8_t *ps_sample_sha256(const struct ps_sample *sample);
uint64_t ps_sample_size(const struct ps_sample *sample);
/* The whole bytes, for the engine host, which opens them anew for each job; lent. READY only, else -1. */
int ps_sample_fd(const struct ps_sample *sample);
/* The MIME type that this worker's type engine found; "" while it did not. Stays with the sample. */
const char *ps_sample_type(const struct ps_sample *sample);
void ps_sample_set_type(struct ps_sample *sample, const char *mime);

#endif
