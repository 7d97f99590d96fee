#include "master/mdp/service.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/mdp/private.h"
#include "master/scan/scan.h"

#define TICK_MS     200
#define EVENTS_TURN 64

/* Items of the poll, before those of the links. */
enum { STOP, BACK, EVENTS, FIXED_N };

static void signal_fd(int fd)
{
    static const uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one)); /* an eventfd has room for it */
}

static void clear_fd(int fd)
{
    uint64_t n;

    (void)!read(fd, &n, sizeof(n)); /* nothing in it is as good */
}

/* ---- links ---- */

/* The dialogue is over; a new one begins a heartbeat later. */
static void give_up(struct mdp_seat *seat, uint64_t now_ms)
{
    seat->open_ms = now_ms + seat->service->config.heartbeat_ms;
    mdp_call_abandon(seat);
}

static void read_link(struct mdp_seat *seat, uint64_t now_ms)
{
    struct ps_mdp_service *self = seat->service;
    bool more = true;

    while (more && seat->link.socket) {
        enum ps_mdp_link_turn turn = ps_mdp_link_receive(&seat->link, now_ms, &seat->body, &more);

        if (more && !self->told)
            ps_log(PS_LOG_INFO, "mdp-served", "endpoint=%s", PS_LOGQ(self->config.endpoint));
        self->told |= more;
        if (turn == PS_MDP_LINK_ASKED)
            mdp_call_begin(seat, now_ms);
        else if (turn == PS_MDP_LINK_OVER)
            give_up(seat, now_ms);
    }
}

static void tick_seat(struct mdp_seat *seat, bool leads, uint64_t now_ms)
{
    if (seat->link.socket && !leads && seat->place == MDP_NOTHING) {
        ps_mdp_link_close(&seat->link, true); /* another master scans now */
        seat->open_ms = now_ms;
    }
    if (seat->link.socket && ps_mdp_link_tick(&seat->link, now_ms) == PS_MDP_LINK_OVER)
        give_up(seat, now_ms);
    /* A seat whose last request is in other hands stays closed until that is back: so there is one request a seat. */
    if (!seat->link.socket && leads && seat->place == MDP_NOTHING && now_ms >= seat->open_ms &&
        ps_mdp_link_open(&seat->link, &seat->service->where, now_ms) != 0)
        seat->open_ms = now_ms + seat->service->config.heartbeat_ms;
    if (seat->place == MDP_WAIT && now_ms >= seat->look_ms)
        mdp_call_look(seat);
}

/* ---- what other threads say ---- */

/* On a publishing thread. */
static void wake(void *arg)
{
    const struct ps_mdp_service *self = arg;

    signal_fd(self->event_fd);
}

static void hear(struct ps_mdp_service *self, const struct ps_event *event)
{
    for (uint32_t i = 0; i < self->config.connections_n; i++) {
        struct mdp_seat *seat = &self->seats[i];

        if (event->kind == PS_EVENT_LAGGED ||
            (event->kind == PS_EVENT_SCAN && event->scan == (uint64_t)seat->scan))
            mdp_call_look(seat);
    }
}

static void take_events(struct ps_mdp_service *self)
{
    struct ps_event *events[EVENTS_TURN];
    size_t n;

    clear_fd(self->event_fd);
    do {
        n = ps_events_take(self->sub, events, EVENTS_TURN);
        for (size_t i = 0; i < n; i++) {
            hear(self, events[i]);
            ps_event_unref(&events[i]);
        }
    } while (n == EVENTS_TURN);
}

static void take_back(struct ps_mdp_service *self, uint64_t now_ms)
{
    void *seats[EVENTS_TURN];
    size_t n;

    do {
        n = ps_mailbox_take(self->back, seats, EVENTS_TURN);
        for (size_t i = 0; i < n; i++)
            mdp_call_back(seats[i], now_ms);
    } while (n == EVENTS_TURN);
}

/* ---- the thread ---- */

static size_t fill_items(struct ps_mdp_service *self, zmq_pollitem_t *items)
{
    size_t n = FIXED_N;

    items[STOP] = (zmq_pollitem_t){.fd = self->stop_fd, .events = ZMQ_POLLIN};
    items[BACK] = (zmq_pollitem_t){.fd = ps_mailbox_fd(self->back), .events = ZMQ_POLLIN};
    items[EVENTS] = (zmq_pollitem_t){.fd = self->event_fd, .events = ZMQ_POLLIN};
    for (uint32_t i = 0; i < self->config.connections_n; i++)
        if (self->seats[i].link.socket)
            items[n++] = (zmq_pollitem_t){.socket = self->seats[i].link.socket, .events = ZMQ_POLLIN};
    return n;
}

