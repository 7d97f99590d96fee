#include "db/pg.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg_private.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

/* jit off: compiling costs more than any of our statements takes. An idle transaction is a stopped or broken master:
 * its locks must not keep a successor waiting. All statements of these connections are look-ups by index; a plan made
 * while a table was small would walk all of it minutes later, when it holds millions of rows; and planning each time
 * costs more than running them. */
static const char session_sql[] =
    "set synchronous_commit = on; set statement_timeout = '60s'; set lock_timeout = '10s';"
    "set idle_in_transaction_session_timeout = '10s'; set jit = off;"
    "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;"
    "set plan_cache_mode = force_generic_plan;"
    "set client_min_messages = warning; set timezone = 'UTC'";

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result; /* libpq's default would print to standard error */
}

void ps_pg_clear(PGresult **result_p)
{
    PQclear(*result_p);
    *result_p = NULL;
}

int ps_pg_new(struct ps_pg **ret_self, const char *conninfo, const char *app)
{
    PS_CLEANUP(ps_pg_free) struct ps_pg *self = PS_NEW(struct ps_pg);

    if (!self)
        return PS_ERR_NOMEM;
    self->conninfo = ps_strf("%s", conninfo);
    self->app = ps_strf("%s", app);
    if (!self->conninfo || !self->app)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_pg_free(struct ps_pg **self_p)
{
    struct ps_pg *self = *self_p;

    if (!self)
        return;
    ps_pg_reset(self);
    free(self->conninfo);
    free(self->app);
    free(self);
    *self_p = NULL;
}

void ps_pg_reset(struct ps_pg *self)
{
    if (self->conn)
        PQfinish(self->conn);
    self->conn = NULL;
    memset(self->prepared, 0, sizeof(self->prepared));
}

bool ps_pg_connected(const struct ps_pg *self)
{
    return self->conn != NULL;
}

int ps_pg_backend(const struct ps_pg *self)
{
    return self->conn ? PQbackendPID(self->conn) : 0;
}

int ps_pg_fail(struct ps_pg *self, const PGresult *result, const char *what, struct ps_error *reterr)
{
    int code = ps_pg_error(self->conn, result, what, reterr);

    if (code == PS_ERR_UNAVAILABLE || PQstatus(self->conn) == CONNECTION_BAD)
        ps_pg_reset(self);
    return code;
}

static int connect_once(struct ps_pg *self, struct ps_error *reterr)
{
    const char *keys[] = {"dbname", "application_name", "connect_timeout", "client_encoding", NULL};
    const char *values[] = {self->conninfo, self->app, "5", "UTF8", NULL};
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    self->conn = PQconnectdbParams(keys, values, 1);
    if (!self->conn)
        return ps_error_set(reterr, PS_ERR_NOMEM, "database: out of memory");
    if (PQstatus(self->conn) == CONNECTION_OK) {
        PQsetNoticeReceiver(self->conn, drop_notice, NULL);
        result = PQexec(self->conn, session_sql);
        if (PQresultStatus(result) == PGRES_COMMAND_OK)
            return 0;
    }
    (void)ps_pg_error(self->conn, result, "connecting", reterr);
    ps_pg_reset(self);
    return PS_ERR_UNAVAILABLE;
}

int ps_pg_ready(struct ps_pg *self, struct ps_error *reterr)
{
    uint64_t now_ms;

    if (self->conn && PQstatus(self->conn) == CONNECTION_OK)
        return 0;
    ps_pg_reset(self);
    now_ms = ps_clock_mono_ms();
    if (now_ms >= self->retry_at_ms) {
        if (connect_once(self, &self->last) == 0) {
            self->backoff_ms = 0;
            self->retry_at_ms = 0;
            return 0;
        }
        self->backoff_ms = self->backoff_ms ? PS_MIN(2 * self->backoff_ms, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
        self->retry_at_ms = ps_clock_mono_ms() + self->backoff_ms;
    }
    if (reterr)
        *reterr = self->last;
    return PS_ERR_UNAVAILABLE;
}

int ps_pg_wait_ready(struct ps_pg *self, int timeout_ms, int wake_fd, struct ps_error *reterr)
{
    uint64_t until_ms = timeout_ms < 0 ? UINT64_MAX : ps_clock_mono_ms() + (uint64_t)timeout_ms;

    while (ps_pg_ready(self, reterr) != 0) {
        struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
        uint64_t now_ms = ps_clock_mono_ms();
        uint64_t next_ms = PS_MIN(self->retry_at_ms, until_ms);

        if (now_ms >= until_ms)
            return PS_ERR_UNAVAILABLE;
        if (next_ms > now_ms && poll(&wake, 1, (int)(next_ms - now_ms)) > 0)
            return ps_error_set(reterr, PS_ERR_CANCELLED, "database: waiting for it was given up");
    }
    return 0;
}

static bool good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int prepare(struct ps_pg *self, enum ps_query_id query, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    if (self->prepared[query])
        return 0;
    result = PQprepare(self->conn, ps_queries[query].name, ps_queries[query].sql, 0, NULL);
    if (!good(result))
        return ps_pg_fail(self, result, ps_queries[query].name, reterr);
    self->prepared[query] = true;
    return 0;
}

int ps_pg_exec(struct ps_pg *self, enum ps_query_id query, const struct ps_pg_params *params, PGresult **ret,
               struct ps_error *reterr)
{
    const char *values[PS_PG_PARAMS_MAX];
    int lengths[PS_PG_PARAMS_MAX], formats[PS_PG_PARAMS_MAX], n = params ? params->n : 0, code;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    if (params && (code = ps_pg_params_error(params)) != 0)
        return ps_error_set(reterr, code, "database: %s: parameters", ps_queries[query].name);
    if ((code = ps_pg_ready(self, reterr)) != 0 || (code = prepare(self, query, reterr)) != 0)
        return code;
    if (params)
        ps_pg_params_fill(params, values, lengths, formats);
    result = PQexecPrepared(self->conn, ps_queries[query].name, n, values, lengths, formats, 1);
    if (!good(result))
        return ps_pg_fail(self, result, ps_queries[query].name, reterr);
    if (ret)
        *ret = PS_TAKE(result);
    return 0;
}

int ps_pg_script(struct ps_pg *self, const char *sql, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code = ps_pg_ready(self, reterr);

    if (code)
        return code;
    result = PQexec(self->conn, sql);
    return good(result) ? 0 : ps_pg_fail(self, result, "script", reterr);
}

int ps_pg_begin(struct ps_pg *self, struct ps_error *reterr)
{
    return ps_pg_script(self, "begin", reterr);
}

int ps_pg_commit(struct ps_pg *self, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    if (!self->conn)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "database: the connection was lost in a transaction");
    result = PQexec(self->conn, "commit");
    if (!good(result))
        return ps_pg_fail(self, result, "commit", reterr);
    /* The server answers COMMIT of a failed transaction with success and the word ROLLBACK. */
    if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
        return ps_error_set(reterr, PS_ERR_CANCELLED,
                            "database: the transaction had failed before its commit");
    return 0;
}

void ps_pg_rollback(struct ps_pg *self)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    if (!self->conn)
        return;
    result = PQexec(self->conn, "rollback");
    if (!good(result))
        ps_pg_reset(self);
}
