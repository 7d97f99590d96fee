#include "tests/unit/unit.h"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/roster.h"

#define EVENTS_MAX 16
#define HOSTS_MAX  64

/* ---- hosts that say what the test wants ---- */

struct ps_host {
    unsigned number; /* which start this was, from 0 */
    char engine[PS_NAME_MAX + 1];
    char plugin[UNIT_PATH_MAX];
    char settings[4][64];
    size_t settings_n;
    int fd;
    struct ps_host_event events[EVENTS_MAX];
    unsigned events_n, taken;
    struct ps_host_info info;
    unsigned probes;
    unsigned runs; /* jobs it was given */
    bool freed;
};

static struct ps_host hosts[HOSTS_MAX];
static unsigned hosts_n;
static bool refuse_start;
static int run_error;

int ps_host_start(struct ps_host **ret_self, const struct ps_host_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr)
{
    struct ps_host *host = &hosts[hosts_n];

    if (refuse_start)
        return ps_error_set(reterr, PS_ERR_IO, "told to fail");
    assert_true(hosts_n < HOSTS_MAX);
    *host = (struct ps_host){.number = hosts_n++, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    (void)snprintf(host->engine, sizeof(host->engine), "%s", conf->engine);
    (void)snprintf(host->plugin, sizeof(host->plugin), "%s", conf->plugin);
    for (size_t i = 0; i < conf->settings_n; i++)
        (void)snprintf(host->settings[host->settings_n++], sizeof(host->settings[0]), "%s",
                       conf->settings[i]);
    *ret_self = host;
    return 0;
}

void ps_host_free(struct ps_host **self_p)
{
    struct ps_host *host = PS_TAKE(*self_p);

    if (!host)
        return;
    assert_false(host->freed);
    host->freed = true;
    (void)close(host->fd);
}

int ps_host_fd(const struct ps_host *self)
{
    return self->fd;
}

uint64_t ps_host_due_ms(const struct ps_host *self)
{
    (void)self;
    return UINT64_MAX;
}

int ps_host_step(struct ps_host *self, uint64_t now_ms, struct ps_host_event *ret_event)
{
    uint64_t count;

    (void)now_ms;
    if (self->taken == self->events_n) {
        (void)!read(self->fd, &count, sizeof(count)); /* nothing is there when it was read before */
        return 0;
    }
    *ret_event = self->events[self->taken++];
    return 1;
}

const struct ps_host_info *ps_host_info(const struct ps_host *self)
{
    return &self->info;
}

int ps_host_run(struct ps_host *self, unsigned slot, const struct ps_host_job *job, uint64_t now_ms)
{
    assert_false(self->freed);
    self->runs += run_error == 0;
    return run_error;
}

void ps_host_probe(struct ps_host *self, uint64_t now_ms)
{
    assert_false(self->freed);
    self->probes++;
}

void ps_host_kill(struct ps_host *self, unsigned slot, const char *why, uint64_t now_ms)
{
    assert_false(self->freed);
}

static void say(struct ps_host *host, struct ps_host_event event)
{
    const uint64_t one = 1;

    assert_true(host->events_n < EVENTS_MAX);
    host->events[host->events_n++] = event;
    assert_int_equal(write(host->fd, &one, sizeof(one)), sizeof(one));
}

static void load(struct ps_host *host)
{
    host->info = (struct ps_host_info){.engine = host->engine,
                                       .kind = PS_KIND_EVILNESS,
                                       .version = "1.2",
                                       .definitions = "77",
                                       .origin = "",
                                       .signatures = 5,
                                       .age_s = 100,
                                       .types = "text/*",
                                       .note = "",
                                       .walls = "full"};
    say(host, (struct ps_host_event){.kind = PS_HOST_LOADED});
}

/* ---- fixture ---- */

struct fixture {
    char *dir;
    char engines[UNIT_PATH_MAX];
    struct ps_opt_list only, settings;
    char own[UNIT_PATH_MAX]; /* the operator's engines; "" */
    bool watched;
    struct ps_roster *roster;
    uint64_t now_ms;
};

static void make_engine(struct fixture *f, const char *name)
{
    char path[UNIT_PATH_MAX], file[UNIT_PATH_MAX];

    assert_int_equal(ps_file_mkdirs(unit_path(path, f->engines, name), 0700), 0);
    (void)snprintf(file, sizeof(file), "%s/%.40s.so", path, name);
    assert_int_equal(ps_file_replace(file, "x", 1, 0600), 0);
}

static int make(struct fixture *f, struct ps_error *reterr)
{
    struct ps_roster_conf conf = {
        .program = "host",
        .dirs = {.shipped = f->engines, .own = f->own[0] ? f->own : NULL, .only = &f->only},
        .settings = &f->settings,
        .tmp = f->dir,
        .slots = 2,
        .still = !f->watched};

    return ps_roster_new(&f->roster, &conf, f->now_ms, reterr);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = unit_dir_make();
    (void)unit_path(f->engines, f->dir, "engines");
    f->now_ms = 1000000;
    make_engine(f, "beta");
    make_engine(f, "alpha");
    hosts_n = 0;
    refuse_start = false;
    run_error = 0;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_roster_free(&f->roster);
    for (unsigned i = 0; i < hosts_n; i++)
        assert_true(hosts[i].freed);
    unit_dir_remove(f->dir);
    free(f);
    return 0;
}

/* The next event, if any. One round may have been looked at halfway, so there are two. */
static struct ps_roster_event step(struct fixture *f)
{
    struct ps_roster_event event = {0};

    if (!ps_roster_step(f->roster, f->now_ms, &event))
        (void)ps_roster_step(f->roster, f->now_ms, &event);
    return event;
}

static void start_one(struct fixture *f)
{
    static char alpha[] = "alpha", *name[] = {alpha};

    f->only = (struct ps_opt_list){name, 1};
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
}

/* The host of start number n dies; the next one is not there yet. */
static void die(struct fixture *f, unsigned n)
{
    assert_int_equal(hosts_n, n + 1);
    say(&hosts[n], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "killed by SIGKILL"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_false(ps_roster_is_up(f->roster, 0));
    assert_string_equal(ps_roster_problem(f->roster, 0), "killed by SIGKILL");
}

/* Nothing was started until ms from now, and then it was. */
static void expect_restart_after(struct fixture *f, uint64_t ms)
{
    unsigned n = hosts_n;

    assert_int_equal(ps_roster_due_ms(f->roster), f->now_ms + ms);
    if (ms > 0) {
        f->now_ms += ms - 1;
        assert_int_equal(step(f).kind, 0);
        assert_int_equal(hosts_n, n);
        f->now_ms++;
    }
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, n + 1);
}

static void come_up(struct fixture *f)
{
    load(&hosts[hosts_n - 1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_is_up(f->roster, 0));
}

/* ---- the list ---- */

static void engines_are_found_by_listing(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_mkdirs(unit_path(path, f->engines, "nothing"), 0700), 0);
    make_engine(f, "Bad Name");
    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(ps_roster_n(f->roster), 2);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("alpha")), 0);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("beta")), 1);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("alph")), -1);
    assert_false(ps_roster_settled(f->roster));
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 2);
    assert_true(offers[0].problem.len > 0);

    load(&hosts[0]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_FAILED, .text = "no licence"});
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "exit status 1"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_true(ps_roster_settled(f->roster));
    assert_string_equal(ps_roster_walls(f->roster), "full");
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms + 5000, offers), 2);
    assert_int_equal(offers[0].problem.len, 0);
    assert_true(ps_bytes_is(offers[0].definitions, "77"));
    assert_true(ps_bytes_is(offers[0].types, "text/*"));
    assert_int_equal(offers[0].age_s, 105);
    assert_true(ps_bytes_is(offers[1].problem, "no licence"));
}

