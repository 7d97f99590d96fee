/* The session's whole side of an engine host (host.c, slot.c, result.c) against a zygote and children that say anything:
 * the input is a sequence of what they do, what the session asks for, and how time goes by. No process is started: the
 * launcher is played here. Whatever happens: exactly one valid result for each job that was taken, HAVE once and before
 * it, nothing for slots that there are not; and patience ends everything. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/command.h"
#include "worker/host/host.h"
#include "worker/host/launcher.h"
#include "worker/host/packet.h"

#define SLOTS      3
#define ACTS_MAX   300
#define EVENTS_MAX 4096 /* of one act; more is a loop without an end */
#define TURNS_MAX  64   /* until patience with everything has ended */
#define PIECE_MAX  4096 /* bytes of a packet made of the input as it is */
#define RUN_MS     1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    const uint8_t *at; /* the input, read byte by byte; zeros behind its end */
    size_t left;
    struct ps_host *host;
    uint64_t now_ms;
    uint64_t jobs;             /* given out */
    int sample;                /* what all of them scan */
    int children[SLOTS];       /* their ends of the sockets; -1 */
    uint64_t running[SLOTS];   /* the job that a slot owes a result; 0 */
    bool have[SLOTS];          /* HAVE has come for it */
    bool loaded, failed, gone; /* seen */
};

/* ---- the launcher, played ---- */

static int zygote = -1; /* its end of the control socket */
static int ended = -1;  /* our copy of the descriptor that says so */

int ps_launcher_start(struct ps_launcher *self, const struct ps_host_conf *conf, int control,
                      uint32_t *ret_instance, pid_t *ret_pid, int *ret_pidfd, struct ps_error *reterr)
{
    (void)self;
    (void)conf;
    (void)reterr;
    zygote = dup(control);
    *ret_pidfd = eventfd(0, EFD_CLOEXEC);
    ended = dup(*ret_pidfd);
    *ret_instance = 1;
    *ret_pid = 1;
    return zygote < 0 || *ret_pidfd < 0 || ended < 0 ? PS_ERR_LIMIT : 0;
}

int ps_launcher_end(struct ps_launcher *self, uint32_t instance, int *ret_status)
{
    (void)self;
    if (instance != 1)
        abort();
    *ret_status = 9;
    ps_close_fd_p(&zygote);
    return 0;
}

/* Without a launcher a process is started: never here. */
bool ps_spawn_name_valid(const char *name)
{
    return name[0] != '\0';
}

int ps_spawn_here(const struct ps_host_conf *conf, const char *tmpdir, int control, pid_t *ret_pid,
                  int *ret_pidfd, struct ps_error *reterr)
{
    (void)conf;
    (void)tmpdir;
    (void)control;
    (void)ret_pid;
    (void)ret_pidfd;
    (void)reterr;
    abort();
}

/* ---- what must hold ---- */

static void check_result(const struct ps_host_result *result)
{
    if (!ps_outcome_valid(result->outcome) || strlen(result->label) > PS_LABEL_MAX ||
        strlen(result->reason) > PS_TEXT_MAX || result->traits_len > PS_TRAITS_MAX)
        abort();
    if (!result->counted && result->outcome != PS_OUTCOME_UNDETECTED)
        abort();
    if (result->traits_len > 0) {
        json_t *traits = json_loads(result->traits, 0, NULL);

        if (!json_is_object(traits))
            abort();
        json_decref(traits);
    }
}

