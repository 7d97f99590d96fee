/* Packets from a session to a zygote (zygote.c): whatever comes, with or without a socket, and whatever its children do.
 * Children are real processes here that only wait for their end: no engine, no walls. The zygote says EXITED and nothing
 * else, once for each SPAWN and not without one; when it has gone nothing of it is left: no process, no descriptor. */
#include <dirent.h>
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

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/again.h"
#include "worker/host/child.h"
#include "worker/host/host.h"
#include "worker/host/packet.h"
#include "worker/host/strays.h"
#include "worker/host/zygote.h"

#define ACTS_MAX     40
#define CHILDREN_MAX 6    /* forks of one input: they are what costs time */
#define WAIT_MS      5000 /* what does not come within this is a failure */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct world {
    const uint8_t *at; /* the input, read byte by byte; zeros behind its end */
    size_t left;
    struct ps_zygote *zygote;
    int sock; /* the session's end */
    unsigned owed[PS_HOST_SLOTS_MAX +
                  1]; /* EXITED that are to come, by slot; the last for slots that there are not */
    unsigned owed_n;
};

static char dir[] = "/tmp/phagescan-fuzz-zygote-XXXXXX";
static uint8_t packet[PS_PACKET_MAX];
static pid_t children[CHILDREN_MAX];
static unsigned children_n;
static int input[2]; /* of children; the other end is ours alone */

/* ---- the jail and the child, played ---- */

/* cat, which waits until it is killed, or until this process has ended and so its input: a sanitized process takes
 * ten times as long to fork. */
