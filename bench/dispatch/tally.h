/* bench/dispatch/tally.h: a client's jobs: which are out, when each left, what came back, and what it all cost.
 *
 * options->queued more than the window are out all the time, and left at the end: so many wait at the broker.
 *
 * One thread. Whatever is not as it must be (an answer nobody waits for, a second one) ends the process. */
#ifndef PS_BENCH_TALLY_H
#define PS_BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/dispatch/options.h"
#include "bench/dispatch/usage.h"

struct bench_tally {
    const struct bench_options *options;
    uint64_t sent_n, done_n;
    uint64_t *sent_ns;          /* owned; by job: when it left; 0 before, UINT64_MAX once answered */
    uint64_t *took_ns;          /* owned; in order of arrival, warm ones too */
    uint64_t first_ns, last_ns; /* of what is measured */
    struct bench_usage before[BENCH_WATCHED_MAX], after[BENCH_WATCHED_MAX];
};

void bench_tally_init(struct bench_tally *self, const struct bench_options *options);
void bench_tally_fini(struct bench_tally *self);

/* How many more jobs may leave now. */
static inline uint64_t bench_tally_room(const struct bench_tally *self)
{
    uint64_t left = self->options->jobs + self->options->queued - self->sent_n;
    uint64_t out = self->sent_n - self->done_n, all = self->options->window + self->options->queued;
    uint64_t room = all > out ? all - out : 0;

    return left < room ? left : room;
}

/* The next job, 0.., leaves now. */
uint64_t bench_tally_send(struct bench_tally *self);
/* The answer to a job has come, and its content is right. */
void bench_tally_answer(struct bench_tally *self, uint64_t job);
/* An answer of ANSWER_BYTES has come: checks it. */
void bench_tally_check(struct bench_tally *self, const uint8_t *answer, size_t len);

static inline bool bench_tally_over(const struct bench_tally *self)
{
    return self->done_n == self->options->jobs;
}

/* Prints one line of JSON. */
void bench_tally_print(struct bench_tally *self);

#endif
