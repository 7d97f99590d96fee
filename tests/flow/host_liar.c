/* A program in the place of phagescan-enginehost that plays zygote and child at once and breaks every rule that there
 * is: started by host_lies.c as the session starts the real one. What it does is in its setting lie=... */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/command.h"
#include "worker/host/packet.h"

#define CONTROL PS_SPAWN_CONTROL_FD

static uint8_t packet[PS_PACKET_MAX];
static int child = -1;  /* the child's end */
static uint64_t job;    /* the one in hand */
static const char *lie; /* what to do */

/* A session that has had enough of the child is no reason to end: a zygote goes on. */
static void say(int fd, const struct ps_msg *msg)
{
    if (ps_packet_send(fd, msg, -1, 0) && fd == CONTROL)
        exit(0);
}

static void have(void)
{
    say(child, PS_MSG(H_HAVE, .job = job));
}

static void finding(uint64_t of, uint32_t outcome, const char *label)
{
    say(child, PS_MSG(H_FINDING, .job = of, .outcome = outcome, .label = ps_bytes_of(label)));
}

static void trait(const char *key, const char *json)
{
    say(child, PS_MSG(H_TRAIT, .job = job, .key = ps_bytes_of(key), .json = ps_bytes_of(json)));
}

static void done(uint32_t outcome)
{
    say(child, PS_MSG(H_DONE, .job = job, .outcome = outcome, .counted = true));
}

static void raw(const void *data, size_t len, int fd)
{
    (void)ps_sock_send(child, data, len, &fd, fd >= 0 ? 1 : 0, 0); /* as in say */
}

static void lie_garbage(void)
{
    have();
    raw("\xff\xff\xff\xff", 4, -1);
}

static void lie_two_records(void)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 1024);
    (void)ps_msg_put(&buf, PS_MSG(H_HAVE, .job = job)); /* fits: both */
    (void)ps_msg_put(&buf, PS_MSG(H_DONE, .job = job, .outcome = 3, .counted = true));
    raw(buf.data, buf.len, -1);
}

static void lie_descriptor(void)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 1024);
    (void)ps_msg_put(&buf, PS_MSG(H_HAVE, .job = job)); /* fits */
    raw(buf.data, buf.len, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void lie_huge(void)
{
    static char big[PS_PACKET_MAX + 1];

    have();
    raw(big, sizeof(big), -1);
}

static void lie_other_job(void)
{
    have();
    finding(job + 1, 1, "Not.Mine");
}

static void lie_have_twice(void)
{
    have();
    have();
}

static void lie_no_have(void)
{
    done(3);
}

static void lie_kind(void)
{
    have();
    done(12);
}

static void lie_outcome(void)
{
    have();
    done(4711);
}

static void lie_finding_kind(void)
{
    have();
    finding(job, 3, "Undetected.Is.No.Finding");
}

static void lie_wrong_message(void)
{
    have();
    say(child, PS_MSG(H_KILL, .slot = 0));
}

static void lie_json(void)
{
    have();
    trait("t", "{\"a\": [1, 2}");
}

static void lie_json_nul(void)
{
    have();
    trait("t", "\"a\\u0000b\"");
}

static void lie_flood(void)
{
    have();
    for (int i = 0; i < 10 * PS_HOST_PACKETS_MAX; i++)
        finding(job, 5, "x");
}

/* Within the limits of each, over that of all: bounded, and marked. */
static void lie_many_traits(void)
{
    static char value[40000];
    char key[32];

    memset(value, '7', sizeof(value) - 1);
    value[0] = value[sizeof(value) - 2] = '"';
    have();
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i); /* fits */
        trait(key, value);
    }
    done(3);
}

static void lie_many_findings(void)
{
    have();
    for (int i = 0; i < 2 * PS_HOST_FINDINGS_MAX; i++)
        finding(job, 2, "Suspicious.Thing");
    finding(job, 1, "Over.The.Limit");
    done(3);
}

