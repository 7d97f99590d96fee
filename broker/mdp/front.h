/* broker/mdp/front.h: the Majordomo endpoint: a thread with a ROUTER socket around the core.
 *
 * It has its own libzmq context and shares nothing with the rest of the broker. Whoever may open the socket file is the
 * local user: its mode is 0600. Routing ids that peers chose themselves are taken (existing peers do that); an id is a
 * return address here and nothing is believed because of it. */
#ifndef PS_BROKER_MDP_FRONT_H
#define PS_BROKER_MDP_FRONT_H

#include "base/err.h"
#include "broker/mdp/core.h"

#define PS_MDP_HWM           1000       /* messages in libzmq's hands, a peer and direction */
#define PS_MDP_TURN_MESSAGES 256        /* read before the clock is looked at again */
#define PS_MDP_LINGER_MS     1000       /* at the end, for what was said last */
#define PS_MDP_MESSAGE_BYTES (64 << 20) /* default limit of one message */

struct ps_mdp_front;

struct ps_mdp_front_config {
    const char *path;     /* of the UNIX socket; its directory is made when it is not there */
    size_t message_bytes; /* a larger frame ends the connection, a larger message is dropped */
    struct ps_mdp_limits limits;
};

/* Listens and starts the thread. 0; PS_ERR_CONFLICT when a broker listens there already; else a sentence. The caller's
 * thread blocks signals before. */
int ps_mdp_front_start(struct ps_mdp_front **ret_self, const struct ps_mdp_front_config *config,
                       struct ps_error *reterr);
/* Says DISCONNECT to workers and ends. What waits and what is in flight is lost: clients send it again. */
void ps_mdp_front_stop(struct ps_mdp_front **self_p);

#endif
