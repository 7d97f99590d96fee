#include "engines/python/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLE_FD     3 /* as phagescan_runner.py has them */
#define REQUEST_FD    4
#define REPLY_FD      5
#define HIGH_FD       16          /* our ends lie from here on, clear of those numbers */
#define LOG_READS_MAX 64          /* of what was printed before the end: a pipe holds no more */
#define ASKED_MAX     (64u << 10) /* bytes of a request */

/* ---- starting ---- */

static void on_child(int sig)
{
    (void)sig; /* it only has to interrupt ppoll */
}

/* The end of a child is seen at ppoll, and there alone: nothing is missed between a look and a wait. */
static void watch_ends(sigset_t *ret_waiting)
{
    const struct sigaction action = {.sa_handler = on_child};
    sigset_t child;

    (void)sigemptyset(&child); /* none of these can fail with valid signals */
    (void)sigaddset(&child, SIGCHLD);
    (void)sigaction(SIGCHLD, &action, NULL);
    (void)sigprocmask(SIG_BLOCK, &child, ret_waiting);
    (void)sigdelset(ret_waiting, SIGCHLD);
}

/* Moves *fd out of the way. */
static int lift(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, HIGH_FD);

    (void)close(*fd); /* its copy lives on, or this start fails */
    *fd = high;
    return high < 0 ? -1 : 0;
}

/* Two ends, out of the way. */
static int lift_two(int fds[2])
{
    int rc = lift(&fds[0]);

    return lift(&fds[1]) || rc ? -1 : 0;
}

static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int rc;

    (void)sigemptyset(&none); /* can't fail */
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGXFSZ); /* ignored by the host: a write over the limit fails instead */
    rc = posix_spawnattr_setsigmask(attr, &none);
    rc = rc ? rc : posix_spawnattr_setsigdefault(attr, &all);
    return rc ? rc : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int set_files(posix_spawn_file_actions_t *actions, const char *dir, int requests, int replies, int log)
{
    int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, log, 1);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, log, 2);
    rc = rc ? rc : posix_spawn_file_actions_addopen(actions, SAMPLE_FD, "/dev/null", O_RDONLY, 0);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, requests, REQUEST_FD);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, replies, REPLY_FD);
    return rc ? rc : posix_spawn_file_actions_addchdir_np(actions, dir);
}