static void take_event(struct world *w, const struct ps_host_event *event)
{
    unsigned slot = event->slot;

    if (slot >= SLOTS || w->gone)
        abort();
    switch (event->kind) {
    case PS_HOST_HAVE:
        if (w->running[slot] != event->job || w->have[slot])
            abort();
        w->have[slot] = true;
        break;
    case PS_HOST_RESULT:
        if (w->running[slot] == 0 || w->running[slot] != event->result->job ||
            event->job != event->result->job)
            abort();
        check_result(event->result);
        w->running[slot] = 0;
        w->have[slot] = false;
        break;
    case PS_HOST_LOADED:
        if (w->loaded || !ps_host_info(w->host))
            abort();
        w->loaded = true;
        break;
    case PS_HOST_FAILED:
        if (w->failed)
            abort();
        w->failed = true;
        break;
    case PS_HOST_GONE:
        w->gone = true;
        break;
    case PS_HOST_READY:
    case PS_HOST_PROBED:
    case PS_HOST_EXITED:
        break;
    }
}

static void step(struct world *w)
{
    struct ps_host_event event;
    unsigned n = 0;

    while (ps_host_step(w->host, w->now_ms, &event) == 1) {
        if (++n > EVENTS_MAX)
            abort();
        take_event(w, &event);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (ps_host_idle(w->host, i) && w->running[i] != 0)
            abort();
}

/* ---- who says what ---- */

static unsigned byte(struct world *w)
{
    if (!w->left)
        return 0;
    w->left--;
    return *w->at++;
}

/* What the zygote has been sent: it takes over the children's sockets, or does not. */
static void zygote_listens(struct world *w)
{
    static uint8_t packet[PS_PACKET_MAX];
    struct ps_msg msg;
    int carried = -1;

    if (zygote < 0 || ps_packet_recv(zygote, packet, &msg, &carried, MSG_DONTWAIT))
        return;
    if (msg.id == PS_MSG_H_SPAWN && msg.H_SPAWN.slot < SLOTS && carried >= 0) {
        ps_close_fd_p(&w->children[msg.H_SPAWN.slot]);
        w->children[msg.H_SPAWN.slot] = PS_TAKE_FD(carried);
    } else if (msg.id != PS_MSG_H_KILL || msg.H_KILL.slot >= SLOTS) {
        abort(); /* the session itself must not talk nonsense */
    }
    ps_close_fd_p(&carried);
}

static void say(int fd, const struct ps_msg *msg)
{
    if (fd >= 0)
        (void)ps_packet_send(fd, msg, -1,
                             MSG_DONTWAIT); /* a full or closed socket is one more thing that happens */
}

static void say_raw(struct world *w, int fd)
{
    size_t len = PS_MIN((size_t)byte(w) << 4 | (byte(w) & 15), w->left);
    int carried = byte(w) & 1 ? w->sample : -1;

    len = PS_MIN(len, PS_MIN(w->left, (size_t)PIECE_MAX));
    if (fd >= 0 && len > 0)
        (void)ps_sock_send(fd, w->at, len, &carried, carried >= 0, MSG_DONTWAIT); /* as above */
    w->at += len;
    w->left -= len;
}

static void zygote_says(struct world *w)
{
    unsigned slot = byte(w) % (SLOTS + 1); /* one that there is not, too */

    switch (byte(w) % 4) {
    case 0:
        say(zygote, PS_MSG(H_LOADED, .engine = ps_bytes_of("played"), .kind = byte(w) % 3, .run_ms = RUN_MS));
        break;
    case 1:
        say(zygote, PS_MSG(H_FAILED, .reason = ps_bytes_of("it does not load")));
        break;
    case 2:
        say(zygote, PS_MSG(H_SPAWNED, .slot = slot, .pid = 7));
        break;
    default:
        say(zygote, PS_MSG(H_EXITED, .slot = slot, .status = byte(w), .reason = ps_bytes_of("played"),
                           .cpu_us = byte(w)));
    }
}

static void child_says(struct world *w)
{
    static const char *const json[] = {"1", "{\"a\": [1]}", "no json", ""};
    unsigned slot = byte(w) % SLOTS;
    uint64_t job = w->running[slot] + byte(w) / 250; /* mostly the right one */
    int fd = w->children[slot];

    switch (byte(w) % 4) {
    case 0:
        say(fd, PS_MSG(H_HAVE, .job = job));
        break;
    case 1:
        say(fd, PS_MSG(H_FINDING, .job = job, .outcome = byte(w) % 14, .label = ps_bytes_of("Played")));
        break;
    case 2:
        say(fd,
            PS_MSG(H_TRAIT, .job = job, .key = ps_bytes_of("key"), .json = ps_bytes_of(json[byte(w) % 4])));
        break;
    default:
        say(fd,
            PS_MSG(H_DONE, .job = job, .outcome = byte(w) % 14, .counted = byte(w) & 1, .last = byte(w) & 1));
    }
}

static void session_asks(struct world *w)
{
    static const uint8_t sha256[32];
    unsigned slot = byte(w) % (SLOTS + 1);
    struct ps_host_job job = {.job = w->jobs + 1, .sha256 = sha256, .size = 6, .fd = w->sample};

    switch (byte(w) % 4) {
    case 0:
        (void)ps_host_spawn(w->host, slot,
                            w->now_ms); /* refused where there is no such slot: what follows tells */
        break;
    case 1:
        ps_host_kill(w->host, slot, "the session had enough", w->now_ms);
        break;
    default:
        job.run_ms = byte(w) * 10;
        if (ps_host_run(w->host, slot, &job, w->now_ms) == 0) {
            if (slot >= SLOTS || w->running[slot] != 0)
                abort();
            w->running[slot] = ++w->jobs;
        }
    }
}

static void end_something(struct world *w)
{
    static const uint64_t one = 1;
    unsigned what = byte(w) % 8;

    if (what < SLOTS)
        ps_close_fd_p(&w->children[what]);
    else if (what == 6)
        ps_close_fd_p(&zygote);
    else if (what == 7 && write(ended, &one, sizeof(one)) != (ssize_t)sizeof(one))
        abort();
}

static void act(struct world *w)
{
    switch (byte(w) % 8) {
    case 0:
        zygote_says(w);
        break;
    case 1:
        say_raw(w, zygote);
        break;
    case 2:
    case 3:
        child_says(w);
        break;
    case 4:
        say_raw(w, w->children[byte(w) % SLOTS]);
        break;
    case 5:
        session_asks(w);
        break;
    case 6:
        w->now_ms += byte(w) * 50;
        break;
    default:
        end_something(w);
    }
    zygote_listens(w);
    step(w);
}

/* Nobody says anything any more: every job gets its result all the same, by the clock alone. */
static void run_out_of_patience(struct world *w)
{
    for (unsigned n = 0; n < TURNS_MAX && !w->gone; n++) {
        uint64_t due_ms = ps_host_due_ms(w->host);

        if (due_ms == UINT64_MAX)
            break;
        w->now_ms = PS_MAX(w->now_ms, due_ms);
        step(w);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (w->running[i] != 0)
            abort();
}

static bool begin(struct world *w)
{
    static char launcher; /* only its address is used */
    struct ps_host_conf conf = {.program = "played",
                                .engine = "played",
                                .plugin = "played",
                                .slots = SLOTS,
                                .launcher = (struct ps_launcher *)(void *)&launcher};
    struct ps_error error = {0};

    for (unsigned i = 0; i < SLOTS; i++)
        w->children[i] = -1;
    return ps_file_memfd("sample", "sample", 6, &w->sample) == 0 &&
           ps_host_start(&w->host, &conf, w->now_ms, &error) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.at = data, .left = size, .now_ms = 1000, .sample = -1};

    if (begin(&w)) {
        for (unsigned n = 0; n < ACTS_MAX && w.left > 0; n++)
            act(&w);
        run_out_of_patience(&w);
    }
    ps_host_free(&w.host);
    for (unsigned i = 0; i < SLOTS; i++)
        ps_close_fd_p(&w.children[i]);
    ps_close_fd_p(&w.sample);
    ps_close_fd_p(&zygote);
    ps_close_fd_p(&ended);
    return 0;
}
