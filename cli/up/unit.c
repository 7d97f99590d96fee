#include "cli/up/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static const char *const state_words[] = {"waiting", "starting", "ready", "stopping", "stopped"};

const char *ps_unit_state_word(enum ps_unit_state state)
{
    return (size_t)state < PS_ARRAY_N(state_words) ? state_words[state] : "unknown";
}

static void enter(struct ps_unit *self, enum ps_unit_state state, uint64_t now_ms)
{
    self->state = state;
    self->since_ms = now_ms;
}

void ps_unit_init(struct ps_unit *self, const char *name, const struct ps_account *account,
                  const char *log_dir)
{
    *self = (struct ps_unit){.name = name,
                             .account = account,
                             .stop_signal = SIGTERM,
                             .says_ready = true,
                             .ready_fd = -1,
                             .log_fd = -1,
                             .log_file = -1,
                             .backoff_ms = PS_UNIT_BACKOFF_MIN_MS};
    (void)snprintf(self->log_path, sizeof(self->log_path), "%s/%s.log", log_dir, name);
}

void ps_unit_fini(struct ps_unit *self)
{
    for (size_t i = 0; i < PS_UNIT_ARGS_MAX; i++) {
        free(self->argv[i]);
        self->argv[i] = NULL;
    }
    ps_close_fd_p(&self->ready_fd);
    ps_close_fd_p(&self->log_fd);
    ps_close_fd_p(&self->log_file);
}

int ps_unit_arg(struct ps_unit *self, const char *arg)
{
    for (size_t i = 0; i + 3 < PS_UNIT_ARGS_MAX; i++) /* room for --ready-fd, its value and the end */
        if (!self->argv[i]) {
            self->argv[i] = ps_strf("%s", arg);
            return self->argv[i] ? 0 : PS_ERR_NOMEM;
        }
    return PS_ERR_LIMIT;
}

static void open_log(struct ps_unit *self)
{
    off_t at;

    ps_close_fd_p(&self->log_file);
    self->log_file = open(self->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    at = self->log_file >= 0 ? lseek(self->log_file, 0, SEEK_END) : 0;
    self->log_bytes = at > 0 ? (uint64_t)at : 0;
}

static void rotate_log(struct ps_unit *self)
{
    char old[sizeof(self->log_path) + 2];

    (void)snprintf(old, sizeof(old), "%s.1", self->log_path);
    (void)rename(self->log_path, old); /* when it fails the log goes on in the same file */
    open_log(self);
}

/* Runs in the child, between fork and exec: async-signal-safe calls only. */
static void become_program(const struct ps_unit *self, const char *const *argv, int ready_w, int log_w,
                           pid_t parent)
{
    static const char failed[] = "the program could not be executed\n";
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpgid(0, 0); /* a ^C on the terminal is for the supervisor */
    if (null < 0 || dup2(null, 0) < 0 || dup2(log_w, 1) < 0 || dup2(log_w, 2) < 0)
        _exit(126);
    if (ready_w >= 0 && ready_w != PS_UNIT_READY_FD && dup2(ready_w, PS_UNIT_READY_FD) < 0)
        _exit(126);
    if (ready_w == PS_UNIT_READY_FD && fcntl(PS_UNIT_READY_FD, F_SETFD, 0) < 0)
        _exit(126);
    (void)close_range(ready_w >= 0 ? PS_UNIT_READY_FD + 1 : PS_UNIT_READY_FD, ~0U, 0);

    if (chdir("/") < 0) /* no directory of the caller's is held, or must be one that the account may see */
        _exit(126);
    if (self->account && ps_account_become(self->account) != 0)
        _exit(126);
    /* After the change of account, which would clear it. Without its supervisor nothing is to stay behind. */
    if (prctl(PR_SET_PDEATHSIG, self->stop_signal) < 0 || getppid() != parent)
        _exit(126);

    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (argv[0])
        execv(argv[0], (char *const *)argv);
    (void)!write(2, failed, sizeof(failed) - 1); /* into its log; the exit status says it, too */
    _exit(127);
}

int ps_unit_start(struct ps_unit *self, uint64_t now_ms, struct ps_error *reterr)
{
    const char *argv[PS_UNIT_ARGS_MAX + 1] = {NULL};
    int ready[2] = {-1, -1}, log[2] = {-1, -1};
    char ready_fd[12];
    size_t n = 0;
    pid_t parent = getpid();

    for (; n < PS_UNIT_ARGS_MAX && self->argv[n]; n++)
        argv[n] = self->argv[n];
    if (self->says_ready && n + 2 < PS_UNIT_ARGS_MAX) {
        (void)snprintf(ready_fd, sizeof(ready_fd), "%d", PS_UNIT_READY_FD);
        argv[n++] = "--ready-fd";
        argv[n++] = ready_fd;
    }
    ps_close_fd_p(&self->ready_fd);
    ps_close_fd_p(&self->log_fd);
    if (self->log_file < 0)
        open_log(self);
    if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0 || (self->says_ready && pipe2(ready, O_CLOEXEC) < 0))
        goto fail;
    (void)fcntl(log[1], F_SETFL, 0); /* the program's own end blocks as standard error does */

    self->pid = fork(); /* no threads here */
    if (self->pid < 0)
        goto fail;
    if (self->pid == 0)
        become_program(self, argv, ready[1], log[1], parent);

    ps_close_fd_p(&ready[1]);
    ps_close_fd_p(&log[1]);
    self->ready_fd = ready[0];
    self->log_fd = log[0];
    enter(self, PS_UNIT_STARTING, now_ms);
    return 0;

fail:
    self->pid = 0;
    (void)ps_error_set(reterr, PS_ERR_IO, "%s could not be started: %s", self->name, strerror(errno));
    for (int i = 0; i < 2; i++) {
        ps_close_fd_p(&ready[i]);
        ps_close_fd_p(&log[i]);
    }
    return PS_ERR_IO;
}

