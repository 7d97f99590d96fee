#include "master/scan/hub.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "base/mem.h"
#include "master/scan/orders.h"

static int make_line(struct ps_hub_line *line, unsigned broker, const char *name)
{
    const struct {
        struct ps_mailbox **box;
        size_t limit_n;
    } boxes[] = {
        {&line->orders, PS_ORDERS_N}, {&line->settled, PS_SETTLED_N},   {&line->wishes, PS_WISHES_N},
        {&line->pieces, PS_PIECES_N}, {&line->mandates, PS_MANDATES_N}, {&line->replies, PS_REPLIES_N},
    };

    line->broker = broker;
    line->name = ps_strf("%s", name);
    if (!line->name)
        return PS_ERR_NOMEM;
    line->feed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (line->feed_fd < 0)
        return ps_err_from_errno(errno);
    for (size_t i = 0; i < PS_ARRAY_N(boxes); i++) {
        int r = ps_mailbox_new(boxes[i].box, boxes[i].limit_n);
        if (r < 0)
            return r;
    }
    return 0;
}

int ps_hub_new(struct ps_hub **ret_self, const char *const *brokers, size_t brokers_n)
{
    PS_CLEANUP(ps_hub_free) struct ps_hub *self = PS_NEW(struct ps_hub);
    int r = 0;

    assert(brokers_n > 0 && brokers_n <= PS_BROKERS_MAX);
    if (!self)
        return PS_ERR_NOMEM;
    for (size_t i = 0; i < brokers_n; i++)
        self->lines[i].feed_fd = -1;
    self->lines_n = (unsigned)brokers_n;
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->stop_fd < 0)
        return ps_err_from_errno(errno);
    if ((r = ps_mailbox_new(&self->findings, PS_FINDINGS_N)) < 0 ||
        (r = ps_mailbox_new(&self->news, PS_NEWS_N)) < 0 ||
        (r = ps_mailbox_new(&self->words, PS_WORDS_N)) < 0)
        return r;
    for (unsigned i = 0; i < self->lines_n; i++)
        if ((r = make_line(&self->lines[i], i, brokers[i])) < 0)
            return r;
    if (ps_events_new(&self->events) < 0 || ps_orders_new(&self->orders, self) < 0 ||
        ps_fleet_new(&self->fleet, brokers, brokers_n) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

static void free_line(struct ps_hub_line *line)
{
    ps_mailbox_free(&line->orders, ps_order_free);
    ps_mailbox_free(&line->settled, ps_news_free);
    ps_mailbox_free(&line->wishes, free);
    ps_mailbox_free(&line->pieces, free);
    ps_mailbox_free(&line->mandates, free);
    ps_mailbox_free(&line->replies, free);
    ps_close_fd_p(&line->feed_fd);
    free(line->name);
}

void ps_hub_free(struct ps_hub **self_p)
{
    struct ps_hub *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_mailbox_free(&self->findings, ps_finding_free);
    ps_mailbox_free(&self->news, ps_news_free);
    ps_mailbox_free(&self->words, free);
    for (unsigned i = 0; i < self->lines_n; i++)
        free_line(&self->lines[i]);
    ps_events_free(&self->events);
    ps_orders_free(&self->orders);
    ps_fleet_free(&self->fleet);
    ps_close_fd_p(&self->stop_fd);
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
    /* Links look too: one whose box is full is awake anyway. */
    for (unsigned i = 0; i < self->lines_n; i++)
        (void)ps_mailbox_send(self->lines[i].settled, &ps_news_look);
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

int ps_hub_tell_settled(struct ps_hub *self, struct ps_news *news)
{
    /* Copies first: the news are not ours any more once they are sent. */
    for (unsigned i = 1; i < self->lines_n; i++) {
        struct ps_news *copy = ps_news_new(PS_NEWS_SETTLED, news->jobs, news->jobs_n);
        if (copy)
            copy->epoch = news->epoch;
        if (copy && ps_mailbox_send(self->lines[i].settled, copy) == 0)
            continue;
        ps_news_free(copy);
        atomic_store(&self->lines[i].missed, true);
    }
    return ps_mailbox_send(self->lines[0].settled, news);
}

void ps_hub_miss(struct ps_hub *self)
{
    for (unsigned i = 0; i < self->lines_n; i++)
        atomic_store(&self->lines[i].missed, true);
}

bool ps_hub_any_open(const struct ps_hub *self)
{
    for (unsigned i = 0; i < self->lines_n; i++)
        if (atomic_load(&self->lines[i].open))
            return true;
    return false;
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
