/* broker/mdp/front.h: the Majordomo endpoint: a thread with a ROUTER socket around the core.
 *
 * It has its own libzmq context and shares nothing with the rest of the broker but the answer to what a key may do.
 * Whoever may open the socket file is the local user: its mode is 0600. TCP is for peers with a key only. Routing ids that
 * peers chose themselves are taken (existing peers do that); an id is a return address here, nothing is believed because of
 * it, and no peer is shown one. */
#ifndef PS_BROKER_MDP_FRONT_H
#define PS_BROKER_MDP_FRONT_H

#include "base/err.h"
#include "broker/mdp/core.h"

#define PS_MDP_HWM           1000       /* messages in libzmq's hands, a peer and direction */
#define PS_MDP_TURN_MESSAGES 256        /* read before the clock is looked at again */
#define PS_MDP_LINGER_MS     1000       /* at the end, for what was said last */
#define PS_MDP_MESSAGE_BYTES (64 << 20) /* default limit of one message */
#define PS_MDP_ENDPOINT_MAX  300        /* text of a TCP endpoint */

struct ps_mdp_front;

/* TCP, by CURVE. There is no other way to have it. */
struct ps_mdp_front_tcp {
    const char *const *at; /* "HOST:PORT"; lent for the start, like the other texts */
    size_t n;              /* 0: no TCP */
    const char *secret_key, *zap_domain;
    const char *monitor; /* where the ROUTER tells of handshakes that failed */
    /* May a peer with that key offer services, or else ask for them? Called by the front's thread, while it runs. */
    bool (*may)(void *ctx, const char *key, bool offers);
    void (*denied)(void *ctx,
                   uint64_t n); /* so many more messages were dropped for lack of that right; as may */
    void *ctx;
};

struct ps_mdp_front_config {
    void *
        context; /* libzmq's, lent; with TCP somebody there answers for zap_domain until the front has stopped */
    const char *path;     /* of the UNIX socket; its directory is made when it is not there */
    size_t message_bytes; /* a larger frame ends the connection, a larger message is dropped */
    struct ps_mdp_limits limits;
    struct ps_mdp_front_tcp tcp;
};

/* Listens and starts the thread. 0; PS_ERR_CONFLICT when a broker listens there already; else a sentence. The caller's
 * thread blocks signals before. */
int ps_mdp_front_start(struct ps_mdp_front **ret_self, const struct ps_mdp_front_config *config,
                       struct ps_error *reterr);
/* The address that was bound for config.tcp.at[i], with the port that the system chose. Lent; any thread. */
const char *ps_mdp_front_tcp(const struct ps_mdp_front *self, size_t i);
/* Says DISCONNECT to workers and ends. What waits and what is in flight is lost: clients send it again. */
void ps_mdp_front_stop(struct ps_mdp_front **self_p);

#endif
