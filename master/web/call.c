#include "master/web/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/text.h"

/* Lies in the request's pool: its disposal is the client's going. */
struct guard {
    struct ps_call *call;
};

static void request_gone(void *at)
{
    struct guard *guard = at;

    guard->call->req = NULL;
    ps_call_unref(guard->call);
}

struct ps_call *ps_call_new(struct ps_web *web, h2o_req_t *req, const struct ps_route *route)
{
    struct ps_call *self = PS_NEW(struct ps_call);

    if (!self)
        return NULL;
    struct guard *guard = h2o_mem_alloc_shared(&req->pool, sizeof(*guard), request_gone);
    guard->call = self;
    self->refs = 1;
    self->web = web;
    self->req = req;
    self->route = route;
    self->account_id = 1;
    self->team_id = 1;
    web->calls_n++;
    return self;
}

void ps_call_ref(struct ps_call *self)
{
    self->refs++;
}

void ps_call_unref(struct ps_call *self)
{
    if (--self->refs > 0)
        return;
    self->web->calls_n--;
    if (self->state_free)
        self->state_free(self->state);
    free(self);
}

/* ---- what was asked ---- */

bool ps_call_is_head(const struct ps_call *self)
{
    return self->req && h2o_memis(self->req->method.base, self->req->method.len, H2O_STRLIT("HEAD"));
}

struct ps_bytes ps_call_param(struct ps_call *self, const char *name)
{
    const h2o_req_t *req = self->req;

    if (!req || req->query_at == SIZE_MAX)
        return (struct ps_bytes){0};
    struct ps_bytes query = {(const uint8_t *)req->path.base + req->query_at + 1,
                             req->path.len - req->query_at - 1};
    struct ps_bytes value = ps_web_query_value(query, name);
    if (!value.at)
        return (struct ps_bytes){0};
    uint8_t *decoded = h2o_mem_alloc_pool(&self->req->pool, value.len + 1);
    return (struct ps_bytes){decoded, ps_web_percent_decode(value, decoded)};
}

int ps_call_param_u64(struct ps_call *self, const char *name, uint64_t min, uint64_t max, uint64_t def,
                      uint64_t *ret_value)
{
    struct ps_bytes text = ps_call_param(self, name);
    uint64_t value = def;

    if (text.at && (ps_web_u64(text, &value) != 0 || value < min || value > max)) {
        ps_call_problem(self, 400, "parameter", "%s must be a whole number from %llu to %llu", name,
                        (unsigned long long)min, (unsigned long long)max);
        return PS_ERR_INVALID;
    }
    *ret_value = value;
    return 0;
}

int ps_call_param_text(struct ps_call *self, const char *name, size_t max, struct ps_bytes *ret_text)
{
    struct ps_bytes text = ps_call_param(self, name);

    if (text.len > max || !ps_utf8_valid((const char *)text.at, text.len)) {
        ps_call_problem(self, 400, "parameter", "%s must be UTF-8 text of at most %zu bytes", name, max);
        return PS_ERR_INVALID;
    }
    *ret_text = text.len ? text : (struct ps_bytes){0};
    return 0;
}

struct ps_bytes ps_call_header(struct ps_call *self, const char *name)
{
    if (!self->req)
        return (struct ps_bytes){0};
    ssize_t at = h2o_find_header_by_str(&self->req->headers, name, strlen(name), -1);
    if (at < 0)
        return (struct ps_bytes){0};
    const h2o_iovec_t *value = &self->req->headers.entries[at].value;
    return (struct ps_bytes){(const uint8_t *)value->base, value->len};
}

int ps_call_body(struct ps_call *self, size_t max, struct ps_bytes *ret_body)
{
    const h2o_req_t *req = self->req;

    if (!req)
        return PS_ERR_CLOSED;
    if (!req->entity.base) {
        ps_call_problem(self, 411, "length", "a body with a Content-Length is needed here");
        return PS_ERR_INVALID;
    }
    if (req->entity.len > max) {
        ps_call_problem_n(self, 413, "limit", "limit", max, "the body has %zu bytes, the limit here is %zu",
                          req->entity.len, max);
        return PS_ERR_INVALID;
    }
    *ret_body = (struct ps_bytes){(const uint8_t *)req->entity.base, req->entity.len};
    return 0;
}

