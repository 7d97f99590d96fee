#include "master/web/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/web/server.h"

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
    if (self->state_free)
        self->state_free(self->state);
    free(self);
}

/* ---- what was asked ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct ps_bytes percent_decode(h2o_mem_pool_t *pool, const char *at, size_t len)
{
    uint8_t *out = h2o_mem_alloc_pool(pool, len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int hi = -1, lo = -1;

        if (at[i] == '%' && i + 2 < len) {
            hi = hex_digit((uint8_t)at[i + 1]);
            lo = hex_digit((uint8_t)at[i + 2]);
        }
        if (hi >= 0 && lo >= 0) {
            out[n++] = (uint8_t)(hi * 16 + lo);
            i += 2;
        } else {
            out[n++] = at[i] == '+' ? ' ' : (uint8_t)at[i];
        }
    }
    out[n] = '\0';
    return (struct ps_bytes){out, n};
}

struct ps_bytes ps_call_param(struct ps_call *self, const char *name)
{
    size_t name_len = strlen(name);

    if (!self->req || self->req->query_at == SIZE_MAX)
        return (struct ps_bytes){0};
    const char *at = self->req->path.base + self->req->query_at + 1;
    const char *end = self->req->path.base + self->req->path.len;
    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));

        if (!stop)
            stop = end;
        if ((size_t)(stop - at) > name_len && !memcmp(at, name, name_len) && at[name_len] == '=')
            return percent_decode(&self->req->pool, at + name_len + 1, (size_t)(stop - at) - name_len - 1);
        at = stop + 1;
    }
    return (struct ps_bytes){0};
}

static int parse_u64(struct ps_bytes text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (!text.len)
        return PS_ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.at[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return PS_ERR_INVALID;
    }
    *ret_value = value;
    return 0;
}

int ps_call_param_u64(struct ps_call *self, const char *name, uint64_t min, uint64_t max, uint64_t def,
                      uint64_t *ret_value)
{
    struct ps_bytes text = ps_call_param(self, name);
    uint64_t value = def;

    if (text.at && (parse_u64(text, &value) != 0 || value < min || value > max)) {
        ps_call_problem(self, 400, "parameter", "%s must be a whole number from %llu to %llu", name,
                        (unsigned long long)min, (unsigned long long)max);
        return PS_ERR_INVALID;
    }
    *ret_value = value;
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

int ps_call_arg_id(struct ps_call *self, size_t i, int64_t *ret_id)
{
    uint64_t value;

    if (parse_u64(self->args[i], &value) != 0 || value == 0 || value > INT64_MAX) {
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

static const char *reason_of(int status)
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
    req->res.status = status;
    req->res.reason = reason_of(status);
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
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    if (text)
        ps_call_data(self, status, "application/json", text, strlen(text));
    else
        ps_call_problem(self, 500, "memory", "the answer could not be made: out of memory");
    free(text);
    json_decref(json);
}

static json_t *problem_json(int status, const char *code, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title", reason_of(status), "status",
                     status, "code", code, "detail", detail);
}

void ps_call_problem(struct ps_call *self, int status, const char *code, const char *fmt, ...)
{
    struct ps_error detail;
    va_list args;

    if (!self->req || self->answered)
        return;
    va_start(args, fmt);
    (void)vsnprintf(detail.text, sizeof(detail.text), fmt, args);
    va_end(args);
    json_t *json = problem_json(status, code, detail.text);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (status == 429 || status == 503)
        set_header(self->req, "retry-after", "1");
    ps_call_data(self, status, "application/problem+json", text ? text : "{}", text ? strlen(text) : 2);
    free(text);
    json_decref(json);
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
    int row = error_row(err);

    return problem_json(row < 0 ? 500 : error_table[row].status, row < 0 ? "failed" : error_table[row].code,
                        text && *text ? text : ps_err_text(err));
}

/* ---- queries ---- */

static void query_done(void *arg, int code, const PGresult *result, const struct ps_error *error)
{
    struct ps_call *self = arg;

    if (code && self->req)
        ps_call_error(self, code, error ? error->text : NULL);
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
        ps_call_error(self, r,
                      r == PS_ERR_UNAVAILABLE
                          ? "the database is away; what was acknowledged is safe, try again soon"
                          : NULL);
        ps_call_unref(self);
    }
}
