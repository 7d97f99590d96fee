/* The handler of all routes: who calls, from where, may they, and then the route's own function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/conn.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/sessions.h"
#include "master/web/text.h"

#define SIGN_IN "sign in: `phagescan open` on the server's machine prints an address that opens a session"

struct handler {
    h2o_handler_t super;
    struct ps_web *web;
};

/* ---- where it comes from ---- */

static struct ps_bytes bytes_of(h2o_iovec_t text)
{
    return (struct ps_bytes){(const uint8_t *)text.base, text.len};
}

/* The head as it came: h2o keeps of Content-Length and Host only one. It still lies in front of the body. */
static struct ps_bytes raw_head(const h2o_req_t *req)
{
    const h2o_buffer_t *input = req->conn->callbacks->get_socket(req->conn)->input;
    struct ps_bytes head = {(const uint8_t *)input->bytes, input->size};

    if (req->entity.base && req->entity.base >= input->bytes &&
        req->entity.base <= input->bytes + input->size)
        head.len = (size_t)(req->entity.base - input->bytes);
    return head;
}

/* A page of another origin must not be able to speak for the browser's user, nor a name that somebody points at our
 * address (DNS rebinding). Both are told by what the browser says of itself. */
static bool from_here(struct ps_call *call)
{
    struct ps_web *web = call->web;
    struct ps_bytes host = bytes_of(call->req->authority);
    const char *also = web->settings.host;

    if (ps_web_host_ok(host, web->port, also))
        return true;
    ps_call_problem(call, 421, "host",
                    "this is not the name of this server: it answers to 127.0.0.1:%u, localhost:%u",
                    web->port, web->port);
    return false;
}

static bool changes_something(const struct ps_call *call)
{
    return strcmp(call->route->method, "GET") != 0;
}

/* Other ports of this machine are "same-site" to a browser, but strangers to us. */
static bool same_origin(struct ps_call *call)
{
    struct ps_bytes site = ps_call_header(call, "sec-fetch-site"), origin = ps_call_header(call, "origin");
    struct ps_bytes host = bytes_of(call->req->authority);
    bool told = ps_bytes_is(site, "same-origin");

    if (site.at && !told && !ps_bytes_is(site, "none")) {
        ps_call_problem(call, 403, "cross-site", "requests from the pages of other servers are refused");
        return false;
    }
    if (origin.at ? !ps_web_origin_ok(origin, host) : changes_something(call) && !told) {
        ps_call_problem(call, 403, "origin",
                        "the header Origin must be http://%.*s, as a page of this server sends it",
                        (int)host.len, (const char *)host.at);
        return false;
    }
    return true;
}

/* ---- who it is ---- */

static void run(struct ps_call *call)
{
    struct ps_web *web = call->web;

    if ((call->route->flags & PS_ROUTE_LEADER) && !ps_scan_leads(web->settings.scan)) {
        const char *why = NULL;

        if (!ps_pgloop_ok(web->pg, &why))
            ps_call_problem(
                call, 503, "unavailable",
                "the database is away: nothing was taken; what was acknowledged is safe, try again soon");
        else
            ps_call_problem(call, 503, "standby",
                            "this master does not lead now: nothing was taken; try again soon, or ask the "
                            "one that leads");
        return;
    }
    call->route->run(call);
}

struct asking { /* the call's state while the database is asked about its cookie */
    uint8_t hash[PS_SHA256_BYTES];
};

static void session_read(struct ps_call *call, const PGresult *result)
{
    struct asking *asking = call->state;
    uint64_t now_ms = ps_clock_mono_ms();
    bool known = ps_row_n(result) > 0;

    if (known) {
        call->account_id = ps_row_i64(result, 0, 0);
        ps_sessions_put(call->web->sessions, asking->hash, call->account_id, now_ms,
                        now_ms + (uint64_t)ps_row_i64(result, 0, 1));
    }
    free(PS_TAKE(call->state));
    call->state_free = NULL;
    if (known)
        run(call);
    else
        ps_call_problem(call, 401, "session", "this session is over: " SIGN_IN);
}

