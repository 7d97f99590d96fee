/* Packets from a session to a jailed child (child.c, report.c): whatever comes, with or without a descriptor, the child
 * answers each job that it understands with HAVE and DONE, in order, and nothing else; at the first packet that it does
 * not understand it ends. The walls are played here: none goes up in this process. The engine does with its callbacks what
 * the sample says. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/child.h"
#include "worker/host/deadly.h"
#include "worker/host/packet.h"

#define PACKETS_MAX 8   /* in a row: the answers have to fit the socket */
#define SAMPLE_MAX  512 /* bytes; each may be a call */
#define CALLS_MAX   16  /* of an engine a scan, likewise */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[] = "/tmp/phagescan-fuzz-child-XXXXXX";
static uint8_t packet[PS_PACKET_MAX];

/* ---- the walls, played ---- */

void ps_deadly_signals(void)
{
}

void ps_filter_explain(void)
{
}

int ps_jail_room(struct ps_jail *self, const char *at, char *tmpdir, size_t tmpdir_max, pid_t *ret_pid,
                 struct ps_error *reterr)
{
    (void)self;
    (void)reterr;
    (void)snprintf(tmpdir, tmpdir_max, "%s", at); /* of its size by contract */
    *ret_pid = getpid();
    return 0;
}

int ps_jail_shut(struct ps_jail *self, const char *tmpdir, struct ps_error *reterr)
{
    (void)self;
    (void)tmpdir;
    (void)reterr;
    return 0;
}

bool ps_jail_sweep(const struct ps_jail *self)
{
    (void)self;
    return true;
}

bool ps_jail_is_stale(const struct ps_jail *self)
{
    (void)self;
    return false;
}

/* ---- the engine ---- */

static void call(const struct ps_engine_report *report, uint8_t what, const char *text)
{
    switch (what % 6) {
    case 0:
        (void)report->finding(report->host, what / 6 % 14,
                              text); /* what it refuses, the result shows: all of these */
        break;
    case 1:
        (void)report->trait(report->host, text, text, strlen(text));
        break;
    case 2:
        (void)report->trait(report->host, "key", "{\"a\": 1}", 8);
        break;
    case 3:
        report->reason(report->host, "%s", text);
        break;
    case 4:
        report->type(report->host, text);
        break;
    default:
        (void)report->artifact(report->host, text, text, text, strlen(text));
    }
}

static enum ps_found scan(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report)
{
    char text[SAMPLE_MAX + 1] = "";
    ssize_t n = pread(sample->fd, text, SAMPLE_MAX, 0);

    (void)engine;
    if (n < 0 || sample->fd < 0 || strcmp(sample->tmpdir, dir) != 0)
        abort();
    for (ssize_t i = 0; i < n && i < CALLS_MAX; i++)
        call(report, (uint8_t)text[i], text + i);
    return (enum ps_found)(n > 0 ? (uint8_t)text[n - 1] % 16 : PS_FOUND_UNDETECTED);
}

static const struct ps_engine engine = {.abi = PS_ENGINE_ABI,
                                        .size = sizeof(struct ps_engine),
                                        .name = "played",
                                        .kind = PS_ENGINE_EVILNESS,
                                        .scan = scan};

/* ---- the session ---- */

/* The input: a byte that says what comes with the packet, one of its kind, and its bytes. */
static size_t send_packets(int sock, const uint8_t *data, size_t size)
{
    size_t sent = 0;

    while (size >= 3 && sent < PACKETS_MAX) {
        size_t len = PS_MIN((size_t)data[2] << (data[0] >> 4 & 7), size - 3);
        PS_CLOSE int fd = -1;
        bool ok;

        if (data[0] & 1)
            (void)ps_file_memfd("sample", data + 3, PS_MIN(len, (size_t)SAMPLE_MAX),
                                &fd); /* without one then */
        if (data[0] & 2)
            ok = ps_packet_send(sock,
                                PS_MSG(H_JOB, .job = data[1],
                                       .size = PS_MIN(len, (size_t)SAMPLE_MAX) + data[1] / 200,
                                       .type = ps_bytes_of("text/plain")),
                                fd, MSG_DONTWAIT) == 0;
        else
            ok = len > 0 && ps_sock_send(sock, data + 3, len, &fd, fd >= 0, MSG_DONTWAIT) == 0;
        sent += ok;
        data += 3 + len;
        size -= 3 + len;
    }
    return sent;
}

/* HAVE, then what was found, then DONE; and the next. */
static void check_answers(int sock, size_t sent)
{
    size_t done = 0;
    uint64_t job = 0;
    bool open = false;
    struct ps_msg msg;
    int carried;

    while (ps_packet_recv(sock, packet, &msg, &carried, MSG_DONTWAIT) == 0) {
        if (carried >= 0 || (msg.id == PS_MSG_H_HAVE) == open)
            abort();
        switch (msg.id) {
        case PS_MSG_H_HAVE:
            job = msg.H_HAVE.job;
            open = true;
            break;
        case PS_MSG_H_DONE:
            if (msg.H_DONE.job != job || ++done > sent)
                abort();
            open = false;
            break;
        case PS_MSG_H_FINDING:
            if (msg.H_FINDING.job != job)
                abort();
            break;
        case PS_MSG_H_TRAIT:
            if (msg.H_TRAIT.job != job)
                abort();
            break;
        default: /* what is derived from a sample */
            if (msg.id < PS_MSG_H_LOADED)
                abort();
        }
    }
    if (open)
        abort();
}

static size_t open_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void remove_dir(void)
{
    (void)ps_file_remove_tree(dir, true); /* empty */
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (!mkdtemp(dir) || atexit(remove_dir) != 0)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_plugin plugin = {.engine = &engine};
    struct ps_jail jail = {.walls = 0};
    struct ps_child_conf conf = {
        .plugin = &plugin, .jail = &jail, .dir = dir, .recycle = UINT64_MAX, .growth_bytes = UINT64_MAX / 2};
    size_t before = open_descriptors(), sent;
    int socks[2], status = open("/dev/null", O_WRONLY | O_CLOEXEC), ended;

    if (status < 0 || ps_sock_pair(socks))
        return 0;
    sent = send_packets(socks[0], data, size);
    (void)shutdown(socks[0], SHUT_WR); /* the child reads what was sent, and then the end */
    ended = ps_child_run(&conf, socks[1], status);
    if (ended != PS_CHILD_DONE && ended != PS_CHILD_CONFUSED)
        abort();
    (void)close(socks[1]);
    check_answers(socks[0], sent);
    (void)close(socks[0]);
    if (open_descriptors() != before)
        abort();
    return 0;
}
