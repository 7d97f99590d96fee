/* GET /api/v1/submissions?limit=&before=&batch=&verdict=&q=   newest first, by a cursor
 * GET /api/v1/submissions/{id}
 * Rights: signed in; what the caller may see. Limits: 500 a page; a search looks at SEARCH_WINDOWS times SEARCH_WINDOW
 * submissions at most, and for SEARCH_MS: then it answers with what it has and says where to go on. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/shapes.h"

#define PAGE_MAX       500
#define PAGE           50
#define SEARCH_WINDOW  5000
#define SEARCH_WINDOWS 40
#define SEARCH_MS      1500
#define SEARCH_BYTES   256

/* A list under way: the call's state. */
struct listing {
    uint64_t limit;
    int64_t before;
    struct ps_bytes batch; /* texts are in the request's pool */
    struct ps_bytes missing;
    char *pattern; /* of ILIKE; owned */
    bool searches; /* a condition that few may meet */
    bool has_sha256;
    uint8_t sha256[PS_SHA256_BYTES];
    int verdict; /* -1: any */
    json_t *items;
    int windows;
    uint64_t until_ms;
};

static void listing_free(void *at)
{
    struct listing *self = at;

    json_decref(self->items);
    free(self->pattern);
    free(self);
}

/* ---- what was asked ---- */

/* Whatever stands in it is meant as it stands. */
static char *like_pattern(struct ps_bytes text)
{
    PS_BUF struct ps_buf out = {0};

    ps_buf_init(&out, 2 * SEARCH_BYTES + 3);
    ps_buf_put_text(&out, "%");
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '%' || text.at[i] == '_' || text.at[i] == '\\')
            ps_buf_put_text(&out, "\\");
        ps_buf_put(&out, &text.at[i], 1);
    }
    ps_buf_put_text(&out, "%");
    return ps_buf_error(&out) ? NULL : ps_strf("%s", ps_buf_text(&out));
}

static int read_search(struct ps_call *call, struct listing *self)
{
    static const char missing[] = "missing:";
    struct ps_bytes q;
    int r = ps_call_param_text(call, "q", SEARCH_BYTES, &q);

    if (r || !q.len)
        return r;
    if (ps_hex_decode(self->sha256, PS_SHA256_BYTES, (const char *)q.at, q.len) == 0) {
        self->has_sha256 = true;
        return 0;
    }
    self->searches = true;
    if (q.len > sizeof(missing) - 1 && memcmp(q.at, missing, sizeof(missing) - 1) == 0) {
        self->missing = (struct ps_bytes){q.at + sizeof(missing) - 1, q.len - (sizeof(missing) - 1)};
        return 0;
    }
    self->pattern = like_pattern(q);
    if (!self->pattern)
        ps_call_error(call, PS_ERR_NOMEM, NULL);
    return self->pattern ? 0 : PS_ERR_NOMEM;
}

static int read_verdict(struct ps_call *call, struct listing *self)
{
    struct ps_bytes word;
    int r = ps_call_param_text(call, "verdict", 32, &word);

    self->verdict = -1;
    if (r || !word.len)
        return r;
    self->searches = true;
    if (ps_bytes_is(word, "queued"))
        self->verdict = 0;
    for (unsigned i = PS_VERDICT_MALICIOUS; i <= PS_VERDICT_INCONCLUSIVE; i++)
        if (ps_bytes_is(word, ps_verdict_word(i)))
            self->verdict = (int)i;
    if (self->verdict >= 0)
        return 0;
    ps_call_problem(call, 400, "parameter",
                    "verdict is malicious, suspicious, nothing-found, known-good, inconclusive or queued");
    return PS_ERR_INVALID;
}

static int read_asked(struct ps_call *call, struct listing *self)
{
    uint64_t before;
    int r = ps_call_param_u64(call, "limit", 1, PAGE_MAX, PAGE, &self->limit);

    if (!r)
        r = ps_call_param_u64(call, "before", 1, INT64_MAX, INT64_MAX, &before);
    if (!r)
        self->before = (int64_t)before;
    if (!r)
        r = ps_call_param_text(call, "batch", PS_BATCH_ID_BYTES, &self->batch);
    if (!r)
        r = read_verdict(call, self);
    return r ? r : read_search(call, self);
}

