/* db/pgloop_private.h: the inside of the pool, shared by pgloop.c (queue, deadlines) and pgloop_conn.c (one
 * connection's life) only. */
#ifndef PS_DB_PGLOOP_PRIVATE_H
#define PS_DB_PGLOOP_PRIVATE_H

#include "db/pgloop.h"

/* One query: in the pool's waiting list, or in a connection's list of those in flight. */
struct ps_pgloop_query {
    struct ps_pgloop_query *prev, *next; /* utlist */
    enum ps_query_id id;
    ps_pgloop_done_fn *done; /* NULL: forgotten */
    void *arg;
    uint64_t deadline_ms;  /* monotonic */
    bool preparing;        /* its first answer is that of PREPARE */
    PGresult *result;      /* owned; what came, until the sync */
    int code;              /* first failure */
    struct ps_error error; /* its story */
    int params_n;          /* copied parameters, while it waits */
    char *values;          /* owned; all values, one after the other */
    size_t offsets[PS_PG_PARAMS_MAX];
    int lengths[PS_PG_PARAMS_MAX];
    int formats[PS_PG_PARAMS_MAX];
    bool nulls[PS_PG_PARAMS_MAX];
};

enum ps_pgloop_state { PS_PGLOOP_DOWN, PS_PGLOOP_CONNECTING, PS_PGLOOP_READY };

struct ps_pgloop_conn {
    uint32_t magic;
    struct ps_pgloop *pool;
    enum ps_pgloop_state state;
    PGconn *conn;         /* NULL while down */
    h2o_socket_t *sock;   /* on a dup of libpq's socket; NULL while down */
    uint64_t retry_at_ms; /* DOWN: no attempt before; CONNECTING: given up then */
    uint32_t backoff_ms;
    struct ps_pgloop_query *flying; /* sent, oldest first */
    size_t flying_n;
    bool prepared[PS_QUERIES_N + 1]; /* or being prepared */
    bool broken;                     /* sending failed: to be closed where callbacks may run */
};

struct ps_pgloop {
    uint32_t magic;
    h2o_loop_t *loop;
    char *conninfo, *app, *options; /* owned */
    size_t pipeline_n, waiting_max;
    uint64_t timeout_ms;
    struct ps_pgloop_query *waiting; /* oldest first */
    size_t waiting_n;
    struct ps_pgloop_conn *conns; /* owned array */
    size_t conns_n;
    h2o_timeout_t tick; /* every TICK_MS while there is something to watch */
    h2o_timeout_entry_t tick_entry;
    struct ps_error last; /* why the last connection failed */
    struct ps_pgloop_stats stats;
};

/* Begins to connect. */
void ps_pgloop_conn_open(struct ps_pgloop_conn *self);
/* Closes; queries in flight end with code and error. Retried after the backoff. */
void ps_pgloop_conn_fail(struct ps_pgloop_conn *self, int code, const struct ps_error *error);
/* The connection itself is broken: closes it with libpq's story. */
void ps_pgloop_conn_broken(struct ps_pgloop_conn *self, const char *what);
/* Sends a query with the parameters libpq wants; takes it into flight. False: the connection failed and is marked
 * broken; the query is still the caller's, and the server cannot have run it, because its sync was not sent. */
bool ps_pgloop_conn_send(struct ps_pgloop_conn *self, struct ps_pgloop_query *query, int n,
                         const char *const *values, const int *lengths, const int *formats);

/* A connection has become ready or has room: sends what waits. */
void ps_pgloop_pump(struct ps_pgloop *self);
/* A connection went down: when none is left, nothing that waits has hope. */
void ps_pgloop_down(struct ps_pgloop *self);
/* Keeps the tick running while there is something to watch. */
void ps_pgloop_arm(struct ps_pgloop *self);
/* Calls done (unless forgotten) and frees the query. */
void ps_pgloop_finish(struct ps_pgloop *self, struct ps_pgloop_query *query, int code, const PGresult *result,
                      const struct ps_error *error);

#endif
