#include "base/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct ps_mailbox {
    pthread_mutex_t lock; /* guards the fields below it, and that the eventfd tells the truth about them */
    void **ring;          /* owned; limit places */
    size_t limit;         /* messages */
    size_t first;         /* index of the oldest message */
    size_t n;             /* messages waiting */
    bool closed;          /* no more sends; the eventfd stays readable */
    int event_fd;         /* owned; not guarded: set at birth */
};

int ps_mailbox_new(struct ps_mailbox **ret_self, size_t limit_n)
{
    struct ps_mailbox *self;

    assert(limit_n > 0);
    self = PS_NEW(struct ps_mailbox);
    if (!self)
        return PS_ERR_NOMEM;
    self->limit = limit_n;
    self->ring = ps_alloc(limit_n, sizeof(void *));
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!self->ring || self->event_fd < 0 || pthread_mutex_init(&self->lock, NULL)) {
        int rc = self->ring ? PS_ERR_IO : PS_ERR_NOMEM;

        ps_close_fd_p(&self->event_fd);
        free(self->ring);
        free(self);
        return rc;
    }
    *ret_self = self;
    return 0;
}

void ps_mailbox_free(struct ps_mailbox **self_p, void (*drop)(void *msg))
{
    struct ps_mailbox *self = PS_TAKE(*self_p);

    if (!self)
        return;
    for (size_t i = 0; drop && i < self->n; i++)
        drop(self->ring[(self->first + i) % self->limit]);
    (void)pthread_mutex_destroy(&self->lock); /* fails only while locked, and then the caller erred */
    ps_close_fd_p(&self->event_fd);
    free(self->ring);
    free(self);
}

/* A default mutex that is neither locked by the caller nor destroyed can't fail. */
static void lock(struct ps_mailbox *self)
{
    (void)pthread_mutex_lock(&self->lock);
}

static void unlock(struct ps_mailbox *self)
{
    (void)pthread_mutex_unlock(&self->lock);
}

/* With the lock held: otherwise a taker could clear the signal of a message that it has not seen. */
static void raise_event(struct ps_mailbox *self)
{
    uint64_t one = 1;

    /* EAGAIN would say that the counter is full: readable all the same. */
    while (write(self->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void clear_event(struct ps_mailbox *self)
{
    uint64_t count;

    while (read(self->event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

int ps_mailbox_send(struct ps_mailbox *self, void *msg)
{
    int rc = 0;

    lock(self);
    if (self->closed) {
        rc = PS_ERR_CLOSED;
    } else if (self->n == self->limit) {
        rc = PS_ERR_BUSY;
    } else {
        self->ring[(self->first + self->n) % self->limit] = msg;
        if (self->n++ == 0)
            raise_event(self);
    }
    unlock(self);
    return rc;
}

size_t ps_mailbox_take(struct ps_mailbox *self, void **ret_msgs, size_t max)
{
    size_t taken;

    lock(self);
    taken = PS_MIN(max, self->n);
    for (size_t i = 0; i < taken; i++)
        ret_msgs[i] = self->ring[(self->first + i) % self->limit];
    self->first = (self->first + taken) % self->limit;
    self->n -= taken;
    if (self->n == 0 && taken > 0 && !self->closed)
        clear_event(self);
    unlock(self);
    return taken;
}

static bool is_over(struct ps_mailbox *self)
{
    bool over;

    lock(self);
    over = self->closed && self->n == 0;
    unlock(self);
    return over;
}

int ps_mailbox_wait(struct ps_mailbox *self, void **ret_msg, int timeout_ms)
{
    uint64_t end_ms = ps_clock_mono_ms() + (uint64_t)PS_MAX(timeout_ms, 0);

    for (;;) {
        struct pollfd item = {.fd = self->event_fd, .events = POLLIN};
        uint64_t now_ms;

        if (ps_mailbox_take(self, ret_msg, 1) == 1)
            return 0;
        if (is_over(self))
            return PS_ERR_CLOSED;
        now_ms = ps_clock_mono_ms();
        if (timeout_ms >= 0 && now_ms >= end_ms)
            return PS_ERR_TIMEOUT;
        /* Any outcome of poll leads back to the look above, which decides. */
        (void)poll(&item, 1, timeout_ms < 0 ? -1 : (int)(end_ms - now_ms));
    }
}

void ps_mailbox_close(struct ps_mailbox *self)
{
    lock(self);
    if (!self->closed) {
        self->closed = true;
        raise_event(self);
    }
    unlock(self);
}

int ps_mailbox_fd(const struct ps_mailbox *self)
{
    return self->event_fd;
}

size_t ps_mailbox_n(struct ps_mailbox *self)
{
    size_t n;

    lock(self);
    n = self->n;
    unlock(self);
    return n;
}
