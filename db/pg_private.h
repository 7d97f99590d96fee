/* db/pg_private.h: the inside of a blocking connection, shared by pg.c and pg_run.c only. */
#ifndef PS_DB_PG_PRIVATE_H
#define PS_DB_PG_PRIVATE_H

#include "db/pg.h"

struct ps_pg {
    char *conninfo;                  /* owned */
    char *app;                       /* owned; application_name */
    PGconn *conn;                    /* NULL while not connected */
    uint64_t retry_at_ms;            /* monotonic; no attempt to connect before */
    uint32_t backoff_ms;             /* what the next failure adds; 0 after a success */
    struct ps_error last;            /* why the last attempt failed */
    bool prepared[PS_QUERIES_N + 1]; /* in this connection */
};

/* Reads what a failed call left, drops the connection when it is broken, and gives the code. */
int ps_pg_fail(struct ps_pg *self, const PGresult *result, const char *what, struct ps_error *reterr);

#endif
