/* proto/peer/where.h: where the broker is and how it is spoken to. */
#ifndef PS_PROTO_PEER_WHERE_H
#define PS_PROTO_PEER_WHERE_H

#include <stdbool.h>

#include "proto/peer/keys.h"

struct ps_peer_where {
    void *context;              /* libzmq context of this process (zsys_init or zmq_ctx_new), lent */
    const char *endpoint;       /* tcp://host:port or ipc://path; copied */
    const struct ps_keys *keys; /* CURVE; NULL without (on ipc the directory's mode is the wall); copied */
};

/* Checks what a program was told about its broker, and makes ipc://PATH of an absolute path (*endpoint_p, owned by the
 * caller). key, broker_key: paths of certificates or NULL, both or none; on TCP they are needed unless insecure is
 * true. 0; PS_ERR_INVALID with a sentence; PS_ERR_NOMEM. */
int ps_where_settle(char **endpoint_p, const char *key, const char *broker_key, bool insecure,
                    struct ps_error *reterr);
/* TCP without a key: to be warned about at every start. */
bool ps_where_is_insecure(const char *endpoint, const char *key);

#endif
