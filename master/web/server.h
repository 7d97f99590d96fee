/* master/web/server.h: the server's inside, for the files of master/web. All of it belongs to the loop's thread, but
 * for what says otherwise. */
#ifndef PS_MASTER_WEB_SERVER_H
#define PS_MASTER_WEB_SERVER_H

#include <h2o.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "db/pgloop.h"
#include "master/ingest/ingest.h"
#include "master/scan/events.h"
#include "master/scan/fleet.h"
#include "master/scan/scan.h"
#include "master/web/web.h"

struct ps_announcer;
struct ps_conn;
struct ps_lingers;
struct ps_sessions;
struct ps_status_cache;
struct ps_streams;

#define PS_WEB_BODY_IN_MEMORY \
    (32u << 20) /* bytes of a body that may lie in memory; larger ones go to a file */

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
    h2o_socket_t *listeners[2];       /* TCP, UNIX */
    h2o_socket_t *signals;            /* settings.stop_fd; NULL: none */
    h2o_multithread_receiver_t posts; /* struct ps_web_post from other threads */
    struct ps_pgloop *pg;
    struct ps_sessions *sessions;   /* who is signed in; one-time tokens */
    struct ps_streams *streams;     /* event streams */
    struct ps_announcer *announcer; /* SUBMISSION events */
    struct ps_conn *conns;          /* open connections */
    struct ps_lingers *lingers;     /* closed ones whose clients still send */
    struct ps_status_cache *status; /* what GET /status asked the database last */
    uint64_t started_ms;
    uint16_t port;
    size_t conns_n[2];          /* open connections: TCP, UNIX */
    size_t calls_n;             /* calls under way */
    uint64_t accepted, refused; /* connections since start */
    uint64_t answers[6];        /* answers by their status' first digit */
    bool begun;                 /* h2o's parts are set up */
    atomic_bool stopping;       /* set by any thread */
    atomic_bool ready;          /* the database has this program's schema; set by any thread */
};

/* Runs post->run on the loop's thread. Any thread. */
void ps_web_post(struct ps_web *web, struct ps_web_post *post);

/* Registers the answer filter, the handler of all routes and the page's files. */
void ps_web_register(struct ps_web *web, h2o_hostconf_t *host);
/* The parts of it. */
void ps_web_register_answers(struct ps_web *web, h2o_pathconf_t *path);
void ps_web_register_routes(struct ps_web *web, h2o_pathconf_t *path);
void ps_web_register_page(struct ps_web *web, h2o_pathconf_t *path);

#endif