int ps_call_arg_id(struct ps_call *self, size_t i, int64_t *ret_id)
{
    uint64_t value;

    if (ps_web_u64(self->args[i], &value) != 0 || value == 0 || value > INT64_MAX) {
        ps_call_problem(self, 404, "not-found",
                        "there is nothing with that id: ids are whole numbers from 1");
        return PS_ERR_INVALID;
    }
    *ret_id = (int64_t)value;
    return 0;
}

int ps_call_arg_sha256(struct ps_call *self, size_t i, uint8_t ret_sha256[32])
{
    if (ps_hex_decode(ret_sha256, PS_SHA256_BYTES, (const char *)self->args[i].at, self->args[i].len) != 0) {
        ps_call_problem(self, 400, "sha256", "a SHA-256 has 64 hexadecimal digits");
        return PS_ERR_INVALID;
    }
    return 0;
}

/* ---- the answer ---- */

const char *ps_call_reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {{200, "OK"},
                 {201, "Created"},
                 {204, "No Content"},
                 {303, "See Other"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {411, "Length Required"},
                 {413, "Payload Too Large"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Entity"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {507, "Insufficient Storage"}};

    for (size_t i = 0; i < PS_ARRAY_N(table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Status";
}

static void set_header(h2o_req_t *req, const char *name, const char *value)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, value, SIZE_MAX);

    h2o_set_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, copy.base, copy.len, 1);
}

void ps_call_set_header(struct ps_call *self, const char *name, const char *value)
{
    if (self->req && !self->answered)
        set_header(self->req, name, value);
}

void ps_call_data(struct ps_call *self, int status, const char *content_type, const void *data, size_t len)
{
    h2o_req_t *req = self->req;

    if (!req || self->answered)
        return;
    self->answered = true;
    self->web->answers[status / 100 < 6 ? status / 100 : 5]++;
    req->res.status = status;
    req->res.reason = ps_call_reason_of(status);
    if (content_type)
        set_header(req, "content-type", content_type);
    set_header(req, "cache-control", "no-store");
    h2o_send_inline(req, data, len); /* copies; knows HEAD */
}

void ps_call_empty(struct ps_call *self, int status)
{
    ps_call_data(self, status, NULL, "", 0);
}

void ps_call_json(struct ps_call *self, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;

    if (text)
        ps_call_data(self, status, "application/json", text, strlen(text));
    else
        ps_call_problem(self, 500, "memory", "the answer could not be made: out of memory");
    free(text);
    json_decref(json);
}

void ps_call_close(struct ps_call *self)
{
    if (self->req)
        self->req->http1_is_persistent = 0;
}

static json_t *problem_json(int status, const char *code, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title", ps_call_reason_of(status),
                     "status", status, "code", code, "detail", detail);
}

/* Seconds after which another try is worth it; NULL: none will do. */
static const char *retry_after(int status)
{
    return status == 429 || status == 503 ? "1" : status == 507 ? "10" : NULL;
}

/* Takes json. */
static void send_problem(struct ps_call *self, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    if (retry_after(status))
        set_header(self->req, "retry-after", retry_after(status));
    ps_call_data(self, status, "application/problem+json", text ? text : "{}", text ? strlen(text) : 2);
    free(text);
    json_decref(json);
}

/* A detail that is cut in the middle of a character is no JSON. */
static json_t *formatted(int status, const char *code, const char *fmt, va_list args)
{
    struct ps_error detail;

    (void)vsnprintf(detail.text, sizeof(detail.text), fmt, args);
    detail.text[ps_utf8_cut(detail.text, strlen(detail.text), sizeof(detail.text) - 4)] = '\0';
    json_t *json = problem_json(status, code, detail.text);
    return json ? json : problem_json(status, code, "no more is known: the reason is not UTF-8");
}

