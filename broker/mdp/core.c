#include "broker/mdp/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker/mdp/state.h"

#define MIB ((size_t)1024 * 1024)

void ps_mdp_limits_init(struct ps_mdp_limits *ret_limits)
{
    *ret_limits = (struct ps_mdp_limits){.heartbeat_ms = PS_MDP_HEARTBEAT_MS,
                                         .liveness = PS_MDP_LIVENESS,
                                         .busy_ms = 600000,
                                         .wait_ms = 60000,
                                         .services_max = 1024,
                                         .workers_max = 4096,
                                         .requests_max = 10000,
                                         .bytes_max = 256 * MIB};
}

int ps_mdp_core_new(struct ps_mdp_core **ret_self, const struct ps_mdp_limits *limits,
                    const struct ps_mdp_actions *actions, const uint8_t secret[PS_MDP_SECRET_BYTES],
                    uint64_t now_ms)
{
    struct ps_mdp_core *self = PS_NEW(struct ps_mdp_core);

    if (!self)
        return PS_ERR_NOMEM;
    self->limits = *limits;
    self->actions = *actions;
    memcpy(self->secret, secret, sizeof(self->secret));
    self->real_ms = self->now_ms = now_ms;
    *ret_self = self;
    return 0;
}

void ps_mdp_core_free(struct ps_mdp_core **self_p)
{
    struct ps_mdp_core *self = PS_TAKE(*self_p);
    struct service *service, *next_service;
    struct worker *worker, *next_worker;

    if (!self)
        return;
    HASH_ITER (hh, self->services, service, next_service) {
        while (service->requests)
            mdp_service_drop(self, service, service->requests);
        mdp_service_tidy(self, service);
    }
    HASH_ITER (hh, self->workers, worker, next_worker)
        mdp_worker_forget(self, worker);
    free(self);
}

struct ps_mdp_counts ps_mdp_core_counts(const struct ps_mdp_core *self)
{
    return self->counts;
}

/* ---- work ---- */

/* Brings requests and workers of a service together. A worker that can't be reached never saw the request: the next one
 * gets it. The service may be gone afterwards. */
static void serve(struct ps_mdp_core *self, struct service *service)
{
    mdp_service_expire(self, service);
    while (service->requests && service->waiting) {
        struct request *request = service->requests;
        struct worker *worker = service->waiting;

        mdp_worker_ticket(self, worker);
        if (!mdp_may(self, request->key, false)) {
            self->counts.denied++;
            mdp_service_drop(self, service, request);
        } else if (!mdp_may(self, worker->key, true)) {
            mdp_worker_lost(self, worker, "denied");
        } else if (mdp_worker_silent(self, worker)) {
            mdp_worker_lost(self, worker, "silent");
        } else if (!self->actions.request(self->actions.ctx, mdp_worker_address(worker),
                                          mdp_worker_its_ticket(worker), request->body)) {
            mdp_worker_lost(self, worker, "unreachable");
        } else {
            worker->beat_ms = self->now_ms + self->limits.heartbeat_ms; /* a command is a heartbeat */
            worker->heard_ms = self->now_ms;                            /* its time to work begins */
            mdp_worker_employ(worker, request);
            mdp_service_drop(self, service, request);
        }
    }
    mdp_service_tidy(self, service);
}

/* ---- from clients ---- */

static void answer_own(struct ps_mdp_core *self, const struct ps_mdp_event *event)
{
    struct ps_bytes name = event->message->service;
    const char *text = "501"; /* RFC 8: a service of the broker's that it does not have */

    if (ps_bytes_is(name, "mmi.service")) {
        const struct service *service =
            event->first.len <= PS_MDP_SERVICE_MAX ? mdp_service_find(self, event->first) : NULL;

        text = service && service->workers_n ? "200" : "404";
    }
    self->actions.answer(self->actions.ctx, event->from, name, text);
    self->actions.drop(self->actions.ctx, event->body);
}

static void take_request(struct ps_mdp_core *self, const struct ps_mdp_event *event)
{
    struct service *service;

    self->counts.requests++;
    if (ps_mdp_is_own(event->message->service)) {
        answer_own(self, event);
        return;
    }
    service = mdp_service_get(self, event->message->service);
    if (!service) {
        self->counts.dropped_limit++;
        self->actions.drop(self->actions.ctx, event->body);
        return;
    }
    mdp_service_queue(self, service, event);
    serve(self, service);
}

/* ---- from workers ---- */

/* RFC 7: what is valid and not expected is answered by DISCONNECT, and the peer counts as gone. */
static void send_away(struct ps_mdp_core *self, struct ps_bytes address, struct worker *worker)
{
    self->counts.unexpected++;
    /* Unreachable is as good as told. */
    (void)self->actions.command(self->actions.ctx, address, PS_MDP_DISCONNECT);
    if (worker)
        mdp_worker_forget(self, worker);
}

