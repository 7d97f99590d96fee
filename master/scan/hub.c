#include "master/scan/hub.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "base/mem.h"

int ps_hub_new(struct ps_hub **ret_self)
{
    PS_CLEANUP(ps_hub_free) struct ps_hub *self = PS_NEW(struct ps_hub);

    if (!self)
        return PS_ERR_NOMEM;
    self->stop_fd = self->feed_fd = -1;
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->feed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->stop_fd < 0 || self->feed_fd < 0)
        return ps_err_from_errno(errno);

    const struct {
        struct ps_mailbox **box;
        size_t limit_n;
    } boxes[] = {
        {&self->findings, PS_FINDINGS_N}, {&self->news, PS_NEWS_N},     {&self->orders, PS_ORDERS_N},
        {&self->settled, PS_SETTLED_N},   {&self->wishes, PS_WISHES_N}, {&self->pieces, PS_PIECES_N},
    };
    for (size_t i = 0; i < PS_ARRAY_N(boxes); i++) {
        int r = ps_mailbox_new(boxes[i].box, boxes[i].limit_n);
        if (r < 0)
            return r;
    }
    if (ps_events_new(&self->events) < 0 || ps_fleet_new(&self->fleet) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_hub_free(struct ps_hub **self_p)
{
    struct ps_hub *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_mailbox_free(&self->findings, ps_finding_free);
    ps_mailbox_free(&self->news, ps_news_free);
    ps_mailbox_free(&self->orders, ps_order_free);
    ps_mailbox_free(&self->settled, ps_news_free);
    ps_mailbox_free(&self->wishes, free);
    ps_mailbox_free(&self->pieces, free);
    ps_events_free(&self->events);
    ps_fleet_free(&self->fleet);
    ps_close_fd_p(&self->stop_fd);
    ps_close_fd_p(&self->feed_fd);
    free(self);
}

/* A full counter (EAGAIN) is readable all the same. */
void ps_hub_signal(int event_fd)
{
    uint64_t one = 1;

    while (write(event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void ps_hub_clear(int event_fd)
{
    uint64_t count;

    while (read(event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

void ps_hub_stop(struct ps_hub *self)
{
    atomic_store(&self->stopping, true);
    ps_hub_signal(self->stop_fd);
}

bool ps_hub_stopping(const struct ps_hub *self)
{
    return atomic_load(&self->stopping);
}

void ps_hub_set_epoch(struct ps_hub *self, uint64_t epoch)
{
    atomic_store(&self->epoch, epoch);
    ps_hub_tell_drive(self, &ps_news_look);
    /* Link looks too: when its box is full it is awake anyway. */
    (void)ps_mailbox_send(self->settled, &ps_news_look);
}

uint64_t ps_hub_epoch(const struct ps_hub *self)
{
    return atomic_load(&self->epoch);
}

void ps_hub_suspect(struct ps_hub *self, uint64_t epoch)
{
    if (self->suspect)
        self->suspect(self->suspect_arg, epoch);
}

void ps_hub_tell_drive(struct ps_hub *self, struct ps_news *news)
{
    if (news && ps_mailbox_send(self->news, news) == 0)
        return;
    /* A nudge that finds the box full is no loss: drive will look at its flags when it gets there. */
    if (news != &ps_news_look) {
        atomic_store(&self->drive_missed, true);
        ps_news_free(news);
        (void)ps_mailbox_send(self->news, &ps_news_look);
    }
}

bool ps_hub_wait(struct ps_hub *self, int fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = self->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    (void)poll(fds, PS_ARRAY_N(fds), timeout_ms); /* whatever it says, the caller looks */
    return ps_hub_stopping(self);
}
