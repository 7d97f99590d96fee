/* From a committed submission to its verdict, through a real broker, with masters that are killed, stopped and
 * continued: every scan gets one verdict, every job one final result. The worker is played: scan_worker.h. */
#include "tests/flow/scan_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <zmq.h>

#include "tests/pg/testpg.h"

#define WAIT_MS  60000
#define STALE_MS "2000"
#define GRACE    "60s"

extern char **environ;

struct process {
    pid_t pid; /* 0: none */
    int in, out;
    char line[512];
    size_t len;
};

struct rig {
    struct ps_testpg *pg;
    char *dir;
    char socket[UNIT_PATH_MAX], endpoint[UNIT_PATH_MAX + 8], store[UNIT_PATH_MAX];
    void *context;
    struct process broker, a, b;
    struct worker worker;
};

static const char *build_path(char buf[UNIT_PATH_MAX], const char *name)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");

    assert_non_null(build);
    return unit_path(buf, build, name);
}

/* Starts a program with pipes to its standard input and from its descriptor out_fd. */
static void start(struct process *p, const char *const *argv, int out_fd)
{
    posix_spawn_file_actions_t actions;
    int to[2], from[2];

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], out_fd);
    assert_int_equal(posix_spawn(&p->pid, argv[0], &actions, NULL, (char *const *)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    p->in = to[1];
    p->out = from[0];
    p->len = 0;
}

static void ended(struct process *p)
{
    int status;

    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    close(p->in);
    close(p->out);
    p->pid = 0;
}

static void kill_it(struct process *p)
{
    if (p->pid == 0)
        return;
    kill(p->pid, SIGKILL);
    ended(p);
}

/* Reads lines until one begins with word; it is in p->line then. */
static void expect_line(struct process *p, const char *word)
{
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;

    for (;;) {
        struct pollfd fd = {.fd = p->out, .events = POLLIN};
        uint64_t now_ms = ps_clock_mono_ms();
        char c;
        if (now_ms >= end_ms)
            fail_msg("no line that begins with %s", word);
        if (poll(&fd, 1, (int)(end_ms - now_ms)) <= 0)
            continue;
        if (read(p->out, &c, 1) != 1)
            fail_msg("the process ended before it said %s", word);
        if (c != '\n') {
            if (p->len < sizeof(p->line) - 1)
                p->line[p->len++] = c;
            continue;
        }
        p->line[p->len] = '\0';
        p->len = 0;
        if (strncmp(p->line, word, strlen(word)) == 0)
            return;
    }
}

__attribute__((format(printf, 2, 3))) static void tell(struct process *p, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert_int_equal(write(p->in, text, (size_t)n), n);
}

/* Patient with a slow machine, but for the one story that is about patience. */
static void start_broker(struct rig *rig, const char *grace)
{
    char path[UNIT_PATH_MAX];
    const char *argv[] = {build_path(path, "broker/daemon/phagescan-broker"),
                          "--listen",
                          rig->socket,
                          "--ready-fd",
                          "9",
                          "--engine-grace",
                          grace,
                          NULL};

    start(&rig->broker, argv, 9);
    expect_line(&rig->broker, "ready");
}

static void start_master(struct rig *rig, struct process *p, const char *name)
{
    char path[UNIT_PATH_MAX];
    const char *argv[] = {build_path(path, "tests/flow/scan_master"),
                          ps_testpg_conninfo(rig->pg),
                          rig->endpoint,
                          rig->store,
                          name,
                          STALE_MS,
                          NULL};

    start(p, argv, 1);
}

static void submit(struct process *p, unsigned first, unsigned n, unsigned size, int band)
{
    tell(p, "submit %u %u %u %d\n", first, n, size, band);
    for (unsigned done = 0; done < n; done += 512)
        expect_line(p, "ok");
}

static void wait_one(struct rig *rig, const char *sql, long long value)
{
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;
    long long got;

    while ((got = ps_testpg_one(rig->pg, sql)) != value) {
        if (ps_clock_mono_ms() > end_ms)
            fail_msg("%s: %lld, not %lld", sql, got, value);
        (void)poll(NULL, 0, 50); /* a look every 50 ms, until the deadline */
    }
}

static void wait_atomic(atomic_uint *counter, unsigned least)
{
    uint64_t end_ms = ps_clock_mono_ms() + WAIT_MS;

    while (atomic_load(counter) < least) {
        assert_true(ps_clock_mono_ms() < end_ms);
        (void)poll(NULL, 0, 10);
    }
}

/* What must hold at the end of every story, by a log that the database itself keeps. */
static void expect_all_done(struct rig *rig, long long scans)
{
    wait_one(rig, "select count(*) from scan where finished_at is not null", scans);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from scan"), scans);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from verdict_log"), scans);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(distinct scan) from verdict_log"), scans);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from job where final is null"), 0);
    assert_int_equal(ps_testpg_one(rig->pg,
                                   "select count(*) from (select job from final_log group by job having"
                                   " count(*) > 1) d"),
                     0);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(distinct finished_seq) from scan"), scans);
    assert_int_equal(atomic_load(&rig->worker.spoiled_n), 0);
    assert_int_equal(atomic_load(&rig->worker.gone_n), 0);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    signal(SIGPIPE, SIG_IGN);
    rig->pg = ps_testpg_start_migrated(false);
    ps_testpg_sql(rig->pg, "create table verdict_log (scan bigint); create table final_log (job bigint);"
                           "create function log_verdict() returns trigger language plpgsql as"
                           " $$begin insert into verdict_log values (new.id); return new; end$$;"
                           "create function log_final() returns trigger language plpgsql as"
                           " $$begin insert into final_log values (new.id); return new; end$$;"
                           "create trigger v after update on scan for each row when (new.verdict is not "
                           "null) execute function log_verdict();"
                           "create trigger f after update on job for each row when (new.final is not null) "
                           "execute function log_final()");
    rig->dir = unit_dir_make();
    unit_path(rig->socket, rig->dir, "broker");
    snprintf(rig->endpoint, sizeof(rig->endpoint), "ipc://%s", rig->socket);
    unit_path(rig->store, rig->dir, "store");
    rig->context = zmq_ctx_new();
    start_broker(rig, GRACE);
    worker_start(&rig->worker, rig->context, rig->endpoint, "played");
    start_master(rig, &rig->a, "a");
    expect_line(&rig->a, "leads");
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    worker_stop(&rig->worker);
    kill_it(&rig->a);
    kill_it(&rig->b);
    kill_it(&rig->broker);
    zmq_ctx_term(rig->context);
    ps_testpg_free(&rig->pg);
    unit_dir_remove(rig->dir);
    free(rig);
    return 0;
}

