#include "bench/jail/rig.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

void bench_die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args); /* we end either way */
    va_end(args);
    (void)fputc('\n', stderr);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct ps_host *bench_host_start(const struct ps_host_conf *conf)
{
    struct ps_error error = {0};
    struct ps_host *host = NULL;

    if (ps_host_start(&host, conf, ps_clock_mono_ms(), &error))
        bench_die("the engine host of %s does not start: %s", conf->engine, error.text);
    (void)bench_wait(host, PS_HOST_LOADED);
    return host;
}

struct ps_host_event bench_event(struct ps_host *host)
{
    struct pollfd at = {.fd = ps_host_fd(host), .events = POLLIN};
    uint64_t until_ms = 0;
    struct ps_host_event event;

    for (;;) {
        uint64_t now_ms = ps_clock_mono_ms(), due_ms = ps_host_due_ms(host);

        if (ps_host_step(host, now_ms, &event) == 1)
            break;
        until_ms = until_ms ? until_ms : now_ms + BENCH_WAIT_MS;
        if (now_ms >= until_ms)
            bench_die("no event of the engine host came within %d ms", BENCH_WAIT_MS);
        due_ms = PS_MIN(due_ms, until_ms);
        (void)poll(&at, 1, due_ms > now_ms ? (int)(due_ms - now_ms) : 0); /* interrupted: step again */
    }
    if (event.kind == PS_HOST_FAILED || event.kind == PS_HOST_GONE)
        bench_die("the engine host can't go on: %s", event.text);
    return event;
}

struct ps_host_event bench_wait(struct ps_host *host, enum ps_host_event_kind kind)
{
    struct ps_host_event event;

    do
        event = bench_event(host);
    while (event.kind != kind);
    return event;
}

int bench_sample(const void *data, size_t len)
{
    int fd = -1, rc = ps_file_memfd("sample", data, len, &fd);

    if (rc)
        bench_die("no memfd of %zu bytes: %s", len, ps_err_text(rc));
    return fd;
}

void bench_run(struct ps_host *host, unsigned slot, uint64_t job, int fd, uint64_t size)
{
    /* Nobody here reads the sum: a worker has it from the message that named the sample. */
    static const uint8_t sha256[32];
    struct ps_host_job wanted = {.job = job, .sha256 = sha256, .size = size, .fd = fd};
    int rc = ps_host_run(host, slot, &wanted, ps_clock_mono_ms());

    if (rc)
        bench_die("slot %u does not take a job: %s", slot, ps_err_text(rc));
}

void bench_times_init(struct bench_times *self, size_t max)
{
    *self = (struct bench_times){.ns = ps_alloc(max, sizeof(*self->ns)), .max = max};
    if (!self->ns)
        bench_die("no memory for %zu times", max);
}

void bench_times_fini(struct bench_times *self)
{
    free(self->ns);
    *self = (struct bench_times){0};
}

void bench_times_add(struct bench_times *self, uint64_t ns)
{
    if (self->n == self->max)
        bench_die("more than %zu times were taken", self->max);
    self->ns[self->n++] = ns;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double at_us(const struct bench_times *self, unsigned percent)
{
    size_t no = self->n ? (self->n - 1) * percent / 100 : 0;

    return self->n ? (double)self->ns[no] / 1000.0 : 0.0;
}

void bench_times_print(struct bench_times *self, const char *name, const char *comma)
{
    qsort(self->ns, self->n, sizeof(*self->ns), by_size);
    /* A reader that went away needs no numbers. */
    (void)printf("%s\"%s\": {\"p50\": %.2f, \"p99\": %.2f, \"least\": %.2f, \"n\": %zu}", comma, name,
                 at_us(self, 50), at_us(self, 99), at_us(self, 0), self->n);
}
