/* proto/peer/where.h: where the broker is and how it is spoken to. */
#ifndef PS_PROTO_PEER_WHERE_H
#define PS_PROTO_PEER_WHERE_H

#include "proto/peer/keys.h"

struct ps_peer_where {
    void *context;              /* libzmq context of this process (zsys_init or zmq_ctx_new), lent */
    const char *endpoint;       /* tcp://host:port or ipc://path; copied */
    const struct ps_keys *keys; /* CURVE; NULL without (ipc only: the directory's mode is the wall); copied */
};

#endif
