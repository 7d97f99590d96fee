#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "worker/slots.h"

/* Engines of the fake worker. */
enum { TYPE, CLAMAV, YARA, PDFID, ENGINES_N };

#define LOG_N 256

/* What slots asked for, in order: "run 3 0", "report 3", ... */
struct fixture {
    struct ps_cache *cache;
    struct ps_slots *slots;
    char log[LOG_N][64];
    unsigned log_n, log_at;
    bool away[ENGINES_N];
    int run_error;
    int room[ENGINES_N];             /* how often more it may run at once; negative: any number */
    unsigned warm_engine, warm_slot; /* a child that idles */
    uint64_t now_us;
};

static __attribute__((format(printf, 2, 3))) void note(struct fixture *f, const char *fmt, ...)
{
    va_list args;

    assert_true(f->log_n < LOG_N);
    va_start(args, fmt);
    (void)vsnprintf(f->log[f->log_n++], sizeof(f->log[0]), fmt, args);
    va_end(args);
}

static int run(void *context, const struct ps_job *job, unsigned slot)
{
    struct fixture *f = context;

    assert_int_equal(ps_sample_state(job->sample), PS_SAMPLE_READY);
    if (f->away[job->engine])
        return PS_ERR_UNAVAILABLE;
    if (f->run_error)
        return f->run_error;
    if (job->typing)
        note(f, "run typing %u", slot);
    else
        note(f, "run %u %u", (unsigned)job->job, slot);
    f->room[job->engine] -= f->room[job->engine] > 0;
    return 0;
}

static void kill_job(void *context, const struct ps_job *job)
{
    note(context, "kill %u %u", (unsigned)job->job, job->slot);
}

static void report(void *context, const struct ps_job *job, const void *finished)
{
    note(context, "report %u %s", (unsigned)job->job, finished ? (const char *)finished : "");
}

static void settle(void *context, const struct ps_job *job, enum ps_outcome outcome, const char *reason)
{
    assert_string_not_equal(reason, "");
    note(context, "settle %u %s", (unsigned)job->job, ps_outcome_word(outcome));
}

static void unpin(void *context, struct ps_sample **sample_p)
{
    ps_cache_unpin(((struct fixture *)context)->cache, sample_p);
}

static bool warm(void *context, unsigned engine, unsigned slot)
{
    const struct fixture *f = context;

    return engine == f->warm_engine && slot == f->warm_slot;
}

static const char *types(void *context, unsigned engine)
{
    return engine == PDFID ? "application/pdf" : "";
}

static bool has_room(void *context, unsigned engine)
{
    const struct fixture *f = context;

    return f->room[engine] < 0 || f->room[engine] > 0;
}

static int typer(void *context)
{
    return ((struct fixture *)context)->away[TYPE] ? -1 : TYPE;
}

static void set_up_slots(struct fixture *f, unsigned slots_n, size_t limit_n)
{
    struct ps_slots_io io = {f, run, kill_job, report, settle, unpin, warm, types, typer, has_room};

    ps_slots_free(&f->slots);
    assert_int_equal(ps_slots_new(&f->slots, slots_n, limit_n, &io), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ps_cache_conf conf = {
        .memory_bytes = 1 << 20, .disk_bytes = 1 << 20, .samples_n = 64, .dir = "/tmp"};

    assert_non_null(f);
    assert_int_equal(ps_cache_new(&f->cache, &conf), 0);
    f->warm_engine = ENGINES_N;
    memset(f->room, -1, sizeof(f->room));
    set_up_slots(f, 2, 16);
    *state = f;
    return 0;
}

/* After each test: nothing is left running in the log unread, and every pin comes back. */
static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct ps_cache_stats stats;

    ps_slots_free(&f->slots);
    ps_cache_stats(f->cache, &stats);
    assert_int_equal(stats.pinned_memory_bytes, 0);
    ps_cache_free(&f->cache);
    free(f);
    return 0;
}

/* The next thing that was asked for; NULL for nothing. */
static void expect(struct fixture *f, const char *what)
{
    if (!what) {
        assert_int_equal(f->log_at, f->log_n);
        return;
    }
    assert_true(f->log_at < f->log_n);
    assert_string_equal(f->log[f->log_at++], what);
}

static void step(struct fixture *f)
{
    ps_slots_step(f->slots, f->now_us += 1000);
}

