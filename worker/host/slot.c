/* A child's life as the session sees it. The child's word is never enough: that it has gone, and why, comes from the
 * zygote (H_EXITED); that it lives on is doubted by the clock in every state. */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/child.h"
#include "worker/host/host_in.h"
#include "worker/host/words.h"

#define DRAIN_MAX \
    (PS_HOST_PACKETS_MAX + 1) /* packets of a child that has ended or is over its time: one job's */

int slot_init(struct slot *slot, const char *files_dir)
{
    slot->sock = slot->sample = -1;
    slot->due_ms = PS_NEVER;
    return ps_collect_new(&slot->collect, files_dir);
}

void slot_fini(struct slot *slot)
{
    ps_close_fd_p(&slot->sock);
    ps_close_fd_p(&slot->sample);
    ps_collect_free(&slot->collect);
}

static void enter(struct slot *slot, enum slot_state state, uint64_t due_ms)
{
    slot->state = state;
    slot->due_ms = due_ms;
    slot->extended = false;
}

/* The job is over. */
static void finish(struct slot *slot, enum ps_fate fate, const char *why)
{
    struct ps_host_result *result = ps_collect_finish(slot->collect, fate, why);

    uint64_t now_us = ps_clock_mono_us();

    /* Short scans are over before we have read HAVE: there the child knows better, within what is possible. */
    if (fate == PS_FATE_DONE) {
        result->run_us = PS_MIN(result->run_us, now_us - slot->sent_us);
        slot->cpu_us += result->cpu_us;
    } else if (slot->running) {
        result->run_us = now_us - slot->from_us;
    }
    slot->result = result;
    slot->has_job = slot->sent = slot->had_have = slot->running = false;
    slot->done = true;
    slot->fate = PS_FATE_DONE;
    ps_close_fd_p(&slot->sample);
}

void slot_cancel(struct slot *slot, const char *why)
{
    finish(slot, PS_FATE_CANCELLED, why);
}

void slot_spawn(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    PS_CLOSE int theirs = -1;
    int fds[2], rc;

    slot->starts++;
    rc = ps_sock_pair(fds);
    if (!rc) {
        slot->sock = fds[0];
        theirs = fds[1];
        rc = host_tell(self, PS_MSG(H_SPAWN, .slot = slot_no(self, slot)), theirs, now_ms);
    }
    if (!rc)
        rc = host_watch(self, slot->sock, slot_no(self, slot));
    if (!rc) {
        slot->kills = 0;
        slot->cpu_us = 0;
        enter(slot, SLOT_SPAWNING, now_ms + PS_HOST_START_MS);
        return;
    }
    ps_close_fd_p(&slot->sock);
    if (slot->has_job)
        finish(slot, PS_FATE_FAILED, "no child could be asked for: descriptors or memory are short");
}

void slot_send(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    struct ps_msg *msg = PS_MSG(H_JOB, .job = slot->job, .size = slot->size, .type = ps_bytes_of(slot->type),
                                .run_ms = slot->run_ms);
    int rc;

    memcpy(msg->H_JOB.sha256, slot->sha256, sizeof(msg->H_JOB.sha256));
    rc = ps_packet_send(slot->sock, msg, slot->sample, MSG_DONTWAIT);
    slot->sent = true;
    slot->sent_us = ps_clock_mono_us();
    /* A socket that takes nothing belongs to a child that has just ended or does not read: EXITED tells. */
    if (rc)
        slot_die(self, slot, PS_FATE_DONE, "", now_ms);
    else
        enter(slot, SLOT_SENT, now_ms + PS_HOST_START_MS);
}

void slot_die(struct ps_host *self, struct slot *slot, enum ps_fate fate, const char *why, uint64_t now_ms)
{
    if (fate != PS_FATE_DONE && slot->fate == PS_FATE_DONE) {
        slot->fate = fate;
        (void)snprintf(slot->why, sizeof(slot->why), "%s", why); /* cut is readable */
    }
    enter(slot, SLOT_DYING, now_ms + PS_HOST_EXIT_MS);
    slot->kills++;
    (void)host_tell(self, PS_MSG(H_KILL, .slot = slot_no(self, slot)), -1,
                    now_ms); /* a dead zygote is seen to */
}

