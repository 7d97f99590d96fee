/* master/ingest/backfill.h: new scans for those that missed an engine which is there again. */
#ifndef PS_MASTER_INGEST_BACKFILL_H
#define PS_MASTER_INGEST_BACKFILL_H

#include "master/ingest/group.h"

#define PS_BACKFILL_N 1000 /* scans at once; more are asked for again */

/* Makes up to request->backfill_n scans in one transaction, sets request->backfilled. Results of the parents are
 * carried along; what runs is the one engine. */
int ps_backfill(struct ps_group_env *env, struct ps_ingest_request *request, struct ps_ingest_news *ret_news,
                struct ps_error *reterr);

#endif