struct content {
    uint8_t bytes[4096];
    size_t len;
    uint8_t sha[PS_SHA256_BYTES];
};

static struct content content(unsigned n)
{
    struct content c = {.len = 100};

    memcpy(c.bytes, &n, sizeof(n));
    assert_int_equal(ps_sha256(c.sha, c.bytes, c.len), 0);
    return c;
}

static struct ps_sample *pin(struct fixture *f, unsigned n, bool here)
{
    struct content c = content(n);
    struct ps_sample *sample = NULL;

    assert_int_equal(
        ps_cache_pin(f->cache, c.sha, c.len, (struct ps_bytes){c.bytes, here ? c.len : 0}, &sample), 0);
    return sample;
}

static struct ps_job_ask ask(uint64_t job, unsigned engine)
{
    return (struct ps_job_ask){.boot = 1, .seq = job + 100, .job = job, .engine = engine};
}

static void add_typed(struct fixture *f, unsigned sample, const char *type, const struct ps_job_ask *asks,
                      size_t n)
{
    struct ps_sample *pinned = pin(f, sample, true);
    size_t taken = 0;

    assert_int_equal(ps_slots_add(f->slots, &pinned, ps_bytes_of(type), asks, n, f->now_us += 1000, &taken),
                     0);
    assert_null(pinned);
    assert_int_equal(taken, n);
}

static void add(struct fixture *f, uint64_t job, unsigned engine)
{
    struct ps_job_ask one = ask(job, engine);

    add_typed(f, (unsigned)job, "text/plain", &one, 1);
}

static void finish(struct fixture *f, unsigned slot, const char *type)
{
    struct ps_job_end end = {.type = type, .finished = type};

    ps_slots_finish(f->slots, slot, &end);
}

/* ---- slots ---- */

static void no_more_than_s_jobs_run(void **state)
{
    struct fixture *f = *state;

    add(f, 1, CLAMAV);
    add(f, 2, YARA);
    add(f, 3, CLAMAV);
    step(f);
    expect(f, "run 1 0");
    expect(f, "run 2 1");
    expect(f, NULL);
    assert_int_equal(ps_slots_running(f->slots), 2);
    assert_int_equal(ps_slots_held(f->slots), 3);

    finish(f, 1, "");
    expect(f, "report 2 ");
    step(f);
    expect(f, "run 3 1");
    finish(f, 0, "");
    finish(f, 1, "");
    expect(f, "report 1 ");
    expect(f, "report 3 ");
    assert_int_equal(ps_slots_held(f->slots), 0);
}

/* In order of arrival, whatever their size; a better band passes, but not what waited long. */
static void order_of_arrival_and_bands(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, CLAMAV), ask(2, CLAMAV), ask(3, CLAMAV), ask(4, CLAMAV)};

    asks[0].band = PS_BAND_IDLE;
    asks[1].band = asks[2].band = PS_BAND_BATCH;
    set_up_slots(f, 1, 16);
    add_typed(f, 1, "", &asks[0], 1);
    f->now_us += 2 * 1000 * PS_JOB_BAND_MS;
    add_typed(f, 2, "", &asks[1], 1);
    add_typed(f, 3, "", &asks[2], 1);
    add_typed(f, 4, "", &asks[3], 1);
    for (int i = 0; i < 4; i++) {
        step(f);
        finish(f, 0, "");
    }
    expect(f, "run 4 0");
    expect(f, "report 4 ");
    expect(f, "run 1 0"); /* its head start behind batch is used up */
    expect(f, "report 1 ");
    expect(f, "run 2 0");
    expect(f, "report 2 ");
    expect(f, "run 3 0");
}

static void a_slot_with_an_idle_child_is_taken(void **state)
{
    struct fixture *f = *state;

    f->warm_engine = YARA;
    f->warm_slot = 1;
    add(f, 1, YARA);
    add(f, 2, CLAMAV);
    step(f);
    expect(f, "run 1 1");
    expect(f, "run 2 0");
}

static void leases_over_the_limit_are_left_out(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, CLAMAV), ask(2, YARA), ask(3, PDFID)};
    struct ps_sample *sample = pin(f, 1, true);
    size_t taken = 0;

    set_up_slots(f, 1, 2);
    assert_int_equal(ps_slots_add(f->slots, &sample, ps_bytes_of(""), asks, 3, 1, &taken), 0);
    assert_int_equal(taken, 2);
    sample = pin(f, 2, true);
    assert_int_equal(ps_slots_add(f->slots, &sample, ps_bytes_of(""), &asks[2], 1, 1, &taken), 0);
    assert_int_equal(taken, 0);
    assert_null(sample);
}