pid_t ps_jail_fork(const struct ps_jail *self)
{
    static char name[] = "cat";
    static char *const argv[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;

    (void)self;
    if (children_n == CHILDREN_MAX || posix_spawn_file_actions_init(&actions) != 0)
        return -1; /* as when memory is short */
    if (posix_spawn_file_actions_adddup2(&actions, input[0], 0) != 0 ||
        posix_spawn(&pid, "/bin/cat", &actions, NULL, argv, environ) != 0)
        pid = -1;
    (void)posix_spawn_file_actions_destroy(&actions); /* never fails in glibc */
    if (pid > 0)
        children[children_n++] = pid;
    return pid;
}

int ps_child_run(const struct ps_child_conf *conf, int sock, int status_fd)
{
    (void)conf;
    (void)sock;
    (void)status_fd;
    abort(); /* nothing of ours runs in a child */
}

size_t ps_strays_kill(const pid_t *known, size_t n)
{
    (void)known;
    (void)n;
    return 0;
}

/* No engine is loaded whose probe could be asked: as when no process can be forked for it. */
int ps_again_start(struct ps_plugin *plugin, const char *tmp, pid_t *ret_pid, int *ret_fd)
{
    (void)plugin;
    (void)tmp;
    (void)ret_pid;
    (void)ret_fd;
    return PS_ERR_LIMIT;
}

void ps_again_end(int fd, int wait_status, char *ret_text, size_t max)
{
    (void)fd;
    (void)wait_status;
    (void)ret_text;
    (void)max;
    abort(); /* none was started */
}

/* ---- what it says ---- */

static unsigned *owed(struct world *w, uint32_t slot)
{
    return &w->owed[PS_MIN(slot, (uint32_t)PS_HOST_SLOTS_MAX)];
}

static void listen_all(struct world *w)
{
    struct ps_msg msg;
    int carried;

    while (ps_packet_recv(w->sock, packet, &msg, &carried, MSG_DONTWAIT) == 0) {
        if (carried >= 0 || msg.id != PS_MSG_H_EXITED || *owed(w, msg.H_EXITED.slot) == 0)
            abort(); /* the played children never say that they are ready */
        --*owed(w, msg.H_EXITED.slot);
        w->owed_n--;
    }
}

/* ---- what it is told ---- */

static unsigned byte(struct world *w)
{
    if (!w->left)
        return 0;
    w->left--;
    return *w->at++;
}

static uint32_t some_slot(struct world *w)
{
    unsigned b = byte(w);

    return b < 200 ? b % 4 : b < 240 ? PS_HOST_SLOTS_MAX - 2 + b % 4 : UINT32_MAX;
}

static void send_spawn(struct world *w)
{
    uint32_t slot = some_slot(w);
    PS_CLOSE int mine = -1, theirs = -1;
    int fds[2];

    if (byte(w) % 8 != 0 && ps_sock_pair(fds) == 0) {
        mine = fds[0];
        theirs = fds[1];
    }
    if (ps_packet_send(w->sock, PS_MSG(H_SPAWN, .slot = slot), theirs, MSG_DONTWAIT))
        return;
    ++*owed(w, slot);
    w->owed_n++;
}

static void send_raw(struct world *w)
{
    size_t wanted = byte(w);
    int carried = byte(w) & 1 ? w->sock : -1;
    size_t len = PS_MIN(wanted, w->left);
    struct ps_bytes frame = {w->at, len};
    struct ps_msg msg;

    /* One that is understood has to be counted as above. */
    if (len > 0 && (ps_msg_next(&frame, &msg) != 1 || msg.id != PS_MSG_H_SPAWN))
        (void)ps_sock_send(w->sock, w->at, len, &carried, carried >= 0, MSG_DONTWAIT); /* or it is full */
    w->at += len;
    w->left -= len;
}

static void kill_one(struct world *w)
{
    unsigned no = byte(w);

    /* Only while the zygote has not waited for it is the number surely its own. */
    if (no < children_n &&
        waitid(P_PID, (id_t)children[no], &(siginfo_t){0}, WNOHANG | WNOWAIT | WEXITED) == 0)
        (void)kill(children[no], SIGKILL);
}

/* False when the zygote would end: it was told what it can't understand. */
static bool act(struct world *w, int control)
{
    switch (byte(w) % 5) {
    case 0:
    case 1:
        send_spawn(w);
        break;
    case 2:
        (void)ps_packet_send(w->sock, PS_MSG(H_KILL, .slot = some_slot(w)), -1,
                             MSG_DONTWAIT); /* or it is full */
        break;
    case 3:
        send_raw(w);
        break;
    default:
        kill_one(w);
    }
    if (ps_zygote_turn(w->zygote, control, -1, 0))
        return false;
    listen_all(w);
    return true;
}

/* All children killed: each EXITED that is owed has to come, those of refused spawns among them. */
static void settle(struct world *w, int control)
{
    for (uint32_t slot = 0; slot < PS_HOST_SLOTS_MAX; slot++)
        if (w->owed[slot])
            (void)ps_packet_send(w->sock, PS_MSG(H_KILL, .slot = slot), -1, MSG_DONTWAIT); /* seen below */
    for (unsigned n = 0; n < 4 * PS_HOST_SLOTS_MAX && w->owed_n > 0; n++) {
        if (ps_zygote_turn(w->zygote, control, -1, WAIT_MS))
            abort();
        listen_all(w);
    }
    if (w->owed_n > 0)
        abort();
}

static size_t open_descriptors(void)
{
    DIR *fds = opendir("/proc/self/fd");
    size_t n = 0;

    if (!fds)
        abort();
    while (readdir(fds))
        n++;
    (void)closedir(fds);
    return n;
}

static void remove_dir(void)
{
    (void)ps_file_remove_tree(dir, true); /* empty */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    sigset_t wanted;

    (void)argc;
    (void)argv;
    /* libFuzzer starts a thread after this, which would else take the signals that the zygote waits for. */
    (void)sigemptyset(&wanted); /* none of these can fail with valid signals */
    (void)sigaddset(&wanted, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    if (pipe2(input, O_CLOEXEC) < 0 || !mkdtemp(dir) || atexit(remove_dir) != 0)
        abort();
    return 0;
}

static void play(struct world *w, int control)
{
    struct ps_jail jail = {.walls = PS_WALL_PID_NS};
    struct ps_zygote_conf conf = {.jail = &jail, .tmp = dir};
    struct ps_error error = {0};
    bool goes_on = true;

    if (ps_zygote_new(&w->zygote, &conf, &error))
        return;
    for (unsigned n = 0; n < ACTS_MAX && w->left > 0 && goes_on; n++)
        goes_on = act(w, control);
    if (goes_on)
        settle(w, control);
    ps_zygote_free(&w->zygote);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.at = data, .left = size};
    size_t before = open_descriptors();
    int socks[2];

    children_n = 0;
    if (ps_sock_pair(socks))
        return 0;
    w.sock = socks[0];
    play(&w, socks[1]);
    (void)close(socks[0]);
    (void)close(socks[1]);
    for (unsigned i = 0; i < children_n; i++)
        if (waitpid(children[i], NULL, WNOHANG) >= 0 || errno != ECHILD)
            abort();
    if (open_descriptors() != before)
        abort();
    return 0;
}
