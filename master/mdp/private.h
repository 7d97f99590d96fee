/* master/mdp/private.h: the insides of the service: its seats. Private to master/mdp. */
#ifndef PS_MASTER_MDP_PRIVATE_H
#define PS_MASTER_MDP_PRIVATE_H

#include <pthread.h>

#include "base/mailbox.h"
#include "master/ingest/ingest.h"
#include "master/mdp/link.h"
#include "master/mdp/service.h"
#include "master/scan/events.h"

/* Where a seat's request is. INGEST and READ: in another thread's hands, and nobody else touches it. */
enum mdp_place { MDP_NOTHING, MDP_INGEST, MDP_WAIT, MDP_READ };

/* A worker's connection, and the request that came over it. */
struct mdp_seat {
    struct ps_mdp_service *service;
    struct ps_mdp_link link;
    uint64_t open_ms; /* closed: when it is opened again */
    enum mdp_place place;
    bool orphan;      /* its dialogue is over: what comes back is thrown away */
    bool again;       /* an event came while the scan was being read */
    int64_t scan;     /* WAIT, READ */
    uint64_t look_ms; /* WAIT: when the scan is looked at, whatever the bus says */

    struct ps_mdp_request body; /* ingest reads from it */
    struct ps_ingest_file file;
    struct ps_ingest_request request;

    int code;   /* READ: what came of it */
    char *text; /* owned */
    struct ps_error error;
};

struct ps_mdp_service {
    struct ps_mdp_service_config config; /* its endpoint is owned */
    struct ps_mdp_link_where where;
    struct mdp_seat *seats;   /* connections_n of them, owned */
    struct ps_mailbox *back;  /* seats that come back from ingest and report */
    struct ps_mailbox *reads; /* seats whose scan is to be read */
    struct ps_events_sub *sub;
    int event_fd; /* eventfd: the bus has something */
    int stop_fd;  /* eventfd: end */
    pthread_t thread, reader;
    bool running, reading; /* threads to be joined */
    bool told;             /* logged that the broker's front is there */
};

/* ---- call.c: the road of one request ---- */

void mdp_call_begin(struct mdp_seat *seat, uint64_t now_ms); /* link has filled body */
void mdp_call_back(struct mdp_seat *seat, uint64_t now_ms);  /* out of the mailbox `back` */
void mdp_call_look(struct mdp_seat *seat);                   /* its scan may have ended */
void mdp_call_abandon(struct mdp_seat *seat);                /* its dialogue is over */
void *mdp_reader(void *service);                             /* the thread mdp-report */

#endif
