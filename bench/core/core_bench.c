/* bench/core/core_bench.c: what a job costs the broker's core alone: no sockets, no codec on the way out, real time.
 *
 *   core_bench WORKERS QUEUED ENGINES ROUNDS
 *
 * QUEUED jobs are submitted before a worker is there (of other owners than the ones measured: fair share takes them in
 * turns). Then ROUNDS times: ROUND_JOBS jobs are submitted, leased, answered and committed, one message each, as master
 * and workers say it. Prints one line of JSON: medians over the rounds, nanoseconds a job. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "broker/core/core.h"
#include "proto/codec.h"

#define ROUND_JOBS   1024
#define ROUNDS_MAX   100000
#define PAYLOAD      200
#define OWNERS_N     16
#define ENGINES_N    8
#define DEADLINE_MS  300000
#define MASTER       1u /* peer numbers: the master, then the workers */
#define FIRST_WORKER 2u
#define RESULT_MAX   256 /* bytes of an encoded RESULT here */

enum phase { SUBMIT, DISPATCH, RESULT, COMMIT, PHASES_N };
static const char *const phase_names[PHASES_N] = {"submit_ns", "dispatch_ns", "result_ns", "commit_ns"};

/* A lease that a worker was given. */
struct given {
    uint32_t peer;
    uint64_t seq, job;
};

struct stage {
    struct ps_core *core;
    uint64_t start_ms, tick_ms;
    uint64_t job; /* number of the last sample submitted */
    struct given given[2 * ROUND_JOBS];
    size_t given_n;
    uint64_t accepted_n, passed_n, jobs_n;
    uint8_t results[ROUND_JOBS][RESULT_MAX];
    size_t results_len[ROUND_JOBS];
    unsigned workers_n, engines_n;
    uint64_t token;
};

static const char *const engine_names[ENGINES_N] = {"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"};

static void die(const char *why)
{
    (void)fprintf(stderr, "core_bench: %s\n", why); /* we end either way */
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the core's way out ---- */

static void take_leases(struct stage *self, uint32_t peer, struct ps_list_lease list)
{
    struct ps_part_lease lease;

    while (ps_lease_next(&list, &lease)) {
        if (self->given_n == PS_ARRAY_N(self->given))
            die("more leases than were granted");
        self->given[self->given_n++] = (struct given){peer, lease.seq, lease.job};
    }
}

static void on_send(void *ctx, uint32_t peer, const struct ps_msg *msg)
{
    struct stage *self = ctx;

    if (msg->id == PS_MSG_JOB)
        take_leases(self, peer, msg->JOB.leases);
    else if (msg->id == PS_MSG_ACCEPTED)
        self->accepted_n += msg->ACCEPTED.jobs.n;
    else if (msg->id == PS_MSG_BUSY || msg->id == PS_MSG_DECIDED || msg->id == PS_MSG_LOST ||
             msg->id == PS_MSG_REFUSED)
        die(ps_msg_name(msg->id));
}

static void on_pass(void *ctx, uint32_t peer, struct ps_bytes record, void *carry)
{
    struct stage *self = ctx;

    self->passed_n += peer == MASTER;
}

static void on_drop(void *ctx, uint32_t peer)
{
    die("a peer was dropped");
}

static void on_log(void *ctx, enum ps_log_level level, const char *event, const char *text)
{
    if (level <= PS_LOG_WARN)
        die(event);
}

/* ---- the way in ---- */

static void step(struct stage *self, const struct ps_event *event)
{
    if (ps_core_step(self->core, self->tick_ms, event))
        die("the core ran out of memory");
}

static void say(struct stage *self, uint32_t peer, const struct ps_msg *msg, struct ps_bytes record)
{
    step(self, &(struct ps_event){.kind = PS_EVENT_MESSAGE, .peer = peer, .msg = msg, .record = record});
}

static void turn(struct stage *self)
{
    uint64_t now_ms = ps_clock_mono_ms();
    bool due = now_ms - self->tick_ms >= PS_CORE_TICK_MS;

    if (due)
        self->tick_ms = now_ms;
    step(self, &(struct ps_event){.kind = due ? PS_EVENT_TICK : PS_EVENT_TURN});
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* One sample with all engines. */
static void submit(struct stage *self, uint64_t owner)
{
    static uint8_t payload[PAYLOAD];
    struct ps_part_ask asks[ENGINES_N];
    uint64_t n = ++self->job;
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = 1,
                                    .size = PAYLOAD,
                                    .band = n % 8 ? PS_BAND_BATCH : PS_BAND_INTERACTIVE,
                                    .deadline_ms = DEADLINE_MS,
                                    .owner = owner,
                                    .data = {payload, PAYLOAD},
                                    .jobs = {.items = asks, .n = self->engines_n}}};

    for (unsigned i = 0; i < self->engines_n; i++)
        asks[i] =
            (struct ps_part_ask){.job = n * PS_JOB_ORDINALS + i, .engine = ps_bytes_of(engine_names[i])};
    for (size_t i = 0; i < 4; i++) {
        uint64_t word = mix(n * 4 + i);
        memcpy(msg.SUBMIT.sha256 + i * sizeof(word), &word, sizeof(word));
    }
    memcpy(payload, &n, sizeof(n));
    self->jobs_n += self->engines_n;
    say(self, MASTER, &msg, (struct ps_bytes){NULL, 0});
}

