#include "worker/host/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/again.h"
#include "worker/host/fds.h"
#include "worker/host/host.h"
#include "worker/host/packet.h"
#include "worker/host/strays.h"
#include "worker/host/words.h"

#define MAGIC        0x7a796700u
#define STRAY_MS     10 /* how often escaped processes are looked for while there are some */
#define DIR_NAME_MAX (PATH_MAX + 32)

struct slot {
    pid_t pid;                     /* of its child; 0 when there is none */
    int status_fd;                 /* where the child reports once; -1 before and after */
    bool gone;                     /* reaped; strays may be left */
    int wait_status;               /* once gone */
    struct rusage usage;           /* once gone */
    char unfit[PS_ERROR_TEXT_MAX]; /* why the child refused to work; "" */
};

struct ps_zygote {
    uint32_t magic;
    struct ps_zygote_conf conf;
    int control;  /* to the session; borrowed; -1 before and after */
    int signals;  /* signalfd */
    int null;     /* /dev/null */
    bool gone_n;  /* some slot is gone and not yet reported */
    pid_t probe;  /* asks the engine's probe again; 0: nobody does */
    int probe_fd; /* what it says; -1 */
    struct slot slots[PS_HOST_SLOTS_MAX];
    uint8_t packet[PS_PACKET_MAX];
};

static const char *dir_of(const struct ps_zygote *self, unsigned slot, char buf[DIR_NAME_MAX])
{
    (void)snprintf(buf, DIR_NAME_MAX, "%s/slot-%u", self->conf.tmp, slot); /* tmp is at most PATH_MAX */
    return buf;
}

static int tell(const struct ps_zygote *self, const struct ps_msg *msg)
{
    /* Blocking: the session reads, or is gone. */
    return self->control < 0 ? 0 : ps_packet_send(self->control, msg, -1, 0);
}

static int tell_exited(const struct ps_zygote *self, unsigned slot, int status, const struct rusage *usage,
                       const char *reason)
{
    uint64_t cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);

    return tell(self,
                PS_MSG(H_EXITED, .slot = slot, .status = (uint32_t)status, .reason = ps_bytes_of(reason),
                       .cpu_us = cpu_us, .peak_kib = (uint64_t)usage->ru_maxrss));
}

static int refuse_spawn(const struct ps_zygote *self, unsigned slot, const char *reason)
{
    const struct rusage none = {0};

    return tell_exited(self, slot, PS_CHILD_UNFIT << 8, &none, reason);
}

/* In the child: of the engine host's own descriptors only sock and status stay, and standard ones lead nowhere. */
static void keep_only(const struct ps_zygote *self, int sock, int status)
{
    unsigned low = (unsigned)PS_MIN(sock, status), high = (unsigned)PS_MAX(sock, status);

    for (int fd = 0; fd < 3; fd++)
        if (fd != 2 || !self->conf.child_stderr)
            (void)dup2(self->null, fd); /* can't fail: null is open and fd is in range */
    if (low > PS_FD_BASE)
        (void)close_range(PS_FD_BASE, low - 1, 0); /* valid ranges don't fail: all three */
    if (high > low + 1)
        (void)close_range(low + 1, high - 1, 0);
    (void)close_range(high + 1, ~0u, 0);
}

static void __attribute__((noreturn))
be_child(const struct ps_zygote *self, unsigned slot, int sock, int status)
{
    char dir[DIR_NAME_MAX];
    struct ps_child_conf conf = {.plugin = self->conf.plugin,
                                 .jail = self->conf.jail,
                                 .dir = dir_of(self, slot, dir),
                                 .recycle = self->conf.recycle,
                                 .growth_bytes = self->conf.growth_bytes};

    keep_only(self, sock, status);
    _exit(ps_child_run(&conf, sock, status));
}

/* Forks the child of slot. sock is taken. */
static int spawn(struct ps_zygote *self, unsigned slot, int sock_taken, const char **reterr)
{
    PS_CLOSE int sock = ps_fd_lift(sock_taken), from = -1, to = -1;
    char dir[DIR_NAME_MAX];
    int fds[2];
    pid_t pid;

    if (sock < 0 || pipe2(fds, O_CLOEXEC) < 0) {
        *reterr = "no descriptor is left for a child";
        return PS_ERR_LIMIT;
    }
    from = ps_fd_lift(fds[0]);
    to = ps_fd_lift(fds[1]);
    if (from < 0 || to < 0 || ps_file_mkdirs(dir_of(self, slot, dir), 0700)) {
        *reterr = "a child's directory can't be made";
        return PS_ERR_IO;
    }
    pid = ps_jail_fork(self->conf.jail);
    if (pid == 0)
        be_child(self, slot, sock, to);
    if (pid < 0) {
        *reterr = "no child can be forked: out of memory or over a limit of processes";
        return PS_ERR_UNAVAILABLE;
    }
    self->slots[slot] = (struct slot){.pid = pid, .status_fd = PS_TAKE_FD(from)};
    return 0;
}

