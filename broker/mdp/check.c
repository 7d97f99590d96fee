/* broker/mdp/check.c: the audit of the core's books. */
#include "broker/mdp/state.h"

#include <stdlib.h>

#include "base/mem.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint32_t check_waiting(const struct service *service)
{
    const struct worker *worker;
    uint32_t n = 0;

    DL_FOREACH (service->waiting, worker) {
        must(!worker->busy && worker->service == service);
        n++;
    }
    return n;
}

static void check_service(const struct ps_mdp_core *self, const struct service *service)
{
    const struct request *request;
    uint32_t n = 0;
    size_t bytes = 0;

    DL_FOREACH (service->requests, request) {
        n++;
        bytes += request->bytes;
    }
    must(n == service->requests_n && bytes == service->bytes);
    must(n <= self->limits.requests_max);
    must(service->requests_n || service->workers_n); /* else it should be gone */
    must(!service->requests || !service->waiting);   /* else they should have been brought together */
}

void ps_mdp_core_check(const struct ps_mdp_core *self)
{
    const struct service *service;
    const struct worker *worker;
    size_t requests = 0, bytes = 0;
    uint32_t offered = 0, waiting = 0, idle = 0;

    for (service = self->services; service; service = service->hh.next) {
        check_service(self, service);
        waiting += check_waiting(service);
        offered += service->workers_n;
        requests += service->requests_n;
        bytes += service->bytes;
    }
    for (worker = self->workers; worker; worker = worker->hh.next)
        idle += !worker->busy;
    must(requests == self->counts.waiting_n && bytes == self->counts.waiting_bytes);
    must(bytes <= self->limits.bytes_max);
    must(idle == waiting && offered == self->counts.workers && offered == HASH_COUNT(self->workers));
    must(HASH_COUNT(self->services) == self->counts.services &&
         self->counts.services <= self->limits.services_max);
    must(self->counts.workers <= self->limits.workers_max);
}
