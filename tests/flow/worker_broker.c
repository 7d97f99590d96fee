/* A real broker, a real worker and real engines, on bad days. The test is the master: it submits, serves samples, and
 * commits; whatever is killed or stopped meanwhile, each job has to end exactly as on a good day. */
#include "tests/flow/worker_rig.h"

#include <poll.h>

#include "proto/peer/peer.h"

#define JOBS_MAX 1024
#define BEAT     "100ms"
#define DEAD     "1s"

struct job {
    const struct rig_content *content;
    const char *engine;
    enum ps_outcome expected;
    bool done;        /* committed */
    unsigned lost;    /* leases lost so far */
    unsigned results; /* that came before it was done */
};

struct story {
    struct rig rig; /* directory, contents, worker; its own broker is not used */
    void *context;
    struct ps_peer *master;
    pid_t broker;
    char socket[UNIT_PATH_MAX], endpoint[UNIT_PATH_MAX];
    struct job jobs[JOBS_MAX]; /* id: place + 1 */
    size_t jobs_n, done_n;
    size_t late_n; /* results of jobs that were done */
    size_t lost_n;
    bool hold; /* results are not committed */
    unsigned opened;
};

/* ---- processes ---- */

static pid_t start(struct story *s, const char *const *argv)
{
    extern char **environ;
    char log[UNIT_PATH_MAX];
    posix_spawn_file_actions_t actions;
    pid_t pid;

    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, unit_path(log, s->rig.dir, "log"),
                                                      O_WRONLY | O_CREAT | O_APPEND, 0600),
                     0);
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions); /* it can't fail */
    return pid;
}

static void start_broker(struct story *s)
{
    char program[UNIT_PATH_MAX];

    s->broker = start(s, RIG_ARGS(rig_build(program, "broker/daemon/phagescan-broker"), "--listen", s->socket,
                                  "--beat", BEAT, "--dead", DEAD));
}

static void start_worker(struct story *s)
{
    (void)snprintf(s->rig.broker.endpoint, sizeof(s->rig.broker.endpoint), "%s", s->endpoint);
    rig_start(&s->rig, RIG_ARGS("--engines", "noop,crashy", "--slots", "2"));
}

static void end(pid_t *pid, int sig)
{
    assert_int_equal(kill(*pid, sig), 0);
    assert_int_equal(waitpid(*pid, NULL, 0), *pid);
    *pid = 0;
}

/* ---- the master ---- */

static void submit(struct story *s, size_t number)
{
    const struct job *job = &s->jobs[number];
    const struct rig_content *content = job->content;
    struct ps_part_ask ask = {.job = number + 1, .engine = ps_bytes_of(job->engine), .lost = job->lost};
    struct ps_msg msg = {.id = PS_MSG_SUBMIT,
                         .SUBMIT = {.epoch = 1,
                                    .size = content->len,
                                    .band = PS_BAND_BATCH,
                                    .deadline_ms = 60000,
                                    .owner = 1,
                                    .jobs = {.items = &ask, .n = 1}}};

    memcpy(msg.SUBMIT.sha256, content->sha, PS_SHA256_BYTES);
    if (content->len <= PS_INLINE_MAX)
        msg.SUBMIT.data = (struct ps_bytes){content->at, content->len};
    assert_int_equal(ps_peer_put(s->master, &msg), 0);
}

/* A session of ours began: the broker may be a new one, that knows nothing. */
static void drive(struct story *s)
{
    s->opened++;
    assert_int_equal(ps_peer_put(s->master, PS_MSG(GRANT, .epoch = 1, .results = 1000)), 0);
    for (size_t i = 0; i < s->jobs_n; i++)
        if (!s->jobs[i].done)
            submit(s, i);
}

