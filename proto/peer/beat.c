/* proto/peer/beat.c: the lock guards what the session thread sets, and is held for the length of a copy only.
 */
#include "proto/peer/beat.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/peer/inbox.h"
#include "proto/peer/link.h"

#define BEAT_MIN_MS 10
#define BEAT_MAX_MS 60000
#define RETRY_MS    100 /* a beat that did not go (no connection yet) is tried again after this */
#define BEAT_BYTES  (256 * 1024)

struct wanted {
    uint64_t session; /* 0: silence */
    uint8_t token[PS_TOKEN_BYTES];
    uint32_t beat_ms;
    uint64_t version; /* counts sessions: a new one gets a new connection */
    bool stop;
};

struct ps_beat {
    struct ps_peer_where where; /* own copies below */
    struct ps_keys keys;
    char *endpoint;
    int wake_fd; /* eventfd: wanted has changed */
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* guards the rest */
    struct wanted wanted;
    struct ps_part_lease_ref *running;
    size_t running_n;
};

/* What the thread has for itself. */
struct heart {
    struct ps_beat *beat;
    struct ps_link *link;
    struct ps_inbox inbox;
    struct ps_buf record;
    struct wanted now;
    uint64_t next_ms; /* when the next beat is due */
};

/* The list is encoded under the lock: a copy would take as long. */
static int encode(struct heart *self)
{
    struct ps_beat *beat = self->beat;
    int r;

    ps_buf_clear(&self->record);
    (void)pthread_mutex_lock(&beat->lock); /* a default mutex in use rightly never fails */
    r = ps_msg_put(&self->record,
                   PS_MSG(BEAT, .session = self->now.session, .token = {self->now.token, PS_TOKEN_BYTES},
                          .running = {.items = beat->running, .n = beat->running_n}));
    (void)pthread_mutex_unlock(&beat->lock);
    return r;
}

static int send_beat(struct heart *self)
{
    zmq_msg_t part;
    int r = encode(self);

    if (r)
        return r;
    if (zmq_msg_init_size(&part, self->record.len))
        return PS_ERR_NOMEM;
    memcpy(zmq_msg_data(&part), self->record.data, self->record.len);
    r = ps_link_send(self->link, &part, 1);
    if (r)
        (void)zmq_msg_close(&part);
    return r;
}

/* What the broker says here (REFUSED to a stranger) the session hears on its own connection: it is thrown
 * away, within bounds, so that nothing piles up. False when the link is worth nothing any more. */
static bool drain(struct heart *self)
{
    struct ps_bytes carried;
    struct ps_msg msg;
    const char *why;
    int r = 1;

    for (int i = 0; i < 2 * PS_BEAT_HWM && r > 0; i++)
        r = ps_inbox_next(&self->inbox, self->link, &msg, &carried, &why);
    return r >= 0 && !ps_link_broken(self->link);
}

static void hang_up(struct heart *self)
{
    ps_link_free(&self->link, 0);
    ps_inbox_clear(&self->inbox);
}

/* Beats when it is time; a failure of any kind is tried again soon, there is nobody to tell. */
static void pump(struct heart *self, uint64_t now_ms)
{
    if (self->now.session == 0 || now_ms < self->next_ms)
        return;
    if (self->link && !drain(self))
        hang_up(self);
    if (!self->link && ps_link_new(&self->link, &self->beat->where, PS_BEAT_HWM, -1)) {
        self->next_ms = now_ms + RETRY_MS;
        return;
    }
    self->next_ms = now_ms + (send_beat(self) ? PS_MIN(RETRY_MS, self->now.beat_ms) : self->now.beat_ms);
}

/* False when it is time to stop. */
static bool look(struct heart *self)
{
    struct ps_beat *beat = self->beat;
    uint64_t before = self->now.version;

    (void)pthread_mutex_lock(&beat->lock);
    self->now = beat->wanted;
    (void)pthread_mutex_unlock(&beat->lock);
    if (self->now.version != before) {
        hang_up(self);
        self->next_ms = 0;
    }
    return !self->now.stop;
}

