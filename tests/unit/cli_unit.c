/* One supervised process: its start, its word of readiness, its log and its end. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "cli/up/unit.h"

/* Runs sh -c script. */
static void make(struct ps_unit *unit, const char *dir, const char *script)
{
    ps_unit_init(unit, "unit", NULL, dir);
    assert_int_equal(ps_unit_arg(unit, "/bin/sh"), 0);
    assert_int_equal(ps_unit_arg(unit, "-c"), 0);
    assert_int_equal(ps_unit_arg(unit, script), 0);
}

/* Drains the log until the process has ended; its wait status. */
static int run_out(struct ps_unit *unit)
{
    while (unit->log_fd >= 0) {
        struct pollfd fd = {.fd = unit->log_fd, .events = POLLIN};

        assert_int_equal(poll(&fd, 1, 20000), 1);
        ps_unit_drain_log(unit);
    }
    int status;
    assert_int_equal(waitpid(unit->pid, &status, 0), unit->pid);
    return status;
}

static char *read_log(const struct ps_unit *unit, const char *suffix)
{
    PS_FREE char *path = ps_strf("%s%s", unit->log_path, suffix);
    struct ps_buf text;

    ps_buf_init(&text, 64 << 20);
    assert_int_equal(ps_file_read(path, &text), 0);
    char *copy = ps_strf("%s", ps_buf_text(&text));
    ps_buf_fini(&text);
    return copy;
}

static void ready_and_log(void **state)
{
    struct ps_unit unit;
    char word[16] = "";

    /* $0 and $1 are what is added behind the script: --ready-fd 3. */
    make(&unit, *state, "echo \"$0 $1\"; echo ready >&$1; exec 1>&2; echo oops; pwd; exit 3");
    assert_int_equal(ps_unit_start(&unit, 1000, NULL), 0);
    assert_int_equal(unit.state, PS_UNIT_STARTING);
    assert_int_equal(read(unit.ready_fd, word, sizeof(word) - 1), 6);
    assert_string_equal(word, "ready\n");
    ps_unit_is_ready(&unit, 1100);
    assert_int_equal(unit.state, PS_UNIT_READY);
    assert_int_equal(unit.since_ms, 1100);
    ps_unit_ended(&unit, run_out(&unit), 1200);
    assert_string_equal(unit.last, "exit status 3");
    assert_int_equal(unit.state, PS_UNIT_WAITING);
    assert_int_equal(unit.pid, 0);
    char *log = read_log(&unit, "");
    assert_string_equal(log, "--ready-fd 3\noops\n/\n");
    free(log);
    ps_unit_fini(&unit);
}

/* Each failure waits twice as long as the one before, up to a limit; a steady run makes it good. */
static void back_off(void **state)
{
    struct ps_unit unit;
    uint64_t now_ms = 1000, wait_ms = PS_UNIT_BACKOFF_MIN_MS;

    ps_unit_init(&unit, "unit", NULL, *state);
    for (unsigned i = 1; i < 12; i++) {
        unit.state = PS_UNIT_READY;
        unit.since_ms = now_ms;
        ps_unit_ended(&unit, SIGKILL, now_ms + 10);
        assert_int_equal(unit.state, PS_UNIT_WAITING);
        assert_int_equal(unit.retry_ms, now_ms + 10 + wait_ms);
        assert_int_equal(unit.restarts, i);
        wait_ms = PS_MIN(2 * wait_ms, (uint64_t)PS_UNIT_BACKOFF_MAX_MS);
    }
    assert_int_equal(wait_ms, PS_UNIT_BACKOFF_MAX_MS);
    assert_string_equal(unit.last, "killed by signal 9 (Killed)");
    unit.state = PS_UNIT_READY;
    unit.since_ms = now_ms;
    ps_unit_ended(&unit, 0, now_ms + PS_UNIT_STEADY_MS);
    assert_int_equal(unit.retry_ms, now_ms + PS_UNIT_STEADY_MS + PS_UNIT_BACKOFF_MIN_MS);
    ps_unit_fini(&unit);
}

static void stopping(void **state)
{
    struct ps_unit unit;

    make(&unit, *state, "exec sleep 1000");
    unit.says_ready = false;
    ps_unit_signal(&unit, SIGTERM, 5); /* does not run: stopped at once */
    assert_int_equal(unit.state, PS_UNIT_STOPPED);
    assert_int_equal(ps_unit_start(&unit, 10, NULL), 0);
    ps_unit_signal(&unit, SIGTERM, 20);
    assert_int_equal(unit.state, PS_UNIT_STOPPING);
    ps_unit_ended(&unit, run_out(&unit), 30);
    assert_int_equal(unit.state, PS_UNIT_STOPPED);
    assert_int_equal(unit.restarts, 0);
    ps_unit_fini(&unit);
}