/* A serial engine's jobs wait for each other and not for a slot; others pass them. */
static void an_engine_with_a_limit_is_not_run_more_often(void **state)
{
    struct fixture *f = *state;

    f->room[CLAMAV] = 1;
    add(f, 1, CLAMAV);
    add(f, 2, CLAMAV);
    add(f, 3, CLAMAV);
    add(f, 4, YARA);
    step(f);
    expect(f, "run 1 0");
    expect(f, "run 4 1");
    expect(f, NULL);
    finish(f, 1, "");
    expect(f, "report 4 ");
    step(f);
    expect(f, NULL); /* a slot is free, the engine is not */

    f->room[CLAMAV] = 1;
    finish(f, 0, "");
    expect(f, "report 1 ");
    step(f);
    expect(f, "run 2 0");
    expect(f, NULL);
    assert_true(ps_slots_cancel(f->slots, 0, 0, 3));
    f->room[CLAMAV] = 1;
    finish(f, 0, "");
    expect(f, "report 2 ");
    assert_int_equal(ps_slots_held(f->slots), 0);
}

/* Room may come without a job's end: a reload is over. */
static void held_jobs_go_on_when_the_engine_has_room_again(void **state)
{
    struct fixture *f = *state;

    f->room[CLAMAV] = 0;
    add(f, 1, CLAMAV);
    step(f);
    expect(f, NULL);
    f->room[CLAMAV] = 1;
    ps_slots_engine(f->slots, CLAMAV);
    step(f);
    expect(f, "run 1 0");
}

/* ---- alone ---- */

static void a_suspect_runs_while_nothing_else_does(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask suspect = ask(2, CLAMAV);

    suspect.alone = true;
    add(f, 1, YARA);
    add_typed(f, 2, "", &suspect, 1);
    add(f, 3, YARA);
    step(f);
    expect(f, "run 1 0");
    expect(f, NULL); /* 3 came later: it does not overtake the suspect for ever */

    finish(f, 0, "");
    expect(f, "report 1 ");
    step(f);
    expect(f, "run 2 0");
    step(f);
    expect(f, NULL);
    finish(f, 0, "");
    expect(f, "report 2 ");
    step(f);
    expect(f, "run 3 0");
}

static void two_suspects_run_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask suspects[] = {ask(1, CLAMAV), ask(2, YARA)};

    suspects[0].alone = suspects[1].alone = true;
    add_typed(f, 1, "", suspects, 2);
    step(f);
    expect(f, "run 1 0");
    expect(f, NULL);
    finish(f, 0, "");
    expect(f, "report 1 ");
    step(f);
    expect(f, "run 2 0");
    expect(f, NULL);
}

/* ---- samples ---- */

static void jobs_wait_for_their_sample(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask one = ask(1, CLAMAV);
    struct ps_sample *sample = pin(f, 1, false), *settled = NULL;
    struct content c = content(1);
    struct ps_fetch fetch;
    size_t taken;

    assert_int_equal(ps_slots_add(f->slots, &sample, ps_bytes_of(""), &one, 1, 1, &taken), 0);
    step(f);
    expect(f, NULL);
    assert_true(ps_cache_next_fetch(f->cache, 1, &fetch));
    ps_cache_chunk(f->cache, c.sha, 0, c.len, (struct ps_bytes){c.bytes, c.len}, 1, &settled);
    assert_non_null(settled);
    ps_slots_sample(f->slots, settled);
    step(f);
    expect(f, "run 1 0");
}

static void a_sample_that_cannot_be_had_fails_its_jobs(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, CLAMAV), ask(2, YARA)};
    struct ps_sample *sample = pin(f, 1, false), *settled = NULL;
    struct content c = content(1);
    size_t taken;

    assert_int_equal(ps_slots_add(f->slots, &sample, ps_bytes_of(""), asks, 2, 1, &taken), 0);
    ps_cache_gone(f->cache, c.sha, PS_BYTES_LIT("gone"), &settled);
    ps_slots_sample(f->slots, settled);
    expect(f, "settle 1 failure");
    expect(f, "settle 2 failure");
    assert_int_equal(ps_slots_held(f->slots), 0);
}