static void what_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    struct ps_error error;
    char *names[] = {(char[]){"alpha"}, (char[]){"gamma"}};

    f->only = (struct ps_opt_list){names, 2};
    assert_int_equal(make(f, &error), PS_ERR_NOTFOUND);
    assert_non_null(strstr(error.text, "gamma"));
    (void)unit_path(f->engines, f->dir, "none");
    assert_int_equal(make(f, &error), PS_ERR_NOTFOUND);
}

static void settings_go_to_their_engine(void **state)
{
    struct fixture *f = *state;
    struct ps_error error;
    char *good[] = {(char[]){"alpha.max=1"}, (char[]){"alpha.a.b=c=d"}};
    char *bad[] = {(char[]){"gamma.max=1"}, (char[]){"alpha"}, (char[]){"alpha.max"}, (char[]){"=1.2"}};

    f->settings = (struct ps_opt_list){good, 2};
    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(hosts[0].settings_n, 2);
    assert_string_equal(hosts[0].settings[0], "max=1");
    assert_string_equal(hosts[0].settings[1], "a.b=c=d");
    assert_int_equal(hosts[1].settings_n, 0);
    ps_roster_free(&f->roster);
    for (size_t i = 0; i < PS_ARRAY_N(bad); i++) {
        f->settings = (struct ps_opt_list){&bad[i], 1};
        assert_int_equal(make(f, &error), PS_ERR_INVALID);
    }
}

