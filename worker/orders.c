#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "worker/state.h"

static uint64_t now_ms(const struct ps_session *self)
{
    return self->now_us / 1000;
}

static void answer(struct ps_worker_order *order, bool done, const char *text)
{
    order->over = true;
    order->done = done;
    ps_crew_text(order->text, PS_TEXT_MAX, text);
}

/* What is not kept is answered at once; when that can't be sent, the master's own patience ends it. */
static void refuse(struct ps_session *self, const struct ps_msg_ORDER *msg, const char *why)
{
    (void)ps_peer_put(self->peer, PS_MSG(ORDERED, .order = msg->order, .text = ps_bytes_of(why)));
}

static struct ps_worker_order *free_place(struct ps_session *self)
{
    for (size_t i = 0; i < PS_SESSION_ORDERS_N; i++)
        if (self->orders[i].order == 0)
            return &self->orders[i];
    return NULL;
}

static void reload(struct ps_session *self, struct ps_worker_order *order)
{
    if (ps_roster_reload(self->roster, order->engine, now_ms(self)))
        answer(order, false, ps_roster_problem(self->roster, order->engine));
}

static void switch_it(struct ps_session *self, struct ps_worker_order *order, bool on)
{
    if (ps_roster_is_on(self->roster, order->engine) == on)
        answer(order, true, on ? "it is on already" : "it is off already");
    else
        ps_roster_switch(self->roster, order->engine, on, now_ms(self));
}

static void begin(struct ps_session *self, struct ps_worker_order *order)
{
    switch (order->verb) {
    case PS_ORDER_RELOAD:
        reload(self, order);
        break;
    case PS_ORDER_ON:
    case PS_ORDER_OFF:
        switch_it(self, order, order->verb == PS_ORDER_ON);
        break;
    default:
        answer(order, false, "this worker does not know that order");
        break;
    }
}

void ps_orders_take(struct ps_session *self, const struct ps_msg_ORDER *msg)
{
    int engine = ps_roster_find(self->roster, msg->engine);
    struct ps_worker_order *order = free_place(self);

    if (engine < 0 || !order || msg->order == 0) {
        refuse(self, msg,
               engine < 0 ? "this worker has no such engine" : "too many orders are under way here");
        return;
    }
    *order = (struct ps_worker_order){.order = msg->order, .engine = (unsigned)engine, .verb = msg->verb};
    ps_crew_text(order->before, PS_VERSION_MAX, ps_roster_facts(self->roster, order->engine)->definitions);
    ps_log(PS_LOG_INFO, "order", "order=%" PRIu64 " engine=%s verb=%" PRIu32, msg->order,
           ps_roster_facts(self->roster, order->engine)->name, msg->verb);
    begin(self, order);
}

/* Switched off, it goes DOWN as was wanted; else that is a failure. */
static void end(struct ps_session *self, struct ps_worker_order *order, enum ps_roster_event_kind kind)
{
    if (order->verb == PS_ORDER_OFF)
        answer(order, kind == PS_ROSTER_DOWN,
               kind == PS_ROSTER_DOWN ? "it is off" : "it was switched on again");
    else if (kind == PS_ROSTER_UP)
        answer(order, true, order->verb == PS_ORDER_ON ? "it is on" : "it was loaded anew");
    else if (kind == PS_ROSTER_STAYS)
        answer(order, false, ps_roster_note(self->roster, order->engine, now_ms(self)));
    else
        answer(order, false, ps_roster_problem(self->roster, order->engine));
}

void ps_orders_engine(struct ps_session *self, const struct ps_roster_event *event)
{
    for (size_t i = 0; i < PS_SESSION_ORDERS_N; i++) {
        struct ps_worker_order *order = &self->orders[i];

        if (order->order && !order->over && order->engine == event->engine)
            end(self, order, event->kind);
    }
}

void ps_orders_say(struct ps_session *self)
{
    for (size_t i = 0; i < PS_SESSION_ORDERS_N; i++) {
        struct ps_worker_order *order = &self->orders[i];
        const char *after = ps_roster_is_up(self->roster, order->engine)
                                ? ps_roster_facts(self->roster, order->engine)->definitions
                                : "";

        if (!order->order || !order->over)
            continue;
        if (ps_peer_put(self->peer,
                        PS_MSG(ORDERED, .order = order->order, .done = order->done,
                               .text = ps_bytes_of(order->text), .before = ps_bytes_of(order->before),
                               .after = ps_bytes_of(after))))
            return;
        order->order = 0;
    }
}
