/* tests/unit/worker_roster_kit.h: hosts that say what a test wants, and a roster on them. For worker_roster.c and
 * worker_reload.c. */
#ifndef PS_TESTS_WORKER_ROSTER_KIT_H
#define PS_TESTS_WORKER_ROSTER_KIT_H

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

static inline void say(struct ps_host *host, struct ps_host_event event)
{
    const uint64_t one = 1;

    assert_true(host->events_n < EVENTS_MAX);
    host->events[host->events_n++] = event;
    assert_int_equal(write(host->fd, &one, sizeof(one)), sizeof(one));
}

static inline void load(struct ps_host *host)
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

static inline void make_engine(struct fixture *f, const char *name)
{
    char path[UNIT_PATH_MAX], file[UNIT_PATH_MAX];

    assert_int_equal(ps_file_mkdirs(unit_path(path, f->engines, name), 0700), 0);
    (void)snprintf(file, sizeof(file), "%s/%.40s.so", path, name);
    assert_int_equal(ps_file_replace(file, "x", 1, 0600), 0);
}

static inline int make(struct fixture *f, struct ps_error *reterr)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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
static inline struct ps_roster_event step(struct fixture *f)
{
    struct ps_roster_event event = {0};

    if (!ps_roster_step(f->roster, f->now_ms, &event))
        (void)ps_roster_step(f->roster, f->now_ms, &event);
    return event;
}

static inline void start_one(struct fixture *f)
{
    static char alpha[] = "alpha", *name[] = {alpha};

    f->only = (struct ps_opt_list){name, 1};
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
}

/* The host of start number n dies; the next one is not there yet. */
static inline void die(struct fixture *f, unsigned n)
{
    assert_int_equal(hosts_n, n + 1);
    say(&hosts[n], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "killed by SIGKILL"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_false(ps_roster_is_up(f->roster, 0));
    assert_string_equal(ps_roster_problem(f->roster, 0), "killed by SIGKILL");
}

/* Nothing was started until ms from now, and then it was. */
static inline void expect_restart_after(struct fixture *f, uint64_t ms)
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

static inline void come_up(struct fixture *f)
{
    load(&hosts[hosts_n - 1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_is_up(f->roster, 0));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