void ps_unit_signal(struct ps_unit *self, int sig, uint64_t now_ms)
{
    if (!self->pid) {
        enter(self, PS_UNIT_STOPPED, now_ms);
        return;
    }
    if (self->state != PS_UNIT_STOPPING)
        enter(self, PS_UNIT_STOPPING, now_ms);
    self->signalled = sig;
    (void)kill(self->pid, sig); /* gone already: waitpid tells */
}

void ps_unit_is_ready(struct ps_unit *self, uint64_t now_ms)
{
    ps_close_fd_p(&self->ready_fd);
    if (self->state == PS_UNIT_STARTING)
        enter(self, PS_UNIT_READY, now_ms);
}

void ps_unit_ended(struct ps_unit *self, int status, uint64_t now_ms)
{
    if (WIFSIGNALED(status))
        (void)snprintf(self->last, sizeof(self->last), "killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(self->last, sizeof(self->last), "exit status %d", WEXITSTATUS(status));
    ps_unit_drain_log(self);
    ps_close_fd_p(&self->ready_fd);
    ps_close_fd_p(&self->log_fd);
    self->pid = 0;

    if (self->state == PS_UNIT_STOPPING) {
        enter(self, PS_UNIT_STOPPED, now_ms);
        return;
    }
    if (self->state == PS_UNIT_READY && now_ms - self->since_ms >= PS_UNIT_STEADY_MS)
        self->backoff_ms = PS_UNIT_BACKOFF_MIN_MS;
    self->retry_ms = now_ms + self->backoff_ms;
    self->backoff_ms = PS_MIN(2 * self->backoff_ms, (uint64_t)PS_UNIT_BACKOFF_MAX_MS);
    self->restarts++;
    enter(self, PS_UNIT_WAITING, now_ms);
}

void ps_unit_drain_log(struct ps_unit *self)
{
    char part[16384];

    for (int turns = 0; self->log_fd >= 0 && turns < 16; turns++) {
        ssize_t got = read(self->log_fd, part, sizeof(part));

        if (got < 0)
            return; /* nothing more now */
        if (got == 0) {
            ps_close_fd_p(&self->log_fd);
            return;
        }
        if (self->log_file >= 0 && ps_file_write_all(self->log_file, part, (size_t)got) == 0)
            self->log_bytes += (uint64_t)got;
        if (self->log_bytes >= PS_UNIT_LOG_BYTES)
            rotate_log(self);
        if (self->echo)
            (void)ps_file_write_all(STDERR_FILENO, part,
                                    (size_t)got); /* a closed terminal is no reason to stop */
    }
}
