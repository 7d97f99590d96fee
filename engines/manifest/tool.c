/* posix_spawn is vfork and exec here: a fork would copy the page tables of a process that may have grown. */
#include "engines/manifest/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines/kit/kit.h"

#define CHUNK 65536 /* bytes of room that a read gets */

static void wake(int sig)
{
    (void)sig; /* ppoll returns: that is all */
}

/* SIGCHLD is blocked but while ppoll waits: an end that comes between two looks is not missed. */
static void watch_ends(sigset_t *ret_waiting)
{
    const struct sigaction action = {.sa_handler = wake};
    sigset_t child;

    (void)sigemptyset(&child); /* valid signals: none of these can fail */
    (void)sigaddset(&child, SIGCHLD);
    (void)sigaction(SIGCHLD, &action, NULL);
    (void)sigprocmask(SIG_BLOCK, &child, ret_waiting);
    (void)sigdelset(ret_waiting, SIGCHLD);
}

/* A program starts with the signals that programs expect. */
static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int rc;

    (void)sigemptyset(&none); /* as above */
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGXFSZ); /* ignored by the host: a write over the limit fails instead */
    rc = posix_spawnattr_setsigmask(attr, &none);
    rc = rc ? rc : posix_spawnattr_setsigdefault(attr, &all);
    return rc ? rc : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int set_files(posix_spawn_file_actions_t *actions, const struct ps_tool *tool, int out)
{
    int rc = tool->stdin_fd >= 0 ? posix_spawn_file_actions_adddup2(actions, tool->stdin_fd, 0)
                                 : posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, out, 1);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, out, 2);
    if (!rc && tool->sample_fd >= 0) /* the same number on both sides loses its close-on-exec, as it should */
        rc = posix_spawn_file_actions_adddup2(actions, tool->sample_fd, PS_TOOL_FD);
    return rc ? rc : posix_spawn_file_actions_addchdir_np(actions, tool->dir);
}

/* 0 or an errno. */
static int start(const struct ps_tool *tool, int out, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (!rc) {
        rc = set_signals(&attr);
        rc = rc ? rc : set_files(&actions, tool, out);
        rc = rc ? rc : posix_spawn(ret_pid, tool->argv[0], &actions, &attr, tool->argv, tool->env);
        (void)posix_spawnattr_destroy(&attr); /* these can't fail */
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Reads what is there. 1: more may come; 0: the end; -1: no memory or more than there may be. */
static int read_some(int from, struct ps_tool_end *end, size_t *room)
{
    for (;;) {
        ssize_t n;

        if (end->len == *room) {
            size_t more = *room ? 2 * *room : CHUNK;
            char *grown = more <= 2 * (size_t)PS_TOOL_OUT_MAX ? realloc(end->out, more) : NULL;

            if (!grown)
                return -1;
            end->out = grown;
            *room = more;
        }
        n = read(from, end->out + end->len, *room - end->len);
        if (n == 0)
            return 0;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 1 : 0;
        end->len += (size_t)n;
        if (end->len > PS_TOOL_OUT_MAX)
            return -1;
    }
}

/* Until the program has ended and what it wrote is read. Who it left behind may hold the pipe open: nobody waits for
 * that. */
static void collect(int from, pid_t pid, const sigset_t *waiting, struct ps_tool_end *end)
{
    struct pollfd at = {.fd = from, .events = POLLIN};
    bool ended = false;
    size_t room = 0;
    int more = 1;

    while (!ended) {
        ended = waitpid(pid, &end->status, WNOHANG) == pid;
        if (more > 0)
            more = read_some(at.fd, end, &room);
        if (more < 0 && !end->cut) {
            end->cut = true;
            (void)kill(
                pid, SIGKILL); /* refused where signals could reach strangers: then the closed pipe ends it */
        }
        if (more <= 0)
            at.fd = -1;
        if (more < 0)
            return;
        if (!ended)
            (void)ppoll(&at, 1, NULL, waiting); /* interrupted is what it waits for */
    }
}

int ps_tool_run(const struct ps_tool *tool, struct ps_tool_end *ret_end, char *err, size_t err_max)
{
    sigset_t waiting;
    int fds[2], rc;
    pid_t pid = 0;

    *ret_end = (struct ps_tool_end){0};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return ps_kit_fail(err, err_max, "no pipe: %s", strerror(errno));
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK); /* a pipe of ours: can't fail */
    watch_ends(&waiting);
    rc = start(tool, fds[1], &pid);
    (void)close(fds[1]); /* written by the program alone */
    if (!rc)
        collect(fds[0], pid, &waiting, ret_end);
    (void)close(fds[0]); /* only read from */
    if (rc)
        return ps_kit_fail(err, err_max, "%s can't be started: %s", tool->argv[0], strerror(rc));
    if (ret_end->cut)
        while (waitpid(pid, &ret_end->status, 0) < 0 && errno == EINTR)
            ;
    return 0;
}