/* ---- deaths ---- */

static void three_deaths_in_a_minute_begin_the_backoff(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    die(f, 0);
    expect_restart_after(f, 0);
    come_up(f);
    die(f, 1);
    expect_restart_after(f, PS_ROSTER_AGAIN_MS);
    come_up(f);
    die(f, 2);
    expect_restart_after(f, PS_ROSTER_RETRY_MS);
    come_up(f);
    die(f, 3);
    expect_restart_after(f, 2 * PS_ROSTER_RETRY_MS);
    come_up(f);

    f->now_ms += PS_ROSTER_WINDOW_MS; /* a good minute makes good */
    die(f, 4);
    expect_restart_after(f, 0);
}

static void one_that_does_not_load_is_tried_again_and_again(void **state)
{
    struct fixture *f = *state;
    uint64_t wait_ms = PS_ROSTER_RETRY_MS;

    start_one(f);
    die(f, 0);
    expect_restart_after(f, 0);
    for (unsigned n = 1; n < 10; n++) {
        die(f, n);
        expect_restart_after(f, wait_ms);
        wait_ms = PS_MIN(2 * wait_ms, PS_ROSTER_BACKOFF_MAX_MS);
    }
    assert_int_equal(wait_ms, PS_ROSTER_BACKOFF_MAX_MS);
    come_up(f);
}

static void a_host_that_cannot_be_started_is_tried_again(void **state)
{
    struct fixture *f = *state;

    refuse_start = true;
    assert_int_equal(make(f, NULL), 0);
    assert_true(ps_roster_settled(f->roster));
    assert_string_equal(ps_roster_problem(f->roster, 0), "told to fail");
    assert_int_equal(ps_roster_due_ms(f->roster), f->now_ms + PS_ROSTER_RETRY_MS);
    refuse_start = false;
    f->now_ms += PS_ROSTER_RETRY_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
}

/* ---- results ---- */

static struct ps_roster_event result(struct fixture *f, struct ps_host_result *result)
{
    say(&hosts[hosts_n - 1], (struct ps_host_event){.kind = PS_HOST_RESULT, .slot = 1, .result = result});
    return step(f);
}

static void run(struct fixture *f)
{
    struct ps_host_job job = {.job = 1};

    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), 0);
}

static void a_crash_is_the_samples_fault_in_a_fresh_child_only(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result crash = {.outcome = PS_OUTCOME_FAILURE, .crashed = true};
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};
    struct ps_host_result hit = {.outcome = PS_OUTCOME_MALICIOUS, .crashed = true};
    struct ps_host_result lost = {.outcome = PS_OUTCOME_FAILURE, .lost = true};

    start_one(f);
    assert_false(ps_roster_warm(f->roster, 0, 1));
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &crash).again);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_EXITED, .slot = 1});
    assert_int_equal(step(f).kind, 0);
    assert_false(ps_roster_warm(f->roster, 0, 1));

    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &fine).again);
    assert_true(ps_roster_warm(f->roster, 0, 1));
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_EXITED, .slot = 1});
    assert_true(result(f, &crash).again);
    run(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_READY, .slot = 1});
    assert_false(result(f, &crash).again);

    run(f);
    run(f);
    assert_false(result(f, &hit).again);
    assert_true(result(f, &lost).again);
}

static void nothing_runs_on_an_engine_that_is_away(void **state)
{
    struct fixture *f = *state;
    struct ps_host_job job = {.job = 1};

    start_one(f);
    die(f, 0);
    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), PS_ERR_UNAVAILABLE);
    ps_roster_kill(f->roster, 0, 1, "x", f->now_ms);
    expect_restart_after(f, 0);
    assert_int_equal(ps_roster_run(f->roster, 0, 1, &job, f->now_ms), PS_ERR_UNAVAILABLE);
}

/* ---- reload ---- */

