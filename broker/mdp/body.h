/* broker/mdp/body.h: the frames of a body on their way, moved, never copied. Private to broker/mdp. */
#ifndef PS_BROKER_MDP_BODY_H
#define PS_BROKER_MDP_BODY_H

#include <stddef.h>
#include <zmq.h>

#define MDP_BODY_OVERHEAD 512 /* bytes that a waiting request takes beside its body, about */

struct mdp_body {
    size_t n;
    size_t bytes; /* of its frames, and overhead */
    zmq_msg_t parts[];
};

/* Moves n messages out of parts, which stay to be closed. NULL without memory. */
struct mdp_body *mdp_body_take(zmq_msg_t *parts, size_t n);
void mdp_body_free(struct mdp_body *self); /* accepts NULL */

#endif
