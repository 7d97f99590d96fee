/* master/web/server.h: the server's inside, for the files of master/web. All of it belongs to the loop's thread. */
#ifndef PS_MASTER_WEB_SERVER_H
#define PS_MASTER_WEB_SERVER_H

#include <h2o.h>

#include "base/clock.h"
#include "db/pgloop.h"
#include "master/ingest/ingest.h"
#include "master/scan/events.h"
#include "master/scan/fleet.h"
#include "master/scan/scan.h"
#include "master/web/web.h"

struct ps_sessions;
struct ps_streams;

/* Work for the loop from another thread. run is called on the loop's thread and owns the message. */
struct ps_web_post {
    h2o_multithread_message_t super;
    void (*run)(struct ps_web_post *self);
};

struct ps_web {
    struct ps_web_settings settings; /* strings are owned copies */
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_socket_t *listeners[2]; /* TCP, UNIX */
    h2o_multithread_queue_t *queue;
    h2o_multithread_receiver_t posts; /* struct ps_web_post from other threads */
    struct ps_pgloop *pg;
    struct ps_sessions *sessions; /* who is signed in; one-time tokens */
    struct ps_streams *streams;   /* event streams */
    uint64_t started_ms;
    uint16_t port;
    size_t conns_n;        /* open connections */
    volatile int stopping; /* set by any thread */
};

/* Runs post->run on the loop's thread. Any thread. */
void ps_web_post(struct ps_web *web, struct ps_web_post *post);

/* Registers the page's files and the handler of all routes. */
void ps_web_register(struct ps_web *web, h2o_pathconf_t *path);

#endif