void ps_call_problem(struct ps_call *self, int status, const char *code, const char *fmt, ...)
{
    va_list args;

    if (!self->req || self->answered)
        return;
    va_start(args, fmt);
    send_problem(self, status, formatted(status, code, fmt, args));
    va_end(args);
}

void ps_call_problem_n(struct ps_call *self, int status, const char *code, const char *member, uint64_t value,
                       const char *fmt, ...)
{
    va_list args;

    if (!self->req || self->answered)
        return;
    va_start(args, fmt);
    json_t *json = formatted(status, code, fmt, args);
    va_end(args);
    (void)json_object_set_new(json, member,
                              json_integer((json_int_t)value)); /* without it the rest still tells */
    send_problem(self, status, json);
}

static const struct {
    int err, status;
    const char *code;
} error_table[] = {
    {PS_ERR_INVALID, 400, "invalid"},    {PS_ERR_LIMIT, 413, "limit"},
    {PS_ERR_BUSY, 429, "busy"},          {PS_ERR_NOTFOUND, 404, "not-found"},
    {PS_ERR_CONFLICT, 409, "conflict"},  {PS_ERR_NOSPACE, 507, "no-space"},
    {PS_ERR_TIMEOUT, 504, "timeout"},    {PS_ERR_DENIED, 403, "denied"},
    {PS_ERR_CLOSED, 503, "stopping"},    {PS_ERR_UNAVAILABLE, 503, "unavailable"},
    {PS_ERR_CANCELLED, 503, "stopping"}, {PS_ERR_STALE, 503, "standby"},
    {PS_ERR_AGAIN, 503, "unavailable"},  {PS_ERR_PROTO, 400, "invalid"},
    {PS_ERR_NOMEM, 503, "memory"},
};

static int error_row(int err)
{
    for (size_t i = 0; i < PS_ARRAY_N(error_table); i++)
        if (error_table[i].err == err)
            return (int)i;
    return -1;
}

int ps_call_status_of(int err)
{
    int row = error_row(err);

    return row < 0 ? 500 : error_table[row].status;
}

const char *ps_call_code_of(int err)
{
    int row = error_row(err);

    return row < 0 ? "failed" : error_table[row].code;
}

void ps_call_error(struct ps_call *self, int err, const char *text)
{
    int row = error_row(err);

    if (row < 0)
        ps_log(PS_LOG_ERROR, "request-failed", "path=%s reason=%s", self->route ? self->route->path : "-",
               PS_LOGQ(text));
    ps_call_problem(self, row < 0 ? 500 : error_table[row].status, row < 0 ? "failed" : error_table[row].code,
                    "%s", text && *text ? text : ps_err_text(err));
}

json_t *ps_call_problem_json(int err, const char *text)
{
    int row = error_row(err), status = row < 0 ? 500 : error_table[row].status;
    const char *code = row < 0 ? "failed" : error_table[row].code;
    json_t *json = problem_json(status, code, text && *text ? text : ps_err_text(err));

    return json ? json : problem_json(status, code, ps_err_text(err)); /* the text was not UTF-8 */
}

/* ---- queries ---- */

static void query_failed(struct ps_call *self, int code, const struct ps_error *error)
{
    if (self->failed)
        self->failed(self, code, error);
    else if (code == PS_ERR_UNAVAILABLE)
        ps_call_error(self, code, "the database is away: what was acknowledged is safe, try again soon");
    else
        ps_call_error(self, code, error ? error->text : NULL);
}

static void query_done(void *arg, int code, const PGresult *result, const struct ps_error *error)
{
    struct ps_call *self = arg;

    if (code && self->req)
        query_failed(self, code, error);
    else if (self->req)
        self->next(self, result);
    ps_call_unref(self);
}

void ps_call_query(struct ps_call *self, enum ps_query_id query, const struct ps_pg_params *params,
                   void (*next)(struct ps_call *self, const PGresult *result))
{
    if (!self->req)
        return;
    self->next = next;
    ps_call_ref(self);
    int r = ps_pgloop_query(self->web->pg, query, params, query_done, self, NULL);
    if (r) {
        query_failed(self, r, NULL);
        ps_call_unref(self);
    }
}
