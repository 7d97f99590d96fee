/* master/scan/collect.h: the thread that makes findings durable.
 *
 * It takes what waits (never waits for company), writes it in one transaction (commit.h), and only then tells link to
 * send COMMITTED and drive that the jobs are settled. While the database is away findings stay in its hands and in the
 * mailbox, the grant is used up and the broker leases nothing more; it resumes by itself. Findings of an epoch that is
 * over are dropped: the broker keeps them for the successor. Private to master/scan and its tests. */
#ifndef PS_MASTER_SCAN_COLLECT_H
#define PS_MASTER_SCAN_COLLECT_H

#include "base/err.h"
#include "master/scan/hub.h"

struct ps_collect;

/* hub is lent. app: application_name of the connection, by which a successor ends it. 0 or PS_ERR_NOMEM. */
int ps_collect_new(struct ps_collect **ret_self, struct ps_hub *hub, const char *conninfo, const char *app);
int ps_collect_start(struct ps_collect *self);
/* After ps_hub_stop: waits for the thread, which first commits what it has, if the database is there. */
void ps_collect_join(struct ps_collect *self);
void ps_collect_free(struct ps_collect **self_p);

#endif