static void an_error_at_the_start_is_a_failure(void **state)
{
    struct fixture *f = *state;

    f->run_error = PS_ERR_IO;
    add(f, 1, CLAMAV);
    step(f);
    expect(f, "settle 1 failure");
    assert_int_equal(ps_slots_held(f->slots), 0);
}

/* ---- types ---- */

static void a_known_type_that_does_not_match_is_unsupported(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, PDFID), ask(2, CLAMAV)};

    add_typed(f, 1, "text/plain", asks, 2);
    expect(f, "settle 1 type-unsupported");
    step(f);
    expect(f, "run 2 0");
    add_typed(f, 2, "application/pdf", &(struct ps_job_ask){.boot = 1, .seq = 9, .job = 3, .engine = PDFID},
              1);
    step(f);
    expect(f, "run 3 1");
}

/* Nobody leased the type here: a run of our own finds it, and brings no result. Those without a filter don't wait. */
static void an_unknown_type_is_found_first(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, PDFID), ask(2, CLAMAV)};

    add_typed(f, 1, "", asks, 2);
    step(f);
    expect(f, "run typing 0");
    expect(f, "run 2 1");
    assert_int_equal(ps_slots_held(f->slots), 2);
    finish(f, 0, "text/html");
    expect(f, "settle 1 type-unsupported");
    finish(f, 1, "");
    expect(f, "report 2 ");
    expect(f, NULL);

    add_typed(f, 1, "", &(struct ps_job_ask){.boot = 1, .seq = 9, .job = 3, .engine = PDFID}, 1);
    expect(f, "settle 3 type-unsupported"); /* the cache remembers */
}

static void a_leased_type_job_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, PDFID), ask(2, TYPE)};

    add_typed(f, 1, "", asks, 2);
    step(f);
    expect(f, "run 2 0");
    expect(f, NULL);
    finish(f, 0, "application/pdf");
    expect(f, "report 2 application/pdf");
    step(f);
    expect(f, "run 1 0");
}

static void without_an_answer_the_engine_runs(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask one = ask(1, PDFID);

    add_typed(f, 1, "", &one, 1);
    step(f);
    expect(f, "run typing 0");
    finish(f, 0, "");
    step(f);
    expect(f, "run 1 0");
}

static void without_a_type_engine_the_engine_runs(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask one = ask(1, PDFID), two = ask(2, PDFID);

    f->away[TYPE] = true;
    add_typed(f, 1, "", &one, 1);
    step(f);
    expect(f, "run 1 0");

    f->away[TYPE] = false;
    add_typed(f, 2, "", &two, 1); /* the typing run is queued, and then its engine goes */
    f->away[TYPE] = true;
    step(f);
    expect(f, "run 2 1");
}

static void a_cancelled_type_lease_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask asks[] = {ask(1, PDFID), ask(2, TYPE)};

    add_typed(f, 1, "", asks, 2);
    step(f);
    expect(f, "run 2 0");
    assert_true(ps_slots_cancel(f->slots, 1, 102, 2));
    expect(f, "kill 2 0");
    step(f);
    expect(f, "run typing 1");
    finish(f, 0, "application/pdf"); /* the dropped one speaks all the same */
    finish(f, 1, "application/pdf");
    step(f);
    expect(f, "run 1 0");
}

/* ---- trouble ---- */

static void a_run_that_says_nothing_is_repeated(void **state)
{
    struct fixture *f = *state;
    struct ps_job_end again = {.again = true, .finished = "failed"};

    add(f, 1, CLAMAV);
    for (int i = 0; i < PS_JOB_STARTS_MAX; i++) {
        step(f);
        expect(f, "run 1 0");
        expect(f, NULL);
        ps_slots_finish(f->slots, 0, &again);
    }
    expect(f, "report 1 failed");
}

static void jobs_of_an_engine_that_is_away_are_given_back(void **state)
{
    struct fixture *f = *state;

    f->away[CLAMAV] = true;
    add(f, 1, CLAMAV);
    add(f, 2, YARA);
    step(f);
    expect(f, "settle 1 cancelled");
    expect(f, "run 2 0");
    expect(f, NULL);
    assert_int_equal(ps_slots_held(f->slots), 1);
}

