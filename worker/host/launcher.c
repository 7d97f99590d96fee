/* The launcher and the session's end of it. Both run the same program, so their packets are plain structs; the launcher
 * checks them all the same, because the session is the one that talks to the network and to children. */
#include "worker/host/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/command.h"
#include "worker/host/host.h"
#include "worker/host/trust.h"

#define MAGIC       0x6c6e6368u
#define REQUEST_MAX (64 * 1024) /* bytes of a request: a longer one is refused at the session's end */

enum command { COMMAND_START = 1, COMMAND_END = 2 };

/* A request: this, then texts, each with its NUL: engine, plug-in, signatures, data, file ("" for none),
 * settings, options. */
struct request {
    uint32_t command;
    uint32_t instance;   /* END */
    uint32_t settings_n; /* START */
    uint32_t options_n;
};

#define TEXTS_FIXED 5

struct reply {
    int32_t rc;        /* 0 or a ps_err */
    uint32_t instance; /* START */
    int32_t pid;       /* START */
    int32_t status;    /* END */
    char text[PS_ERROR_TEXT_MAX];
};

/* ---- the launcher ---- */

struct zygote {
    uint32_t instance; /* 0: free */
    pid_t pid;         /* ours to wait for */
    char *tmp;         /* owned */
};

struct launcher {
    int sock;                     /* to the session */
    struct ps_launcher_conf conf; /* borrowed: this process is a copy of the caller's */
    uint32_t last;                /* instance given last */
    struct zygote zygotes[PS_LAUNCHER_HOSTS_MAX];
    char request[REQUEST_MAX];
};

