/* The zygote's life as the session sees it, and the calls of host.h. */
#include "worker/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "worker/host/command.h"
#include "worker/host/host_in.h"
#include "worker/host/launcher.h"
#include "worker/host/words.h"

#define STEP_MAX    256  /* packets taken in one ps_host_step at most */
#define KEY_CONTROL 1000 /* of epoll; below: slots */
#define KEY_ENDED   1001

static int reap_status(struct ps_host *self)
{
    int status = 0;

    if (self->launcher)
        return ps_launcher_end(self->launcher, self->instance, &status) ? 0 : status;
    while (waitpid(self->pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0; /* somebody else waited for it: the cause is lost */
    return status;
}

/* Waits for the zygote, which has ended or is made to, and forgets it. */
static int reap(struct ps_host *self)
{
    int status;

    if (self->pidfd < 0)
        return 0;
    if (!self->launcher)
        (void)kill(self->pid, SIGKILL); /* ours until waited for; it may be gone: both fine */
    status = reap_status(self);
    ps_close_fd_p(&self->pidfd);
    return status;
}

void host_kill(struct ps_host *self, uint64_t now_ms)
{
    if (self->state == HOST_GONE || self->pidfd < 0)
        return;
    self->state = HOST_ENDING;
    self->due_ms = now_ms; /* at the next step: no patience */
}

int host_tell(struct ps_host *self, const struct ps_msg *msg, int carried, uint64_t now_ms)
{
    int rc = self->control < 0 ? PS_ERR_CLOSED : ps_packet_send(self->control, msg, carried, MSG_DONTWAIT);

    /* Its socket holds more than two packets a slot: a zygote that has not read those is stuck. */
    if (rc == PS_ERR_AGAIN)
        host_kill(self, now_ms);
    return rc;
}

int host_watch(struct ps_host *self, int fd, uint64_t key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = key};

    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? ps_err_from_errno(errno) : 0;
}

static int check_conf(const struct ps_host_conf *conf, struct ps_error *reterr)
{
    if (!ps_spawn_name_valid(conf->engine))
        return ps_error_set(reterr, PS_ERR_INVALID, "an engine's name is made of a-z, 0-9, _ and -");
    if (!conf->program || !conf->plugin || (!conf->launcher && !conf->tmp))
        return ps_error_set(reterr, PS_ERR_INVALID, "an engine host needs program, plug-in and tmp");
    if (conf->slots < 1 || conf->slots > PS_HOST_SLOTS_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "an engine host has 1 to %d slots", PS_HOST_SLOTS_MAX);
    return 0;
}

static int start_zygote(struct ps_host *self, const struct ps_host_conf *conf, int control,
                        struct ps_error *reterr)
{
    static unsigned
        counter; /* one thread starts hosts; a clash with another's would show as a busy directory */
    int rc;

    if (self->launcher)
        return ps_launcher_start(self->launcher, conf, control, &self->instance, &self->pid, &self->pidfd,
                                 reterr);
    self->tmpdir = ps_strf("%s/%s-%d-%u", conf->tmp, conf->engine, (int)getpid(), ++counter);
    rc = self->tmpdir ? ps_file_mkdirs(self->tmpdir, 0700) : PS_ERR_NOMEM;
    if (rc)
        return ps_error_set(reterr, rc, "no directory can be made below %s: %s", conf->tmp, ps_err_text(rc));
    return ps_spawn_here(conf, self->tmpdir, control, &self->pid, &self->pidfd, reterr);
}

static int prepare(struct ps_host *self, const struct ps_host_conf *conf)
{
    int rc = 0;

    self->launcher = conf->launcher;
    self->slots = ps_alloc(conf->slots, sizeof(*self->slots));
    if (!self->slots)
        return PS_ERR_NOMEM;
    self->slots_n = conf->slots;
    for (unsigned i = 0; i < self->slots_n && !rc; i++)
        rc = slot_init(&self->slots[i], conf->files);
    if (rc)
        return rc;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    return self->epoll < 0 ? ps_err_from_errno(errno) : 0;
}

int ps_host_start(struct ps_host **ret_self, const struct ps_host_conf *conf, uint64_t now_ms,
                  struct ps_error *reterr)
{
    PS_CLEANUP(ps_host_free) struct ps_host *self = NULL;
    PS_CLOSE int theirs = -1;
    int rc = check_conf(conf, reterr), fds[2];

    if (rc)
        return rc;
    self = PS_NEW(struct ps_host);
    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->magic = PS_HOST_MAGIC;
    self->epoll = self->control = self->pidfd = -1;
    rc = prepare(self, conf);
    if (!rc)
        rc = ps_sock_pair(fds);
    if (rc)
        return ps_error_set(reterr, rc, "an engine host can't be prepared: %s", ps_err_text(rc));
    self->control = fds[0];
    theirs = fds[1];
    rc = start_zygote(self, conf, theirs, reterr);
    if (rc)
        return rc;
    if ((rc = host_watch(self, self->control, KEY_CONTROL)) ||
        (rc = host_watch(self, self->pidfd, KEY_ENDED)))
        return ps_error_set(reterr, rc, "an engine host can't be watched: %s", ps_err_text(rc));
    self->due_ms = now_ms + (conf->load_ms ? conf->load_ms : PS_HOST_LOAD_MS);
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_host_free(struct ps_host **self_p)
{
    struct ps_host *self = *self_p;

    if (!self)
        return;
    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    ps_close_fd_p(&self->control);
    (void)reap(self); /* why it ended is of no interest any more */
    for (unsigned i = 0; i < self->slots_n; i++)
        slot_fini(&self->slots[i]);
    free(self->slots);
    ps_close_fd_p(&self->epoll);
    if (self->tmpdir)
        (void)ps_file_remove_tree(self->tmpdir, true); /* what stays is cleared at the worker's next start */
    free(self->tmpdir);
    self->magic = 0;
    free(self);
    *self_p = NULL;
}

int ps_host_fd(const struct ps_host *self)
{
    return self->epoll;
}

uint64_t ps_host_due_ms(const struct ps_host *self)
{
    uint64_t due_ms = self->due_ms;

    for (unsigned i = 0; i < self->slots_n; i++)
        due_ms = PS_MIN(due_ms, self->slots[i].due_ms);
    return due_ms;
}

const struct ps_host_info *ps_host_info(const struct ps_host *self)
{
    return self->info.engine ? &self->info : NULL;
}

/* The first reason is the one that explains; later ones are its echoes. */
static void fail(struct ps_host *self, const char *text)
{
    if (self->told_failed)
        return;
    (void)snprintf(self->text, sizeof(self->text), "%s", text); /* cut is readable */
    self->failed = self->told_failed = true;
}

static void on_loaded(struct ps_host *self, const struct ps_msg_H_LOADED *msg)
{
    ps_text_copy(self->engine, sizeof(self->engine), msg->engine);
    ps_text_copy(self->version, sizeof(self->version), msg->version);
    ps_text_copy(self->definitions, sizeof(self->definitions), msg->definitions);
    ps_text_copy(self->origin, sizeof(self->origin), msg->origin);
    ps_text_copy(self->types, sizeof(self->types), msg->types);
    ps_text_copy(self->note, sizeof(self->note), msg->note);
    ps_text_copy(self->walls, sizeof(self->walls), msg->walls);
    self->info = (struct ps_host_info){.engine = self->engine,
                                       .kind = msg->kind,
                                       .version = self->version,
                                       .definitions = self->definitions,
                                       .origin = self->origin,
                                       .signatures = msg->signatures,
                                       .age_s = msg->age_s,
                                       .run_ms = msg->run_ms,
                                       .at_once = msg->at_once,
                                       .licence_scans = msg->licence_scans,
                                       .licence_left_s = msg->licence_left_s,
                                       .left_out = msg->left_out,
                                       .types = self->types,
                                       .note = self->note,
                                       .walls = self->walls,
                                       .pid = self->pid};
    self->state = HOST_LOADED;
    self->due_ms = PS_NEVER;
    self->loaded = true;
}

static struct slot *slot_at(struct ps_host *self, uint32_t no)
{
    return no < self->slots_n ? &self->slots[no] : NULL;
}

/* The zygote is ours, but a bug in an engine's open may have made it anybody's. False when it talks nonsense. */
static bool on_message(struct ps_host *self, const struct ps_msg *msg, uint64_t now_ms)
{
    struct slot *slot;

    switch (msg->id) {
    case PS_MSG_H_LOADED:
        if (self->state != HOST_LOADING || (msg->H_LOADED.kind != 1 && msg->H_LOADED.kind != 2))
            return false;
        on_loaded(self, &msg->H_LOADED);
        return true;
    case PS_MSG_H_FAILED: {
        char text[PS_TEXT_MAX];

        ps_text_copy(text, sizeof(text), msg->H_FAILED.reason);
        fail(self, text);
        return true;
    }
    case PS_MSG_H_SPAWNED:
        slot = slot_at(self, msg->H_SPAWNED.slot);
        if (slot)
            slot_on_spawned(self, slot, (pid_t)msg->H_SPAWNED.pid, now_ms);
        return slot != NULL;
    case PS_MSG_H_EXITED:
        slot = slot_at(self, msg->H_EXITED.slot);
        if (slot)
            slot_on_exited(self, slot, &msg->H_EXITED, now_ms);
        return slot != NULL;
    case PS_MSG_H_PROBED:
        ps_text_copy(self->problem, sizeof(self->problem), msg->H_PROBED.problem);
        self->probed = true;
        return true;
    default:
        return false;
    }
}

/* False when nothing was there. */
static bool control_input(struct ps_host *self, uint64_t now_ms)
{
    struct ps_msg msg;
    int carried = -1;
    int rc = self->control < 0 ? PS_ERR_AGAIN
                               : ps_packet_recv(self->control, self->packet, &msg, &carried, MSG_DONTWAIT);

    if (rc == PS_ERR_AGAIN)
        return false;
    ps_close_fd_p(&carried);
    if (rc == 0 && on_message(self, &msg, now_ms))
        return true;
    if (rc == 0 || rc == PS_ERR_PROTO) {
        host_kill(self, now_ms);
    } else if (self->state != HOST_ENDING) { /* its end of the socket is closed: it is about to end */
        self->state = HOST_ENDING;
        self->due_ms = now_ms + PS_HOST_EXIT_MS;
    }
    ps_close_fd_p(&self->control);
    return true;
}

/* The zygote has ended, or is to end now. */
static void on_ended(struct ps_host *self, uint64_t now_ms)
{
    bool loading = self->info.engine == NULL;
    char words[128], text[PS_TEXT_MAX];
    int status;

    for (unsigned i = 0; i < STEP_MAX && control_input(self, now_ms); i++)
        ;
    status = reap(self);
    ps_close_fd_p(&self->control);
    ps_exit_words(words, sizeof(words), status);
    (void)snprintf(self->ended, sizeof(self->ended), "the engine host ended: %s", words); /* fits */
    if (loading) {
        (void)snprintf(text, sizeof(text), "the engine host ended before it was ready: %s", words); /* fits */
        fail(self, text);
    }
    for (unsigned i = 0; i < self->slots_n; i++)
        slot_on_gone(self, &self->slots[i], self->ended);
    self->state = HOST_GONE;
    self->due_ms = PS_NEVER;
    self->gone = true;
}

static void on_due(struct ps_host *self, uint64_t now_ms)
{
    if (self->state == HOST_LOADING)
        fail(self, "the engine was not loaded in time");
    on_ended(self, now_ms);
}

static bool emit_slot(struct ps_host *self, struct slot *slot, struct ps_host_event *event)
{
    *event = (struct ps_host_event){.slot = slot_no(self, slot), .job = slot->job};
    if (slot->ready) {
        slot->ready = false;
        event->kind = PS_HOST_READY;
        event->pid = slot->pid;
    } else if (slot->have) {
        slot->have = false;
        event->kind = PS_HOST_HAVE;
    } else if (slot->done) {
        slot->done = false;
        event->kind = PS_HOST_RESULT;
        event->result = slot->result;
        event->job = slot->result->job;
    } else if (slot->exited) {
        slot->exited = false;
        event->kind = PS_HOST_EXITED;
        event->text = slot->text;
    }
    return event->kind != 0;
}

static bool emit(struct ps_host *self, struct ps_host_event *event)
{
    *event = (struct ps_host_event){0};
    if (self->loaded) {
        self->loaded = false;
        event->kind = PS_HOST_LOADED;
        return true;
    }
    if (self->failed) {
        self->failed = false;
        *event = (struct ps_host_event){.kind = PS_HOST_FAILED, .text = self->text};
        return true;
    }
    if (self->probed) {
        self->probed = false;
        *event = (struct ps_host_event){.kind = PS_HOST_PROBED, .text = self->problem};
        return true;
    }
    for (unsigned i = 0; i < self->slots_n; i++)
        if (emit_slot(self, &self->slots[i], event))
            return true;
    if (self->gone) {
        self->gone = false;
        *event = (struct ps_host_event){.kind = PS_HOST_GONE, .text = self->ended};
        return true;
    }
    return false;
}

/* A worker that was stopped, with its children or without, sees all deadlines pass at once when it goes on: who was
 * waited for gets as much time again as we slept, once. */
static bool put_off(uint64_t *due_ms, bool *extended, uint64_t now_ms)
{
    uint64_t late_ms = now_ms - *due_ms;

    if (*extended || late_ms < PS_LATE_MS)
        return false;
    *extended = true;
    *due_ms = now_ms + PS_MIN(late_ms, (uint64_t)PS_HOST_START_MS);
    return true;
}

/* Deals with one deadline that has passed. */
static bool take_due(struct ps_host *self, uint64_t now_ms)
{
    if (self->due_ms <= now_ms) {
        if (self->state == HOST_ENDING || !put_off(&self->due_ms, &self->extended, now_ms))
            on_due(self, now_ms);
        return true;
    }
    for (unsigned i = 0; i < self->slots_n; i++) {
        struct slot *slot = &self->slots[i];

        if (slot->due_ms > now_ms)
            continue;
        if (!put_off(&slot->due_ms, &slot->extended, now_ms))
            slot_due(self, slot, now_ms);
        return true;
    }
    return false;
}

/* Takes one packet, of whoever is next in the kernel's round. */
static bool take_input(struct ps_host *self, uint64_t now_ms)
{
    struct epoll_event event;

    if (epoll_wait(self->epoll, &event, 1, 0) != 1)
        return false;
    if (event.data.u64 == KEY_CONTROL)
        return control_input(self, now_ms);
    if (event.data.u64 == KEY_ENDED) {
        on_ended(self, now_ms);
        return true;
    }
    return slot_input(self, &self->slots[event.data.u64], now_ms);
}

int ps_host_step(struct ps_host *self, uint64_t now_ms, struct ps_host_event *ret_event)
{
    struct ps_host_event event;

    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    for (unsigned n = 0; n < STEP_MAX; n++) {
        if (emit(self, &event)) {
            *ret_event = event;
            return 1;
        }
        if (self->state == HOST_GONE)
            return 0;
        if (!take_due(self, now_ms) && !take_input(self, now_ms))
            return 0;
    }
    return 0; /* there may be more: the descriptor says so */
}

int ps_host_spawn(struct ps_host *self, unsigned slot, uint64_t now_ms)
{
    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    if (slot >= self->slots_n)
        return PS_ERR_INVALID;
    if (self->state != HOST_LOADED)
        return PS_ERR_UNAVAILABLE;
    if (self->slots[slot].state == SLOT_EMPTY)
        slot_spawn(self, &self->slots[slot], now_ms);
    return 0;
}

void ps_host_probe(struct ps_host *self, uint64_t now_ms)
{
    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    if (self->state == HOST_LOADED)
        (void)host_tell(self, PS_MSG(H_PROBE, .reserved = 0), -1, now_ms); /* its end would show as such */
}

/* A new open file description of the same file, at offset 0, read-only. */
static int reopen(int fd, int *ret_fd)
{
    char path[40];
    int mine;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
    mine = open(path, O_RDONLY | O_CLOEXEC);
    if (mine < 0)
        return PS_ERR_IO;
    *ret_fd = mine;
    return 0;
}

static uint32_t run_ms_of(const struct ps_host *self, const struct ps_host_job *job)
{
    if (job->run_ms)
        return job->run_ms;
    return self->info.run_ms ? self->info.run_ms : PS_HOST_RUN_MS;
}

int ps_host_run(struct ps_host *self, unsigned no, const struct ps_host_job *job, uint64_t now_ms)
{
    struct slot *slot;
    int rc;

    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    if (no >= self->slots_n)
        return PS_ERR_INVALID;
    if (self->state != HOST_LOADED)
        return PS_ERR_UNAVAILABLE;
    slot = &self->slots[no];
    if (slot->has_job || slot->done)
        return PS_ERR_BUSY;
    rc = reopen(job->fd, &slot->sample);
    if (rc)
        return rc;
    slot->job = job->job;
    slot->size = job->size;
    slot->run_ms = run_ms_of(self, job);
    memcpy(slot->sha256, job->sha256, sizeof(slot->sha256));
    ps_text_copy(slot->type, sizeof(slot->type), ps_bytes_of(job->type));
    slot->starts = slot->reruns = 0;
    slot->has_job = true;
    ps_collect_start(slot->collect, job->job, self->info.kind);
    if (slot->state == SLOT_IDLE)
        slot_send(self, slot, now_ms);
    else if (slot->state == SLOT_EMPTY)
        slot_spawn(self, slot, now_ms);
    return 0; /* in other states the child to come gets it */
}

void ps_host_kill(struct ps_host *self, unsigned no, const char *why, uint64_t now_ms)
{
    struct slot *slot;

    PS_CHECK_MAGIC(self, PS_HOST_MAGIC);
    if (no >= self->slots_n)
        return;
    slot = &self->slots[no];
    if (slot->has_job && !slot->sent)
        slot_cancel(slot, why);
    if (slot->state != SLOT_EMPTY && slot->state != SLOT_DYING)
        slot_die(self, slot, PS_FATE_CANCELLED, why, now_ms);
}

bool ps_host_idle(const struct ps_host *self, unsigned no)
{
    const struct slot *slot = no < self->slots_n ? &self->slots[no] : NULL;

    return slot && self->state == HOST_LOADED && !slot->has_job && !slot->done;
}
