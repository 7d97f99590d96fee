#include "master/scan/uplink.h"

#include <poll.h>

#include "base/err.h"
#include "master/scan/uplink_private.h"

#define EVENTS_AT_ONCE 1024 /* of the broker's, before ours are said */
#define REST_MS        1000
#define BLOCKED_MS     10   /* the backlog is full: look again after this, if the peer does not wake us */
#define RETRY_MS       1000 /* a session was lost, or a peer could not be made */
#define GOODBYE_MS     2000 /* at the end: for what is settled to leave */

int ps_uplink_new(struct ps_uplink **ret_self, struct ps_hub *hub, unsigned broker,
                  const struct ps_peer_where *where, const char *name, uint32_t grant)
{
    PS_CLEANUP(ps_uplink_free) struct ps_uplink *self = PS_NEW(struct ps_uplink);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    self->line = &hub->lines[broker];
    self->grant = grant;
    self->where = *where;
    self->where.endpoint = ps_strf("%s", where->endpoint);
    if (where->keys) {
        self->keys = *where->keys;
        self->where.keys = &self->keys;
    }
    self->name = ps_strf("%s", name);
    if (!self->where.endpoint || !self->name)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_uplink_free(struct ps_uplink **self_p)
{
    struct ps_uplink *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_uplink_join(self);
    uplink_forget(self);
    free((char *)self->where.endpoint);
    free(self->name);
    ps_keys_fini(&self->keys);
    free(self);
}

/* NULL for none, and without memory: *ret_failed. */
static char *limits_of(const struct ps_msg_WELCOME *welcome, bool *ret_failed)
{
    struct ps_list_limit list = welcome->limits;
    struct ps_part_limit limit;
    size_t bytes = 1;

    *ret_failed = false;
    while (ps_limit_next(&list, &limit))
        bytes += limit.engine.len + 1;
    if (bytes == 1)
        return NULL;
    char *names = ps_alloc(1, bytes), *at = names; /* zero: NULs are there */
    if (!names) {
        *ret_failed = true;
        return NULL;
    }
    list = welcome->limits;
    while (ps_limit_next(&list, &limit)) {
        memcpy(at, limit.engine.at, limit.engine.len);
        at += limit.engine.len + 1;
    }
    return names;
}

static void tell_opened(struct ps_uplink *self, const struct ps_msg_WELCOME *welcome)
{
    struct ps_news *news = ps_news_new(PS_NEWS_OPENED, NULL, 0);
    bool failed = false;

    if (news) {
        news->broker = self->line->broker;
        news->dead_ms = welcome->dead_ms;
        news->limits = limits_of(welcome, &failed);
    }
    if (failed) {
        ps_news_free(news);
        news = NULL; /* drive starts afresh, and so do the sessions */
    }
    ps_hub_tell_drive(self->hub, news);
}

static void opened(struct ps_uplink *self, const struct ps_msg_WELCOME *welcome, bool resumed)
{
    ps_log(PS_LOG_INFO, "broker-session", "broker=%s boot=%016llx resumed=%d restarted=%d",
           PS_LOGQ(self->where.endpoint), (unsigned long long)welcome->boot, resumed,
           self->boot != 0 && self->boot != welcome->boot);
    self->boot = welcome->boot;
    self->grant_due = true;
    self->refused_told = false;
    atomic_store(&self->line->open, true);
    /* Without memory the next FLEET says it. */
    (void)ps_fleet_put_connected(self->hub->fleet, self->line->broker, true);
    tell_opened(self, welcome);
}

static void closed(struct ps_uplink *self)
{
    uplink_forget(self);
    atomic_store(&self->line->open, false);
    /* Without memory it looks connected for a while. */
    (void)ps_fleet_put_connected(self->hub->fleet, self->line->broker, false);
    struct ps_news *news = ps_news_new(PS_NEWS_CLOSED, NULL, 0);
    if (news)
        news->broker = self->line->broker;
    ps_hub_tell_drive(self->hub, news);
    ps_events_publish_fleet(self->hub->events);
}

/* What the broker said on the old connection may be lost with it. A new session hears all that is uncommitted again, a
 * resumed one only what comes next: so begin anew. */
static void lost(struct ps_uplink *self)
{
    ps_log(PS_LOG_WARN, "broker-lost", "broker=%s detail=%s", PS_LOGQ(self->where.endpoint),
           PS_LOGQ(ps_peer_why(self->peer)));
    closed(self);
    ps_peer_free(&self->peer);
    self->retry_ms = ps_clock_mono_ms() + RETRY_MS;
    ps_hub_suspect(self->hub, self->epoch); /* perhaps it was refused because another leads */
}

static void refused(struct ps_uplink *self)
{
    if (!self->refused_told)
        ps_log(PS_LOG_ERROR, "broker-refuses", "broker=%s detail=%s", PS_LOGQ(self->where.endpoint),
               PS_LOGQ(ps_peer_why(self->peer)));
    self->refused_told = true;
    ps_hub_suspect(self->hub, self->epoch);
}

static void hear_all(struct ps_uplink *self)
{
    struct ps_msg msg;
    struct ps_bytes carried;

    for (int i = 0; i < EVENTS_AT_ONCE; i++)
        switch (ps_peer_recv(self->peer, &msg, &carried)) {
        case PS_PEER_NOTHING:
            return;
        case PS_PEER_MESSAGE:
            uplink_hear(self, &msg, carried);
            break;
        case PS_PEER_OPENED:
            opened(self, &msg.WELCOME, false);
            break;
        case PS_PEER_RESUMED:
            opened(self, &msg.WELCOME, true);
            break;
        case PS_PEER_LOST:
            lost(self);
            return;
        case PS_PEER_REFUSED:
            refused(self);
            break;
        }
}

/* Findings were dropped for want of room, and now there is room: a new session is told all of them again. */
static void make_up(struct ps_uplink *self)
{
    if (!atomic_load(&self->line->missed) || !ps_peer_is_open(self->peer) ||
        ps_mailbox_n(self->hub->findings) > PS_FINDINGS_N / 4 ||
        atomic_load(&self->hub->findings_bytes) > PS_FINDINGS_BYTES / 4)
        return;
    atomic_store(&self->line->missed, false);
    ps_peer_drop(self->peer, "results were dropped for want of room and are to be told again");
}

static void leave(struct ps_uplink *self, const char *why)
{
    bool was_open = ps_peer_is_open(self->peer);

    ps_peer_bye(self->peer, why);
    ps_peer_free(&self->peer);
    if (was_open)
        closed(self);
}

/* Speaks in the epoch of now, and only while there is one. */
static void follow_epoch(struct ps_uplink *self, uint64_t now_ms)
{
    uint64_t epoch = ps_hub_epoch(self->hub);
    const struct ps_peer_config config = {.where = self->where, .role = PS_ROLE_MASTER, .name = self->name};
    struct ps_error error = {0};

    if (self->peer && epoch != self->epoch) {
        leave(self, "this master does not lead any more");
        self->retry_ms = 0;
    }
    self->epoch = epoch;
    if (self->peer || epoch == 0 || now_ms < self->retry_ms)
        return;
    if (ps_peer_new(&self->peer, &config, &error) < 0) {
        ps_log(PS_LOG_ERROR, "broker-unreachable", "detail=%s", PS_LOGQ(error.text));
        self->retry_ms = now_ms + RETRY_MS;
    }
}

/* Waits for the broker, for something to say (unless blocked: then saying must wait), or for a
 * nudge in the settled box. */
static void rest(struct ps_uplink *self, uint64_t until_ms, bool blocked)
{
    uint64_t now_ms = ps_clock_mono_ms();
    bool open = self->peer && ps_peer_is_open(self->peer) && !blocked;
    struct pollfd fds[] = {
        {.fd = self->peer ? ps_peer_fd(self->peer) : -1, .events = POLLIN},
        {.fd = blocked ? -1 : ps_mailbox_fd(self->line->settled), .events = POLLIN},
        {.fd = open ? ps_mailbox_fd(self->line->orders) : -1, .events = POLLIN},
        {.fd = open ? ps_mailbox_fd(self->line->pieces) : -1, .events = POLLIN},
        {.fd = open ? ps_mailbox_fd(self->line->mandates) : -1, .events = POLLIN},
        {.fd = open ? ps_mailbox_fd(self->line->replies) : -1, .events = POLLIN},
    };
    uint64_t ms = until_ms > now_ms ? PS_MIN(until_ms - now_ms, (uint64_t)REST_MS) : 0;

    if (blocked)
        ms = PS_MIN(ms, (uint64_t)BLOCKED_MS);
    (void)poll(fds, PS_ARRAY_N(fds), (int)ms); /* whatever it says, the next turn looks */
}

/* Without a session nothing can be said: the broker will be told anew when there is one. */
static void drop_unsayable(struct ps_uplink *self)
{
    void *message;

    uplink_forget(self);
    while (ps_mailbox_take(self->line->settled, &message, 1) == 1)
        ps_news_free(message);
    while (ps_mailbox_take(self->line->orders, &message, 1) == 1)
        ps_order_free(message);
    while (ps_mailbox_take(self->line->pieces, &message, 1) == 1)
        free(message);
    while (ps_mailbox_take(self->line->mandates, &message, 1) == 1)
        free(message); /* its worker is gone from the fleet, which says so */
    while (ps_mailbox_take(self->line->replies, &message, 1) == 1)
        free(message);
    if (atomic_exchange(&self->line->pieces_full, false))
        ps_hub_signal(self->line->feed_fd);
    if (atomic_exchange(&self->line->orders_full, false))
        ps_hub_tell_drive(self->hub, &ps_news_look);
}

static void turn(struct ps_uplink *self)
{
    uint64_t now_ms = ps_clock_mono_ms(), wake_ms = now_ms + REST_MS;
    bool blocked = false;

    follow_epoch(self, now_ms);
    if (self->peer)
        hear_all(self);
    if (self->peer)
        make_up(self);
    if (self->peer && ps_peer_is_open(self->peer))
        blocked = uplink_say(self);
    else
        drop_unsayable(self);
    if (self->peer)
        wake_ms = ps_peer_tick(self->peer, ps_clock_mono_ms());
    rest(self, wake_ms, blocked);
}

/* Collect has ended before us: what it settled is told, then BYE. */
static void say_goodbye(struct ps_uplink *self)
{
    uint64_t end_ms = ps_clock_mono_ms() + GOODBYE_MS;

    while (self->peer && ps_peer_is_open(self->peer) && ps_clock_mono_ms() < end_ms) {
        bool blocked = uplink_say(self);
        (void)ps_peer_tick(self->peer, ps_clock_mono_ms());
        if (!blocked && ps_mailbox_n(self->line->settled) == 0 && ps_peer_backlog(self->peer) == 0)
            break;
        struct pollfd fd = {.fd = ps_peer_fd(self->peer), .events = POLLIN};
        (void)poll(&fd, 1, BLOCKED_MS); /* whatever it says, we look */
        hear_all(self);
    }
    if (self->peer)
        leave(self, "the master ends");
}

static void *run(void *arg)
{
    struct ps_uplink *self = arg;

    while (!atomic_load(&self->ending))
        turn(self);
    say_goodbye(self);
    return NULL;
}

int ps_uplink_start(struct ps_uplink *self)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_uplink_join(struct ps_uplink *self)
{
    if (!self->started)
        return;
    atomic_store(&self->ending, true);
    (void)ps_mailbox_send(self->line->settled,
                          &ps_news_look);   /* wakes it; when the box is full it is awake */
    (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