/* 0 or an errno. */
static int spawn(const struct ps_interpreter_conf *conf, int requests, int replies, int log, pid_t *ret_pid)
{
    char home[PATH_MAX + 8], tmpdir[PATH_MAX + 8];
    char *const env[] = {(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         (char *)"LC_ALL=C.UTF-8", home, tmpdir, NULL};
    char *const argv[] = {(char *)conf->python, (char *)"-I",       (char *)"-B", (char *)conf->runner,
                          (char *)conf->mode,   (char *)conf->file, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    (void)snprintf(home, sizeof(home), "HOME=%s", conf->tmpdir); /* fit: tmpdir is at most PATH_MAX */
    (void)snprintf(tmpdir, sizeof(tmpdir), "TMPDIR=%s", conf->tmpdir);
    rc = posix_spawnattr_init(&attr);
    if (!rc) {
        rc = set_signals(&attr);
        rc = rc ? rc : set_files(&actions, conf->tmpdir, requests, replies, log);
        rc = rc ? rc : posix_spawn(ret_pid, conf->python, &actions, &attr, argv, env);
        (void)posix_spawnattr_destroy(&attr); /* these can't fail */
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int ps_interpreter_start(struct ps_interpreter *self, const struct ps_interpreter_conf *conf, char *err,
                         size_t err_max)
{
    int requests[2] = {-1, -1}, replies[2] = {-1, -1}, log[2] = {-1, -1}, rc = 0;
    sigset_t unused;

    *self = PS_INTERPRETER_NONE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, requests) || pipe2(replies, O_CLOEXEC) ||
        pipe2(log, O_CLOEXEC) || lift_two(requests) || lift_two(replies) || lift_two(log))
        rc = errno;
    watch_ends(&unused);
    rc = rc ? rc : spawn(conf, requests[1], replies[1], log[1], &self->pid);
    self->pid = rc ? 0 : self->pid;
    self->requests = requests[0];
    self->replies = replies[0];
    self->log = log[0];
    (void)close(requests[1]); /* Python's ends; -1 is refused, and that is fine */
    (void)close(replies[1]);
    (void)close(log[1]);
    if (rc)
        return ps_kit_fail(err, err_max, "%s can't be started: %s", conf->python, strerror(rc));
    (void)fcntl(self->replies, F_SETFL, O_NONBLOCK); /* pipes of ours: can't fail */
    (void)fcntl(self->log, F_SETFL, O_NONBLOCK);
    return 0;
}

/* ---- talking ---- */

static void put_u32(uint8_t *at, size_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* All of it at once: the socket is empty, since there is one request at a time, and takes more than ASKED_MAX. */
static int send_with(int sock, const void *data, size_t len, int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec part = {(void *)data, len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
    }
    return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len ? 0 : -1;
}

int ps_interpreter_ask(struct ps_interpreter *self, json_t *request, int fd, char *err, size_t err_max)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;
    uint8_t *frame = text && len <= ASKED_MAX ? malloc(PS_FRAME_LENGTHS + len) : NULL;
    int rc = -1;

    json_decref(request);
    if (!frame) {
        free(text);
        return ps_kit_fail(err, err_max, "a request for Python is over %u bytes, or there is no memory",
                           ASKED_MAX);
    }
    put_u32(frame, len);
    put_u32(frame + 4, 0);
    memcpy(frame + PS_FRAME_LENGTHS, text, len);
    rc = send_with(self->requests, frame, PS_FRAME_LENGTHS + len, fd);
    free(frame);
    free(text);
    /* One that is gone says more by its end, which the next wait sees. */
    return rc && errno != EPIPE && errno != ECONNRESET
               ? ps_kit_fail(err, err_max, "Python takes no request: %s", strerror(errno))
               : 0;
}

/* Reads what it printed; what is old goes. 1 when there was something, 0 when not now, -1 at the end. */
static int read_log(struct ps_interpreter *self)
{
    char part[PS_PYTHON_TAIL];
    ssize_t n = read(self->log, part, sizeof(part));
    size_t keep;

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    keep = sizeof(self->tail) - (size_t)n < self->tail_len ? sizeof(self->tail) - (size_t)n : self->tail_len;
    memmove(self->tail, self->tail + self->tail_len - keep, keep);
    memcpy(self->tail + keep, part, (size_t)n);
    self->tail_len = keep + (size_t)n;
    return 1;
}

/* What is there of the frame. 1: it is whole; 0: nothing more now, or the end; -1: it is none. */
static int read_frame(struct ps_interpreter *self)
{
    for (;;) {
        uint8_t *at;
        size_t wanted;
        ssize_t n;

        if (ps_frame_want(&self->frame, &at, &wanted))
            return -1;
        if (wanted == 0)
            return 1;
        n = read(self->replies, at, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        self->frame.len += (size_t)n;
    }
}

/* Reaps what ended, Python among it. */
static void look_for_ends(struct ps_interpreter *self)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == self->pid) {
            self->ended = true;
            self->status = status;
        }
}

/* The last lines that it printed, in one. */
static void last_words(const struct ps_interpreter *self, char ret_text[PS_KIT_TEXT_MAX])
{
    char text[PS_PYTHON_TAIL + 1];
    size_t len = 0, from;

    for (size_t i = 0; i < self->tail_len; i++)
        if (self->tail[i] != '\n' || (len > 0 && text[len - 1] != '\n'))
            text[len++] = self->tail[i] ? self->tail[i] : '?';
    while (len > 0 && text[len - 1] == '\n')
        len--;
    text[len] = '\0';
    from = len > 300 ? len - 300 : 0;
    for (size_t i = from; i < len; i++)
        if (text[i] == '\n')
            text[i] = '|';
    (void)ps_kit_text(ret_text, PS_KIT_TEXT_MAX, text + from);
}

static int fail_ended(struct ps_interpreter *self, char *err, size_t err_max)
{
    char words[PS_KIT_TEXT_MAX];

    for (int i = 0; i < LOG_READS_MAX && read_log(self) > 0; i++)
        ;
    last_words(self, words);
    if (WIFSIGNALED(self->status))
        return ps_kit_fail(err, err_max, "Python was killed by signal %d (%s)%s%s", WTERMSIG(self->status),
                           strsignal(WTERMSIG(self->status)), words[0] ? ": " : "", words);
    return ps_kit_fail(err, err_max, "Python ended with status %d%s%s", WEXITSTATUS(self->status),
                       words[0] ? ": " : "", words);
}

/* Until a frame is whole, or there will be none. As read_frame; 0 is the end. */
static int wait_frame(struct ps_interpreter *self)
{
    struct pollfd at[2] = {{.fd = self->replies, .events = POLLIN}, {.fd = self->log, .events = POLLIN}};
    sigset_t waiting;
    int got = 0;

    watch_ends(&waiting);
    while (!got) {
        bool ended = self->ended;

        got = read_frame(self);
        if (got || ended)
            return got; /* it had ended before this look: nothing more comes */
        look_for_ends(self);
        if (self->ended)
            continue;
        if (ppoll(at, 2, NULL, &waiting) < 0)
            continue; /* interrupted is what it waits for */
        if (at[1].revents && read_log(self) < 0)
            at[1].fd = -1;
        if ((at[0].revents & (POLLHUP | POLLERR)) && !(at[0].revents & POLLIN))
            at[0].fd = -1; /* closed its answers: its end is what is left to wait for */
    }
    return got;
}

int ps_interpreter_next(struct ps_interpreter *self, struct ps_reply *ret_reply, char *err, size_t err_max)
{
    int got, rc;

    ps_frame_drop(&self->frame);
    got = wait_frame(self);
    if (got == 0)
        return fail_ended(self, err, err_max);
    if (got < 0)
        return ps_kit_fail(err, err_max, "Python's answer is over %u and %u bytes long", PS_FRAME_HEAD_MAX,
                           PS_FRAME_BODY_MAX);
    rc = ps_reply_read(ret_reply, &self->frame, err, err_max);
    return rc;
}

/* ---- ending ---- */

static void close_one(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing was written that is not read elsewhere */
    *fd = -1;
}

void ps_interpreter_end(struct ps_interpreter *self)
{
    bool alone = getpid() == 1; /* of a pid namespace: all others in it came from here */

    close_one(&self->requests);
    close_one(&self->replies);
    close_one(&self->log);
    /* Where signals could reach strangers the filter refuses them: then the host sees that somebody is left, and ends
     * this process with all below it. */
    if (self->pid && !self->ended && kill(self->pid, SIGKILL) == 0)
        while (waitpid(self->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    while (alone && kill(-1, SIGKILL) == 0)
        while (waitpid(-1, NULL, 0) > 0)
            ;
    ps_frame_fini(&self->frame);
    *self = PS_INTERPRETER_NONE;
}