static void take_ready(struct ps_mdp_core *self, const struct ps_mdp_event *event, struct worker *worker)
{
    struct ps_bytes name = event->message->service;
    struct service *service = NULL;

    if (!worker && !ps_mdp_is_own(name) && self->counts.workers < self->limits.workers_max)
        service = mdp_service_get(self, name);
    if (!service) {
        send_away(self, event->from, worker);
    } else if (!mdp_worker_add(self, service, event)) {
        mdp_service_tidy(self, service);
        send_away(self, event->from, NULL);
    } else {
        serve(self, service);
    }
}

/* A worker answers the client that it works for, and no other. Its message's client is the ticket that it was given. */
static void take_reply(struct ps_mdp_core *self, const struct ps_mdp_event *event, struct worker *worker)
{
    if (!worker || !mdp_worker_holds(worker, event->message->client)) {
        send_away(self, event->from, worker);
    } else {
        struct service *service = worker->service;
        struct ps_bytes client = {worker->client, worker->client_len};

        if (mdp_may(self, worker->client_key, false) &&
            self->actions.reply(self->actions.ctx, client, mdp_service_name(service), event->body))
            self->counts.replies++;
        else
            self->counts.undelivered++;
        mdp_worker_rest(worker);
        serve(self, service);
    }
    self->actions.drop(self->actions.ctx, event->body);
}

/* A key that lost its right takes its worker with it: nothing more is sent there. So does another key at the address of
 * a worker that is gone. */
static bool is_allowed(struct ps_mdp_core *self, const struct ps_mdp_event *event)
{
    bool offers = event->message->kind != PS_MDP_CLIENT_REQUEST;
    struct worker *worker = mdp_worker_find(self, event->from);
    const char *key = event->key ? event->key : "";
    bool may = mdp_may(self, key, offers);

    if (worker && (strcmp(worker->key, key) != 0 || (offers && !may)))
        mdp_worker_lost(self, worker, "denied");
    if (!may) {
        self->counts.denied++;
        if (event->body_n)
            self->actions.drop(self->actions.ctx, event->body);
    }
    return may;
}

static void take_message(struct ps_mdp_core *self, const struct ps_mdp_event *event)
{
    struct worker *worker;

    if (!is_allowed(self, event))
        return;
    worker = mdp_worker_find(self, event->from);
    if (worker && event->message->kind != PS_MDP_CLIENT_REQUEST)
        worker->heard_ms = self->now_ms;
    switch (event->message->kind) {
    case PS_MDP_CLIENT_REQUEST:
        take_request(self, event);
        break;
    case PS_MDP_READY:
        take_ready(self, event, worker);
        break;
    case PS_MDP_REPLY:
        take_reply(self, event, worker);
        break;
    case PS_MDP_HEARTBEAT:
        if (!worker) /* one of an earlier broker: it is to say READY again */
            send_away(self, event->from, NULL);
        break;
    case PS_MDP_DISCONNECT:
        if (worker)
            mdp_worker_forget(self, worker);
        break;
    case PS_MDP_REQUEST: /* a broker's command */
        send_away(self, event->from, worker);
        self->actions.drop(self->actions.ctx, event->body);
        break;
    }
}

/* ---- time ---- */

/* Who was stopped blames nobody for a silence that it did not listen to. */
static void set_time(struct ps_mdp_core *self, uint64_t now_ms)
{
    uint64_t gap_ms = now_ms > self->real_ms ? now_ms - self->real_ms : 0;

    if (gap_ms > 2 * (uint64_t)self->limits.heartbeat_ms)
        self->slept_ms += gap_ms;
    self->real_ms += gap_ms;
    self->now_ms = self->real_ms - self->slept_ms;
}

static void look_around(struct ps_mdp_core *self)
{
    struct service *service, *next_service;
    struct worker *worker, *next_worker;

    HASH_ITER (hh, self->workers, worker, next_worker)
        if (mdp_worker_silent(self, worker))
            mdp_worker_lost(self, worker, "silent");
        else if (!mdp_worker_beat(self, worker))
            mdp_worker_lost(self, worker, "unreachable");
    HASH_ITER (hh, self->services, service, next_service) {
        mdp_service_expire(self, service);
        mdp_service_tidy(self, service);
    }
}

static void say_goodbye(struct ps_mdp_core *self)
{
    struct worker *worker, *next;

    HASH_ITER (hh, self->workers, worker, next) {
        (void)self->actions.command(self->actions.ctx, mdp_worker_address(worker),
                                    PS_MDP_DISCONNECT); /* who can't be reached hears it by silence */
        mdp_worker_forget(self, worker);
    }
}

void ps_mdp_core_step(struct ps_mdp_core *self, uint64_t now_ms, const struct ps_mdp_event *event)
{
    set_time(self, now_ms);
    switch (event->kind) {
    case PS_MDP_EVENT_MESSAGE:
        take_message(self, event);
        break;
    case PS_MDP_EVENT_BAD:
        self->counts.bad++;
        break;
    case PS_MDP_EVENT_TICK:
        look_around(self);
        break;
    case PS_MDP_EVENT_STOP:
        say_goodbye(self);
        break;
    }
}