static void take_result(struct story *s, const struct ps_msg_RESULT *msg)
{
    struct job *job = &s->jobs[msg->job - 1];

    assert_in_range(msg->job, 1, s->jobs_n);
    assert_true(ps_bytes_is(msg->engine, job->engine));
    if (job->done) {
        s->late_n++;
    } else {
        job->results++;
        if (msg->outcome != job->expected) {
            rig_show_log(&s->rig);
            fail_msg("job %u is %s (%.*s), not %s", (unsigned)msg->job, ps_outcome_word(msg->outcome),
                     (int)msg->reason.len, (const char *)msg->reason.at, ps_outcome_word(job->expected));
        }
        if (s->hold)
            return;
        job->done = true;
        s->done_n++;
    }
    (void)ps_peer_put(s->master,
                      PS_MSG(COMMITTED, .epoch = 1, /* without a session the result comes again */
                             .leases = {.items = &(struct ps_part_lease_ref){.job = msg->job}, .n = 1}));
}

static void serve(struct story *s, const struct ps_msg_FETCH *fetch)
{
    for (size_t i = 0; i < s->rig.contents_n; i++) {
        const struct rig_content *content = &s->rig.contents[i];
        if (memcmp(content->sha, fetch->sha256, PS_SHA256_BYTES) != 0)
            continue;
        uint64_t last = PS_MIN(fetch->offset + fetch->bytes, (uint64_t)content->len);
        for (uint64_t at = fetch->offset; at < last; at += PS_CHUNK_MAX) {
            size_t len = PS_MIN((size_t)PS_CHUNK_MAX, (size_t)(last - at));
            struct ps_msg msg = {.id = PS_MSG_CHUNK,
                                 .CHUNK = {.peer = fetch->peer, .offset = at, .size = content->len}};
            memcpy(msg.CHUNK.sha256, content->sha, PS_SHA256_BYTES);
            s->rig.fetched_bytes += len;
            (void)ps_peer_put_carrying(s->master, &msg, content->at + at,
                                       len); /* lost: it is asked for again */
        }
    }
}

static void hear(struct story *s, const struct ps_msg *msg)
{
    switch (msg->id) {
    case PS_MSG_RESULT:
        take_result(s, &msg->RESULT);
        break;
    case PS_MSG_FETCH:
        serve(s, &msg->FETCH);
        break;
    case PS_MSG_LOST:
        s->lost_n++;
        s->jobs[msg->LOST.job - 1].lost = msg->LOST.lost;
        break;
    case PS_MSG_DECIDED:
        rig_show_log(&s->rig);
        fail_msg("the broker decided job %u: %s", (unsigned)msg->DECIDED.job,
                 ps_outcome_word(msg->DECIDED.outcome));
        break;
    case PS_MSG_BUSY:
        fail_msg("the broker is busy with so little");
        break;
    default:
        break;
    }
}

static void turn(struct story *s)
{
    struct pollfd fd = {.fd = ps_peer_fd(s->master), .events = POLLIN};
    uint64_t now_ms = ps_clock_mono_ms(), wake_ms = ps_peer_tick(s->master, now_ms);
    struct ps_msg msg;
    struct ps_bytes carried;
    enum ps_peer_event event;

    (void)poll(&fd, 1, wake_ms <= now_ms ? 0 : (int)PS_MIN(wake_ms - now_ms, 50));
    while ((event = ps_peer_recv(s->master, &msg, &carried)) != PS_PEER_NOTHING) {
        if (event == PS_PEER_MESSAGE)
            hear(s, &msg);
        else if (event == PS_PEER_OPENED || event == PS_PEER_RESUMED)
            drive(s);
    }
}

