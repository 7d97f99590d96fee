/* master/scan/feed.h: the thread that reads samples for the workers of one broker: FETCH in, CHUNK or GONE
 * out.
 *
 * Disks may be slow, so this is not link's business: feed reads pieces of PS_CHUNK_MAX bytes, one for each wish in turn
 * (a large sample does not hold up the others), and at most PS_PIECES_N wait for link. Wishes of one worker for one
 * sample are served in order: a piece that overtakes another is a gap, which the worker asks for again from its start.
 * Private to master/scan. */
#ifndef PS_MASTER_SCAN_FEED_H
#define PS_MASTER_SCAN_FEED_H

#include "master/scan/hub.h"

#define PS_FEED_OPEN_N 256 /* samples open at once; other wishes wait their turn */

struct ps_feed;

/* hub is lent; its store is read. For what the workers of that broker want. 0 or PS_ERR_NOMEM. */
int ps_feed_new(struct ps_feed **ret_self, struct ps_hub *hub, unsigned broker);
int ps_feed_start(struct ps_feed *self);
/* After ps_hub_stop: waits for the thread. */
void ps_feed_join(struct ps_feed *self);
void ps_feed_free(struct ps_feed **self_p);

#endif
