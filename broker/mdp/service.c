/* broker/mdp/service.c: names, and the requests that wait for them. */
#include "broker/mdp/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct service *mdp_service_find(const struct ps_mdp_core *self, struct ps_bytes name)
{
    struct service *service;

    HASH_FIND(hh, self->services, name.at, name.len, service);
    return service;
}

static struct service *make(struct ps_mdp_core *self, struct ps_bytes name)
{
    struct service *service = PS_NEW(struct service);

    if (!service)
        return NULL;
    service->name = ps_strndup((const char *)name.at, name.len);
    service->name_len = (uint8_t)name.len;
    if (service->name)
        HASH_ADD_KEYPTR(hh, self->services, service->name, name.len, service);
    if (!service->name || !service->hh.tbl) { /* no memory, or none for its place in the table */
        free(service->name);
        free(service);
        return NULL;
    }
    self->counts.services++;
    return service;
}

struct service *mdp_service_get(struct ps_mdp_core *self, struct ps_bytes name)
{
    struct service *service = mdp_service_find(self, name);

    if (service || self->counts.services >= self->limits.services_max)
        return service;
    return make(self, name);
}

void mdp_service_tidy(struct ps_mdp_core *self, struct service *service)
{
    if (service->workers_n || service->requests_n)
        return;
    HASH_DEL(self->services, service);
    self->counts.services--;
    free(service->name);
    free(service);
}

void mdp_service_drop(struct ps_mdp_core *self, struct service *service, struct request *request)
{
    DL_DELETE(service->requests, request);
    service->requests_n--;
    service->bytes -= request->bytes;
    self->counts.waiting_n--;
    self->counts.waiting_bytes -= request->bytes;
    self->actions.drop(self->actions.ctx, request->body);
    free(request);
}

/* The one to lose a request when bytes are short: so a flood for one service does not push out another's. */
static struct service *fullest(const struct ps_mdp_core *self)
{
    struct service *service, *next, *most = NULL;

    HASH_ITER (hh, self->services, service, next)
        if (service->requests && (!most || service->bytes > most->bytes))
            most = service;
    return most;
}

/* Room for one more. There is no error to send (RFC 7), so somebody's client waits in vain: that of the oldest request,
 * who has waited longest, and has most likely sent it again. */
static bool make_room(struct ps_mdp_core *self, struct service *service, size_t bytes)
{
    struct service *from;

    if (bytes > self->limits.bytes_max)
        return false;
    while (service->requests_n >= self->limits.requests_max) {
        self->counts.dropped_limit++;
        mdp_service_drop(self, service, service->requests);
    }
    while (self->counts.waiting_bytes + bytes > self->limits.bytes_max && (from = fullest(self))) {
        self->counts.dropped_limit++;
        mdp_service_drop(self, from, from->requests);
        if (from != service)
            mdp_service_tidy(self, from);
    }
    return true;
}

void mdp_service_queue(struct ps_mdp_core *self, struct service *service, const struct ps_mdp_event *event)
{
    struct ps_bytes client = event->from;
    size_t bytes = event->body_bytes;
    struct request *request = NULL;

    if (make_room(self, service, bytes))
        request = ps_alloc(1, sizeof(*request) + client.len);
    if (!request) {
        self->counts.dropped_limit++;
        self->actions.drop(self->actions.ctx, event->body);
        return;
    }
    request->body = event->body;
    request->bytes = bytes;
    request->due_ms = self->now_ms + self->limits.wait_ms;
    (void)snprintf(request->key, sizeof(request->key), "%s", event->key ? event->key : ""); /* fits */
    request->client_len = (uint8_t)client.len;
    memcpy(request->client, client.at, client.len);
    DL_APPEND(service->requests, request);
    service->requests_n++;
    service->bytes += bytes;
    self->counts.waiting_n++;
    self->counts.waiting_bytes += bytes;
}

void mdp_service_expire(struct ps_mdp_core *self, struct service *service)
{
    while (service->requests && service->requests->due_ms <= self->now_ms) {
        self->counts.dropped_late++;
        mdp_service_drop(self, service, service->requests);
    }
}
