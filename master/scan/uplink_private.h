/* master/scan/uplink_private.h: what the files uplink*.c share. */
#ifndef PS_MASTER_SCAN_UPLINK_PRIVATE_H
#define PS_MASTER_SCAN_UPLINK_PRIVATE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/scan/uplink.h"
#include "proto/peer/peer.h"

struct ps_uplink {
    struct ps_hub *hub;         /* lent */
    struct ps_hub_line *line;   /* in it, of this broker */
    struct ps_peer_where where; /* texts owned */
    struct ps_keys keys;
    char *name;
    uint32_t grant;
    pthread_t thread;
    bool started;
    atomic_bool ending; /* collect has ended: say goodbye */

    struct ps_peer *peer; /* NULL while this master does not lead */
    uint64_t epoch;       /* in which peer speaks */
    uint64_t boot;        /* of the broker; 0: none yet */
    bool grant_due;       /* GRANT is to be said */
    bool refused_told;    /* logged once until a session opens */
    uint64_t retry_ms;    /* peer could not be made: not before */

    /* Taken from a mailbox and not yet put to the peer: its backlog was full. */
    struct ps_news *settled;
    struct ps_order *order;
    struct ps_piece *piece;
    struct ps_mandate *mandate;
    struct ps_reply *reply;
};

/* uplink_in.c: one message of the broker's, with the bytes that it carries. */
void uplink_hear(struct ps_uplink *self, const struct ps_msg *msg, struct ps_bytes carried);
/* uplink_out.c: puts what waits, as far as the peer's backlog has room. True when something is left that must wait for
 * the backlog. */
bool uplink_say(struct ps_uplink *self);
/* Drops what was taken for a session that is gone. */
void uplink_forget(struct ps_uplink *self);

#endif
