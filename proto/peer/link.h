/* proto/peer/link.h: one connection to the broker: a DEALER, its options and the watch over it. Used by
 * peer.c and beat.c only.
 *
 * A link belongs to one thread. It never blocks and it is never mended: when it is broken, free it and make a
 * new one, which the broker sees under a new routing id. */
#ifndef PS_PROTO_PEER_LINK_H
#define PS_PROTO_PEER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#include "proto/peer/where.h"

struct ps_link;

/* Starts to connect; libzmq goes on trying while the broker is not there. hwm: frames that may wait in each
 * direction. poll_fd: an epoll descriptor that gets the link's own ones as long as it lives, or -1.
 * 0; PS_ERR_INVALID for an endpoint or keys that libzmq refuses; PS_ERR_NOMEM; PS_ERR_LIMIT (sockets);
 * PS_ERR_IO. */
int ps_link_new(struct ps_link **ret_self, const struct ps_peer_where *where, int hwm, int poll_fd);
/* Closes it; what is not sent yet has linger_ms left, in libzmq's hands. */
void ps_link_free(struct ps_link **self_p, int linger_ms);

/* Sends one message of n parts, and takes them on success. 0; PS_ERR_AGAIN: no connection or no room now, all
 * parts stay the caller's; PS_ERR_CLOSED: it broke in the middle, the rest stays the caller's to close. */
int ps_link_send(struct ps_link *self, zmq_msg_t *parts, size_t n);
/* Receives one part into part (initialised by the caller, closed by it). 0; PS_ERR_AGAIN: none is there;
 * PS_ERR_CLOSED. *ret_more: another part belongs to the same message. */
int ps_link_recv(struct ps_link *self, zmq_msg_t *part, bool *ret_more);
/* True when a message waits. Also what re-arms the edge-triggered descriptor: ask before each poll. */
bool ps_link_readable(struct ps_link *self);
/* True once a connection that stood has gone. */
bool ps_link_broken(struct ps_link *self);
/* True once the broker turned our key away. */
bool ps_link_denied(const struct ps_link *self);

#endif
