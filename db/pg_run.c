/* Pipelines and COPY of a blocking connection. */
#include "base/mem.h"
#include "db/pg_private.h"

#define COPY_PIECE_BYTES (1u << 20)

void ps_pg_steps_clear(struct ps_pg_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ps_pg_clear(&steps[i].result);
}

/* One statement goes out; ps_pg_run reads its answers in the same order. */
static bool send_step(struct ps_pg *self, const struct ps_pg_step *step)
{
    const struct ps_query *query = &ps_queries[step->query];
    const char *values[PS_PG_PARAMS_MAX];
    int lengths[PS_PG_PARAMS_MAX], formats[PS_PG_PARAMS_MAX];

    if (!self->prepared[step->query] && !PQsendPrepare(self->conn, query->name, query->sql, 0, NULL))
        return false;
    if (step->params)
        ps_pg_params_fill(step->params, values, lengths, formats);
    return PQsendQueryPrepared(self->conn, query->name, step->params ? step->params->n : 0, values, lengths,
                               formats, 1) == 1;
}

/* What goes out: [begin] (prepare? statement)* [commit] sync. Statements that have to be prepared are noted in
 * fresh, since a statement used twice is prepared once. */
static bool send_all(struct ps_pg *self, struct ps_pg_step *steps, size_t n, bool tx, bool *fresh)
{
    bool sent = !tx || PQsendQueryParams(self->conn, "begin", 0, NULL, NULL, NULL, NULL, 1);

    for (size_t i = 0; sent && i < n; i++) {
        fresh[i] = !self->prepared[steps[i].query];
        sent = send_step(self, &steps[i]);
        self->prepared[steps[i].query] = true;
    }
    if (sent && tx)
        sent = PQsendQueryParams(self->conn, "commit", 0, NULL, NULL, NULL, NULL, 1);
    return sent && PQpipelineSync(self->conn);
}

/* The next statement's result, its closing NULL taken with it. */
static PGresult *take(struct ps_pg *self)
{
    PGresult *result = PQgetResult(self->conn), *rest;

    while (result && (rest = PQgetResult(self->conn)) != NULL)
        PQclear(rest);
    return result;
}

/* The first failure of a pipeline. */
struct outcome {
    int code;     /* 0 while all is well */
    size_t index; /* of the failed step; n: begin, commit or the whole */
};

static PGresult *check(struct ps_pg *self, PGresult *result, size_t index, const char *what,
                       struct outcome *outcome, struct ps_error *reterr)
{
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    /* PGRES_PIPELINE_ABORTED is an echo of the failure before it. */
    if (outcome->code == 0) {
        outcome->code = ps_pg_error(self->conn, result, what, reterr);
        outcome->index = index;
    }
    PQclear(result);
    return NULL;
}

static void read_all(struct ps_pg *self, struct ps_pg_step *steps, size_t n, bool tx, const bool *fresh,
                     struct outcome *outcome, struct ps_error *reterr)
{
    PGresult *result;

    if (tx)
        PQclear(check(self, take(self), n, "begin", outcome, reterr));
    for (size_t i = 0; i < n; i++) {
        const char *name = ps_queries[steps[i].query].name;

        if (fresh[i]) {
            result = check(self, take(self), i, name, outcome, reterr);
            if (!result)
                self->prepared[steps[i].query] = false;
            PQclear(result);
        }
        steps[i].result = check(self, take(self), i, name, outcome, reterr);
    }
    if (tx) {
        result = check(self, take(self), n, "commit", outcome, reterr);
        if (result && strcmp(PQcmdStatus(result), "COMMIT") != 0 && outcome->code == 0) {
            outcome->code =
                ps_error_set(reterr, PS_ERR_CANCELLED, "database: the transaction was rolled back");
            outcome->index = n;
        }
        PQclear(result);
    }
    PQclear(PQgetResult(self->conn)); /* the sync's own */
}

int ps_pg_run(struct ps_pg *self, struct ps_pg_step *steps, size_t n, bool tx, size_t *ret_failed,
              struct ps_error *reterr)
{
    struct outcome outcome = {0, n};
    bool fresh[PS_PG_STEPS_MAX];
    int code;

    if (ret_failed)
        *ret_failed = n;
    if (n > PS_PG_STEPS_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "database: a pipeline of %zu steps", n);
    for (size_t i = 0; i < n; i++) {
        steps[i].result = NULL;
        if (steps[i].params && (code = ps_pg_params_error(steps[i].params)) != 0)
            return ps_error_set(reterr, code, "database: %s: parameters", ps_queries[steps[i].query].name);
    }
    if ((code = ps_pg_ready(self, reterr)) != 0)
        return code;

    if (!PQenterPipelineMode(self->conn) || !send_all(self, steps, n, tx, fresh)) {
        outcome.code = ps_pg_error(self->conn, NULL, "sending a pipeline", reterr);
        ps_pg_reset(self); /* half a pipeline cannot be taken back */
        return outcome.code;
    }
    read_all(self, steps, n, tx, fresh, &outcome, reterr);
    if (PQstatus(self->conn) == CONNECTION_BAD || !PQexitPipelineMode(self->conn)) {
        if (outcome.code == 0)
            outcome.code = ps_error_set(reterr, PS_ERR_UNAVAILABLE, "database: the connection was lost");
        ps_pg_reset(self);
    }
    if (outcome.code) {
        if (tx)
            ps_pg_rollback(self);
        ps_pg_steps_clear(steps, n);
        if (ret_failed)
            *ret_failed = outcome.index;
    }
    return outcome.code;
}

static bool copy_send(struct ps_pg *self, const struct ps_pg_copy *copy)
{
    static const char trailer[2] = {'\377', '\377'};

    for (size_t at = 0; at < copy->buf.len; at += COPY_PIECE_BYTES) {
        size_t len = PS_MIN(copy->buf.len - at, (size_t)COPY_PIECE_BYTES);

        if (PQputCopyData(self->conn, (const char *)copy->buf.data + at, (int)len) != 1)
            return false;
    }
    return PQputCopyData(self->conn, trailer, sizeof(trailer)) == 1 && PQputCopyEnd(self->conn, NULL) == 1;
}

int ps_pg_copy(struct ps_pg *self, enum ps_query_id query, const struct ps_pg_copy *copy,
               struct ps_error *reterr)
{
    const char *name = ps_queries[query].name;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code = ps_buf_error(&copy->buf);

    if (code)
        return ps_error_set(reterr, code, "database: %s: rows", name);
    if ((code = ps_pg_ready(self, reterr)) != 0)
        return code;
    result = PQexec(self->conn, ps_queries[query].sql);
    if (PQresultStatus(result) != PGRES_COPY_IN)
        return ps_pg_fail(self, result, name, reterr);
    ps_pg_clear(&result);
    if (!copy_send(self, copy)) {
        code = ps_pg_error(self->conn, NULL, name, reterr);
        ps_pg_reset(self);
        return code;
    }
    result = take(self);
    return PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : ps_pg_fail(self, result, name, reterr);
}