static void round_once(struct ps_mdp_service *self)
{
    bool leads = ps_scan_leads(self->config.scan);
    uint64_t now_ms = ps_clock_mono_ms();

    take_back(self, now_ms);
    take_events(self);
    for (uint32_t i = 0; i < self->config.connections_n; i++) {
        read_link(&self->seats[i], now_ms);
        tick_seat(&self->seats[i], leads, now_ms);
    }
}

static bool in_other_hands(const struct ps_mdp_service *self)
{
    for (uint32_t i = 0; i < self->config.connections_n; i++)
        if (self->seats[i].place == MDP_INGEST || self->seats[i].place == MDP_READ)
            return true;
    return false;
}

/* DISCONNECT first, so that the broker gives nothing more. The scans go on; who waited for one asks again. */
static void leave(struct ps_mdp_service *self)
{
    void *seat;

    for (uint32_t i = 0; i < self->config.connections_n; i++) {
        ps_mdp_link_close(&self->seats[i].link, true);
        mdp_call_abandon(&self->seats[i]);
    }
    while (in_other_hands(self) && ps_mailbox_wait(self->back, &seat, -1) == 0)
        mdp_call_back(seat, 0);
}

static void *run(void *arg)
{
    struct ps_mdp_service *self = arg;
    zmq_pollitem_t items[FIXED_N + PS_MDP_CONNECTIONS_MAX];

    do {
        round_once(self);
        if (zmq_poll(items, (int)fill_items(self, items), TICK_MS) < 0 && errno != EINTR) {
            ps_log(PS_LOG_ERROR, "mdp-ended", "why=%s", PS_LOGQ(zmq_strerror(errno)));
            break;
        }
    } while (!items[STOP].revents);
    leave(self);
    return NULL;
}

/* ---- life ---- */

static int make(struct ps_mdp_service *self, struct ps_error *reterr)
{
    uint32_t n = self->config.connections_n;

    self->config.endpoint = ps_strf("%s", self->config.endpoint);
    self->where = (struct ps_mdp_link_where){.context = self->config.context,
                                             .endpoint = self->config.endpoint,
                                             .service = PS_MDP_SERVICE,
                                             .heartbeat_ms = self->config.heartbeat_ms};
    self->seats = ps_alloc(n, sizeof(struct mdp_seat));
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!self->config.endpoint || !self->seats || self->event_fd < 0 || self->stop_fd < 0 ||
        ps_mailbox_new(&self->back, n) || ps_mailbox_new(&self->reads, n) ||
        ps_events_subscribe(ps_scan_events(self->config.scan), wake, self, &self->sub))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory or descriptors");
    for (uint32_t i = 0; i < n; i++)
        self->seats[i].service = self;
    return 0;
}

static int start(struct ps_mdp_service *self, struct ps_error *reterr)
{
    int r = make(self, reterr);

    if (r)
        return r;
    self->reading = pthread_create(&self->reader, NULL, mdp_reader, self) == 0;
    self->running = self->reading && pthread_create(&self->thread, NULL, run, self) == 0;
    return self->running ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "no thread can be had");
}

int ps_mdp_service_start(struct ps_mdp_service **ret_self, const struct ps_mdp_service_config *config,
                         struct ps_error *reterr)
{
    PS_CLEANUP(ps_mdp_service_stop) struct ps_mdp_service *self = PS_NEW(struct ps_mdp_service);
    int r;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->config = *config;
    self->event_fd = self->stop_fd = -1;
    r = start(self, reterr);
    if (!r)
        *ret_self = PS_TAKE(self);
    return r;
}

void ps_mdp_service_stop(struct ps_mdp_service **self_p)
{
    struct ps_mdp_service *self = PS_TAKE(*self_p);

    if (!self)
        return;
    if (self->running) {
        signal_fd(self->stop_fd);
        (void)pthread_join(self->thread, NULL); /* joinable, and not this thread */
    }
    if (self->reading) {
        ps_mailbox_close(self->reads);
        (void)pthread_join(self->reader, NULL);
    }
    if (self->sub)
        ps_events_unsubscribe(ps_scan_events(self->config.scan), &self->sub);
    ps_mailbox_free(&self->back, NULL);
    ps_mailbox_free(&self->reads, NULL);
    ps_close_fd_p(&self->event_fd);
    ps_close_fd_p(&self->stop_fd);
    free(self->seats);
    free((char *)self->config.endpoint);
    free(self);
}