static void program_that_is_none(void **state)
{
    struct ps_unit unit;

    ps_unit_init(&unit, "unit", NULL, *state);
    assert_int_equal(ps_unit_arg(&unit, "/nonexistent/program"), 0);
    assert_int_equal(ps_unit_start(&unit, 0, NULL), 0);
    ps_unit_ended(&unit, run_out(&unit), 0);
    assert_string_equal(unit.last, "exit status 127");
    char *log = read_log(&unit, "");
    assert_string_equal(log, "the program could not be executed\n");
    free(log);
    ps_unit_fini(&unit);
}

static void arguments_have_a_limit(void **state)
{
    struct ps_unit unit;
    int r = 0, n = 0;

    ps_unit_init(&unit, "unit", NULL, *state);
    while ((r = ps_unit_arg(&unit, "x")) == 0)
        n++;
    assert_int_equal(r, PS_ERR_LIMIT);
    assert_int_equal(n, PS_UNIT_ARGS_MAX - 3); /* room for --ready-fd, its value and the end */
    ps_unit_fini(&unit);
}

/* A log at its limit becomes .1, the one before goes: a talkative process fills no disk. */
static void log_is_rotated(void **state)
{
    struct ps_unit unit;
    struct stat now, old;
    char path[UNIT_PATH_MAX];

    make(&unit, *state, "head -c 40000000 /dev/zero; echo end");
    assert_int_equal(ps_unit_start(&unit, 0, NULL), 0);
    ps_unit_ended(&unit, run_out(&unit), 0);
    assert_int_equal(stat(unit.log_path, &now), 0);
    assert_int_equal(stat(unit_path(path, *state, "unit.log.1"), &old), 0);
    assert_true(old.st_size >= PS_UNIT_LOG_BYTES && old.st_size < PS_UNIT_LOG_BYTES + 65536);
    assert_true(now.st_size < PS_UNIT_LOG_BYTES && now.st_size + old.st_size < 40000000);
    assert_int_equal(now.st_size, unit.log_bytes);
    ps_unit_fini(&unit);

    /* The next start goes on behind what is there. */
    make(&unit, *state, "echo more");
    assert_int_equal(ps_unit_start(&unit, 0, NULL), 0);
    ps_unit_ended(&unit, run_out(&unit), 0);
    assert_int_equal(unit.log_bytes, (uint64_t)now.st_size + 5);
    ps_unit_fini(&unit);
}

/* Echoed to standard error, to the last word. */
static void log_is_echoed(void **state)
{
    struct ps_unit unit;
    char text[64] = "";
    int saved = dup(2), fds[2];

    make(&unit, *state, "echo first; echo last words >&2");
    unit.echo = true;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ps_unit_start(&unit, 0, NULL), 0);
    assert_int_equal(dup2(fds[1], 2), 2);
    int status;
    assert_int_equal(waitpid(unit.pid, &status, 0), unit.pid);
    ps_unit_ended(&unit, status, 0); /* nothing was drained before */
    assert_int_equal(dup2(saved, 2), 2);
    (void)close(saved);
    (void)close(fds[1]);
    assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "first\nlast words\n");
    (void)close(fds[0]);
    ps_unit_fini(&unit);
}

/* What inherits the log and outlives the process does not hold us. */
static void grandchild_does_not_hold_the_log(void **state)
{
    struct ps_unit unit;
    int status;

    make(&unit, *state, "sleep 1000 & echo $!");
    assert_int_equal(ps_unit_start(&unit, 0, NULL), 0);
    assert_int_equal(waitpid(unit.pid, &status, 0), unit.pid);
    ps_unit_ended(&unit, status, 0);
    assert_int_equal(unit.log_fd, -1);
    char *log = read_log(&unit, "");
    assert_int_equal(kill(atoi(log), SIGKILL), 0);
    free(log);
    ps_unit_fini(&unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ready_and_log, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(back_off, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(stopping, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(program_that_is_none, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(arguments_have_a_limit, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(log_is_rotated, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(log_is_echoed, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(grandchild_does_not_hold_the_log, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests_name("cli_unit", tests, NULL, NULL);
}
