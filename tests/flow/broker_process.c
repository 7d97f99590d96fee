/* phagescan-broker as a process: jobs flow, samples cross, kills and stops lose nothing, strangers do no harm. */
#include "broker_rig.h"

#include <sys/resource.h>

#define STRANGERS_N 96
#define FEW_FILES   48 /* descriptors that a broker starts with, fewer than STRANGERS_N */

struct stage {
    struct rig *rig;
    struct rig_master *master;
    struct rig_worker *worker;
    void *strangers[STRANGERS_N]; /* sockets, closed whatever happens: the context waits for them */
};

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->rig = rig_new();
    *state = stage;
    return 0;
}

static void begin(struct stage *stage, uint32_t grant)
{
    rig_start(stage->rig);
    stage->master = rig_master(stage->rig, grant);
    stage->worker = rig_worker(stage->rig);
}

static int teardown(void **state)
{
    struct stage *stage = *state;

    for (size_t i = 0; i < PS_ARRAY_N(stage->strangers); i++)
        if (stage->strangers[i])
            (void)zmq_close(stage->strangers[i]);
    if (stage->worker)
        rig_worker_free(stage->worker);
    if (stage->master)
        rig_master_free(stage->master);
    rig_free(stage->rig);
    free(stage);
    return 0;
}

static void all_done_once(const struct rig_master *master)
{
    for (uint64_t job = 1; job <= master->jobs_n; job++)
        assert_true(master->jobs[job].done && master->jobs[job].accepted);
    assert_int_equal(master->done_n, master->jobs_n);
}

static void jobs_flow(void **state)
{
    struct stage *stage = *state;

    begin(stage, 256);
    master_submit(stage->master, 1000);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 1000);
    all_done_once(stage->master);
    assert_int_equal(stage->master->repeated_n, 0);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->leases_n == 0);
    RIG_UNTIL(stage->master, stage->worker, stage->master->fleet_workers == 1);
    assert_int_equal(stage->master->opened_n, 1);
}

static void large_samples_cross_in_pieces(void **state)
{
    struct stage *stage = *state;

    begin(stage, 256);
    stage->master->size = 3 * 1024 * 1024 + 17;
    master_submit(stage->master, 5);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 5);
    assert_int_equal(stage->worker->bytes_n, 5 * stage->master->size);
}

static void a_killed_broker_loses_nothing(void **state)
{
    struct stage *stage = *state;

    begin(stage, 100);
    for (unsigned round = 0; round < 3; round++) {
        stage->worker->hold = round == 1;
        master_submit(stage->master, 400);
        RIG_UNTIL(stage->master, stage->worker,
                  round == 1 ? stage->worker->leases_n >= 64 : stage->master->done_n > 350 * round + 100);
        (void)rig_stop(stage->rig, SIGKILL);
        rig_start(stage->rig);
        RIG_UNTIL(stage->master, stage->worker,
                  stage->master->opened_n == round + 2 && stage->worker->opened_n == round + 2);
    }
    worker_release(stage->worker);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 1200);
    all_done_once(stage->master);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->leases_n == 0);
}

/* What a worker held of the earlier boot is not done twice. */
static void leases_of_an_earlier_boot_are_adopted(void **state)
{
    struct stage *stage = *state;

    begin(stage, 100);
    stage->worker->hold = true;
    master_submit(stage->master, 50);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->leases_n == 50);
    (void)rig_stop(stage->rig, SIGKILL);
    rig_start(stage->rig);
    RIG_UNTIL(stage->master, stage->worker, stage->master->opened_n == 2 && stage->worker->opened_n == 2);
    rig_for(stage->master, stage->worker, 500); /* what should not come has time to come */
    assert_true(stage->worker->leases_n <= 100);
    worker_release(stage->worker);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 50 && stage->worker->leases_n == 0);
    assert_true(stage->master->repeated_n == 0 || stage->worker->cancelled_n > 0);
}