static int on_spawn(struct ps_zygote *self, uint32_t slot, int sock)
{
    const char *why = "no such slot, or it has a child, or no socket came";
    int rc = PS_ERR_INVALID;

    if (slot < PS_HOST_SLOTS_MAX && self->slots[slot].pid == 0 && sock >= 0)
        rc = spawn(self, slot, sock, &why);
    else
        ps_close_fd_p(&sock);
    return rc ? refuse_spawn(self, slot, why) : 0;
}

/* The child's group first: without a pid namespace its forks die with it here, those that left the group are strays. */
static void kill_child(const struct slot *slot)
{
    if (slot->pid == 0 || slot->gone)
        return;
    (void)kill(-slot->pid, SIGKILL); /* no group yet: just forked, or it is gone: nothing to do */
    (void)kill(slot->pid, SIGKILL);  /* ours until it is waited for */
}

/* One that can't be started is not missed: the session asks again. */
static int on_probe(struct ps_zygote *self)
{
    if (self->probe == 0)
        (void)ps_again_start(self->conf.plugin, self->conf.tmp, &self->probe, &self->probe_fd);
    return 0;
}

static int tell_probed(struct ps_zygote *self, int status)
{
    char problem[PS_TEXT_MAX];

    ps_again_end(PS_TAKE_FD(self->probe_fd), status, problem, sizeof(problem));
    self->probe = 0;
    return tell(self, PS_MSG(H_PROBED, .problem = ps_bytes_of(problem)));
}

static int on_control(struct ps_zygote *self)
{
    struct ps_msg msg;
    int carried = -1;
    int rc = ps_packet_recv(self->control, self->packet, &msg, &carried, MSG_DONTWAIT);

    if (rc == PS_ERR_AGAIN)
        return 0;
    if (rc)
        return rc;
    if (msg.id == PS_MSG_H_SPAWN)
        return on_spawn(self, msg.H_SPAWN.slot, carried);
    ps_close_fd_p(&carried);
    if (msg.id == PS_MSG_H_PROBE)
        return on_probe(self);
    if (msg.id != PS_MSG_H_KILL)
        return PS_ERR_PROTO;
    if (msg.H_KILL.slot < PS_HOST_SLOTS_MAX)
        kill_child(&self->slots[msg.H_KILL.slot]);
    return 0;
}

/* What the child said of itself, or the end of its pipe. */
static int on_status(struct ps_zygote *self, unsigned slot)
{
    struct slot *at = &self->slots[slot];
    struct ps_child_status status;
    ssize_t n = read(at->status_fd, &status, sizeof(status));

    ps_close_fd_p(&at->status_fd);
    if (n != (ssize_t)sizeof(status))
        return 0;
    if (status.ready)
        return tell(self, PS_MSG(H_SPAWNED, .slot = slot, .pid = (uint32_t)status.pid));
    status.text[sizeof(status.text) - 1] = '\0';
    ps_text_clean(at->unfit, sizeof(at->unfit), status.text);
    return 0;
}

static int reap(struct ps_zygote *self)
{
    struct rusage usage;
    int status, rc = 0;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        if (pid == self->probe)
            rc = tell_probed(self, status);
        for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++) {
            struct slot *slot = &self->slots[i];

            if (slot->pid != pid || slot->gone)
                continue;
            slot->gone = self->gone_n = true;
            slot->wait_status = status;
            slot->usage = usage;
        }
    }
    return rc;
}

static int report_gone(struct ps_zygote *self, unsigned slot)
{
    struct slot *at = &self->slots[slot];
    char words[PS_ERROR_TEXT_MAX], dir[DIR_NAME_MAX];
    int rc = at->status_fd >= 0 ? on_status(self, slot) : 0;

    ps_exit_words(words, sizeof(words), at->wait_status);
    if (ps_file_remove_tree(dir_of(self, slot, dir), true) != 0 && at->unfit[0] == '\0')
        (void)snprintf(at->unfit, sizeof(at->unfit), "%s; its directory could not be wiped",
                       words); /* fits */
    if (!rc)
        rc = tell_exited(self, slot, at->wait_status, &at->usage, at->unfit[0] ? at->unfit : words);
    *at = (struct slot){.status_fd = -1};
    return rc;
}

