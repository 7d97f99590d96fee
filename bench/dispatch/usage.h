/* bench/dispatch/usage.h: what processes cost: processor time and wake-ups, from /proc. */
#ifndef PS_BENCH_USAGE_H
#define PS_BENCH_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include "bench/dispatch/options.h"

#define BENCH_WATCHED_MAX 4 /* ourselves, then those of --watch */

struct bench_usage {
    uint64_t cpu_ns;   /* all threads that live */
    uint64_t waits_n;  /* voluntary context switches: it slept and was woken */
    uint64_t forced_n; /* others took the processor from it */
};

/* Fills one per process: "client" is ourselves. */
void bench_usage_read(const struct bench_options *options, struct bench_usage ret_usage[BENCH_WATCHED_MAX]);
/* Appends ", "cost": {...}": per 100,000 jobs processor seconds, waits and forced switches of each. */
void bench_usage_print(const struct bench_options *options, const struct bench_usage *before,
                       const struct bench_usage *after, size_t jobs);

#endif
