/* db/pg.h: one blocking connection to PostgreSQL, for threads that may block (ingest, collect, drive).
 *
 * A connection belongs to one thread. It connects when it is first used and again after it was lost, with a
 * backoff of 100 ms to 5 s: while the database is away every call answers PS_ERR_UNAVAILABLE without waiting
 * longer than one attempt, and ps_pg_wait_ready waits for it to come back. Nothing has to be torn down by the
 * caller.
 *
 * Statements are named blocks of db/queries/ .sql files, compiled in (db/queries.h: enum ps_query_id) and
 * prepared on first use in each connection. Every result is asked for in binary; db/row.h reads it,
 * db/params.h builds parameters.
 *
 * Errors of the server are mapped: 40001 and 40P01 (serialization, deadlock) and 55P03 (lock_timeout)
 * PS_ERR_AGAIN; 53100 (disk full) PS_ERR_NOSPACE; 57014 (statement_timeout) PS_ERR_TIMEOUT; class 08, 57P0x
 * and a lost socket PS_ERR_UNAVAILABLE; class 23 (constraints) PS_ERR_CONFLICT; class 22 PS_ERR_INVALID;
 * others PS_ERR_IO. */
#ifndef PS_DB_PG_H
#define PS_DB_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/err.h"
#include "db/params.h"
#include "db/queries.h"
#include "db/row.h"

struct ps_pg;

/* Cleanup handler and destructor of results: PS_CLEANUP(ps_pg_clear) PGresult *r = NULL. Accepts NULL
 * content. */
void ps_pg_clear(PGresult **result_p);

/* Makes a connection object without connecting. conninfo is copied; app is the application_name. Sessions get
 * synchronous_commit = on, statement_timeout (60 s), lock_timeout (10 s), idle_in_transaction_session_timeout
 * (10 s), jit = off. 0 or PS_ERR_NOMEM. */
int ps_pg_new(struct ps_pg **ret_self, const char *conninfo, const char *app);
void ps_pg_free(struct ps_pg **self_p);

/* Connects when it is not connected: 0; PS_ERR_UNAVAILABLE when that fails or the backoff has not passed yet.
 */
int ps_pg_ready(struct ps_pg *self, struct ps_error *reterr);
/* Waits until connected, at most timeout_ms (-1: for ever), or until wake_fd (-1: none) becomes readable.
 * 0; PS_ERR_UNAVAILABLE at the timeout; PS_ERR_CANCELLED when woken. */
int ps_pg_wait_ready(struct ps_pg *self, int timeout_ms, int wake_fd, struct ps_error *reterr);
bool ps_pg_connected(const struct ps_pg *self);
/* The server's process id of this connection (pg_backend_pid), 0 while not connected. It changes at
 * reconnect: whoever holds an advisory lock compares. */
int ps_pg_backend(const struct ps_pg *self);
/* Closes the connection; the next call connects anew. */
void ps_pg_reset(struct ps_pg *self);

/* Runs one prepared statement, outside or inside a transaction. params may be NULL when it takes none. *ret
 * (may be NULL) is the caller's to clear, set only on success. After an error inside a transaction only
 * ps_pg_rollback is of use. */
int ps_pg_exec(struct ps_pg *self, enum ps_query_id query, const struct ps_pg_params *params, PGresult **ret,
               struct ps_error *reterr);

/* A transaction by hand. ps_pg_commit answers PS_ERR_UNAVAILABLE when the connection broke: then nobody knows
 * whether it is committed, and callers must behave as if both were true. */
int ps_pg_begin(struct ps_pg *self, struct ps_error *reterr);
int ps_pg_commit(struct ps_pg *self, struct ps_error *reterr);
void ps_pg_rollback(struct ps_pg *self);

#define PS_PG_STEPS_MAX 64 /* steps of one pipeline: more is PS_ERR_LIMIT */

/* One statement of a pipeline. */
struct ps_pg_step {
    enum ps_query_id query;
    const struct ps_pg_params *params; /* borrowed; NULL: none */
    PGresult *result;                  /* out: set for each step on success; the caller clears */
};

/* Runs the steps in order in one round trip (libpq's pipeline mode), as one transaction when tx is true
 * (BEGIN and COMMIT are added); otherwise inside the transaction that the caller began, or, without one, as
 * the server's implicit transaction. All or nothing: on failure every result is cleared to NULL and
 * *ret_failed (may be NULL) is the index of the step that failed, or n for COMMIT. */
int ps_pg_run(struct ps_pg *self, struct ps_pg_step *steps, size_t n, bool tx, size_t *ret_failed,
              struct ps_error *reterr);
void ps_pg_steps_clear(struct ps_pg_step *steps, size_t n);

/* COPY ... FROM STDIN (FORMAT binary). copy holds the rows (db/params.h); the statement's text comes from the
 * query table. Returns when the server has taken all rows, inside the caller's transaction. */
int ps_pg_copy(struct ps_pg *self, enum ps_query_id query, const struct ps_pg_copy *copy,
               struct ps_error *reterr);

/* Plain text of several statements without parameters, for migrations and tests. */
int ps_pg_script(struct ps_pg *self, const char *sql, struct ps_error *reterr);

/* LISTEN/NOTIFY are not used: threads nudge each other by mailboxes. */

/* Maps an SQLSTATE (five letters, NULL: no server answer) to a ps_err. */
int ps_pg_code(const char *sqlstate);
/* Puts the server's story of a failed result, or of the connection when result is NULL, into reterr. */
int ps_pg_error(const PGconn *conn, const PGresult *result, const char *what, struct ps_error *reterr);

#endif
