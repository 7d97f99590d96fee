#include <string.h>

#include "base/mem.h"
#include "db/pg.h"

/* Exact states first, then whole classes (their first two letters). */
static const struct {
    const char *state;
    int code;
} codes[] = {
    {"40001", PS_ERR_AGAIN},       /* serialization_failure */
    {"40P01", PS_ERR_AGAIN},       /* deadlock_detected */
    {"55P03", PS_ERR_AGAIN},       /* lock_not_available */
    {"53100", PS_ERR_NOSPACE},     /* disk_full */
    {"53200", PS_ERR_NOMEM},       /* out_of_memory */
    {"53300", PS_ERR_UNAVAILABLE}, /* too_many_connections */
    {"57014", PS_ERR_TIMEOUT},     /* query_canceled: statement_timeout */
    {"57", PS_ERR_UNAVAILABLE},    /* shut down, starting up, terminated by an operator */
    {"08", PS_ERR_UNAVAILABLE},    /* connection */
    {"25006", PS_ERR_UNAVAILABLE}, /* read_only_sql_transaction: a standby server */
    {"25P03", PS_ERR_UNAVAILABLE}, /* idle_in_transaction_session_timeout */
    {"23", PS_ERR_CONFLICT},       /* constraints */
    {"22", PS_ERR_INVALID},        /* data */
    {"42501", PS_ERR_DENIED},      /* insufficient_privilege */
};

int ps_pg_code(const char *sqlstate)
{
    if (!sqlstate)
        return PS_ERR_UNAVAILABLE;
    for (size_t i = 0; i < PS_ARRAY_N(codes); i++)
        if (strncmp(sqlstate, codes[i].state, strlen(codes[i].state)) == 0)
            return codes[i].code;
    return PS_ERR_IO;
}

/* libpq ends its messages with newlines; ours are one sentence on one line. */
static void one_line(char *text, size_t max, const char *from)
{
    size_t n = 0;

    for (; *from && n + 1 < max; from++)
        text[n++] = *from == '\n' || *from == '\t' ? ' ' : *from;
    while (n > 0 && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
}

int ps_pg_error(const PGconn *conn, const PGresult *result, const char *what, struct ps_error *reterr)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    char text[PS_ERROR_TEXT_MAX / 2];
    int code = ps_pg_code(state);

    if (conn && PQstatus(conn) == CONNECTION_BAD)
        code = PS_ERR_UNAVAILABLE;
    if (!primary)
        primary = conn ? PQerrorMessage(conn) : "no answer";
    one_line(text, sizeof(text), primary);
    return ps_error_set(reterr, code, "database: %s: %s%s%s%s%s", what, text, state ? " [" : "",
                        state ? state : "", state ? "] " : "", detail ? detail : "");
}