#define WAIT(s, condition)                                                                   \
    do {                                                                                     \
        uint64_t until_ms_ = ps_clock_mono_ms() + RIG_WAIT_MS;                               \
        while (!(condition)) {                                                               \
            turn(s);                                                                         \
            if (ps_clock_mono_ms() < until_ms_)                                              \
                continue;                                                                    \
            rig_show_log(&(s)->rig);                                                         \
            fail_msg("in vain: %s (%zu of %zu done)", #condition, (s)->done_n, (s)->jobs_n); \
        }                                                                                    \
    } while (0)

/* Lets time pass, in which everybody works. */
static void pass(struct story *s, uint64_t ms)
{
    uint64_t until_ms = ps_clock_mono_ms() + ms;

    while (ps_clock_mono_ms() < until_ms)
        turn(s);
}

/* ---- jobs ---- */

static void add(struct story *s, const char *text, size_t len, const char *engine, enum ps_outcome expected)
{
    assert_true(s->jobs_n < JOBS_MAX);
    s->jobs[s->jobs_n] =
        (struct job){.content = rig_content(&s->rig, text, len), .engine = engine, .expected = expected};
    if (s->opened > 0)
        submit(s, s->jobs_n);
    s->jobs_n++;
}

/* n jobs of every kind: quick and slow, small and large, good and bad. */
static void add_mixed(struct story *s, size_t n)
{
    static const struct {
        const char *command;
        size_t len;
        enum ps_outcome expected;
    } kinds[] = {
        {"CRASHY malicious", 0, PS_OUTCOME_MALICIOUS},
        {"nothing", 0, PS_OUTCOME_UNDETECTED},
        {"CRASHY slow 30", 0, PS_OUTCOME_UNDETECTED},
        {"CRASHY suspicious", 200000, PS_OUTCOME_SUSPICIOUS},
        {"CRASHY segv", 0, PS_OUTCOME_FAILURE},
        {"nothing", 90000, PS_OUTCOME_UNDETECTED},
        {"CRASHY malicious", 300000, PS_OUTCOME_MALICIOUS},
        {"CRASHY slow 60", 0, PS_OUTCOME_UNDETECTED},
    };

    for (size_t i = 0; i < n; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%s\n%zu", kinds[i % 8].command, i);
        add(s, text, kinds[i % 8].len, "crashy", kinds[i % 8].expected);
    }
}

/* ---- fixture ---- */

static int set_up(void **state)
{
    struct story *s = calloc(1, sizeof(*s));
    struct ps_peer_config config = {.role = PS_ROLE_MASTER, .name = "story"};

    assert_non_null(s);
    s->rig.dir = unit_dir_make();
    assert_int_equal(chmod(s->rig.dir, 0711), 0);
    assert_int_equal(setenv("PHAGESCAN_STATE", s->rig.dir, 1), 0);
    (void)unit_path(s->socket, s->rig.dir, "broker");
    (void)snprintf(s->endpoint, sizeof(s->endpoint), "ipc://%s", s->socket);
    s->context = zmq_ctx_new();
    config.where = (struct ps_peer_where){.context = s->context, .endpoint = s->endpoint};
    assert_int_equal(ps_peer_new(&s->master, &config, NULL), 0);
    start_broker(s);
    start_worker(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct story *s = *state;
    pid_t *const pids[] = {&s->rig.pid, &s->broker};

    for (size_t i = 0; i < PS_ARRAY_N(pids); i++)
        if (*pids[i] > 0)
            end(pids[i], SIGKILL);
    ps_peer_free(&s->master);
    zmq_ctx_term(s->context);
    for (size_t i = 0; i < s->rig.contents_n; i++)
        free(s->rig.contents[i].at);
    unit_dir_remove(s->rig.dir);
    free(s);
    return 0;
}

/* ---- stories ---- */

static void a_good_day(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    WAIT(s, s->done_n == 48);
    assert_int_equal(s->late_n, 0);
    assert_int_equal(s->lost_n, 0);
    for (size_t i = 0; i < s->jobs_n; i++)
        assert_int_equal(s->jobs[i].results, 1);
}

static void large_samples_cross_once(void **state)
{
    struct story *s = *state;

    add(s, "CRASHY malicious", 5 * 1024 * 1024, "crashy", PS_OUTCOME_MALICIOUS);
    WAIT(s, s->done_n == 1);
    s->jobs[1] =
        (struct job){.content = s->jobs[0].content, .engine = "noop", .expected = PS_OUTCOME_UNDETECTED};
    submit(s, s->jobs_n++);
    WAIT(s, s->done_n == 2);
    assert_int_equal(s->rig.fetched_bytes, 5 * 1024 * 1024);
}

static void the_broker_is_killed(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    for (int i = 1; i <= 3; i++) {
        WAIT(s, s->done_n >= (size_t)i * 8);
        end(&s->broker, SIGKILL);
        start_broker(s);
    }
    WAIT(s, s->done_n == 48);
}

/* The master does not commit, and then the broker is killed: the worker alone has the results. */
static void results_outlive_the_broker(void **state)
{
    struct story *s = *state;

    s->hold = true;
    add(s, "CRASHY malicious", 0, "crashy", PS_OUTCOME_MALICIOUS);
    WAIT(s, s->jobs[0].results == 1);
    end(&s->broker, SIGKILL);
    s->hold = false;
    start_broker(s);
    WAIT(s, s->done_n == 1);
    assert_true(s->jobs[0].results >= 2);
}

static void the_worker_is_killed(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    for (int i = 1; i <= 2; i++) {
        WAIT(s, s->done_n >= (size_t)i * 8);
        end(&s->rig.pid, SIGKILL);
        start_worker(s);
    }
    WAIT(s, s->done_n == 48);
}

/* Longer than the broker waits: it gives the leases to nobody else, for there is nobody, and takes the worker back. */
static void the_worker_is_stopped_and_continued(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    WAIT(s, s->done_n >= 8);
    assert_int_equal(kill(s->rig.pid, SIGSTOP), 0);
    pass(s, 2500);
    assert_int_equal(kill(s->rig.pid, SIGCONT), 0);
    WAIT(s, s->done_n == 48);
}

static void the_broker_is_stopped_and_continued(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    WAIT(s, s->done_n >= 8);
    assert_int_equal(kill(s->broker, SIGSTOP), 0);
    pass(s, 2500);
    assert_int_equal(kill(s->broker, SIGCONT), 0);
    WAIT(s, s->done_n == 48);
    assert_int_equal(s->lost_n, 0);
}

static void a_child_of_an_engine_is_killed(void **state)
{
    struct story *s = *state;
    char command[256];

    add(s, "CRASHY slow 1000", 0, "crashy", PS_OUTCOME_UNDETECTED);
    pass(s, 700);
    (void)snprintf(
        command, sizeof(command),
        "for z in $(pgrep -P %d); do for c in $(pgrep -P $z); do pkill -9 -P $c; kill -9 $c; done; done",
        (int)s->rig.pid);
    (void)!system(command); /* some have gone already */
    WAIT(s, s->done_n == 1);
    assert_int_equal(s->jobs[0].results, 1);
}

static void a_worker_that_is_told_to_end_loses_nothing(void **state)
{
    struct story *s = *state;

    add_mixed(s, 48);
    WAIT(s, s->done_n >= 8);
    assert_int_equal(kill(s->rig.pid, SIGTERM), 0);
    WAIT(s, waitpid(s->rig.pid, NULL, WNOHANG) != 0);
    s->rig.pid = 0;
    assert_int_equal(s->lost_n, 0);
    start_worker(s);
    WAIT(s, s->done_n == 48);
    assert_int_equal(s->lost_n, 0);
    assert_int_equal(s->late_n, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_good_day),
        T(large_samples_cross_once),
        T(the_broker_is_killed),
        T(results_outlive_the_broker),
        T(the_worker_is_killed),
        T(the_worker_is_stopped_and_continued),
        T(the_broker_is_stopped_and_continued),
        T(a_child_of_an_engine_is_killed),
        T(a_worker_that_is_told_to_end_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