/* Options that do not weaken the jail. What weakens it is refused to a session that may have been taken over. */
static bool option_allowed(const char *option)
{
    static const char *const names[] = {
        "--memory=", "--tmp-bytes=", "--tmp-inodes=", "--files=",     "--threads=",
        "--cpu=",    "--recycle=",   "--growth=",     "--self-test=", "--origin="};

    for (size_t i = 0; i < PS_ARRAY_N(names); i++)
        if (strncmp(option, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static bool plugin_allowed(const struct launcher *self, const char *path)
{
    if (strstr(path, "/../"))
        return false;
    for (size_t i = 0; i < self->conf.plugin_dirs_n; i++) {
        size_t len = strlen(self->conf.plugin_dirs[i]);

        if (strncmp(path, self->conf.plugin_dirs[i], len) == 0 && path[len] == '/')
            return true;
    }
    return false;
}

/* What the operator put there runs outside of the children's jail while it is loaded. */
static int check_own(const struct launcher *self, const char *path, struct ps_error *reterr)
{
    const char *own = self->conf.own_dir;
    size_t len = own ? strlen(own) : 0;

    return len > 0 && strncmp(path, own, len) == 0 && path[len] == '/' ? ps_trust_path(own, path, 0, reterr)
                                                                       : 0;
}

/* The next of the texts at *at, which end at end; NULL when there is none. */
static const char *next_text(const char **at, const char *end)
{
    const char *text = *at;
    const char *nul = text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;

    if (!nul)
        return NULL;
    *at = nul + 1;
    return text;
}

struct start {
    struct ps_host_conf conf;
    const char *settings[PS_HOST_SETTINGS_MAX], *options[PS_HOST_SETTINGS_MAX]; /* point into the request */
};

static int read_texts(const char **ret_texts, size_t n, const char **at, const char *end)
{
    for (size_t i = 0; i < n; i++)
        if (!(ret_texts[i] = next_text(at, end)))
            return PS_ERR_PROTO;
    return 0;
}

static int read_start(const struct launcher *self, size_t len, struct start *ret_start,
                      struct ps_error *reterr)
{
    const char *at = self->request + sizeof(struct request), *end = self->request + len;
    const char *fixed[TEXTS_FIXED];
    struct request head;

    memcpy(&head, self->request, sizeof(head));
    if (head.settings_n > PS_HOST_SETTINGS_MAX || head.options_n > PS_HOST_SETTINGS_MAX ||
        read_texts(fixed, TEXTS_FIXED, &at, end) ||
        read_texts(ret_start->settings, head.settings_n, &at, end) ||
        read_texts(ret_start->options, head.options_n, &at, end) || at != end)
        return ps_error_set(reterr, PS_ERR_PROTO, "the launcher does not understand that request");
    for (size_t i = 0; i < head.options_n; i++)
        if (!option_allowed(ret_start->options[i]))
            return ps_error_set(reterr, PS_ERR_DENIED, "the launcher does not take the option %.64s",
                                ret_start->options[i]);
    if (!ps_spawn_name_valid(fixed[0]) || !plugin_allowed(self, fixed[1]) ||
        (fixed[4][0] && !plugin_allowed(self, fixed[4])))
        return ps_error_set(reterr, PS_ERR_DENIED, "the launcher knows no such engine or plug-in");
    int rc = check_own(self, fixed[1], reterr);
    rc = rc || !fixed[4][0] ? rc : check_own(self, fixed[4], reterr);
    if (rc)
        return rc;
    ret_start->conf = (struct ps_host_conf){.program = self->conf.program,
                                            .engine = fixed[0],
                                            .plugin = fixed[1],
                                            .signatures = fixed[2][0] ? fixed[2] : NULL,
                                            .data = fixed[3][0] ? fixed[3] : NULL,
                                            .file = fixed[4][0] ? fixed[4] : NULL,
                                            .settings = ret_start->settings,
                                            .settings_n = head.settings_n,
                                            .options = ret_start->options,
                                            .options_n = head.options_n};
    return 0;
}

/* In the forked process: becomes the engines account and the program. Comes back only on failure. */
static void become(const struct launcher *self, char **argv, const char *tmp, int control,
                   struct ps_error *reterr)
{
    sigset_t none;

    (void)sigemptyset(&none); /* none of these can fail with valid arguments */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)dup2(control, PS_SPAWN_CONTROL_FD);
    (void)fcntl(PS_SPAWN_CONTROL_FD, F_SETFD, 0);
    if (chdir(tmp) < 0) {
        (void)ps_error_set(reterr, PS_ERR_IO, "%s can't be entered: %s", tmp, strerror(errno));
        return;
    }
    if (ps_account_become(self->conf.engines, reterr))
        return;
    (void)execve(argv[0], argv, ps_spawn_environ());
    (void)ps_error_set(reterr, PS_ERR_IO, "%s can't be started: %s", argv[0], strerror(errno));
}

static int fork_zygote(const struct launcher *self, char **argv, const char *tmp, int control, pid_t *ret_pid,
                       struct ps_error *reterr)
{
    PS_CLOSE int from = -1, to = -1;
    struct ps_error error = {0};
    int fds[2];
    pid_t pid;
    ssize_t n;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no pipe: %s", strerror(errno));
    from = fds[0];
    to = fcntl(fds[1], F_DUPFD_CLOEXEC, PS_SPAWN_CONTROL_FD + 1); /* out of the way of the control socket */
    (void)close(fds[1]);
    pid = to < 0 ? -1 : fork();
    if (pid < 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "no process can be forked: %s", strerror(errno));
    if (pid == 0) {
        become(self, argv, tmp, control, &error);
        (void)ps_file_write_all(to, &error,
                                sizeof(error)); /* unread, the end of the pipe says failure enough */
        _exit(127);
    }
    ps_close_fd_p(&to);
    do
        n = read(from, &error, sizeof(error));
    while (n < 0 && errno == EINTR);
    if (n == 0) { /* closed by exec */
        *ret_pid = pid;
        return 0;
    }
    (void)waitpid(pid, NULL, 0); /* it is about to exit */
    return ps_error_set(reterr, n == (ssize_t)sizeof(error) ? error.code : PS_ERR_IO, "%s", error.text);
}

static int make_tmp(const struct launcher *self, const char *path)
{
    int rc = ps_file_mkdirs(path, 0700);

    if (!rc && chown(path, self->conf.engines.uid, self->conf.engines.gid) < 0)
        rc = ps_err_from_errno(errno);
    return rc;
}

static struct zygote *free_place(struct launcher *self)
{
    for (size_t i = 0; i < PS_LAUNCHER_HOSTS_MAX; i++)
        if (self->zygotes[i].instance == 0)
            return &self->zygotes[i];
    return NULL;
}

static int start(struct launcher *self, size_t len, int control, struct reply *reply, int *ret_pidfd,
                 struct ps_error *reterr)
{
    PS_CLEANUP(ps_spawn_argv_free) char **argv = NULL;
    struct zygote *place = free_place(self);
    PS_FREE char *tmp = NULL;
    struct start wanted;
    int rc = read_start(self, len, &wanted, reterr);
    pid_t pid = -1;

    if (rc)
        return rc;
    if (!place || control < 0)
        return ps_error_set(reterr, PS_ERR_LIMIT, "the launcher has %d zygotes already, or no socket came",
                            PS_LAUNCHER_HOSTS_MAX);
    tmp = ps_strf("%s/%s-%u", self->conf.tmp, wanted.conf.engine, ++self->last);
    rc = tmp ? make_tmp(self, tmp) : PS_ERR_NOMEM;
    rc = rc ? rc : ps_spawn_argv(&wanted.conf, ".", true, &argv);
    if (rc)
        return ps_error_set(reterr, rc, "the launcher can't prepare a zygote: %s", ps_err_text(rc));
    rc = fork_zygote(self, argv, tmp, control, &pid, reterr);
    if (rc)
        return rc;
    *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    *place = (struct zygote){.instance = self->last, .pid = pid, .tmp = PS_TAKE(tmp)};
    reply->instance = self->last;
    reply->pid = pid;
    return 0;
}

static void end_zygote(struct zygote *zygote, int32_t *ret_status)
{
    int status = 0;

    (void)kill(zygote->pid, SIGKILL); /* ours until waited for; it may have ended */
    while (waitpid(zygote->pid, &status, 0) < 0 && errno == EINTR)
        ;
    (void)ps_file_remove_tree(zygote->tmp, true); /* what stays is emptied when the next launcher starts */
    free(zygote->tmp);
    *zygote = (struct zygote){0};
    *ret_status = status;
}

static int end(struct launcher *self, uint32_t instance, struct reply *reply)
{
    for (size_t i = 0; i < PS_LAUNCHER_HOSTS_MAX && instance; i++)
        if (self->zygotes[i].instance == instance) {
            end_zygote(&self->zygotes[i], &reply->status);
            return 0;
        }
    return PS_ERR_NOTFOUND;
}

/* One request; false at the end of the session. */
static bool serve(struct launcher *self)
{
    PS_CLOSE int control = -1, pidfd = -1;
    struct ps_error error = {0};
    struct reply reply = {0};
    struct request head = {0};
    int fds[PS_SOCK_FDS_MAX];
    size_t len = 0, fds_n = 0;
    int rc = ps_sock_recv(self->sock, self->request, REQUEST_MAX, &len, fds, &fds_n, 0);

    if (rc == PS_ERR_CLOSED || rc == PS_ERR_IO)
        return false;
    for (size_t i = 1; i < fds_n; i++)
        ps_close_fd_p(&fds[i]);
    control = fds_n > 0 ? fds[0] : -1;
    if (!rc && len >= sizeof(head))
        memcpy(&head, self->request, sizeof(head));
    if (head.command == COMMAND_START)
        rc = start(self, len, control, &reply, &pidfd, &error);
    else if (head.command == COMMAND_END)
        rc = end(self, head.instance, &reply);
    else
        rc = PS_ERR_PROTO;
    reply.rc = rc;
    memcpy(reply.text, error.text, sizeof(reply.text));
    return ps_sock_send(self->sock, &reply, sizeof(reply), &pidfd, pidfd >= 0 ? 1 : 0, 0) == 0;
}

/* sock stays, and the standard descriptors; what else the worker has open is not the launcher's. */
static int keep_only(int sock)
{
    int low = dup2(sock, 3);

    if (low < 0 || fcntl(low, F_SETFD, FD_CLOEXEC) < 0)
        _exit(1);
    (void)close_range(4, ~0u, 0); /* valid ranges don't fail */
    return low;
}

static void __attribute__((noreturn)) run(int sock, const struct ps_launcher_conf *conf)
{
    static struct launcher self; /* large, and one a process */
    int32_t status;

    self.sock = keep_only(sock);
    self.conf = *conf;
    (void)setsid(); /* a terminal's interrupt is the session's to handle; can't fail in a forked child */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_NAME, "launcher");
    (void)prctl(PR_SET_DUMPABLE, 0);
    while (serve(&self))
        ;
    for (size_t i = 0; i < PS_LAUNCHER_HOSTS_MAX; i++)
        if (self.zygotes[i].instance)
            end_zygote(&self.zygotes[i], &status);
    _exit(0);
}

/* ---- the session's end ---- */

struct ps_launcher {
    uint32_t magic;
    int sock;
    pid_t pid; /* ours to wait for */
};

static int check_conf(const struct ps_launcher_conf *conf, struct ps_error *reterr)
{
    if (geteuid() != 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "only root has use for a launcher");
    if (conf->engines.uid == 0 || conf->engines.gid == 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "engines can't run as root");
    if (conf->plugin_dirs_n < 1 || conf->plugin_dirs_n > PS_LAUNCHER_DIRS_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "1 to %d plug-in directories", PS_LAUNCHER_DIRS_MAX);
    return 0;
}

/* The directory is root's: zygotes pass through it to their own, and see no other's. */
static int clear_tmp(const char *tmp, struct ps_error *reterr)
{
    int rc = ps_file_mkdirs(tmp, 0711);

    rc = rc ? rc : ps_file_remove_tree(tmp, false);
    if (!rc && chmod(tmp, 0711) < 0)
        rc = ps_err_from_errno(errno);
    return rc ? ps_error_set(reterr, rc, "%s can't be used: %s", tmp, ps_err_text(rc)) : 0;
}

int ps_launcher_fork(struct ps_launcher **ret_self, const struct ps_launcher_conf *conf,
                     struct ps_error *reterr)
{
    struct ps_launcher *self;
    int rc = check_conf(conf, reterr), fds[2];
    pid_t pid;

    rc = rc ? rc : clear_tmp(conf->tmp, reterr);
    if (rc)
        return rc;
    self = PS_NEW(struct ps_launcher);
    if (!self || ps_sock_pair(fds)) {
        free(self);
        return ps_error_set(reterr, PS_ERR_NOMEM, "no memory or no socket pair for the launcher");
    }
    pid = fork();
    if (pid == 0)
        run(fds[1], conf); /* without fds[0], or the end of the session would never show */
    (void)close(fds[1]);
    *self = (struct ps_launcher){MAGIC, fds[0], pid};
    if (pid < 0) {
        ps_launcher_free(&self);
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "the launcher can't be forked: %s", strerror(errno));
    }
    *ret_self = self;
    return 0;
}

