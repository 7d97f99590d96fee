/* master/web/web.h: the HTTP server: h2o on one loop, which is the thread that calls ps_web_run. */
#ifndef PS_MASTER_WEB_WEB_H
#define PS_MASTER_WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ps_ingest;
struct ps_scan;
struct ps_store;
struct ps_web;

#define PS_WEB_ONESHOT_BYTES (64u << 20) /* body of POST /submissions */
#define PS_WEB_CHUNK_BYTES   (8u << 20)  /* chunk size told to uploaders; up to 16 MiB are taken */
#define PS_WEB_CONNS_MAX \
    1024                         /* connections over TCP, and as many over the UNIX socket; over it a
                                                   new one is closed at once */
#define PS_WEB_STREAMS_MAX 256   /* event streams; over it 503 */
#define PS_WEB_BODY_MS     60000 /* a request must be here whole within this */
#define PS_WEB_SESSION_S   (30 * 24 * 3600)   /* life of a browser's session */
#define PS_WEB_TOKEN_MS    (24 * 3600 * 1000) /* life of a one-time address */
#define PS_WEB_DRAIN_MS    5000               /* at the stop: how long answers under way are waited for */

struct ps_web_settings {
    const char *host;     /* address to listen on: loopback until accounts exist */
    uint16_t port;        /* first port tried; the next free one of 20 when it is busy; 0: any free one */
    bool port_fixed;      /* the port was asked for: a busy one is an error */
    const char *api_sock; /* path of the UNIX socket */
    const char *www;      /* directory of the page's files */
    const char *body_dir; /* where bodies over 32 MiB lie while they arrive; must be there */
    const char *conninfo; /* the database */
    uint64_t max_sample_bytes;
    bool standby;             /* reads are its business: it is ready without leading */
    int stop_fd;              /* a signalfd or the like: ps_web_stop once it is readable; -1: none. Lent */
    struct ps_ingest *ingest; /* lent */
    struct ps_scan *scan;     /* lent */
    struct ps_store *store;   /* lent; read only */
};

/* Listens; nothing is answered before ps_web_run. Settings are copied, what they point at is lent. */
int ps_web_new(struct ps_web **ret_self, const struct ps_web_settings *settings, struct ps_error *reterr);
/* The port taken. */
uint16_t ps_web_port(const struct ps_web *self);
/* Serves until ps_web_stop, then until the answers under way are given, at most PS_WEB_DRAIN_MS. */
void ps_web_run(struct ps_web *self);
/* The loop ends soon. Any thread. */
void ps_web_stop(struct ps_web *self);
/* Ingest must have stopped: completions that came after the loop's end are handled here. */
void ps_web_free(struct ps_web **self_p);

/* The database was reached and has this program's schema: before that /healthz says no. Any thread. */
void ps_web_set_ready(struct ps_web *self);
/* Submissions of these ids are committed: those who watch are told. Any thread; never waits. */
void ps_web_submitted(struct ps_web *self, int64_t first_id, int64_t last_id);

#endif
