/* broker/mdp/worker.c: who offers a service. */
#include "broker/mdp/state.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct worker *mdp_worker_find(const struct ps_mdp_core *self, struct ps_bytes address)
{
    struct worker *worker;

    HASH_FIND(hh, self->workers, address.at, address.len, worker);
    return worker;
}

struct worker *mdp_worker_add(struct ps_mdp_core *self, struct service *service,
                              const struct ps_mdp_event *event)
{
    struct worker *worker = PS_NEW(struct worker);
    struct ps_bytes address = event->from;

    if (!worker)
        return NULL;
    memcpy(worker->address, address.at, address.len);
    worker->address_len = (uint8_t)address.len;
    HASH_ADD_KEYPTR(hh, self->workers, worker->address, address.len, worker);
    if (!worker->hh.tbl) {
        free(worker);
        return NULL;
    }
    (void)snprintf(worker->key, sizeof(worker->key), "%s", event->key ? event->key : ""); /* fits */
    worker->service = service;
    worker->heard_ms = self->now_ms;
    worker->beat_ms = self->now_ms + self->limits.heartbeat_ms;
    service->workers_n++;
    self->counts.workers++;
    DL_APPEND(service->waiting, worker);
    return worker;
}

void mdp_worker_forget(struct ps_mdp_core *self, struct worker *worker)
{
    struct service *service = worker->service;

    if (!worker->busy)
        DL_DELETE(service->waiting, worker);
    HASH_DEL(self->workers, worker);
    self->counts.workers--;
    service->workers_n--;
    free(worker);
    mdp_service_tidy(self, service);
}

void mdp_worker_lost(struct ps_mdp_core *self, struct worker *worker, const char *why)
{
    char text[PS_LOG_QUOTED_MAX + 64];
    struct ps_log_quoted name = ps_log_quote(worker->service->name, worker->service->name_len);

    (void)snprintf(text, sizeof(text), "service=%s why=%s busy=%d", name.text, why, worker->busy); /* fits */
    self->actions.log(self->actions.ctx, PS_LOG_INFO, "mdp-worker-lost", text);
    self->counts.workers_lost++;
    mdp_worker_forget(self, worker);
}

void mdp_worker_rest(struct worker *worker)
{
    worker->busy = false;
    worker->client_len = 0;
    DL_APPEND(worker->service->waiting, worker);
}

/* SipHash of a counter: as good as random to who does not know the secret, and the same for the same secret. */
void mdp_worker_ticket(struct ps_mdp_core *self, struct worker *worker)
{
    _Static_assert(PS_MDP_TICKET_BYTES == crypto_shorthash_BYTES, "a ticket is a SipHash");
    _Static_assert(PS_MDP_SECRET_BYTES == crypto_shorthash_KEYBYTES, "keyed by the secret");

    self->tickets++;
    (void)crypto_shorthash(worker->ticket, (const uint8_t *)&self->tickets, sizeof(self->tickets),
                           self->secret); /* always 0 */
}

bool mdp_worker_holds(const struct worker *worker, struct ps_bytes ticket)
{
    return worker->busy && ps_bytes_equal(ticket, mdp_worker_its_ticket(worker));
}

void mdp_worker_employ(struct worker *worker, const struct request *request)
{
    DL_DELETE(worker->service->waiting, worker);
    worker->busy = true;
    worker->client_len = request->client_len;
    memcpy(worker->client, request->client, request->client_len);
    memcpy(worker->client_key, request->key, sizeof(worker->client_key));
}

/* Most workers of this protocol do nothing but work while they work: their heartbeats stop. So silence is held against
 * one that waits; for one that works the connection speaks (ZMTP pings), and busy_ms. */
bool mdp_worker_silent(const struct ps_mdp_core *self, const struct worker *worker)
{
    uint64_t patience_ms =
        worker->busy ? self->limits.busy_ms : (uint64_t)self->limits.heartbeat_ms * self->limits.liveness;

    return self->now_ms - worker->heard_ms >= patience_ms;
}

bool mdp_worker_beat(struct ps_mdp_core *self, struct worker *worker)
{
    if (worker->beat_ms > self->now_ms)
        return true;
    worker->beat_ms = self->now_ms + self->limits.heartbeat_ms;
    return self->actions.command(self->actions.ctx, mdp_worker_address(worker), PS_MDP_HEARTBEAT);
}
