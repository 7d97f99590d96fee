#include "worker/host/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "worker/host/deadly.h"
#include "worker/host/fds.h"
#include "worker/host/words.h"

#define OUT_FD 3 /* where the child writes: below PS_FD_BASE, all from there on is the engine host's */

/* The host's descriptors are not for it; standard ones lead nowhere. */
static void keep_only(int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3 && null >= 0; fd++)
        (void)dup2(null, fd); /* can't fail: null is open and fd is in range */
    (void)dup3(out, OUT_FD, O_CLOEXEC);
    (void)close_range(OUT_FD + 1, ~0u, 0); /* a valid range */
}

static void __attribute__((noreturn))
be_child(struct ps_jail *jail, const char *dir, const struct ps_engine_aside *aside, int out)
{
    char tmpdir[PATH_MAX];
    pid_t pid;

    ps_deadly_signals();
    if (ps_jail_room(jail, dir, tmpdir, sizeof(tmpdir), &pid, NULL) != 0)
        _exit(1);
    keep_only(out);
    if (ps_jail_shut(jail, tmpdir, NULL) != 0)
        _exit(1);
    _exit(aside->job(aside->arg, tmpdir, OUT_FD) == 0 ? 0 : 1);
}

/* Reads until the end or until_ms. What does not fit is read and dropped. */
static int read_answer(int from, struct ps_engine_aside *aside, uint64_t until_ms)
{
    char rest[4096];

    aside->len = 0;
    for (;;) {
        uint64_t now_ms = ps_clock_mono_ms();
        struct pollfd at = {.fd = from, .events = POLLIN};
        size_t room = aside->max - aside->len;
        ssize_t n;

        if (now_ms >= until_ms)
            return PS_ERR_TIMEOUT;
        if (poll(&at, 1, (int)PS_MIN(until_ms - now_ms, (uint64_t)INT_MAX)) <= 0)
            continue;
        n = read(from, room ? aside->buf + aside->len : rest, room ? room : sizeof(rest));
        if (n <= 0)
            return n < 0 && errno != EINTR ? PS_ERR_IO : 0;
        aside->len += room ? (size_t)n : 0;
    }
}

/* Its group and, in a pid namespace, everything below it; what else it left is the zygote's, and goes with it. */
static int end_child(pid_t pid, bool kill_it)
{
    int status = 0;

    if (kill_it) {
        (void)kill(-pid, SIGKILL); /* no group yet: just forked */
        (void)kill(pid, SIGKILL);  /* ours until it is waited for */
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int run(struct ps_jail *jail, const char *dir, struct ps_engine_aside *aside, struct ps_error *reterr)
{
    char words[PS_ERROR_TEXT_MAX];
    PS_CLOSE int from = -1, to = -1;
    int fds[2], status, rc;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no pipe: %s", strerror(errno));
    from = ps_fd_lift(fds[0]);
    to = ps_fd_lift(fds[1]);
    pid = from < 0 || to < 0 ? -1 : ps_jail_fork(jail);
    if (pid < 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "no child can be forked: %s", strerror(errno));
    if (pid == 0)
        be_child(jail, dir, aside, to);
    ps_close_fd_p(&to);
    rc = read_answer(from, aside, ps_clock_mono_ms() + aside->wait_ms);
    status = end_child(pid, rc != 0);
    if (rc)
        return ps_error_set(reterr, rc, "no answer after %u ms", aside->wait_ms);
    if (status == 0)
        return 0;
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE,
                        "a child that asks a program for its version ended: %.200s",
                        (ps_exit_words(words, sizeof(words), status), words));
}

int ps_aside_run(struct ps_jail *jail, const struct ps_engine_grants *grants, const char *dir,
                 struct ps_engine_aside *aside, struct ps_error *reterr)
{
    int rc = ps_jail_grant(jail, grants, false, reterr);

    rc = rc ? rc : ps_jail_settle(jail, dir, reterr);
    if (rc)
        return rc;
    rc = ps_file_mkdirs(dir, 0700);
    rc = rc ? ps_error_set(reterr, rc, "the directory %s can't be made", dir) : run(jail, dir, aside, reterr);
    (void)ps_file_remove_tree(dir, true); /* cleared again with all of tmp */
    return rc;
}
