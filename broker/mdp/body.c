#include "broker/mdp/body.h"

#include <stdlib.h>

#include "base/mem.h"

struct mdp_body *mdp_body_take(zmq_msg_t *parts, size_t n)
{
    struct mdp_body *self = ps_alloc(1, sizeof(*self) + n * sizeof(zmq_msg_t));

    if (!self)
        return NULL;
    self->n = n;
    self->bytes = MDP_BODY_OVERHEAD + n * sizeof(zmq_msg_t);
    for (size_t i = 0; i < n; i++) {
        self->bytes += zmq_msg_size(&parts[i]);
        (void)zmq_msg_init(&self->parts[i]); /* neither fails for messages */
        (void)zmq_msg_move(&self->parts[i], &parts[i]);
    }
    return self;
}

void mdp_body_free(struct mdp_body *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < self->n; i++)
        (void)zmq_msg_close(&self->parts[i]); /* fails for what is no message, and these are */
    free(self);
}
