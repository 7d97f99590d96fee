/* master/scan/uplink.h: the thread link: the master's connection to one broker.
 *
 * It only passes on, and never waits for a disk or the database: what the broker brings goes to collect, drive and feed,
 * and what they have to say goes to the broker, settled jobs first, then SUBMITs, then pieces of samples while the
 * backlog is small. It speaks to the broker only while this master leads: a standby has no session.
 *
 * At the limits: findings that collect has no room for are dropped, and when collect has caught up the session is
 * given up for a new one, in which the broker says again what was not committed. A FETCH that feed has no room for is
 * answered with GONE. Private to master/scan. */
#ifndef PS_MASTER_SCAN_UPLINK_H
#define PS_MASTER_SCAN_UPLINK_H

#include "base/err.h"
#include "master/scan/hub.h"
#include "proto/peer/where.h"

struct ps_uplink;

/* broker: its number, with a line of its own in the hub. hub and where's context are lent, the rest of where is copied. name: what the broker calls this master. grant: results
 * that may be leased or reported and not committed. 0 or PS_ERR_NOMEM. */
int ps_uplink_new(struct ps_uplink **ret_self, struct ps_hub *hub, unsigned broker,
                  const struct ps_peer_where *where, const char *name, uint32_t grant);
int ps_uplink_start(struct ps_uplink *self);
/* After collect has ended: waits for the thread, which sends what is settled and says BYE. */
void ps_uplink_join(struct ps_uplink *self);
void ps_uplink_free(struct ps_uplink **self_p);

#endif
