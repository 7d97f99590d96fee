/* broker/mdp/state.h: the insides of the core: services, workers, requests. Private to broker/mdp. */
#ifndef PS_BROKER_MDP_STATE_H
#define PS_BROKER_MDP_STATE_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "broker/mdp/core.h"

/* A request that waits. */
struct request {
    void *body; /* the caller's; dropped with the request */
    size_t bytes;
    uint64_t due_ms; /* core time; then it is given up */
    struct request *prev, *next;
    char key[PS_MDP_KEY_TEXT]; /* of the client; "": it needs none */
    uint8_t client_len;
    uint8_t client[]; /* its address */
};

struct worker;

/* Lives while it has a worker or a request. */
struct service {
    char *name; /* owned; with its length, as it came */
    uint8_t name_len;
    struct request *requests; /* oldest first */
    uint32_t requests_n;
    size_t bytes;           /* of their bodies */
    struct worker *waiting; /* least recently used first */
    uint32_t workers_n;     /* waiting or not */
    UT_hash_handle hh;
};

struct worker {
    struct service *service;
    bool busy;         /* works for client; else it is in the list of its service */
    uint64_t heard_ms; /* core time of its last word */
    uint64_t beat_ms;  /* next heartbeat to it */
    struct worker *prev, *next;
    UT_hash_handle hh;
    char key[PS_MDP_KEY_TEXT];        /* "": it needs none */
    char client_key[PS_MDP_KEY_TEXT]; /* busy: of the client */
    uint8_t address_len, client_len;
    uint8_t address[PS_MDP_ADDRESS_MAX];
    uint8_t client[PS_MDP_ADDRESS_MAX];
    uint8_t ticket[PS_MDP_TICKET_BYTES]; /* busy: what it knows its client by */
};

struct ps_mdp_core {
    struct ps_mdp_limits limits;
    struct ps_mdp_actions actions;
    struct service *services; /* by name */
    struct worker *workers;   /* by address */
    uint64_t real_ms;         /* of the last step */
    uint64_t slept_ms;        /* that the broker itself was not there; core time is real time without it */
    uint64_t now_ms;          /* core time */
    uint64_t tickets;         /* drawn so far */
    uint8_t secret[PS_MDP_SECRET_BYTES];
    struct ps_mdp_counts counts;
};

/* Key is "", or has the right now. */
static inline bool mdp_may(const struct ps_mdp_core *self, const char *key, bool offers)
{
    return !*key || self->actions.may(self->actions.ctx, key, offers);
}

/* ---- service.c ---- */

/* The service of that name, made when it is not there. NULL at the limit, or without memory. */
struct service *mdp_service_get(struct ps_mdp_core *self, struct ps_bytes name);
struct service *mdp_service_find(const struct ps_mdp_core *self, struct ps_bytes name); /* NULL: none */
/* Forgets a service that nobody offers and nobody waits for. */
void mdp_service_tidy(struct ps_mdp_core *self, struct service *service);
/* Queues event's request at the end; takes its body in any case. */
void mdp_service_queue(struct ps_mdp_core *self, struct service *service, const struct ps_mdp_event *event);
/* Takes the request out, drops its body and frees it. */
void mdp_service_drop(struct ps_mdp_core *self, struct service *service, struct request *request);
/* Gives up requests that waited too long. */
void mdp_service_expire(struct ps_mdp_core *self, struct service *service);

/* ---- worker.c ---- */

struct worker *mdp_worker_find(const struct ps_mdp_core *self, struct ps_bytes address); /* NULL: none */
/* A new one that event is from, in the list of its service. NULL without memory. */
struct worker *mdp_worker_add(struct ps_mdp_core *self, struct service *service,
                              const struct ps_mdp_event *event);
/* Forgets it; its service may go with it. */
void mdp_worker_forget(struct ps_mdp_core *self, struct worker *worker);
/* The same for one that went without a word. */
void mdp_worker_lost(struct ps_mdp_core *self, struct worker *worker, const char *why);
/* From working to the end of the list of those that wait. */
void mdp_worker_rest(struct worker *worker);
/* Gives it a ticket that nobody can guess, for the request that it is about to get. */
void mdp_worker_ticket(struct ps_mdp_core *self, struct worker *worker);
/* From the list to working for request's client. */
void mdp_worker_employ(struct worker *worker, const struct request *request);
/* It works, and for the client of that ticket. */
bool mdp_worker_holds(const struct worker *worker, struct ps_bytes ticket);
/* True when its last word is too long ago. */
bool mdp_worker_silent(const struct ps_mdp_core *self, const struct worker *worker);
/* A heartbeat, when one is due. False: it is gone. */
bool mdp_worker_beat(struct ps_mdp_core *self, struct worker *worker);

static inline struct ps_bytes mdp_worker_address(const struct worker *worker)
{
    return (struct ps_bytes){worker->address, worker->address_len};
}

static inline struct ps_bytes mdp_worker_its_ticket(const struct worker *worker)
{
    return (struct ps_bytes){worker->ticket, sizeof(worker->ticket)};
}

static inline struct ps_bytes mdp_service_name(const struct service *service)
{
    return (struct ps_bytes){(const uint8_t *)service->name, service->name_len};
}

#endif