static void a_stopped_broker_blames_nobody(void **state)
{
    struct stage *stage = *state;

    begin(stage, 100);
    stage->worker->hold = true;
    master_submit(stage->master, 200);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->leases_n == 64);
    assert_int_equal(kill(stage->rig->broker, SIGSTOP), 0);
    rig_for(stage->master, stage->worker, 3000);
    assert_int_equal(kill(stage->rig->broker, SIGCONT), 0);
    worker_release(stage->worker);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 200);
    all_done_once(stage->master);
    assert_int_equal(stage->master->lost_n, 0);
    assert_int_equal(stage->master->repeated_n, 0);
    assert_int_equal(stage->master->opened_n, 1);
}

/* A new master, the same broker: results that nobody committed are said again. */
static void a_new_master_hears_what_waits(void **state)
{
    struct stage *stage = *state;
    struct rig_master *second;

    begin(stage, 100);
    stage->master->mute = true;
    master_submit(stage->master, 30);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->done_n == 30);
    second = rig_master(stage->rig, 100);
    second->jobs_n = 30;
    rig_master_free(stage->master);
    stage->master = second;
    RIG_UNTIL(stage->master, stage->worker, second->done_n == 30 && stage->worker->leases_n == 0);
    assert_int_equal(second->repeated_n, 0);
}

static void an_engine_that_nobody_has_is_unavailable(void **state)
{
    struct stage *stage = *state;

    stage->rig->more[0] = "--engine-grace";
    stage->rig->more[1] = "300ms";
    rig_start(stage->rig);
    stage->master = rig_master(stage->rig, 100);
    master_submit(stage->master, 250);
    RIG_UNTIL(stage->master, NULL, stage->master->done_n == 250);
    assert_int_equal(stage->master->decided_n, 250);
    assert_int_equal(stage->master->jobs[1].outcome, PS_OUTCOME_UNAVAILABLE);
}

static void it_starts_once_and_ends_politely(void **state)
{
    struct stage *stage = *state;
    const char *build = getenv("PHAGESCAN_TEST_BUILD");
    char program[UNIT_PATH_MAX];
    const char *argv[] = {program, "--config", "/dev/null", "--listen", stage->rig->socket, NULL};
    struct stat st;
    int status;
    pid_t second;

    begin(stage, 100);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->opened_n == 1 && stage->master->opened_n == 1);
    assert_int_equal(stat(stage->rig->socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(program, sizeof(program), "%s/broker/daemon/phagescan-broker", build);
    assert_int_equal(posix_spawn(&second, program, NULL, NULL, (char *const *)argv, environ), 0);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    master_submit(stage->master, 10);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 10);
    status = rig_stop(stage->rig, SIGTERM);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    RIG_UNTIL(stage->master, stage->worker, stage->worker->lost_n == 1);
    assert_int_equal(stat(stage->rig->socket, &st), -1);
    /* A socket that a killed one left behind is replaced. */
    rig_start(stage->rig);
    (void)rig_stop(stage->rig, SIGKILL);
    assert_int_equal(stat(stage->rig->socket, &st), 0);
    rig_start(stage->rig);
    master_submit(stage->master, 10);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 20);
}

static void *stranger(struct rig *rig, const char *id)
{
    void *dealer = zmq_socket(rig->context, ZMQ_DEALER);
    int linger = 0, hwm = 0;

    assert_non_null(dealer);
    (void)zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof(linger));
    (void)zmq_setsockopt(dealer, ZMQ_SNDHWM, &hwm, sizeof(hwm));
    if (id)
        (void)zmq_setsockopt(dealer, ZMQ_ROUTING_ID, id, strlen(id));
    assert_int_equal(zmq_connect(dealer, rig->endpoint), 0);
    return dealer;
}

