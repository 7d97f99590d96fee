/* What every answer carries, and the words of h2o's own errors: it has a fixed text for a body that is too large and
 * the like, before any handler is asked. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/call.h"
#include "master/web/conn.h"
#include "master/web/server.h"

static const struct {
    const char *name, *value;
} headers[] = {
    {"content-security-policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
     "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
    {"x-content-type-options", "nosniff"},
    {"x-frame-options", "DENY"},
    {"referrer-policy", "no-referrer"},
    {"cross-origin-opener-policy", "same-origin"},
    {"cross-origin-resource-policy", "same-origin"},
};

static const struct {
    int status;
    const char *code, *detail;
} own_errors[] = {
    {400, "invalid", "this is not an HTTP request that can be answered"},
    {403, "denied", "this file is not for you"},
    {404, "not-found", "there is nothing here"},
    {405, "method", "files are for GET"},
    {413, "limit",
     "the body is larger than any call takes: long samples go through POST /api/v1/uploads, in chunks"},
    {417, "expectation", "the only expectation known is 100-continue"},
};

/* Puts our text in the place of h2o's. */
struct words {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static void send_words(h2o_ostream_t *ostream, h2o_req_t *req, h2o_iovec_t *bufs, size_t bufs_n,
                       h2o_send_state_t state)
{
    struct words *self = (struct words *)ostream;
    bool last = !h2o_send_state_is_in_progress(state);

    (void)bufs;
    (void)bufs_n;
    h2o_ostream_send_next(&self->super, req, &self->body, last && self->body.len ? 1 : 0, state);
}

static h2o_iovec_t problem_text(h2o_req_t *req, size_t i)
{
    int status = own_errors[i].status;
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title", ps_call_reason_of(status),
                  "status", status, "code", own_errors[i].code, "detail", own_errors[i].detail);
    h2o_iovec_t text = {NULL, 0};

    if (json && status == 413)
        (void)json_object_set_new(
            json, "limit", json_integer((json_int_t)req->conn->ctx->globalconf->max_request_entity_size));
    char *dumped = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (dumped)
        text = h2o_strdup(&req->pool, dumped, SIZE_MAX);
    free(dumped);
    json_decref(json);
    return text;
}

static bool is_plain_text(const h2o_req_t *req)
{
    ssize_t at = h2o_find_header(&req->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);
    static const char plain[] = "text/plain";

    return at >= 0 && req->res.headers.entries[at].value.len >= sizeof(plain) - 1 &&
           memcmp(req->res.headers.entries[at].value.base, plain, sizeof(plain) - 1) == 0;
}

/* Returns where the next filter goes. */
static h2o_ostream_t **reword(h2o_req_t *req, h2o_ostream_t **slot)
{
    h2o_iovec_t text = {NULL, 0};

    if (req->res.status < 400 || !is_plain_text(req))
        return slot;
    for (size_t i = 0; i < PS_ARRAY_N(own_errors) && !text.base; i++)
        if (own_errors[i].status == req->res.status)
            text = problem_text(req, i);
    if (req->res.status == 413)
        ps_conn_linger(req);
    if (!text.base)
        return slot;
    h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                   H2O_STRLIT("application/problem+json"), 1);
    struct words *words = (struct words *)h2o_add_ostream(req, sizeof(*words), slot);
    words->super.do_send = send_words;
    words->body = text;
    req->res.content_length = text.len;
    if (h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD")))
        words->body.len = 0;
    return &words->super.next;
}

/* Files below /assets carry their content's hash in their names; the page itself is asked for each time. */
static void set_caching(h2o_req_t *req)
{
    static const char assets[] = "/assets/";
    h2o_iovec_t path = req->path_normalized;
    bool asset = path.len > sizeof(assets) - 1 && memcmp(path.base, assets, sizeof(assets) - 1) == 0;

    if (h2o_find_header(&req->res.headers, H2O_TOKEN_CACHE_CONTROL, -1) >= 0)
        return;
    if (asset && (req->res.status == 200 || req->res.status == 206 || req->res.status == 304))
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                       H2O_STRLIT("public, max-age=31536000, immutable"));
    else
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-cache"));
}

static void on_setup(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)filter;
    /* A handler may have said something stricter. */
    for (size_t i = 0; i < PS_ARRAY_N(headers); i++)
        h2o_set_header_by_str(&req->pool, &req->res.headers, headers[i].name, strlen(headers[i].name), 1,
                              headers[i].value, strlen(headers[i].value), 0);
    set_caching(req);
    h2o_setup_next_ostream(req, reword(req, slot));
}

void ps_web_register_answers(struct ps_web *web, h2o_pathconf_t *path)
{
    h2o_compress_args_t compress = {.min_size = 1024, .gzip = {.quality = 1}, .brotli = {.quality = -1}};
    h2o_filter_t *filter = h2o_create_filter(path, sizeof(*filter));

    (void)web;
    filter->on_setup_ostream = on_setup;
    h2o_compress_register(path, &compress);
}