static void wait_for(const struct heart *self, uint64_t now_ms)
{
    struct pollfd pollfd = {.fd = self->beat->wake_fd, .events = POLLIN};
    uint64_t left = self->next_ms > now_ms ? self->next_ms - now_ms : 0;
    eventfd_t count;

    if (poll(&pollfd, 1, self->now.session == 0 ? -1 : (int)PS_MIN(left, (uint64_t)BEAT_MAX_MS)) > 0)
        (void)eventfd_read(self->beat->wake_fd, &count); /* only the wake-up matters */
}

static void *run(void *arg)
{
    struct heart self = {.beat = arg};

    ps_buf_init(&self.record, BEAT_BYTES);
    ps_inbox_init(&self.inbox);
    while (look(&self)) {
        pump(&self, ps_clock_mono_ms());
        wait_for(&self, ps_clock_mono_ms());
    }
    hang_up(&self);
    ps_inbox_fini(&self.inbox);
    ps_buf_fini(&self.record);
    return NULL;
}

/* Signals belong to the program's own threads. */
static int start_thread(struct ps_beat *self)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&self->thread, NULL, run, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->started = r == 0;
    return r ? PS_ERR_IO : 0;
}

int ps_beat_new(struct ps_beat **ret_self, const struct ps_peer_where *where)
{
    struct ps_beat *self = PS_NEW(struct ps_beat);
    int r = 0;

    if (!self)
        return PS_ERR_NOMEM;

    (void)pthread_mutex_init(&self->lock, NULL); /* can't fail with default attributes here */
    self->endpoint = ps_strf("%s", where->endpoint);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->where = (struct ps_peer_where){where->context, self->endpoint, NULL};
    if (where->keys) {
        self->keys = *where->keys;
        self->where.keys = &self->keys;
    }
    if (!self->endpoint)
        r = PS_ERR_NOMEM;
    else if (self->wake_fd < 0)
        r = PS_ERR_IO;
    else
        r = start_thread(self);

    if (r)
        ps_beat_free(&self);
    else
        *ret_self = self;
    return r;
}

static void wake(struct ps_beat *self)
{
    (void)eventfd_write(self->wake_fd, 1); /* full means that it is awake */
}

void ps_beat_free(struct ps_beat **self_p)
{
    struct ps_beat *self = *self_p;

    if (!self)
        return;
    if (self->started) {
        (void)pthread_mutex_lock(&self->lock);
        self->wanted.stop = true;
        (void)pthread_mutex_unlock(&self->lock);
        wake(self);
        (void)pthread_join(self->thread, NULL); /* ours, joined once */
    }
    if (self->wake_fd >= 0)
        (void)close(self->wake_fd);
    (void)pthread_mutex_destroy(&self->lock);
    explicit_bzero(&self->wanted, sizeof(self->wanted));
    ps_keys_fini(&self->keys);
    free(self->running);
    free(self->endpoint);
    free(self);
    *self_p = NULL;
}

void ps_beat_session(struct ps_beat *self, uint64_t session, const uint8_t *token, uint32_t beat_ms)
{
    (void)pthread_mutex_lock(&self->lock);
    self->wanted.session = session;
    self->wanted.beat_ms = PS_MIN(PS_MAX(beat_ms, (uint32_t)BEAT_MIN_MS), (uint32_t)BEAT_MAX_MS);
    self->wanted.version++;
    if (session != 0)
        memcpy(self->wanted.token, token, PS_TOKEN_BYTES);
    (void)pthread_mutex_unlock(&self->lock);
    wake(self);
}

int ps_beat_running(struct ps_beat *self, const struct ps_part_lease_ref *leases, size_t n)
{
    int r = 0;

    n = PS_MIN(n, (size_t)PS_WINDOW_MAX);
    (void)pthread_mutex_lock(&self->lock);
    if (n > self->running_n)
        r = ps_realloc(&self->running, n, sizeof(*leases));
    if (!r && n > 0)
        memcpy(self->running, leases, n * sizeof(*leases));
    if (!r)
        self->running_n = n;
    (void)pthread_mutex_unlock(&self->lock);
    return r;
}
