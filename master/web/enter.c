/* GET /enter?token=T: uses a one-time token up, sets the cookie, sends the browser to the page.
 * POST /api/v1/tokens: makes one. Rights: over the UNIX socket only. Limits: PS_SESSION_TOKENS_MAX open tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/sessions.h"
#include "master/web/text.h"

#define SECRET_MAX PS_SESSION_SECRET_HEX

/* The state of an /enter while the session is written. */
struct entering {
    char token[SECRET_MAX];
    uint64_t token_until_ms;
    char cookie[SECRET_MAX];
    uint8_t hash[PS_SHA256_BYTES];
};

/* For people: they opened an address in a browser. */
static void say(struct ps_call *call, int status, const char *title, const char *text)
{
    char page[1024];
    int n = snprintf(page, sizeof(page),
                     "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Phagescan</title>"
                     "<h1>%s</h1><p>%s</p></html>\n",
                     title, text);

    ps_call_data(call, status, "text/html; charset=utf-8", page, (size_t)n);
}

static void say_used(struct ps_call *call)
{
    say(call, 403, "This address does not open a session (any more)",
        "Each one works once, for 24 hours, until the server is restarted. <code>phagescan open</code>, on "
        "the "
        "server&#39;s machine, prints a new one.");
}

static void say_later(struct ps_call *call)
{
    ps_call_set_header(call, "retry-after", "1");
    say(call, 503, "The database is away",
        "Nothing was lost, and this address still works: load it again in a moment. <code>phagescan "
        "status</code> "
        "tells more.");
}

static void go_to_page(struct ps_call *call)
{
    ps_call_set_header(call, "location", "/");
    ps_call_empty(call, 303);
}

static void session_written(struct ps_call *call, const PGresult *result)
{
    struct entering *entering = call->state;
    uint64_t now_ms = ps_clock_mono_ms();
    char cookie[256];

    (void)result;
    ps_sessions_put(call->web->sessions, entering->hash, call->account_id, now_ms,
                    now_ms + (uint64_t)PS_WEB_SESSION_S * 1000);
    (void)snprintf(cookie, sizeof(cookie), "phagescan=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d",
                   entering->cookie, PS_WEB_SESSION_S);
    ps_log(PS_LOG_INFO, "session-opened", "account=%lld", (long long)call->account_id);
    ps_call_set_header(call, "set-cookie", cookie);
    go_to_page(call);
}

static void not_written(struct ps_call *call, int code, const struct ps_error *error)
{
    struct entering *entering = call->state;

    ps_log(PS_LOG_WARN, "session-not-opened", "reason=%s", PS_LOGQ(error ? error->text : ps_err_text(code)));
    ps_sessions_token_back(call->web->sessions, ps_bytes_of(entering->token), entering->token_until_ms);
    say_later(call);
}

static void open_session(struct ps_call *call, struct ps_bytes token, uint64_t token_until_ms)
{
    struct entering *entering = PS_NEW(struct entering);
    PS_PG_PARAMS struct ps_pg_params params = {0};

    if (!entering) {
        ps_sessions_token_back(call->web->sessions, token, token_until_ms);
        say_later(call);
        return;
    }
    call->state = entering;
    call->state_free = free;
    memcpy(entering->token, token.at, SECRET_MAX - 1); /* a token that was good has this length */
    entering->token_until_ms = token_until_ms;
    ps_session_secret(entering->cookie);
    call->failed = not_written;
    ps_pg_params_init(&params);
    if (ps_session_hash(ps_bytes_of(entering->cookie), entering->hash) != 0) {
        not_written(call, PS_ERR_NOMEM, NULL);
        return;
    }
    ps_pg_put_bytea(&params, entering->hash, sizeof(entering->hash));
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, PS_WEB_SESSION_S);
    ps_call_query(call, PS_Q_WEB_SESSION_NEW, &params, session_written);
}

/* Who is signed in already and opens an old address again just wants the page. */
static bool signed_in(struct ps_call *call)
{
    struct ps_bytes cookie = ps_web_cookie(ps_call_header(call, "cookie"), "phagescan");
    uint8_t hash[PS_SHA256_BYTES];
    int64_t account_id;

    return cookie.len == SECRET_MAX - 1 && ps_session_hash(cookie, hash) == 0 &&
           ps_sessions_find(call->web->sessions, hash, ps_clock_mono_ms(), &account_id);
}

static void session_read(struct ps_call *call, const PGresult *result)
{
    if (ps_row_n(result) > 0)
        go_to_page(call);
    else
        say_used(call);
}

static void not_read(struct ps_call *call, int code, const struct ps_error *error)
{
    (void)code;
    (void)error;
    say_used(call);
}

/* Memory does not know this browser: perhaps the database does. */
static void ask_session(struct ps_call *call)
{
    struct ps_bytes cookie = ps_web_cookie(ps_call_header(call, "cookie"), "phagescan");
    PS_PG_PARAMS struct ps_pg_params params = {0};
    uint8_t hash[PS_SHA256_BYTES];

    if (cookie.len != SECRET_MAX - 1 || ps_session_hash(cookie, hash) != 0) {
        say_used(call);
        return;
    }
    ps_pg_params_init(&params);
    ps_pg_put_bytea(&params, hash, sizeof(hash));
    call->failed = not_read;
    ps_call_query(call, PS_Q_WEB_SESSION, &params, session_read);
}

void ps_get_enter(struct ps_call *call)
{
    struct ps_bytes token = ps_call_param(call, "token");
    uint64_t until_ms;

    if (ps_call_is_head(call)) /* programs that look at links must not use them up */
        ps_call_empty(call, 204);
    else if (signed_in(call))
        go_to_page(call);
    else if (ps_sessions_token_take(call->web->sessions, token, ps_clock_mono_ms(), &until_ms))
        open_session(call, token, until_ms);
    else
        ask_session(call);
}

void ps_post_tokens(struct ps_call *call)
{
    const struct ps_web *web = call->web;
    bool colons = strchr(web->settings.host, ':') != NULL;
    char token[SECRET_MAX], url[512];
    int r = ps_sessions_token_new(web->sessions, ps_clock_mono_ms() + PS_WEB_TOKEN_MS, token);

    if (r) {
        ps_call_error(call, r, NULL);
        return;
    }
    (void)snprintf(url, sizeof(url), "http://%s%.255s%s:%u/enter?token=%s", colons ? "[" : "",
                   web->settings.host, colons ? "]" : "", web->port, token);
    ps_call_json(call, 201, json_pack("{s:s, s:s}", "token", token, "url", url));
}
