/* bench/dispatch/ours.h: what our client and our workers agree on. */
#ifndef PS_BENCH_OURS_H
#define PS_BENCH_OURS_H

#include "base/bytes.h"
#include "bench/dispatch/options.h"

#define OURS_ENGINES_N 8
#define OURS_LABEL     17 /* sixteen hex digits of the sum, and a NUL */
#define OURS_WORKER    "bench-worker"

extern const char *const ours_engines[OURS_ENGINES_N];

/* A sample's name: its number is in it, the rest is noise. */
void ours_sha(uint8_t sha256[PS_SHA256_BYTES], uint64_t sample);
uint64_t ours_sample(const uint8_t sha256[PS_SHA256_BYTES]);
/* What a worker calls what it found: the payload's sum. */
void ours_label(char label[OURS_LABEL], uint64_t sum);

/* A libzmq context that has room for a thousand sessions. */
void *ours_context(void);

int ours_client(const struct bench_options *options);
/* Submits all jobs, waits until the broker has them, says so, and holds the session until standard input ends. */
int ours_fill(const struct bench_options *options);
int ours_worker(const struct bench_options *options);
/* Makes the keys of a broker, a master and workers in the directory --key, the last two allowed by certificates in its
 * allowed/, as `phagescan keys` would. */
int ours_keys(const struct bench_options *options);

#endif
