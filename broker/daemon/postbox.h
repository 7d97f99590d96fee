/* broker/daemon/postbox.h: what waits for one peer: a frame in the making, and finished ones that it did not take yet. */
#ifndef PS_BROKER_DAEMON_POSTBOX_H
#define PS_BROKER_DAEMON_POSTBOX_H

#include <stddef.h>
#include <zmq.h>

#include "base/bytes.h"
#include "broker/daemon/router.h"

struct ps_sealed; /* a finished message */

struct ps_postbox {
    struct ps_buf records;                  /* frame in the making */
    size_t records_n;                       /* in it */
    zmq_msg_t carried[PS_ROUTER_CARRIED_N]; /* its further frames */
    size_t carried_n;
    struct ps_sealed *sealed; /* first to go */
    size_t bytes;             /* all of it */
};

void ps_postbox_init(struct ps_postbox *self);
void ps_postbox_fini(struct ps_postbox *self);
/* Drops what is in it, keeps the memory. */
void ps_postbox_clear(struct ps_postbox *self);
/* True when the frame in the making should go before more is added. */
bool ps_postbox_ripe(const struct ps_postbox *self);
/* 0, or as ps_msg_put. */
int ps_postbox_put(struct ps_postbox *self, const struct ps_msg *msg);
/* 0 or PS_ERR_NOMEM, PS_ERR_LIMIT. carry is moved out of. */
int ps_postbox_pass(struct ps_postbox *self, struct ps_bytes record, zmq_msg_t *carry);
/* Sends all to the address on a ROUTER. 0 when nothing is left; PS_ERR_AGAIN: the peer does not take more now;
 * PS_ERR_CLOSED: there is no such peer (any more); PS_ERR_NOMEM. */
int ps_postbox_send(struct ps_postbox *self, void *router, const uint8_t *address, size_t address_len);
/* Closes the frame in the making, so that another can be begun. 0 or PS_ERR_NOMEM. */
int ps_postbox_seal(struct ps_postbox *self);

#endif
