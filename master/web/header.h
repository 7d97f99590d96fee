/* master/web/header.h: one file's header, from where calls carry it: a JSON body, or query parameters. Both are read by
 * ps_batch_header, so that every road has the same fields and limits. Loop's thread only. */
#ifndef PS_MASTER_WEB_HEADER_H
#define PS_MASTER_WEB_HEADER_H

#include "master/ingest/batchbody.h"
#include "master/web/call.h"

/* From the body, a JSON object. Answers and returns an error when it is none, or not within the limits. */
int ps_header_of_body(struct ps_call *call, struct ps_ingest_file *ret_file);
/* From the query: name, source_path, batch, tags, visibility, profile, engines, priority, sha256; size is given. */
int ps_header_of_query(struct ps_call *call, uint64_t size, struct ps_ingest_file *ret_file);
/* From the body of a rescan: profile, engines, priority; the body may be missing. */
int ps_header_of_rescan(struct ps_call *call, struct ps_ingest_file *ret_file);

/* Answers 413 with the limit, and returns PS_ERR_LIMIT, when a declared size is over max_sample_bytes. */
int ps_header_check_size(struct ps_call *call, const struct ps_ingest_file *file);

#endif