static void strangers_do_no_harm(void **state)
{
    struct stage *stage = *state;
    void *noisy, *named;
    uint8_t junk[512];

    begin(stage, 100);
    noisy = stage->strangers[0] = stranger(stage->rig, NULL);
    named = stage->strangers[1] = stranger(stage->rig, "i-name-myself");
    for (unsigned i = 0; i < 300; i++) {
        for (size_t j = 0; j < sizeof(junk); j++)
            junk[j] = (uint8_t)(i * 131 + j * 17 + (i * j >> 3));
        (void)zmq_send(noisy, junk, i % sizeof(junk), i % 7 ? 0 : ZMQ_SNDMORE);
        (void)zmq_send(noisy, junk, 3, 0);
        (void)zmq_send(named, junk, i, 0);
        for (unsigned part = 0; i % 50 == 0 && part < 40; part++)
            (void)zmq_send(noisy, junk, 10, part < 39 ? ZMQ_SNDMORE : 0);
    }
    master_submit(stage->master, 300);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 300);
}

static void put(void *dealer, const struct ps_msg *msg)
{
    struct ps_buf buf;

    ps_buf_init(&buf, PS_FRAME_MAX);
    assert_int_equal(ps_msg_put(&buf, msg), 0);
    assert_true(zmq_send(dealer, buf.data, buf.len, 0) >= 0);
    ps_buf_fini(&buf);
}

/* A worker that takes work and never reads its socket must not keep others from theirs. */
static void a_peer_that_does_not_read_is_given_up(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_offer offer = {.name = PS_BYTES_LIT("clamav")};
    const int hwm = 1;
    void *deaf;

    stage->rig->more[0] = "--backlog-bytes";
    stage->rig->more[1] = "8M";
    begin(stage, 2000);
    stage->master->size = PS_INLINE_MAX;
    deaf = stage->strangers[0] = zmq_socket(stage->rig->context, ZMQ_DEALER);
    (void)zmq_setsockopt(deaf, ZMQ_RCVHWM, &hwm, sizeof(hwm));
    (void)zmq_setsockopt(deaf, ZMQ_LINGER, &(int){0}, sizeof(int));
    assert_int_equal(zmq_connect(deaf, stage->rig->endpoint), 0);
    put(deaf, PS_MSG(HELLO, .version_min = 1, .version_max = 1, .role = PS_ROLE_WORKER,
                     .name = PS_BYTES_LIT("deaf")));
    put(deaf, PS_MSG(READY, .slots = 4000, .window = 4000, .engines = {.items = &offer, .n = 1}));
    RIG_UNTIL(stage->master, stage->worker, stage->master->fleet_workers == 2);
    master_submit(stage->master, 1500);
    RIG_UNTIL(stage->master, stage->worker, stage->master->done_n == 1500);
    all_done_once(stage->master);
}

/* Whoever starts it has a small soft limit, as shells and systemd give: it takes what the hard one allows. */
static void more_workers_than_the_soft_limit_has_descriptors(void **state)
{
    struct stage *stage = *state;
    const struct ps_part_offer offer = {.name = PS_BYTES_LIT("clamav")};
    struct rlimit before, few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = FEW_FILES, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    rig_start(stage->rig);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    stage->master = rig_master(stage->rig, 100);
    stage->worker = rig_worker(stage->rig);
    for (size_t i = 0; i < STRANGERS_N; i++) {
        void *one = stage->strangers[i] = stranger(stage->rig, NULL);

        put(one, PS_MSG(HELLO, .version_min = 1, .version_max = 1, .role = PS_ROLE_WORKER,
                        .name = PS_BYTES_LIT("one of many")));
        put(one, PS_MSG(READY, .slots = 1, .window = 1, .engines = {.items = &offer, .n = 1}));
    }
    RIG_UNTIL(stage->master, stage->worker, stage->master->fleet_workers == STRANGERS_N + 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(jobs_flow),
        T(large_samples_cross_in_pieces),
        T(a_killed_broker_loses_nothing),
        T(leases_of_an_earlier_boot_are_adopted),
        T(a_stopped_broker_blames_nobody),
        T(a_new_master_hears_what_waits),
        T(an_engine_that_nobody_has_is_unavailable),
        T(it_starts_once_and_ends_politely),
        T(strangers_do_no_harm),
        T(a_peer_that_does_not_read_is_given_up),
        T(more_workers_than_the_soft_limit_has_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