/* What kills its engine does not go round the fleet. */
static void a_started_job_waits_for_its_engine(void **state)
{
    struct fixture *f = *state;
    struct ps_job_end again = {.again = true, .finished = "failed"};

    add(f, 1, CLAMAV);
    step(f);
    expect(f, "run 1 0");
    f->away[CLAMAV] = true;
    ps_slots_finish(f->slots, 0, &again);
    step(f);
    expect(f, NULL);
    assert_int_equal(ps_slots_held(f->slots), 1);

    f->away[CLAMAV] = false;
    ps_slots_engine(f->slots, YARA);
    step(f);
    expect(f, NULL);
    ps_slots_engine(f->slots, CLAMAV);
    step(f);
    expect(f, "run 1 0");
}

static void cancelled_jobs_bring_no_result(void **state)
{
    struct fixture *f = *state;

    add(f, 1, CLAMAV);
    add(f, 2, CLAMAV);
    add(f, 3, CLAMAV);
    step(f);
    expect(f, "run 1 0");
    expect(f, "run 2 1");
    assert_false(ps_slots_cancel(f->slots, 1, 999, 1)); /* an older lease of it */
    assert_true(ps_slots_cancel(f->slots, 1, 101, 1));
    expect(f, "kill 1 0");
    assert_false(ps_slots_cancel(f->slots, 0, 0, 1));
    assert_true(ps_slots_cancel(f->slots, 0, 0, 3));
    assert_int_equal(ps_slots_held(f->slots), 1);
    assert_int_equal(ps_slots_running(f->slots), 2);

    add(f, 1, CLAMAV); /* leased again while the killed child dies */
    step(f);
    expect(f, NULL);
    finish(f, 0, "");
    step(f);
    expect(f, "run 1 0");
    finish(f, 0, "");
    expect(f, "report 1 ");
}

static void a_new_lease_of_the_same_job_is_answered(void **state)
{
    struct fixture *f = *state;
    const struct ps_job *job;

    add(f, 1, CLAMAV);
    step(f);
    assert_false(ps_slots_rebind(f->slots, 2, 5, 6));
    assert_true(ps_slots_rebind(f->slots, 1, 5, 6));
    job = ps_slots_job(f->slots, 0);
    assert_int_equal(job->boot, 5);
    assert_int_equal(job->seq, 6);
    assert_ptr_equal(ps_slots_next(f->slots, NULL), job);
    assert_null(ps_slots_next(f->slots, job));
}

static void a_drain_gives_back_what_waits(void **state)
{
    struct fixture *f = *state;
    struct ps_job_ask typed = ask(9, PDFID);

    add(f, 1, CLAMAV);
    add(f, 2, CLAMAV);
    step(f);
    add(f, 3, CLAMAV);
    add_typed(f, 9, "", &typed, 1);
    f->log_at = f->log_n;
    assert_int_equal(ps_slots_give_back(f->slots, "enough"), 2);
    expect(f, "settle 3 cancelled");
    expect(f, "settle 9 cancelled");
    assert_int_equal(ps_slots_held(f->slots), 2);
    finish(f, 0, "");
    finish(f, 1, "");
    f->log_at = f->log_n;
    step(f);
    expect(f, "run typing 0"); /* harmless, and ended with the host */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(no_more_than_s_jobs_run),
        T(order_of_arrival_and_bands),
        T(a_slot_with_an_idle_child_is_taken),
        T(leases_over_the_limit_are_left_out),
        T(an_engine_with_a_limit_is_not_run_more_often),
        T(held_jobs_go_on_when_the_engine_has_room_again),
        T(a_suspect_runs_while_nothing_else_does),
        T(two_suspects_run_one_after_the_other),
        T(jobs_wait_for_their_sample),
        T(a_sample_that_cannot_be_had_fails_its_jobs),
        T(an_error_at_the_start_is_a_failure),
        T(a_known_type_that_does_not_match_is_unsupported),
        T(an_unknown_type_is_found_first),
        T(a_leased_type_job_is_waited_for),
        T(without_an_answer_the_engine_runs),
        T(without_a_type_engine_the_engine_runs),
        T(a_cancelled_type_lease_is_replaced),
        T(a_run_that_says_nothing_is_repeated),
        T(jobs_of_an_engine_that_is_away_are_given_back),
        T(a_started_job_waits_for_its_engine),
        T(cancelled_jobs_bring_no_result),
        T(a_new_lease_of_the_same_job_is_answered),
        T(a_drain_gives_back_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