static void say_result(unsigned host, unsigned slot, struct ps_host_result *result)
{
    say(&hosts[host], (struct ps_host_event){.kind = PS_HOST_RESULT, .slot = slot, .result = result});
}

static void run_in(struct fixture *f, unsigned slot)
{
    struct ps_host_job job = {.job = slot};

    assert_int_equal(ps_roster_run(f->roster, 0, slot, &job, f->now_ms), 0);
}

/* Jobs of the old crew end in peace, with the old definitions; new ones go to the new crew at once. */
static void a_second_host_takes_over(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};
    struct ps_roster_event event;

    start_one(f);
    run_in(f, 0);
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), 0);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    run_in(f, 1); /* while it loads */
    assert_int_equal(hosts[0].runs, 2);

    load(&hosts[1]);
    hosts[1].info.definitions = "78";
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_string_equal(ps_roster_facts(f->roster, 0)->definitions, "78");
    say_result(0, 0, &fine);
    event = step(f);
    assert_int_equal(event.kind, PS_ROSTER_RESULT);
    assert_string_equal(event.facts->definitions, "77");
    run_in(f, 0);
    assert_int_equal(hosts[1].runs, 1);
    assert_false(hosts[0].freed);
    say_result(0, 1, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    say_result(1, 0, &fine);
    event = step(f);
    assert_string_equal(event.facts->definitions, "78");
}

static void a_reload_that_fails_changes_nothing_but_the_note(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];

    start_one(f);
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), 0);
    assert_int_equal(step(f).kind, 0);
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_FAILED, .text = "line 3 is wrong"});
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "exit status 2"});
    assert_int_equal(step(f).kind, PS_ROSTER_STAYS);
    assert_true(ps_roster_is_up(f->roster, 0));
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "not taken: line 3 is wrong"));
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 1);
    assert_int_equal(offers[0].problem.len, 0);
    assert_true(offers[0].note.len > 0);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[1].freed);

    f->now_ms += PS_ROSTER_RELOAD_MS - 1;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    f->now_ms++;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    come_up(f);
    assert_string_equal(ps_roster_note(f->roster, 0, f->now_ms), "");
}

/* yara leaves a broken file out, says so, and would find less. */
static void new_definitions_with_a_complaint_are_not_taken(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    load(&hosts[1]);
    hosts[1].info.note = "1 of 2 files left out";
    hosts[1].info.left_out = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_STAYS);
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "1 of 2 files left out"));
    run_in(f, 0);
    assert_int_equal(hosts[0].runs, 1);
}

static void the_old_host_may_die_while_the_new_one_loads(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "killed"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2); /* the one that is coming will do */
    come_up(f);
}

/* A self-test is a scan: an engine that may run once at a time is loaded anew while it rests. */
static void a_serial_engine_rests_while_it_is_reloaded(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};

    start_one(f);
    hosts[0].info.at_once = 1;
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    load(&hosts[1]);
    hosts[1].info.at_once = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_has_room(f->roster, 0));
    run_in(f, 0);
    assert_false(ps_roster_has_room(f->roster, 0));
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    say_result(1, 0, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_false(ps_roster_has_room(f->roster, 0));
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    load(&hosts[2]);
    hosts[2].info.at_once = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_has_room(f->roster, 0));
}

static void one_reload_at_a_time(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    load(&hosts[1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)ps_roster_reload(f->roster, 1, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    load(&hosts[2]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 4);
}

static void off_ends_in_peace_and_on_loads_again(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};

    start_one(f);
    run_in(f, 0);
    ps_roster_switch(f->roster, 0, false, f->now_ms);
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_string_equal(ps_roster_problem(f->roster, 0), "it is switched off");
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), PS_ERR_UNAVAILABLE);
    assert_false(hosts[0].freed);
    say_result(0, 0, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    assert_int_equal(hosts_n, 1);
    ps_roster_switch(f->roster, 0, true, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
}

/* ---- watching ---- */

static void one_that_is_up_is_probed_and_goes_down_at_once(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result failure = {.outcome = PS_OUTCOME_FAILURE};

    start_one(f);
    assert_int_equal(ps_roster_due_ms(f->roster), f->now_ms + PS_ROSTER_PROBE_MS);
    f->now_ms += PS_ROSTER_PROBE_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts[0].probes, 1);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_PROBED, .text = ""});
    assert_int_equal(step(f).kind, 0);

    run_in(f, 0);
    f->now_ms += PS_ROSTER_SUSPECT_MS;
    run_in(f, 1);
    say_result(0, 0, &failure);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts[0].probes, 2);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_PROBED, .text = "not installed"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_string_equal(ps_roster_problem(f->roster, 0), "not installed");
    assert_false(hosts[0].freed); /* a job is still there */
    say_result(0, 1, &failure);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    f->now_ms += PS_ROSTER_RETRY_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
}

