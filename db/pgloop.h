/* db/pgloop.h: PostgreSQL on an h2o loop: a small pool of connections in pipeline mode that never blocks the
 * loop.
 *
 * A pool belongs to the thread of its loop; every call is made there and every callback comes there, never
 * from inside ps_pgloop_query itself. Queries go to the connection with the fewest in flight (at most
 * pipeline_n each), else they wait in a queue of at most waiting_n, else PS_ERR_BUSY. Each query is its own
 * transaction.
 *
 * A query that has no answer after timeout_ms gives PS_ERR_TIMEOUT; its connection is reset, and what else
 * was in flight on it gives PS_ERR_UNAVAILABLE. While the database is away queries fail with
 * PS_ERR_UNAVAILABLE at once, and the pool reconnects by itself (100 ms to 5 s). Needs h2o_args; library
 * dep_db_h2o. */
#ifndef PS_DB_PGLOOP_H
#define PS_DB_PGLOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <h2o.h>
#include <libpq-fe.h>

#include "base/err.h"
#include "db/params.h"
#include "db/queries.h"
#include "db/row.h"

struct ps_pgloop;
struct ps_pgloop_query; /* one query under way */

struct ps_pgloop_config {
    const char *conninfo; /* copied */
    const char *app;      /* application_name, copied */
    size_t connections_n; /* 0: 2 */
    size_t pipeline_n;    /* queries in flight a connection; 0: 8 */
    size_t waiting_n;     /* queries that wait for a connection; 0: 1,024 */
    uint64_t timeout_ms;  /* from ps_pgloop_query to the answer; 0: 10,000 */
};

/* code 0: result is lent for the length of the call. Else result is NULL and error tells the story. */
typedef void ps_pgloop_done_fn(void *arg, int code, const PGresult *result, const struct ps_error *error);

int ps_pgloop_new(struct ps_pgloop **ret_self, h2o_loop_t *loop, const struct ps_pgloop_config *config,
                  struct ps_error *reterr);
/* Closes all; callbacks of queries under way are called with PS_ERR_CANCELLED. */
void ps_pgloop_free(struct ps_pgloop **self_p);

/* Sends a query, or queues it. params are copied (arrays too), so the caller may drop them at once. done is
 * called exactly once, later, unless the query is forgotten. *ret_query may be NULL. 0, PS_ERR_BUSY,
 * PS_ERR_UNAVAILABLE, PS_ERR_NOMEM: then done is not called. */
int ps_pgloop_query(struct ps_pgloop *self, enum ps_query_id query, const struct ps_pg_params *params,
                    ps_pgloop_done_fn *done, void *arg, struct ps_pgloop_query **ret_query);
/* The asker has gone: done will not be called. The query may still run. */
void ps_pgloop_forget(struct ps_pgloop_query *query);

/* True while at least one connection is ready; *ret_detail (may be NULL) is a static or pool-owned sentence.
 */
bool ps_pgloop_ok(const struct ps_pgloop *self, const char **ret_detail);

struct ps_pgloop_stats {
    uint64_t done, failed, timeouts, busy, reconnects; /* since start */
    size_t in_flight, waiting, connected;              /* now */
};
struct ps_pgloop_stats ps_pgloop_stats(const struct ps_pgloop *self);

#endif
