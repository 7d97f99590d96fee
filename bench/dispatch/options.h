/* bench/dispatch/options.h: what the dispatch bench's programs can be told: one table for all, each uses its part. */
#ifndef PS_BENCH_OPTIONS_H
#define PS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/opt.h"
#include "proto/peer/where.h"

struct bench_options {
    const char *role;  /* first argument: client, worker, proxy ... */
    char *endpoint;    /* zmq endpoint, or host:port */
    char *back;        /* proxy: where workers connect */
    char *key;         /* CURVE: our certificate, or (keys) the directory to make them in */
    char *server_key;  /* the broker's public one */
    char *mode;        /* peers: their settings */
    uint64_t jobs;     /* in all */
    uint64_t warm;     /* of these, not measured */
    uint64_t window;   /* jobs outstanding */
    uint64_t size;     /* bytes of a payload */
    uint64_t engines;  /* jobs of one sample */
    uint64_t batch;    /* jobs in a message at most, where the client makes batches */
    uint64_t sessions; /* worker: that many; client: workers that must be there before a job is leased */
    uint64_t threads;  /* worker: drive them */
    uint64_t credit;   /* worker: leases in its hands */
    uint64_t queued;   /* client: jobs of another owner that wait all the time, or (fill) that are left */
    uint64_t port;     /* rabbit, nats, redis */
    struct ps_opt_list watch; /* NAME=PID: processes whose cost is told */
};

/* Reads the command line, ends the process with a sentence when it makes no sense. Also sets up payloads, ignores
 * SIGPIPE and raises the limit of descriptors. */
void bench_options_read(struct bench_options *ret_self, int argc, char **argv);
void bench_options_fini(struct bench_options *self);
/* True when the first argument is this. */
bool bench_is(const struct bench_options *self, const char *role);
/* Keys of --key and --server-key; NULL without. Static. Ends the process when they can't be read. */
const struct ps_keys *bench_keys(const struct bench_options *self);

/* Ends the process with a sentence. */
void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Tells whoever started us that we are there: a line on standard output. */
void bench_ready(void);

#endif