/* Small samples inline, large ones by FETCH; a clean end. */
static void scans_get_their_verdicts(void **state)
{
    struct rig *rig = *state;

    submit(&rig->a, 1, 300, 2000, 1);
    submit(&rig->a, 1001, 20, 300000, 0);
    expect_all_done(rig, 320);
    assert_int_equal(
        ps_testpg_one(rig->pg,
                      "select count(*) from scan where verdict = 3 and total = 2 and type = 'text/plain'"),
        320);
    assert_int_equal(atomic_load(&rig->worker.fetched_n), 20); /* each once, for four engines */
    assert_int_equal(atomic_load(&rig->worker.jobs_n), 320 * 4);
    tell(&rig->a, "stats\n");
    expect_line(&rig->a, "stats");
    assert_non_null(strstr(rig->a.line, "verdicts=320 "));
    assert_non_null(strstr(rig->a.line, "events=320 "));
    assert_non_null(strstr(rig->a.line, " repeated=0 "));
    tell(&rig->a, "end\n");
    ended(&rig->a);
}

static void a_killed_broker_is_told_again(void **state)
{
    struct rig *rig = *state;

    atomic_store(&rig->worker.hold, true);
    submit(&rig->a, 1, 500, 2000, 1);
    wait_atomic(&rig->worker.jobs_n, 100);
    kill_it(&rig->broker);
    atomic_store(&rig->worker.hold, false);
    start_broker(rig, GRACE);
    expect_all_done(rig, 500);
}

