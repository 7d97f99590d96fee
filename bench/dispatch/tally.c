#include "bench/dispatch/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "bench/dispatch/payload.h"

#define ANSWERED UINT64_MAX

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_tally_init(struct bench_tally *self, const struct bench_options *options)
{
    *self = (struct bench_tally){.options = options};
    self->sent_ns = ps_alloc((size_t)(options->jobs + options->queued), sizeof(*self->sent_ns));
    self->took_ns = ps_alloc((size_t)options->jobs + 1, sizeof(*self->took_ns));
    if (!self->sent_ns || !self->took_ns)
        bench_die("out of memory");
}

void bench_tally_fini(struct bench_tally *self)
{
    free(self->sent_ns);
    free(self->took_ns);
}

static void begin(struct bench_tally *self)
{
    bench_usage_read(self->options, self->before);
    self->first_ns = now_ns();
}

uint64_t bench_tally_send(struct bench_tally *self)
{
    if (self->sent_n == 0 && self->options->warm == 0)
        begin(self);
    self->sent_ns[self->sent_n] = now_ns();
    return self->sent_n++;
}

void bench_tally_answer(struct bench_tally *self, uint64_t job)
{
    if (job >= self->sent_n)
        bench_die("an answer to job %llu, which was not sent", (unsigned long long)job);
    if (bench_tally_over(self))
        return; /* of those that were to be left */
    if (self->sent_ns[job] == ANSWERED)
        bench_die("a second answer to job %llu", (unsigned long long)job);
    self->last_ns = now_ns();
    self->took_ns[self->done_n++] = self->last_ns - self->sent_ns[job];
    self->sent_ns[job] = ANSWERED;
    if (self->done_n == self->options->warm)
        begin(self);
    if (bench_tally_over(self))
        bench_usage_read(self->options, self->after);
}

void bench_tally_check(struct bench_tally *self, const uint8_t *answer, size_t len)
{
    uint64_t job;

    if (!answer_check(answer, len, &job))
        bench_die("a wrong answer (%zu bytes)", len);
    bench_tally_answer(self, job);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void bench_tally_print(struct bench_tally *self)
{
    uint64_t *took = self->took_ns + self->options->warm;
    size_t n = (size_t)(self->options->jobs - self->options->warm);
    size_t p50 = n / 2, p99 = n * 99 / 100;
    double seconds = (double)(self->last_ns - self->first_ns) / 1e9;

    qsort(took, n, sizeof(*took), compare);
    (void)printf("{\"jobs\": %zu, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f", n,
                 seconds, (double)n / seconds, (double)took[p50] / 1e3, (double)took[p99] / 1e3);
    bench_usage_print(self->options, self->before, self->after, n);
    if (puts("}") < 0 || fflush(stdout))
        bench_die("nobody listens");
}