/* ---- licences ---- */

static void a_licence_is_warned_of_and_ends(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    hosts[0].info.licence_left_s = 3600;
    ps_roster_free(&f->roster);
    hosts_n = 0;
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    hosts[0].info.licence_left_s = 3600;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "licence ends on 20"));
    f->now_ms += 3599000;
    assert_int_equal(step(f).kind, 0);
    f->now_ms += 1000;
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_non_null(strstr(ps_roster_problem(f->roster, 0), "licence ended on 20"));
}

/* ---- files ---- */

/* Looks at the files, as if it were quiet after a change. */
static struct ps_roster_event look(struct fixture *f)
{
    struct ps_roster_event event = {0};

    f->now_ms += 60000;
    for (int i = 0; i < 3 && event.kind == 0; i++)
        event = step(f);
    return event;
}

static void changed_files_are_loaded_anew(void **state)
{
    struct fixture *f = *state;
    char path[UNIT_PATH_MAX];

    f->watched = true;
    start_one(f);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 1);
    (void)snprintf(path, sizeof(path), "%s/alpha/alpha.so", f->engines);
    assert_int_equal(ps_file_replace(path, "yy", 2, 0600), 0);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 2);
}

static void engines_come_and_go_with_their_directories(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];
    char path[UNIT_PATH_MAX];
    struct ps_roster_event event;

    f->watched = true;
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    load(&hosts[1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    make_engine(f, "aaa");
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("aaa")), 2);
    load(&hosts[2]);
    event = step(f);
    assert_int_equal(event.kind, PS_ROSTER_UP);
    assert_int_equal(event.engine, 2);

    assert_int_equal(ps_file_remove_tree(unit_path(path, f->engines, "alpha"), true), 0);
    event = look(f);
    assert_int_equal(event.kind, PS_ROSTER_DOWN);
    assert_int_equal(event.engine, 0);
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 2);
    make_engine(f, "alpha");
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 4);
    load(&hosts[3]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 3);
}

static void an_engine_of_ones_own_goes_first_unless_others_could_write_it(void **state)
{
    struct fixture *f = *state;
    char shipped[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    memcpy(shipped, f->engines, sizeof(shipped));
    (void)unit_path(f->own, f->dir, "own");
    memcpy(f->engines, f->own, sizeof(f->own));
    make_engine(f, "beta");
    make_engine(f, "gamma");
    memcpy(f->engines, shipped, sizeof(shipped));
    (void)snprintf(path, sizeof(path), "%s/gamma/gamma.so", f->own);
    assert_int_equal(chmod(path, 0622), 0);

    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(ps_roster_n(f->roster), 3);
    assert_int_equal(hosts_n, 2);
    assert_non_null(strstr(ps_roster_problem(f->roster, 2), "can be written by others"));
    assert_non_null(strstr(hosts[1].plugin, "/own/beta/beta.so"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(engines_are_found_by_listing),
        T(what_is_not_there_is_named),
        T(settings_go_to_their_engine),
        T(three_deaths_in_a_minute_begin_the_backoff),
        T(one_that_does_not_load_is_tried_again_and_again),
        T(a_host_that_cannot_be_started_is_tried_again),
        T(a_crash_is_the_samples_fault_in_a_fresh_child_only),
        T(nothing_runs_on_an_engine_that_is_away),
        T(a_second_host_takes_over),
        T(a_reload_that_fails_changes_nothing_but_the_note),
        T(new_definitions_with_a_complaint_are_not_taken),
        T(the_old_host_may_die_while_the_new_one_loads),
        T(a_serial_engine_rests_while_it_is_reloaded),
        T(one_reload_at_a_time),
        T(off_ends_in_peace_and_on_loads_again),
        T(one_that_is_up_is_probed_and_goes_down_at_once),
        T(a_licence_is_warned_of_and_ends),
        T(changed_files_are_loaded_anew),
        T(engines_come_and_go_with_their_directories),
        T(an_engine_of_ones_own_goes_first_unless_others_could_write_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