void ps_launcher_free(struct ps_launcher **self_p)
{
    struct ps_launcher *self = *self_p;

    if (!self)
        return;
    PS_CHECK_MAGIC(self, MAGIC);
    ps_close_fd_p(&self->sock);
    while (self->pid > 0 && waitpid(self->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    self->magic = 0;
    free(self);
    *self_p = NULL;
}

/* One request and its reply. Nothing is outstanding before and after; one that comes too late ends the connection, so
 * that it is not taken for the next one's. */
static int ask(struct ps_launcher *self, const struct ps_buf *request, int control, struct reply *ret_reply,
               int *ret_pidfd)
{
    struct pollfd at = {.fd = self->sock, .events = POLLIN};
    int fds[PS_SOCK_FDS_MAX], rc;
    size_t len = 0, fds_n = 0;

    if (self->sock < 0)
        return PS_ERR_CLOSED;
    rc = ps_sock_send(self->sock, request->data, request->len, &control, control >= 0 ? 1 : 0, 0);
    if (!rc && poll(&at, 1, PS_LAUNCHER_REPLY_MS) != 1)
        rc = PS_ERR_TIMEOUT;
    rc = rc ? rc : ps_sock_recv(self->sock, ret_reply, sizeof(*ret_reply), &len, fds, &fds_n, MSG_DONTWAIT);
    if (rc || len != sizeof(*ret_reply)) {
        ps_close_fd_p(&self->sock);
        return rc ? rc : PS_ERR_PROTO;
    }
    for (size_t i = 1; i < fds_n; i++)
        ps_close_fd_p(&fds[i]);
    *ret_pidfd = fds_n > 0 ? fds[0] : -1;
    ret_reply->text[sizeof(ret_reply->text) - 1] = '\0';
    return 0;
}

static void put_text(struct ps_buf *buf, const char *text)
{
    ps_buf_put(buf, text ? text : "", text ? strlen(text) + 1 : 1);
}

int ps_launcher_start(struct ps_launcher *self, const struct ps_host_conf *conf, int control,
                      uint32_t *ret_instance, pid_t *ret_pid, int *ret_pidfd, struct ps_error *reterr)
{
    struct request head = {COMMAND_START, 0, (uint32_t)conf->settings_n, (uint32_t)conf->options_n};
    PS_BUF struct ps_buf buf;
    PS_CLOSE int pidfd = -1;
    struct reply reply;
    int rc;

    PS_CHECK_MAGIC(self, MAGIC);
    ps_buf_init(&buf, REQUEST_MAX);
    ps_buf_put(&buf, &head, sizeof(head));
    put_text(&buf, conf->engine);
    put_text(&buf, conf->plugin);
    put_text(&buf, conf->signatures);
    put_text(&buf, conf->data);
    put_text(&buf, conf->file);
    for (size_t i = 0; i < conf->settings_n; i++)
        put_text(&buf, conf->settings[i]);
    for (size_t i = 0; i < conf->options_n; i++)
        put_text(&buf, conf->options[i]);
    rc = ps_buf_error(&buf);
    rc = rc ? rc : ask(self, &buf, control, &reply, &pidfd);
    if (rc)
        return ps_error_set(reterr, rc, "the launcher does not answer: %s", ps_err_text(rc));
    if (reply.rc)
        return ps_error_set(reterr, reply.rc, "%s", reply.text[0] ? reply.text : ps_err_text(reply.rc));
    *ret_instance = reply.instance;
    *ret_pid = reply.pid;
    *ret_pidfd = PS_TAKE_FD(pidfd);
    return *ret_pidfd < 0
               ? ps_error_set(reterr, PS_ERR_UNSUPPORTED, "this kernel gives no descriptor of a process")
               : 0;
}

int ps_launcher_end(struct ps_launcher *self, uint32_t instance, int *ret_status)
{
    struct request head = {COMMAND_END, instance, 0, 0};
    PS_BUF struct ps_buf buf;
    PS_CLOSE int pidfd = -1;
    struct reply reply;
    int rc;

    PS_CHECK_MAGIC(self, MAGIC);
    ps_buf_init(&buf, REQUEST_MAX);
    ps_buf_put(&buf, &head, sizeof(head));
    rc = ps_buf_error(&buf);
    rc = rc ? rc : ask(self, &buf, -1, &reply, &pidfd);
    if (rc)
        return rc;
    *ret_status = reply.status;
    return reply.rc;
}
