/* The self-test plays the session: it speaks the session's protocol with the zygote and a child over sockets of its own,
 * turning the zygote's loop by hand. So what it tests is what will run. */
#include "worker/host/selftest.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/fds.h"
#include "worker/host/packet.h"
#include "worker/host/result.h"

#define TEST_MS  60000 /* for one sample, its child's start included */
#define TEST_JOB 1

static const char harmless[] = "Phagescan reads this text to see whether the engine works.\n";

struct test {
    struct ps_zygote *zygote;
    int ours, theirs;           /* the control pair: the session's end, the zygote's end */
    int child;                  /* our end of the child's socket */
    struct ps_collect *collect; /* owned */
    bool done, gone;            /* the child has answered; it has ended */
    enum ps_fate fate;
    char exit[PS_TEXT_MAX]; /* once gone: how */
    uint8_t packet[PS_PACKET_MAX];
};

/* Not whole in the binary either, or scanners would find the engine host. */
static size_t make_eicar(char buf[128])
{
    static const char *const parts[] = {"X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-",
                                        "FILE!$H+H*"};
    size_t len = 0;

    for (size_t i = 0; i < PS_ARRAY_N(parts); i++)
        len += (size_t)snprintf(buf + len, 128 - len, "%s", parts[i]); /* 68 bytes */
    return len;
}

static void read_control(struct test *test)
{
    struct ps_msg msg;
    int carried = -1;

    while (ps_packet_recv(test->ours, test->packet, &msg, &carried, MSG_DONTWAIT) == 0) {
        ps_close_fd_p(&carried);
        if (msg.id != PS_MSG_H_EXITED)
            continue;
        test->gone = true;
        ps_text_copy(test->exit, sizeof(test->exit), msg.H_EXITED.reason);
    }
}

static void read_child(struct test *test)
{
    struct ps_msg msg;
    int carried = -1, rc;

    while (!test->done && test->child >= 0) {
        rc = ps_packet_recv(test->child, test->packet, &msg, &carried, MSG_DONTWAIT);
        ps_close_fd_p(&carried);
        if (rc == PS_ERR_AGAIN)
            return;
        if (rc && rc != PS_ERR_PROTO) {
            ps_close_fd_p(&test->child);
            return;
        }
        switch (ps_collect_take(test->collect, rc ? NULL : &msg)) {
        case PS_COLLECT_DONE:
            test->done = true;
            test->fate = PS_FATE_DONE;
            break;
        case PS_COLLECT_BREACH:
            test->done = true;
            test->fate = PS_FATE_BREACH;
            break;
        default:
            break;
        }
    }
}

static int start_child(struct test *test)
{
    PS_CLOSE int theirs = -1;
    int fds[2], rc = ps_sock_pair(fds);

    if (rc)
        return rc;
    test->child = ps_fd_lift(fds[0]);
    theirs = fds[1];
    return test->child < 0 ? PS_ERR_LIMIT : ps_packet_send(test->ours, PS_MSG(H_SPAWN, .slot = 0), theirs, 0);
}

static int send_sample(struct test *test, const void *data, size_t len)
{
    PS_CLOSE int fd = -1;
    struct ps_msg *msg = PS_MSG(H_JOB, .job = TEST_JOB, .size = len, .run_ms = TEST_MS);
    int rc = ps_file_memfd("self-test", data, len, &fd);

    if (!rc)
        rc = ps_sha256(msg->H_JOB.sha256, data, len);
    return rc ? rc : ps_packet_send(test->child, msg, fd, MSG_DONTWAIT);
}

/* Turns the zygote until the child has answered or ended. */
static int turn_until(struct test *test, const bool *what, uint64_t until_ms)
{
    int rc = 0;

    while (!rc && !*what && !test->gone && ps_clock_mono_ms() < until_ms) {
        rc = ps_zygote_turn(test->zygote, test->theirs, test->child, (int)(until_ms - ps_clock_mono_ms()));
        read_child(test);
        read_control(test);
        read_child(test);
    }
    return rc;
}