static void encode_results(struct stage *self)
{
    struct ps_buf buf;

    ps_buf_init(&buf, RESULT_MAX);
    for (size_t i = 0; i < self->given_n; i++) {
        const struct given *g = &self->given[i];

        ps_buf_clear(&buf);
        if (ps_msg_put(&buf, PS_MSG(RESULT, .boot = 1, .seq = g->seq, .job = g->job,
                                    .engine = ps_bytes_of(engine_names[g->job % PS_JOB_ORDINALS]),
                                    .outcome = PS_OUTCOME_UNDETECTED, .counted = true,
                                    .worker = PS_BYTES_LIT("bench"), .run_us = 100)))
            die("a RESULT does not encode");
        memcpy(self->results[i], buf.data, buf.len);
        self->results_len[i] = buf.len;
    }
    ps_buf_fini(&buf);
}

static void result(struct stage *self, size_t i)
{
    struct ps_bytes record = {self->results[i], self->results_len[i]}, frame = record;
    struct ps_msg msg;

    if (ps_msg_next(&frame, &msg) != 1)
        die("a RESULT does not decode");
    say(self, self->given[i].peer, &msg, record);
}

static void commit(struct stage *self, size_t i)
{
    const struct ps_part_lease_ref ref = {.job = self->given[i].job};

    say(self, MASTER, PS_MSG(COMMITTED, .epoch = 1, .leases = {.items = &ref, .n = 1}),
        (struct ps_bytes){NULL, 0});
}

/* ---- people ---- */

static void add_worker(struct stage *self, uint32_t peer)
{
    struct ps_part_offer offers[ENGINES_N];
    char name[32];

    for (unsigned i = 0; i < ENGINES_N; i++)
        offers[i] = (struct ps_part_offer){.name = ps_bytes_of(engine_names[i]), .kind = PS_KIND_EVILNESS};
    (void)snprintf(name, sizeof(name), "w%u", peer);
    say(self, peer,
        PS_MSG(HELLO, .version_min = PS_PROTO_VERSION_MIN, .version_max = PS_PROTO_VERSION_MAX,
               .role = PS_ROLE_WORKER, .name = ps_bytes_of(name)),
        (struct ps_bytes){NULL, 0});
    say(self, peer,
        PS_MSG(READY, .slots = ROUND_JOBS, .window = ROUND_JOBS, .isolation = PS_BYTES_LIT("full"),
               .engines = {.items = offers, .n = ENGINES_N}),
        (struct ps_bytes){NULL, 0});
}

static void open_core(struct stage *self)
{
    const struct ps_actions actions = {self, on_send, on_pass, on_drop, on_log};
    struct ps_core_options options;

    ps_core_options_init(&options);
    options.boot = 1;
    memset(options.secret, 7, sizeof(options.secret));
    options.inline_budget_bytes = UINT64_MAX / 4;
    options.dead_ms = UINT32_MAX / 4; /* nobody beats here */
    options.engine_grace_ms = UINT32_MAX / 4;
    self->tick_ms = ps_clock_mono_ms();
    if (ps_core_new(&self->core, &options, &actions, self->tick_ms))
        die("no core");
    say(self, MASTER,
        PS_MSG(HELLO, .version_min = PS_PROTO_VERSION_MIN, .version_max = PS_PROTO_VERSION_MAX,
               .role = PS_ROLE_MASTER, .name = PS_BYTES_LIT("bench")),
        (struct ps_bytes){NULL, 0});
    say(self, MASTER, PS_MSG(GRANT, .epoch = 1, .results = ROUND_JOBS), (struct ps_bytes){NULL, 0});
}

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