/* The child's end of the socket is closed, or it broke the rules: nothing more is read. */
static void close_sock(struct slot *slot)
{
    ps_close_fd_p(&slot->sock); /* takes it out of epoll, too: there is no copy of it here */
}

static void on_have(struct slot *slot, uint64_t now_ms)
{
    slot->have = !slot->had_have;
    slot->had_have = slot->running = true;
    slot->from_us = ps_clock_mono_us();
    enter(slot, SLOT_RUNNING, now_ms + slot->run_ms);
}

static void on_done(struct slot *slot, uint64_t now_ms)
{
    bool last = ps_collect_last(slot->collect);

    finish(slot, PS_FATE_DONE, NULL);
    if (last)
        enter(slot, SLOT_LEAVING, now_ms + PS_HOST_EXIT_MS);
    else
        enter(slot, SLOT_IDLE, PS_NEVER);
}

/* msg NULL: malformed. */
static void take(struct ps_host *self, struct slot *slot, const struct ps_msg *msg, uint64_t now_ms)
{
    enum ps_collected got = PS_COLLECT_BREACH;

    /* A child that is being killed is not listened to; one without a job has nothing to say. */
    if (slot->state == SLOT_DYING)
        return;
    if (slot->state == SLOT_SENT || slot->state == SLOT_RUNNING)
        got = ps_collect_take(slot->collect, msg);
    switch (got) {
    case PS_COLLECT_MORE:
        break;
    case PS_COLLECT_HAVE:
        on_have(slot, now_ms);
        break;
    case PS_COLLECT_DONE:
        on_done(slot, now_ms);
        break;
    case PS_COLLECT_BREACH:
        close_sock(slot);
        slot_die(self, slot, PS_FATE_BREACH, "", now_ms);
        break;
    }
}

bool slot_input(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    struct ps_msg msg;
    int carried = -1, rc;

    if (slot->sock < 0)
        return false;
    rc = ps_packet_recv(slot->sock, self->packet, &msg, &carried, MSG_DONTWAIT);
    if (rc == PS_ERR_AGAIN)
        return false;
    if (rc == 0 && carried >= 0) {
        ps_close_fd_p(&carried);
        rc = PS_ERR_PROTO; /* nothing is to come with a child's packet */
    }
    if (rc == 0 || rc == PS_ERR_PROTO) {
        take(self, slot, rc ? NULL : &msg, now_ms);
        return true;
    }
    close_sock(slot);
    if (slot->state != SLOT_DYING && slot->state != SLOT_LEAVING)
        enter(slot, SLOT_DYING, now_ms + PS_HOST_EXIT_MS);
    return true;
}

static void drain(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    for (unsigned n = 0; n < DRAIN_MAX && slot->state != SLOT_DYING && slot_input(self, slot, now_ms); n++)
        ;
}

static void time_out(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    char why[128];

    /* What it said in time counts, also when we read it late. */
    drain(self, slot, now_ms);
    if (slot->state != SLOT_RUNNING || slot->due_ms > now_ms)
        return;
    (void)snprintf(why, sizeof(why), "not done after %u ms", slot->run_ms); /* fits */
    slot_die(self, slot, PS_FATE_TIMEOUT, why, now_ms);
}

