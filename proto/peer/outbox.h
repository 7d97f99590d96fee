/* proto/peer/outbox.h: what a peer wants to say: records that gather in a frame, and frames that wait for
 * room in libzmq. Used by peer.c only; one thread.
 *
 * Results are committed one by one or many at a time, and travel as one list a frame: a lease's name is not worth a
 * record. So COMMITTED may overtake other records of its frame, or they it: nothing depends on that order.
 *
 * Invariant: bytes counts every byte that is in here, pending or parcelled, and is at most limit_bytes. */
#ifndef PS_PROTO_PEER_OUTBOX_H
#define PS_PROTO_PEER_OUTBOX_H

#include <zmq.h>

#include "proto/peer/link.h"
#include "proto/peer/peer.h"

struct parcel; /* one message of parts, on its way */

struct ps_outbox {
    struct ps_buf records;                /* pending frame */
    size_t records_n;                     /* in it */
    zmq_msg_t carried[PS_PEER_CARRIED_N]; /* frames that the pending records carry, in order */
    size_t carried_n;
    size_t carried_bytes;
    struct ps_part_lease_ref
        *settled; /* owned: what COMMITTEDs of the pending frame say; they become one record */
    size_t settled_n;
    uint64_t settled_epoch;
    struct parcel *parcels; /* finished messages, first out first */
    size_t bytes;           /* all of it */
    size_t limit_bytes;
};

void ps_outbox_init(struct ps_outbox *self, size_t limit_bytes);
void ps_outbox_fini(struct ps_outbox *self);
/* Drops everything. */
void ps_outbox_clear(struct ps_outbox *self);
/* Appends a record; data and len are what it carries, ignored when the message carries nothing. 0;
 * PS_ERR_BUSY at the limit; PS_ERR_NOMEM; else as ps_msg_put. */
int ps_outbox_put(struct ps_outbox *self, const struct ps_msg *msg, const void *data, size_t len);
/* True when the pending frame is large enough to go. */
bool ps_outbox_ripe(const struct ps_outbox *self);
/* Sends what the link takes. 0, also when not all went; PS_ERR_NOMEM; PS_ERR_CLOSED when the link broke. */
int ps_outbox_flush(struct ps_outbox *self, struct ps_link *link);

#endif