/* Has a fresh child scan data; *ret_result is lent by test. */
static int scan(struct test *test, enum ps_engine_kind kind, const void *data, size_t len,
                const struct ps_host_result **ret_result)
{
    uint64_t until_ms = ps_clock_mono_ms() + TEST_MS;
    char why[PS_TEXT_MAX];
    bool never = false;
    int rc;

    test->done = test->gone = false;
    test->fate = PS_FATE_TIMEOUT;
    ps_collect_start(test->collect, TEST_JOB, (enum ps_engine_kind_no)kind);
    rc = start_child(test);
    rc = rc ? rc : send_sample(test, data, len);
    rc = rc ? rc : turn_until(test, &test->done, until_ms);
    if (!rc && !test->done && test->gone)
        test->fate = PS_FATE_CRASHED;
    if (!rc && !test->gone) {
        rc = ps_packet_send(test->ours, PS_MSG(H_KILL, .slot = 0), -1, 0);
        rc = rc ? rc : turn_until(test, &never, ps_clock_mono_ms() + PS_HOST_EXIT_MS);
    }
    ps_close_fd_p(&test->child);
    (void)snprintf(why, sizeof(why), "%s", test->fate == PS_FATE_TIMEOUT ? "no answer in time" : test->exit);
    *ret_result = ps_collect_finish(test->collect, test->fate, why);
    return rc;
}

static int judge(const struct ps_host_result *result, bool must_hit, struct ps_error *reterr)
{
    bool hit = result->outcome == PS_OUTCOME_MALICIOUS || result->outcome == PS_OUTCOME_SUSPICIOUS;

    if (result->outcome == PS_OUTCOME_FAILURE || result->outcome == PS_OUTCOME_TIMEOUT)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "self-test: %s: %.400s",
                            ps_outcome_word(result->outcome), result->reason);
    if (hit && !must_hit)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "self-test: a harmless text is called %.200s",
                            result->label);
    if (!hit && must_hit)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "self-test: the EICAR test file is not found (%s)",
                            ps_outcome_word(result->outcome));
    return 0;
}

static int run(struct test *test, enum ps_engine_kind kind, const void *data, size_t len, bool must_hit,
               struct ps_error *reterr)
{
    const struct ps_host_result *result;
    int rc = scan(test, kind, data, len, &result);

    return rc ? ps_error_set(reterr, rc, "self-test: %s", ps_err_text(rc)) : judge(result, must_hit, reterr);
}

int ps_self_test(struct ps_zygote *zygote, enum ps_engine_kind kind, enum ps_self_test what,
                 struct ps_error *reterr)
{
    static struct test test; /* large, and once a process */
    char eicar[128];
    int fds[2], rc = 0;

    if (what == PS_SELF_TEST_NONE)
        return 0;
    test = (struct test){.zygote = zygote, .child = -1};
    if (ps_sock_pair(fds))
        return ps_error_set(reterr, PS_ERR_IO, "self-test: no socket pair");
    test.ours = ps_fd_lift(fds[0]);
    test.theirs = ps_fd_lift(fds[1]);
    rc = test.ours < 0 || test.theirs < 0 ? PS_ERR_LIMIT : ps_collect_new(&test.collect, NULL);
    if (rc)
        (void)ps_error_set(reterr, rc, "self-test: %s", ps_err_text(rc)); /* gives rc back */
    if (!rc)
        rc = run(&test, kind, harmless, sizeof(harmless) - 1, false, reterr);
    if (!rc && what == PS_SELF_TEST_EICAR && kind == PS_ENGINE_EVILNESS)
        rc = run(&test, kind, eicar, make_eicar(eicar), true, reterr);
    ps_collect_free(&test.collect);
    ps_close_fd_p(&test.ours);
    ps_close_fd_p(&test.theirs);
    return rc;
}
