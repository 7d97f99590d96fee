#include "master/scan/orders.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "master/scan/fleet.h"
#include "master/scan/hub.h"

struct entry {
    uint64_t order;          /* 0: free */
    uint64_t until_ms;       /* monotonic: who has not answered then is silent */
    struct ps_ordered *list; /* owned */
    size_t n;
};

struct ps_orders {
    struct ps_hub *hub;
    pthread_mutex_t lock; /* guards all below */
    uint64_t last;        /* number given last */
    struct entry book[PS_ORDERS_BOOK_N];
};

int ps_orders_new(struct ps_orders **ret_self, struct ps_hub *hub)
{
    struct ps_orders *self = PS_NEW(struct ps_orders);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    (void)pthread_mutex_init(&self->lock, NULL); /* can't fail with default attributes */
    *ret_self = self;
    return 0;
}

void ps_orders_free(struct ps_orders **self_p)
{
    struct ps_orders *self = PS_TAKE(*self_p);

    if (!self)
        return;
    for (size_t i = 0; i < PS_ORDERS_BOOK_N; i++)
        free(self->book[i].list);
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds it */
    free(self);
}

static void put_text(char *to, size_t max, struct ps_bytes text)
{
    size_t len = ps_utf8_cut((const char *)text.at, text.len, max);

    if (len)
        memcpy(to, text.at, len);
    to[len] = '\0';
}

/* ---- giving ---- */

static bool is_wanted(const struct ps_fleet_worker *worker, const struct ps_orders_wish *wish)
{
    if (wish->worker && strcmp(worker->name, wish->worker) != 0)
        return false;
    for (size_t i = 0; i < worker->offers_n; i++)
        if (strcmp(worker->offers[i].name, wish->engine) == 0)
            return true;
    return false;
}

static void end_part(struct ps_ordered *part, enum ps_ordered_state state, const char *text)
{
    part->state = state;
    (void)snprintf(part->text, sizeof(part->text), "%s", text); /* ours, and short */
}

static struct entry fill(const struct ps_fleet_snapshot *fleet, const struct ps_orders_wish *wish)
{
    struct entry entry = {.list = NULL};

    for (size_t i = 0; i < fleet->workers_n; i++)
        entry.n += is_wanted(&fleet->workers[i], wish);
    entry.list = entry.n ? ps_alloc(entry.n, sizeof(*entry.list)) : NULL;
    for (size_t i = 0, n = 0; entry.list && i < fleet->workers_n; i++) {
        const struct ps_fleet_worker *worker = &fleet->workers[i];
        if (!is_wanted(worker, wish))
            continue;
        entry.list[n] = (struct ps_ordered){.session = worker->session, .broker = worker->broker};
        put_text(entry.list[n++].worker, PS_NAME_MAX, ps_bytes_of(worker->name));
    }
    return entry;
}

static void send_part(const struct ps_orders *self, uint64_t order, struct ps_ordered *part,
                      const struct ps_orders_wish *wish)
{
    struct ps_mandate *mandate = part->broker < self->hub->lines_n ? PS_NEW(struct ps_mandate) : NULL;

    if (mandate) {
        *mandate = (struct ps_mandate){
            .order = order, .session = part->session, .verb = wish->verb, .size = wish->size};
        if (wish->sha256)
            memcpy(mandate->sha256, wish->sha256, sizeof(mandate->sha256));
        put_text(mandate->engine, PS_NAME_MAX, ps_bytes_of(wish->engine));
    }
    if (mandate && ps_mailbox_send(self->hub->lines[part->broker].mandates, mandate) == 0)
        return;
    free(mandate);
    end_part(part, PS_ORDERED_REFUSED, "the master could not send it");
}

/* The oldest makes room. */
static struct entry *place(struct ps_orders *self)
{
    struct entry *oldest = &self->book[0];

    for (size_t i = 1; i < PS_ORDERS_BOOK_N; i++)
        if (self->book[i].order < oldest->order)
            oldest = &self->book[i];
    free(oldest->list);
    return oldest;
}

int ps_orders_give(struct ps_orders *self, const struct ps_fleet_snapshot *fleet,
                   const struct ps_orders_wish *wish, uint64_t now_ms, uint64_t *ret_order)
{
    struct entry entry = fill(fleet, wish);

    if (!entry.list)
        return entry.n ? PS_ERR_NOMEM : PS_ERR_NOTFOUND;
    (void)pthread_mutex_lock(&self->lock); /* can't fail: all */
    entry.order = ++self->last;
    entry.until_ms = now_ms + PS_ORDERS_MS;
    for (size_t i = 0; i < entry.n; i++)
        send_part(self, entry.order, &entry.list[i], wish);
    *place(self) = entry;
    (void)pthread_mutex_unlock(&self->lock);
    *ret_order = entry.order;
    return 0;
}

/* ---- answers ---- */

static struct entry *find(struct ps_orders *self, uint64_t order)
{
    for (size_t i = 0; i < PS_ORDERS_BOOK_N; i++)
        if (order && self->book[i].order == order)
            return &self->book[i];
    return NULL;
}

void ps_orders_hear(struct ps_orders *self, unsigned broker, const struct ps_msg_ORDERED *msg)
{
    (void)pthread_mutex_lock(&self->lock);
    struct entry *entry = find(self, msg->order);
    for (size_t i = 0; entry && i < entry->n; i++) {
        struct ps_ordered *part = &entry->list[i];
        if (part->session != msg->session || part->broker != broker || part->state == PS_ORDERED_DONE)
            continue;
        part->state = msg->done ? PS_ORDERED_DONE : PS_ORDERED_REFUSED;
        put_text(part->text, PS_TEXT_MAX, msg->text);
        put_text(part->before, PS_VERSION_MAX, msg->before);
        put_text(part->after, PS_VERSION_MAX, msg->after);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static bool is_there(const struct ps_fleet_snapshot *fleet, const struct ps_ordered *part)
{
    for (size_t i = 0; i < fleet->workers_n; i++)
        if (fleet->workers[i].session == part->session && fleet->workers[i].broker == part->broker)
            return true;
    return false;
}

static void give_up(struct entry *entry, const struct ps_fleet_snapshot *fleet, uint64_t now_ms)
{
    for (size_t i = 0; i < entry->n; i++) {
        struct ps_ordered *part = &entry->list[i];
        if (part->state != PS_ORDERED_WAITING)
            continue;
        if (now_ms >= entry->until_ms)
            end_part(part, PS_ORDERED_SILENT, "no answer in time");
        else if (!is_there(fleet, part))
            end_part(part, PS_ORDERED_SILENT, "the worker went away before it answered");
    }
}

int ps_orders_look(struct ps_orders *self, uint64_t order, const struct ps_fleet_snapshot *fleet,
                   uint64_t now_ms, struct ps_ordered **ret_list, size_t *ret_n)
{
    struct ps_ordered *list = NULL;
    int error = PS_ERR_NOTFOUND;

    (void)pthread_mutex_lock(&self->lock);
    struct entry *entry = find(self, order);
    if (entry) {
        give_up(entry, fleet, now_ms);
        list = ps_alloc(entry->n, sizeof(*list));
        error = list ? 0 : PS_ERR_NOMEM;
    }
    if (list) {
        memcpy(list, entry->list, entry->n * sizeof(*list));
        *ret_list = list;
        *ret_n = entry->n;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return error;
}
