/* master/mdp/wish.h: what a client asks of the service `scan` (docs/protocol.md): frames to a file for ingest. Pure. */
#ifndef PS_MASTER_MDP_WISH_H
#define PS_MASTER_MDP_WISH_H

#include "base/bytes.h"
#include "base/err.h"
#include "master/ingest/batchbody.h"

#define PS_WISH_FRAMES_N 3 /* sample, file name, options */

/* Reads the frames of a request's body. On success *ret_file owns its json; its data is the first frame, lent. 0;
 * PS_ERR_INVALID, PS_ERR_LIMIT (a sample over max_sample_bytes, a text over its own limit), PS_ERR_NOMEM, with a
 * sentence. */
int ps_wish_read(const struct ps_bytes *frames, size_t n, uint64_t max_sample_bytes,
                 struct ps_ingest_file *ret_file, struct ps_error *reterr);

#endif
