#include "worker/session.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/state.h"

#define WATCHED_N   3     /* peer, roster, signals */
#define WAIT_MAX_MS 60000 /* longest sleep */
#define WAIT_MS     100   /* between two looks whether READY may go */

static uint64_t soonest_ms(const struct ps_session *self, uint64_t now_ms, uint64_t peer_ms)
{
    uint64_t due_ms = PS_MIN(peer_ms, ps_roster_due_ms(self->roster));

    if (self->ready)
        due_ms = PS_MIN(PS_MIN(due_ms, ps_cache_due_ms(self->cache)), ps_keeper_due_ms(self->keeper, now_ms));
    else if (self->welcome)
        due_ms = PS_MIN(due_ms, now_ms + WAIT_MS);
    if (self->draining)
        due_ms = PS_MIN(due_ms, self->drain_until_us / 1000 + 1);
    if (self->alone_us)
        due_ms = PS_MIN(due_ms, self->alone_us / 1000 + 1);
    return due_ms;
}

/* Each look at a socket costs system calls: only those are looked at that have something. */
static void note_woken(struct ps_session *self, const struct epoll_event *events, int n, bool peer_due)
{
    self->peer_woke = peer_due;
    self->roster_woke = ps_roster_due_ms(self->roster) <= self->now_us / 1000;
    for (int i = 0; i < n; i++) {
        self->peer_woke |= events[i].data.fd == ps_peer_fd(self->peer);
        self->roster_woke |= events[i].data.fd == ps_roster_fd(self->roster);
    }
}

static int wait_events(struct ps_session *self)
{
    struct epoll_event events[WATCHED_N];
    uint64_t now_ms = ps_clock_mono_ms();
    uint64_t peer_ms = ps_peer_tick(self->peer, now_ms);
    uint64_t due_ms = soonest_ms(self, now_ms, peer_ms);
    int n = epoll_wait(self->epoll_fd, events, WATCHED_N,
                       due_ms <= now_ms ? 0 : (int)PS_MIN(due_ms - now_ms, WAIT_MAX_MS));

    if (n < 0 && errno != EINTR)
        return PS_ERR_IO;
    self->now_us = ps_clock_mono_us();
    self->late_ms = self->now_us / 1000 > due_ms ? self->now_us / 1000 - PS_MAX(due_ms, now_ms) : 0;
    note_woken(self, events, n, peer_ms <= now_ms);
    return 0;
}

/* ---- the end ---- */

static void drain(struct ps_session *self)
{
    size_t given_back = ps_slots_give_back(self->slots, "the worker is being stopped");

    self->draining = true;
    self->drain_until_us = self->now_us + self->settings->drain_ms * 1000;
    ps_log(PS_LOG_INFO, "drain", "running=%u given-back=%zu results=%zu", ps_slots_running(self->slots),
           given_back, ps_results_n(self->results));
}

static void take_signals(struct ps_session *self)
{
    struct signalfd_siginfo info;

    while (read(self->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (self->draining)
            self->over = true;
        else
            drain(self);
    }
}

/* Without a broker nobody commits: then it is enough that nothing runs. */
static bool drained(const struct ps_session *self)
{
    if (self->now_us >= self->drain_until_us)
        return true;
    if (ps_slots_running(self->slots) > 0)
        return false;
    return ps_results_n(self->results) + ps_keeper_n(self->keeper) == 0 || !ps_peer_is_open(self->peer);
}

/* Cut off from the broker, or stopped, for so long that it has given our leases up: what waits here is not begun any
 * more. Others may have those jobs now, and of an engine with a limit no more than that may run. What runs goes on to
 * its end, which the broker waits for (licence.h there). */
static void mind_solitude(struct ps_session *self)
{
    bool alone = self->alone_us && self->now_us >= self->alone_us;
    bool late = self->dead_ms && self->late_ms >= self->dead_ms;

    if (!alone && !late)
        return;
    /* What is on its way to us since before we were stopped was taken back as well: READY tells what is still ours. */
    if (late)
        ps_peer_drop(self->peer, "we were stopped for longer than the broker waits");
    size_t n = ps_slots_give_back(self->slots, "the worker was cut off from the broker");
    if (n > 0)
        ps_log(PS_LOG_WARN, "cut-off", "given-back=%zu running=%u", n, ps_slots_running(self->slots));
    self->alone_us = 0;
}

int ps_session_run(struct ps_session *self)
{
    while (!self->over) {
        int error = wait_events(self);
        if (error)
            return error;
        take_signals(self);
        mind_solitude(self);
        if (self->peer_woke)
            ps_talk_listen(self);
        if (self->roster_woke)
            ps_work_engines(self);
        ps_work_step(self);
        ps_talk_say(self);
        if (self->draining && drained(self))
            self->over = true;
    }
    ps_peer_bye(self->peer, "the worker was stopped");
    return 0;
}

/* ---- birth ---- */

static int watch(const struct ps_session *self, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? PS_ERR_IO : 0;
}

static int make_parts(struct ps_session *self, const struct ps_session_conf *conf)
{
    const struct ps_worker_settings *settings = conf->settings;
    struct ps_slots_io io = ps_work_io;
    struct ps_cache_conf cache = {
        .memory_bytes = settings->memfd_budget,
        .disk_bytes = settings->cache_bytes,
        .samples_n = conf->cached_samples_n,
        .dir = settings->cache_dir,
    };
    int error;

    io.context = self;
    if ((error = ps_cache_new(&self->cache, &cache)) ||
        (error = ps_results_new(&self->results, PS_WINDOW_MAX)) ||
        (error = ps_keeper_new(&self->keeper, PS_WINDOW_MAX)) ||
        (error = ps_slots_new(&self->slots, (unsigned)settings->slots, self->window, &io)) ||
        (error = ps_beat_new(&self->beat, &conf->where)))
        return error;
    return 0;
}

static int make_loop(struct ps_session *self)
{
    int error;

    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return PS_ERR_IO;
    if ((error = watch(self, ps_peer_fd(self->peer))) || (error = watch(self, ps_roster_fd(self->roster))) ||
        (error = watch(self, self->signal_fd)))
        return error;
    return 0;
}

int ps_session_new(struct ps_session **ret_self, const struct ps_session_conf *conf, struct ps_error *reterr)
{
    PS_CLEANUP(ps_session_free) struct ps_session *self = PS_NEW(struct ps_session);
    struct ps_peer_config peer = {.where = conf->where, .role = PS_ROLE_WORKER, .name = conf->settings->name};
    int error;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->settings = conf->settings;
    self->signal_fd = conf->signal_fd;
    self->roster = conf->roster;
    self->epoll_fd = -1;
    self->window = (uint32_t)PS_MIN(
        PS_MAX(PS_SESSION_WINDOW_MIN, PS_SESSION_WINDOW_SLOTS * conf->settings->slots), PS_WINDOW_MAX);
    self->typer = ps_roster_find(self->roster, PS_BYTES_LIT("type"));
    self->now_us = self->started_us = ps_clock_mono_us();

    error = ps_peer_new(&self->peer, &peer, reterr);
    if (error)
        return error;
    if ((error = make_parts(self, conf)) || (error = make_loop(self)))
        return ps_error_set(reterr, error, "the session could not be made: %s", ps_err_text(error));
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_session_free(struct ps_session **self_p)
{
    struct ps_session *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_close_fd_p(&self->epoll_fd);
    ps_peer_free(&self->peer);
    ps_beat_free(&self->beat);
    ps_slots_free(&self->slots);
    ps_results_free(&self->results);
    ps_keeper_free(&self->keeper);
    ps_cache_free(&self->cache);
    free(self);
}