static void lie_worst_wins(void)
{
    have();
    finding(job, 4, "Known.Good");
    finding(job, 2, "Rather.Odd");
    finding(job, 1, "Really.Bad");
    finding(job, 1, "Bad.Too");
    finding(job, 5, "Half.Read");
    done(3);
}

static void lie_hit_then_gone(void)
{
    have();
    finding(job, 1, "Hit.First");
    say(CONTROL, PS_MSG(H_EXITED, .slot = 0, .status = 11, .reason = ps_bytes_of("killed by SIGSEGV")));
}

static void lie_hit_then_breach(void)
{
    have();
    finding(job, 1, "Hit.First");
    raw("\xc1", 1, -1);
}

static void lie_done_twice(void)
{
    have();
    done(3);
    done(3);
}

static void lie_silent(void)
{
}

static void lie_bad_slot(void)
{
    say(CONTROL, PS_MSG(H_EXITED, .slot = 99, .reason = ps_bytes_of("there is none")));
}

static void lie_loaded_twice(void)
{
    say(CONTROL, PS_MSG(H_LOADED, .engine = ps_bytes_of("liar"), .kind = 1));
}

static const struct {
    const char *name;
    void (*run)(void);
} lies[] = {
    {"garbage", lie_garbage},
    {"two-records", lie_two_records},
    {"descriptor", lie_descriptor},
    {"huge", lie_huge},
    {"other-job", lie_other_job},
    {"have-twice", lie_have_twice},
    {"no-have", lie_no_have},
    {"kind", lie_kind},
    {"outcome", lie_outcome},
    {"finding-kind", lie_finding_kind},
    {"wrong-message", lie_wrong_message},
    {"json", lie_json},
    {"json-nul", lie_json_nul},
    {"flood", lie_flood},
    {"many-traits", lie_many_traits},
    {"many-findings", lie_many_findings},
    {"worst-wins", lie_worst_wins},
    {"hit-then-gone", lie_hit_then_gone},
    {"hit-then-breach", lie_hit_then_breach},
    {"done-twice", lie_done_twice},
    {"silent", lie_silent},
    {"immortal", lie_garbage},
    {"bad-slot", lie_bad_slot},
    {"loaded-twice", lie_loaded_twice},
};

static void play_child(void)
{
    struct ps_msg msg;
    int sample = -1;

    if (ps_packet_recv(child, packet, &msg, &sample, 0) || msg.id != PS_MSG_H_JOB)
        exit(3);
    ps_close_fd_p(&sample);
    job = msg.H_JOB.job;
    for (size_t i = 0; i < PS_ARRAY_N(lies); i++)
        if (strcmp(lies[i].name, lie) == 0)
            lies[i].run();
}

static void play_zygote(void)
{
    struct ps_msg msg;
    int carried = -1;

    while (ps_packet_recv(CONTROL, packet, &msg, &carried, 0) == 0) {
        if (msg.id == PS_MSG_H_SPAWN) {
            child = carried;
            say(CONTROL, PS_MSG(H_SPAWNED, .slot = msg.H_SPAWN.slot, .pid = 1));
            play_child();
        } else if (strcmp(lie, "immortal") != 0) {
            ps_close_fd_p(&child);
            say(CONTROL, PS_MSG(H_EXITED, .slot = msg.H_KILL.slot, .status = 9,
                                .reason = ps_bytes_of("killed by SIGKILL")));
        }
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--set=lie=", 10) == 0)
            lie = argv[i] + 10;
    if (!lie)
        return 2;
    if (strcmp(lie, "mute") == 0) {
        uint8_t byte;

        return read(CONTROL, &byte, 1) < 0; /* says nothing until the session is gone */
    }
    if (strcmp(lie, "babble") == 0)
        (void)ps_sock_send(CONTROL, "\xff\xff", 2, NULL, 0, 0); /* the session hangs up */
    else
        say(CONTROL, PS_MSG(H_LOADED, .engine = ps_bytes_of("liar"), .kind = 1, .run_ms = 60000));
    play_zygote();
    return 0;
}