/* Children are known by their pids, all else whose parent this process is has escaped from one: it is killed, and the
 * slots that ended are reported only when nothing is left. In a pid namespace the kernel has done that already. */
static int settle_gone(struct ps_zygote *self)
{
    pid_t known[PS_HOST_SLOTS_MAX + 1];
    size_t n = 0;
    int rc = 0;

    if (self->probe)
        known[n++] = self->probe;

    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++)
        if (self->slots[i].pid && !self->slots[i].gone)
            known[n++] = self->slots[i].pid;
    if (!(self->conf.jail->walls & PS_WALL_PID_NS) && ps_strays_kill(known, n) > 0)
        return 0;
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX && !rc; i++)
        if (self->slots[i].gone)
            rc = report_gone(self, i);
    self->gone_n = false;
    return rc;
}

static int on_signals(struct ps_zygote *self)
{
    struct signalfd_siginfo info;

    while (read(self->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM)
            return PS_ERR_CLOSED;
    return reap(self);
}

static int turn(struct ps_zygote *self, int wake, int timeout_ms)
{
    struct pollfd at[2 + PS_HOST_SLOTS_MAX + 1] = {{.fd = self->control, .events = POLLIN},
                                                   {.fd = self->signals, .events = POLLIN}};
    int rc = 0;

    at[2 + PS_HOST_SLOTS_MAX] = (struct pollfd){.fd = wake, .events = POLLIN};
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++)
        at[2 + i] =
            (struct pollfd){.fd = self->slots[i].pid ? self->slots[i].status_fd : -1, .events = POLLIN};
    if (poll(at, PS_ARRAY_N(at), self->gone_n ? STRAY_MS : timeout_ms) < 0)
        return errno == EINTR ? 0 : PS_ERR_IO;
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX && !rc; i++)
        if (at[2 + i].revents)
            rc = on_status(self, i);
    if (!rc && at[1].revents)
        rc = on_signals(self);
    if (!rc && self->gone_n)
        rc = settle_gone(self);
    if (!rc && at[0].revents)
        rc = on_control(self);
    return rc;
}

int ps_zygote_new(struct ps_zygote **ret_self, const struct ps_zygote_conf *conf, struct ps_error *reterr)
{
    PS_CLEANUP(ps_zygote_free) struct ps_zygote *self = PS_NEW(struct ps_zygote);
    sigset_t wanted;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->magic = MAGIC;
    self->conf = *conf;
    self->control = self->probe_fd = -1;
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++)
        self->slots[i].status_fd = -1;
    (void)sigemptyset(&wanted); /* none of these can fail with valid signals */
    (void)sigaddset(&wanted, SIGCHLD);
    (void)sigaddset(&wanted, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    self->signals = ps_fd_lift(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    self->null = ps_fd_lift(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (self->signals < 0 || self->null < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no signalfd or no /dev/null: %s", strerror(errno));
    *ret_self = PS_TAKE(self);
    return 0;
}

static bool any_left(const struct ps_zygote *self)
{
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++)
        if (self->slots[i].pid)
            return true;
    return false;
}

void ps_zygote_free(struct ps_zygote **self_p)
{
    struct ps_zygote *self = *self_p;
    uint64_t until_ms = ps_clock_mono_ms() + PS_HOST_EXIT_MS;

    if (!self)
        return;
    PS_CHECK_MAGIC(self, MAGIC);
    self->control = -1; /* nobody is told any more */
    for (unsigned i = 0; i < PS_HOST_SLOTS_MAX; i++)
        kill_child(&self->slots[i]);
    while (any_left(self) && ps_clock_mono_ms() < until_ms && turn(self, -1, PS_HOST_EXIT_MS) == 0)
        ;
    if (self->probe)
        (void)kill(self->probe, SIGKILL); /* ours until it is waited for; it ends with us */
    ps_close_fd_p(&self->probe_fd);
    ps_close_fd_p(&self->signals);
    ps_close_fd_p(&self->null);
    self->magic = 0;
    free(self);
    *self_p = NULL;
}

int ps_zygote_serve(struct ps_zygote *self, int control, struct ps_error *reterr)
{
    int rc = 0;

    PS_CHECK_MAGIC(self, MAGIC);
    self->control = control;
    while (!rc)
        rc = turn(self, -1, -1);
    if (rc == PS_ERR_CLOSED)
        return 0;
    return ps_error_set(reterr, rc, "the session said something that is not understood: %s", ps_err_text(rc));
}

int ps_zygote_turn(struct ps_zygote *self, int control, int wake, int timeout_ms)
{
    PS_CHECK_MAGIC(self, MAGIC);
    self->control = control;
    return turn(self, wake, timeout_ms);
}