/* One round; what each phase took goes to ns. */
static void one_round(struct stage *self, double ns[PHASES_N])
{
    uint64_t at[PHASES_N + 1], encoded, passed = self->passed_n;

    at[0] = now_ns();
    for (unsigned i = 0; i < ROUND_JOBS / self->engines_n; i++)
        submit(self, i % OWNERS_N);
    at[1] = now_ns();
    turn(self);
    at[2] = now_ns();
    if (self->given_n != ROUND_JOBS)
        die("a turn does not lease all that is granted");
    encode_results(self);
    encoded = now_ns();
    for (size_t i = 0; i < ROUND_JOBS; i++)
        result(self, i);
    turn(self);
    at[3] = now_ns();
    if (self->passed_n - passed != ROUND_JOBS)
        die("results were not passed on");
    for (size_t i = 0; i < ROUND_JOBS; i++)
        commit(self, i);
    at[4] = now_ns();
    self->given_n = 0;
    for (unsigned p = 0; p < PHASES_N; p++)
        ns[p] = (double)(at[p + 1] - (p == RESULT ? encoded : at[p])) / ROUND_JOBS;
}

static void print(const struct stage *self, double *times[PHASES_N], size_t rounds, double queued_bytes,
                  double queued_ns)
{
    double sum = 0;

    (void)printf("{\"workers\": %u, \"queued\": %llu, \"engines\": %u", self->workers_n,
                 (unsigned long long)(self->jobs_n - rounds * ROUND_JOBS), self->engines_n);
    for (unsigned p = 0; p < PHASES_N; p++) {
        double ns = median(times[p], rounds);

        (void)printf(", \"%s\": %.1f", phase_names[p], ns);
        sum += ns;
    }
    (void)printf(", \"total_ns\": %.1f, \"queue_ns\": %.1f, \"queued_bytes\": %.1f}\n", sum, queued_ns,
                 queued_bytes);
}

/* Jobs that wait, of one owner more, before there is a worker; what they cost goes to the two results. */
static void fill(struct stage *self, uint64_t queued, double *ret_bytes, double *ret_ns)
{
    struct ps_core_counts before, after;
    uint64_t at = now_ns();

    ps_core_counts(self->core, &before);
    for (uint64_t i = 0; i < queued / self->engines_n; i++)
        submit(self, OWNERS_N);
    turn(self);
    *ret_ns = self->jobs_n ? (double)(now_ns() - at) / (double)self->jobs_n : 0;
    ps_core_counts(self->core, &after);
    if (self->accepted_n != self->jobs_n)
        die("not all jobs were accepted");
    *ret_bytes = self->jobs_n ? (double)(after.memory_bytes - before.memory_bytes) / (double)self->jobs_n : 0;
}

static void run(struct stage *self, uint64_t queued, size_t rounds)
{
    double *times[PHASES_N], ns[PHASES_N], bytes, queued_ns;

    open_core(self);
    fill(self, queued, &bytes, &queued_ns);
    for (unsigned i = 0; i < self->workers_n; i++)
        add_worker(self, FIRST_WORKER + i);
    for (unsigned p = 0; p < PHASES_N; p++)
        if (!(times[p] = ps_alloc(rounds, sizeof(double))))
            die("no memory");
    for (size_t r = 0; r < rounds; r++) {
        one_round(self, ns);
        for (unsigned p = 0; p < PHASES_N; p++)
            times[p][r] = ns[p];
    }
    print(self, times, rounds, bytes, queued_ns);
    for (unsigned p = 0; p < PHASES_N; p++)
        free(times[p]);
    ps_core_free(&self->core);
}

int main(int argc, char **argv)
{
    static struct stage stage;
    unsigned long numbers[4];

    if (argc != 5)
        die("usage: core_bench WORKERS QUEUED ENGINES ROUNDS");
    for (int i = 0; i < 4; i++)
        numbers[i] = strtoul(argv[i + 1], NULL, 10);
    stage.workers_n = (unsigned)numbers[0];
    stage.engines_n = (unsigned)numbers[2];
    if (!stage.workers_n || stage.workers_n > 1024 || !stage.engines_n || ROUND_JOBS % stage.engines_n ||
        stage.engines_n > ENGINES_N || !numbers[3] || numbers[3] > ROUNDS_MAX)
        die("1..1024 workers, 1, 2, 4 or 8 engines, 1..100000 rounds");
    run(&stage, numbers[1], numbers[3]);
    return 0;
}