static void a_killed_master_goes_on(void **state)
{
    struct rig *rig = *state;

    atomic_store(&rig->worker.hold, true);
    submit(&rig->a, 1, 500, 2000, 1);
    submit(&rig->a, 1001, 3, 500000, 1);
    wait_atomic(&rig->worker.jobs_n, 100);
    kill_it(&rig->a);
    atomic_store(&rig->worker.hold, false);
    start_master(rig, &rig->a, "a again");
    expect_all_done(rig, 503);
}

/* The first is stopped in the middle, the standby takes over, the first goes on: no double verdict. */
static void a_standby_takes_over(void **state)
{
    struct rig *rig = *state;

    start_master(rig, &rig->b, "b");
    submit(&rig->a, 1, 1000, 2000, 1);
    wait_atomic(&rig->worker.jobs_n, 300);
    kill(rig->a.pid, SIGSTOP);
    expect_line(&rig->b, "leads");
    submit(&rig->b, 2001, 500, 2000, 1);
    wait_one(rig, "select (count(*) > 900)::int from scan where finished_at is not null", 1);
    kill(rig->a.pid, SIGCONT);
    expect_line(&rig->a, "follows");
    expect_all_done(rig, 1500);

    /* And back: now the first waits for the second. */
    kill(rig->b.pid, SIGKILL);
    expect_line(&rig->a, "leads");
    submit(&rig->a, 3001, 100, 2000, 1);
    expect_all_done(rig, 1600);
}

static void the_database_goes_and_comes(void **state)
{
    struct rig *rig = *state;

    atomic_store(&rig->worker.hold, true);
    submit(&rig->a, 1, 500, 2000, 1);
    wait_atomic(&rig->worker.jobs_n, 100);
    ps_testpg_stop(rig->pg);
    atomic_store(&rig->worker.hold, false);
    wait_atomic(&rig->worker.jobs_n, 500);
    ps_testpg_continue(rig->pg);
    expect_all_done(rig, 500);
    submit(&rig->a, 1001, 10, 2000, 0);
    expect_all_done(rig, 510);
}

/* An engine is away for longer than engine_grace: unavailable, and made up for when it comes. */
static void what_was_missing_is_made_up_for(void **state)
{
    struct rig *rig = *state;

    atomic_store(&rig->worker.with_yara, false);
    atomic_fetch_add(&rig->worker.offers_n, 1);
    kill_it(&rig->broker);
    start_broker(rig, "5s");
    submit(&rig->a, 1, 20, 2000, 1);
    wait_one(rig, "select count(*) from scan where finished_at is not null", 20);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from missing where engine_id = 4"), 20);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from scan where failed = 1 and total = 1"), 20);
    atomic_store(&rig->worker.with_yara, true);
    atomic_fetch_add(&rig->worker.offers_n, 1);
    wait_one(rig, "select count(*) from scan where parent_id is not null and finished_at is not null", 20);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from missing"), 0);
    assert_int_equal(
        ps_testpg_one(rig->pg, "select count(*) from scan where cause = 3 and failed = 0 and total = 2"), 20);
    assert_int_equal(ps_testpg_one(rig->pg, "select count(*) from verdict_log"), 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scans_get_their_verdicts),    TEST(a_killed_broker_is_told_again),
        TEST(a_killed_master_goes_on),     TEST(a_standby_takes_over),
        TEST(the_database_goes_and_comes), TEST(what_was_missing_is_made_up_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
