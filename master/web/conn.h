/* master/web/conn.h: connections of clients: who is at the other end, and how many there may be.
 *
 * h2o owns the socket; what we know of it hangs on the socket's close callback and dies with it. Loop's thread only. */
#ifndef PS_MASTER_WEB_CONN_H
#define PS_MASTER_WEB_CONN_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct ps_web;

struct ps_conn {
    uint32_t magic;
    struct ps_web *web;
    h2o_socket_t *sock;
    bool local;    /* over the UNIX socket: the kernel says who it is */
    uid_t uid;     /* local only */
    pid_t pid;     /* local only */
    int linger_fd; /* a copy of the socket's, see linger.h; -1: none */
    struct ps_conn *prev, *next;
};

/* Listens where the settings say (web->port becomes the port taken). 0, or a ps_err with its story. */
int ps_conn_listen(struct ps_web *web, struct ps_error *reterr);
/* Takes no new connections. */
void ps_conn_unlisten(struct ps_web *web);
/* The connection of a request. */
struct ps_conn *ps_conn_of(const h2o_req_t *req);
/* The client may still be sending when the answer to this request has gone and the connection is closed. */
void ps_conn_linger(const h2o_req_t *req);
/* Tells every connection that nothing more is read from it: idle ones close now, the others after their answer. */
void ps_conn_finish_all(struct ps_web *web);

#endif
