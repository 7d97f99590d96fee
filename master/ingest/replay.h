/* master/ingest/replay.h: an answer as it is kept in table idempotency: the results of a request, packed. The web makes
 * the same text of it as the first time. */
#ifndef PS_MASTER_INGEST_REPLAY_H
#define PS_MASTER_INGEST_REPLAY_H

#include "base/bytes.h"
#include "master/ingest/ingest.h"

struct ps_pg;

/* Appends the packed results of a request that went well. Errors stay in out. */
void ps_replay_pack(const struct ps_ingest_request *request, struct ps_buf *out);
/* Fills the request's results (and cut, cut_at, cut_error) from a packed answer. 0, PS_ERR_NOMEM, PS_ERR_CORRUPT: then
 * the request has no results. */
int ps_replay_unpack(struct ps_bytes packed, struct ps_ingest_request *request);

/* Asks table idempotency for those of n requests that have a key and have been answered before. A request that was
 * gets its results again (replayed, code 0), or code PS_ERR_CONFLICT when its key came with another body; the others
 * stay untouched. An answer that cannot be read any more is PS_ERR_CORRUPT in its request. */
int ps_replay_find(struct ps_pg *pg, struct ps_ingest_request *const *requests, size_t n,
                   struct ps_error *reterr);

#endif
