/* proto/peer/inbox.h: messages off a link, one by one, with the bytes that they carry. Used by peer.c and
 * beat.c only; one thread. */
#ifndef PS_PROTO_PEER_INBOX_H
#define PS_PROTO_PEER_INBOX_H

#include <zmq.h>

#include "proto/codec.h"
#include "proto/peer/link.h"

struct ps_inbox {
    zmq_msg_t part;        /* records that are being read */
    zmq_msg_t carried;     /* what the last record carried */
    struct ps_bytes frame; /* of part, what is not read yet */
    bool more;             /* further parts of the same message follow */
};

void ps_inbox_init(struct ps_inbox *self);
void ps_inbox_fini(struct ps_inbox *self);
/* Forgets a message that was begun. */
void ps_inbox_clear(struct ps_inbox *self);
/* Takes the next message. 1: *ret_msg, and *ret_carried when it carries (else empty), lent until the next
 * call; 0: none is there. PS_ERR_PROTO: the other side made no sense; PS_ERR_CLOSED: no link any more;
 * *reterr_why is a static sentence, and the link is to be given up. */
int ps_inbox_next(struct ps_inbox *self, struct ps_link *link, struct ps_msg *ret_msg,
                  struct ps_bytes *ret_carried, const char **reterr_why);
/* True when the message that was begun holds further records. */
bool ps_inbox_begun(const struct ps_inbox *self);

#endif