static void ask_session(struct ps_call *call, const uint8_t hash[PS_SHA256_BYTES])
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    struct asking *asking = PS_NEW(struct asking);

    if (!asking) {
        ps_call_error(call, PS_ERR_NOMEM, NULL);
        return;
    }
    memcpy(asking->hash, hash, sizeof(asking->hash));
    call->state = asking;
    call->state_free = free;
    ps_pg_params_init(&params);
    ps_pg_put_bytea(&params, hash, PS_SHA256_BYTES);
    ps_call_query(call, PS_Q_WEB_SESSION, &params, session_read);
}

static void sign_in(struct ps_call *call)
{
    struct ps_bytes cookie = ps_web_cookie(ps_call_header(call, "cookie"), "phagescan");
    uint8_t hash[PS_SHA256_BYTES];

    if (cookie.len != PS_SESSION_SECRET_HEX - 1)
        ps_call_problem(call, 401, "session", SIGN_IN);
    else if (ps_session_hash(cookie, hash) != 0)
        ps_call_error(call, PS_ERR_NOMEM, NULL);
    else if (ps_sessions_find(call->web->sessions, hash, ps_clock_mono_ms(), &call->account_id))
        run(call);
    else
        ask_session(call, hash);
}

/* ---- the way through ---- */

static void admit(struct ps_call *call)
{
    unsigned flags = call->route->flags;

    if (call->local) {
        run(call); /* who may open the socket is the local user */
    } else if (flags & PS_ROUTE_LOCAL) {
        ps_call_problem(call, 403, "local", "this is answered over the UNIX socket only: use `phagescan`");
    } else if (flags & PS_ROUTE_OPEN) {
        run(call);
    } else if (same_origin(call)) {
        sign_in(call);
    }
}

static struct ps_bytes path_of(const h2o_req_t *req)
{
    return (struct ps_bytes){(const uint8_t *)req->path.base,
                             req->query_at == SIZE_MAX ? req->path.len : req->query_at};
}

static bool begins(struct ps_bytes text, const char *with)
{
    size_t n = strlen(with);

    return text.len >= n && memcmp(text.at, with, n) == 0;
}

static void not_there(struct ps_call *call, bool other)
{
    if (!other) {
        ps_call_problem(call, 404, "not-found", "there is no such call: docs/api.md lists them");
        return;
    }
    ps_call_problem(call, 405, "method",
                    "this address knows other methods, not this one: docs/api.md lists them");
}

static int on_req(h2o_handler_t *handler, h2o_req_t *req)
{
    struct ps_web *web = ((struct handler *)handler)->web;
    struct ps_bytes path = path_of(req), args[PS_CALL_ARGS_MAX] = {0};
    struct ps_web_framing framing = ps_web_framing(raw_head(req));
    const char *fault = ps_web_framing_fault(&framing);
    bool other = false;
    const struct ps_route *route = ps_route_find(bytes_of(req->method), path, args, &other);
    struct ps_call *call = ps_call_new(web, req, route);

    if (!call) {
        h2o_send_error_503(req, "Service Unavailable", "out of memory", 0);
        return 0;
    }
    memcpy(call->args, args, sizeof(args));
    call->local = ps_conn_of(req)->local;
    if (fault) {
        ps_call_close(call);
        ps_call_problem(call, 400, "framing", "%s", fault);
    } else if (!call->local && !from_here(call)) {
        return 0;
    } else if (route) {
        admit(call);
    } else if (other || begins(path, "/api/")) {
        not_there(call, other);
    } else {
        return -1; /* the page's */
    }
    return 0;
}

void ps_web_register_routes(struct ps_web *web, h2o_pathconf_t *path)
{
    struct handler *self = (struct handler *)h2o_create_handler(path, sizeof(*self));

    self->super.on_req = on_req;
    self->web = web;
}