/* ---- the list ---- */

static void read_window(struct ps_call *call, struct listing *self);

static void answer_list(struct ps_call *call, struct listing *self, int64_t next)
{
    ps_call_json(
        call, 200,
        json_pack("{s:O, s:o}", "items", self->items, "next", next ? json_integer(next) : json_null()));
}

static void window_read(struct ps_call *call, const PGresult *result)
{
    struct listing *self = call->state;
    bool whole = ps_row_i64(result, 0, 1) < (self->searches ? SEARCH_WINDOW : (int64_t)self->limit);
    int64_t last = ps_row_i64(result, 0, 0);
    int n = ps_row_null(result, 0, 2) ? 0 : ps_row_n(result);

    for (int i = 0; i < n; i++)
        if (json_array_append_new(self->items, ps_shape_submission(result, i, 2)) < 0) {
            ps_call_error(call, PS_ERR_NOMEM, NULL);
            return;
        }
    self->limit -= (uint64_t)n;
    if (self->limit == 0 && n > 0) /* there may be more in this window */
        answer_list(call, self, whole && !self->searches ? 0 : ps_row_i64(result, n - 1, 2));
    else if (whole)
        answer_list(call, self, 0);
    else if (++self->windows >= SEARCH_WINDOWS || ps_clock_mono_ms() >= self->until_ms)
        answer_list(call, self, last);
    else {
        self->before = last;
        read_window(call, self);
    }
}

static void put_bytes(struct ps_pg_params *params, struct ps_bytes text)
{
    if (text.at)
        ps_pg_put_text_n(params, (const char *)text.at, text.len);
    else
        ps_pg_put_null(params);
}

static void read_window(struct ps_call *call, struct listing *self)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, self->before);
    ps_pg_put_i32(&params, (int32_t)self->limit);
    ps_pg_put_i32(&params, self->searches ? SEARCH_WINDOW : (int32_t)self->limit);
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    put_bytes(&params, self->batch);
    if (self->verdict >= 0)
        ps_pg_put_i16(&params, (int16_t)self->verdict);
    else
        ps_pg_put_null(&params);
    if (self->has_sha256)
        ps_pg_put_bytea(&params, self->sha256, sizeof(self->sha256));
    else
        ps_pg_put_null(&params);
    ps_pg_put_text(&params, self->pattern);
    put_bytes(&params, self->missing);
    ps_call_query(call, PS_Q_WEB_READ_SUBMISSIONS, &params, window_read);
}

void ps_get_submissions(struct ps_call *call)
{
    struct listing *self = PS_NEW(struct listing);

    if (!self) {
        ps_call_error(call, PS_ERR_NOMEM, NULL);
        return;
    }
    call->state = self;
    call->state_free = listing_free;
    self->items = json_array();
    self->until_ms = ps_clock_mono_ms() + SEARCH_MS;
    if (read_asked(call, self) == 0)
        read_window(call, self);
}

/* ---- one of them ---- */

static void object_free(void *at)
{
    json_decref(at);
}

static void results_read(struct ps_call *call, const PGresult *result)
{
    json_t *json = call->state;

    (void)json_object_set_new(json, "results", ps_shape_results(result));
    ps_call_json(call, 200, json_incref(json));
}

static void submission_read(struct ps_call *call, const PGresult *result)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    if (ps_row_n(result) == 0) {
        ps_call_problem(call, 404, "not-found", "there is no such submission");
        return;
    }
    call->state = ps_shape_submission(result, 0, 0);
    call->state_free = object_free;
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, ps_row_i64(result, 0, 10));
    ps_call_query(call, PS_Q_WEB_READ_RESULTS, &params, results_read);
}

void ps_get_submission(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    int64_t id;

    if (ps_call_arg_id(call, 0, &id) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, id);
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    ps_call_query(call, PS_Q_WEB_READ_SUBMISSION, &params, submission_read);
}