void slot_due(struct ps_host *self, struct slot *slot, uint64_t now_ms)
{
    switch (slot->state) {
    case SLOT_RUNNING:
        time_out(self, slot, now_ms);
        break;
    case SLOT_SPAWNING:
    case SLOT_SENT:
        slot_die(self, slot, PS_FATE_FAILED, "the engine's child was not ready in time", now_ms);
        break;
    case SLOT_DYING:
        if (slot->kills > 1) { /* told twice: this zygote does not work any more */
            slot->due_ms = PS_NEVER;
            host_kill(self, now_ms);
            break;
        }
        /* fall through */
    case SLOT_LEAVING:
        slot_die(self, slot, PS_FATE_DONE, "", now_ms);
        break;
    default:
        slot->due_ms = PS_NEVER;
    }
}

void slot_on_spawned(struct ps_host *self, struct slot *slot, pid_t pid, uint64_t now_ms)
{
    if (slot->state != SLOT_SPAWNING)
        return; /* killed meanwhile */
    slot->pid = pid;
    slot->ready = true;
    enter(slot, SLOT_IDLE, PS_NEVER);
    if (slot->has_job)
        slot_send(self, slot, now_ms);
}

/* The job whose child has ended by itself: what becomes of it. True when it is to be run again. */
static bool runs_again(struct slot *slot, int status, const char *reason)
{
    char why[PS_TEXT_MAX];

    if (!slot->running) { /* the sample can't have been the cause: the child did not have it */
        if (slot->starts < PS_HOST_STARTS)
            return true;
        (void)snprintf(why, sizeof(why), "the engine's child can't be started: %.900s", reason); /* fits */
        finish(slot, PS_FATE_FAILED, why);
        return false;
    }
    if (ps_exit_was_killed(status) && slot->reruns < PS_HOST_RERUNS) {
        slot->reruns++;
        return true;
    }
    (void)snprintf(why, sizeof(why), "the engine was %.900s", reason); /* fits */
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 128)
        (void)snprintf(why, sizeof(why), "the engine ended without an answer: %.900s", reason); /* fits */
    finish(slot, PS_FATE_CRASHED, why);
    return false;
}

static bool settle_job(struct slot *slot, int status, const char *reason)
{
    if ((slot->sent && slot->fate != PS_FATE_DONE) || slot->fate == PS_FATE_FAILED) {
        finish(slot, slot->fate, slot->why);
        return false;
    }
    /* Not sent and not our doing: it waited for its own child, or for that of the job before to leave. */
    return runs_again(slot, status, reason);
}

void slot_on_exited(struct ps_host *self, struct slot *slot, const struct ps_msg_H_EXITED *msg,
                    uint64_t now_ms)
{
    bool had_job, again = false;
    uint64_t cpu_us;

    if (slot->state == SLOT_EMPTY)
        return;
    drain(self, slot, now_ms);
    ps_text_copy(slot->text, sizeof(slot->text), msg->reason);
    had_job = slot->has_job;
    if (had_job)
        again = settle_job(slot, (int)msg->status, slot->text);
    cpu_us = msg->cpu_us > slot->cpu_us ? msg->cpu_us - slot->cpu_us : 0;
    if (had_job && !again) {
        slot->result->cpu_us = cpu_us;
        slot->result->peak_kib = msg->peak_kib;
    }
    close_sock(slot);
    slot->pid = 0;
    slot->exited = true;
    slot->fate = PS_FATE_DONE;
    slot->sent = slot->running = false;
    enter(slot, SLOT_EMPTY, PS_NEVER);
    if (!again)
        return;
    ps_collect_restart(slot->collect);
    slot_spawn(self, slot, now_ms);
}

void slot_on_gone(struct ps_host *self, struct slot *slot, const char *why)
{
    if (slot->state != SLOT_EMPTY) {
        drain(self, slot, 0);
        close_sock(slot);
        if (slot->has_job)
            finish(slot, slot->fate != PS_FATE_DONE ? slot->fate : PS_FATE_FAILED,
                   slot->fate != PS_FATE_DONE ? slot->why : why);
        slot->exited = true;
        (void)snprintf(slot->text, sizeof(slot->text), "%s", why); /* cut is readable */
    }
    slot->pid = 0;
    enter(slot, SLOT_EMPTY, PS_NEVER);
}
