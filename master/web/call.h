/* master/web/call.h: one API request under way.
 *
 * h2o's request dies when its client goes, also while a query runs or the ingest thread works. A call outlives it:
 * it is counted, and its req becomes NULL then. Every answer function does nothing when req is NULL or when the
 * answer was given already, so handlers need not ask. Loop's thread only. */
#ifndef PS_MASTER_WEB_CALL_H
#define PS_MASTER_WEB_CALL_H

#include <h2o.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "db/params.h"
#include "db/queries.h"
#include "db/row.h"

struct ps_route;
struct ps_web;

#define PS_CALL_ARGS_MAX 4

struct ps_call {
    unsigned refs;
    struct ps_web *web;
    h2o_req_t *req; /* NULL when the client has gone */
    const struct ps_route *route;
    struct ps_bytes args[PS_CALL_ARGS_MAX]; /* what stands for {..} in the route's path; lent by req */
    int64_t account_id;                     /* who calls: 1, the local user, until accounts exist */
    int64_t team_id;
    bool local; /* came over the UNIX socket */
    bool answered;
    void *state; /* the handler's own, freed with the call by state_free */
    void (*state_free)(void *state);
    void (*next)(struct ps_call *self, const PGresult *result); /* of the query under way */
    /* A query failed: NULL answers it as a problem. For who has begun to answer, or can do without. */
    void (*failed)(struct ps_call *self, int code, const struct ps_error *error);
};

/* Makes a call for a request, with one reference, which the request gives up when it dies. NULL: out of memory. */
struct ps_call *ps_call_new(struct ps_web *web, h2o_req_t *req, const struct ps_route *route);
void ps_call_ref(struct ps_call *self);
void ps_call_unref(struct ps_call *self);

/* ---- what was asked ---- */

bool ps_call_is_head(const struct ps_call *self);
/* The value of a query parameter, percent-decoded, in the request's pool; at NULL when it is not there. */
struct ps_bytes ps_call_param(struct ps_call *self, const char *name);
/* A whole number from a query parameter: *ret_value is def when it is not there. Answers 400 and returns
 * PS_ERR_INVALID when it is not a number in min..max. */
int ps_call_param_u64(struct ps_call *self, const char *name, uint64_t min, uint64_t max, uint64_t def,
                      uint64_t *ret_value);
/* A text from a query parameter: at NULL when it is not there or empty. Answers 400 and returns PS_ERR_INVALID when it
 * is longer than max bytes, or not UTF-8 without NUL. NUL-terminated, in the request's pool. */
int ps_call_param_text(struct ps_call *self, const char *name, size_t max, struct ps_bytes *ret_text);
/* A header's value; at NULL when it is not there. */
struct ps_bytes ps_call_header(struct ps_call *self, const char *name);
/* The body's bytes, lent by req. Answers 411 and returns PS_ERR_INVALID when there is no body with a length; 413, with
 * the limit, when it is longer than max. */
int ps_call_body(struct ps_call *self, size_t max, struct ps_bytes *ret_body);
/* Path argument i as a row id. Answers 404 and returns PS_ERR_INVALID when it is none. */
int ps_call_arg_id(struct ps_call *self, size_t i, int64_t *ret_id);
/* Path argument i as a SHA-256. Answers 400 and returns PS_ERR_INVALID when it is none. */
int ps_call_arg_sha256(struct ps_call *self, size_t i, uint8_t ret_sha256[32]);

/* ---- the answer ---- */

/* Takes json. */
void ps_call_json(struct ps_call *self, int status, json_t *json);
/* Copies data. */
void ps_call_data(struct ps_call *self, int status, const char *content_type, const void *data, size_t len);
void ps_call_empty(struct ps_call *self, int status); /* 204 and the like */
/* application/problem+json. code is a short word for programs, the text a sentence for people. */
void ps_call_problem(struct ps_call *self, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a member more, a number: the limit that was passed, the offset that was expected. */
void ps_call_problem_n(struct ps_call *self, int status, const char *code, const char *member, uint64_t value,
                       const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same from a ps_err: status and code by the error, its text as detail. Adds Retry-After where waiting helps. */
void ps_call_error(struct ps_call *self, int err, const char *text);
/* The problem of an error as an object, for answers that hold several. */
json_t *ps_call_problem_json(int err, const char *text);
int ps_call_status_of(int err);
/* "invalid", "busy", ...: the code of an error as a problem has it; "failed" for what is not the client's business. Static.
 * Any thread. */
const char *ps_call_code_of(int err);
/* The words that HTTP has for a status. Static. */
const char *ps_call_reason_of(int status);
/* Sets a header of the answer; value is copied. Before the answer. */
void ps_call_set_header(struct ps_call *self, const char *name, const char *value);
/* The connection is closed after the answer. */
void ps_call_close(struct ps_call *self);

/* ---- queries ---- */

/* Runs a query; next is called with the result, unless the client has gone or the query failed (then failed is called,
 * or the error is answered). Holds a reference meanwhile. One at a time. */
void ps_call_query(struct ps_call *self, enum ps_query_id query, const struct ps_pg_params *params,
                   void (*next)(struct ps_call *self, const PGresult *result));

#endif
