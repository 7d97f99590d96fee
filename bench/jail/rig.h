/* bench/jail/rig.h: an engine host as the jail bench's programs start and wait for it. One thread. What goes wrong ends
 * the program with a sentence: a bench that measures something else than it says is worth nothing. */
#ifndef PS_BENCH_JAIL_RIG_H
#define PS_BENCH_JAIL_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "worker/host/host.h"

#define BENCH_WAIT_MS   60000 /* an event that does not come within this ends the bench */
#define BENCH_SLOTS_MAX 64

/* Ends the program with a sentence on standard error. */
void __attribute__((noreturn, format(printf, 1, 2))) bench_die(const char *fmt, ...);
/* Monotonic nanoseconds. */
uint64_t bench_now_ns(void);
/* Starts the engine host of conf and waits until it has loaded. Never NULL; freed by ps_host_free. */
struct ps_host *bench_host_start(const struct ps_host_conf *conf);
/* The next event; a host that fails or ends is the end of the bench. */
struct ps_host_event bench_event(struct ps_host *host);
/* Takes events until one of this kind. */
struct ps_host_event bench_wait(struct ps_host *host, enum ps_host_event_kind kind);
/* A sealed memfd with these bytes, as a worker makes it. */
int bench_sample(const void *data, size_t len);
/* Runs the sample in fd (borrowed) in slot. */
void bench_run(struct ps_host *host, unsigned slot, uint64_t job, int fd, uint64_t size);

/* Durations of one kind. */
struct bench_times {
    uint64_t *ns; /* owned; n of them, max at most */
    size_t n, max;
};

void bench_times_init(struct bench_times *self, size_t max);
void bench_times_fini(struct bench_times *self);
void bench_times_add(struct bench_times *self, uint64_t ns);
/* Appends "NAME": {"p50": ..., "p99": ..., "least": ..., "n": ...} in microseconds, with comma before it. Sorts. */
void bench_times_print(struct bench_times *self, const char *name, const char *comma);

#endif
