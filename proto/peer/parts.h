/* proto/peer/parts.h: a whole multipart message off a libzmq socket. For those who speak raw multipart: the broker's ROUTERs and
 * Majordomo peers. */
#ifndef PS_PROTO_PEER_PARTS_H
#define PS_PROTO_PEER_PARTS_H

#include <stddef.h>
#include <zmq.h>

/* Reads a message, or what is left of one, without waiting: all its parts, so that the next message begins where it should.
 * The first max are initialised in parts and the caller's to close; those beyond are dropped. Returns how many there were,
 * which may be above max; 0: there was no message. The socket's thread. */
size_t ps_parts_receive(void *socket, zmq_msg_t *parts, size_t max);

#endif
