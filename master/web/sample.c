/* GET, HEAD /api/v1/samples/{sha256}: the report. GET /api/v1/scans/{id}: one scan.
 * Rights: signed in, and may see a submission of the sample. Limits: 25 names, 20 scans, submissions counted to 10,000. */
#include <string.h>

#include "base/mem.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/shapes.h"

static void object_free(void *at)
{
    json_decref(at);
}

static void read_results(struct ps_call *call, int64_t scan,
                         void (*next)(struct ps_call *call, const PGresult *result))
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, scan);
    ps_call_query(call, PS_Q_WEB_READ_RESULTS, &params, next);
}

static void not_there(struct ps_call *call)
{
    ps_call_problem(call, 404, "not-found", "nobody submitted it, or not to you");
}

/* ---- the report ---- */

/* md5 and sha1 are what the engine "hashes" says. */
static json_t *trait_of(const json_t *results, const char *name)
{
    const json_t *result;
    size_t i;

    json_array_foreach (results, i, result) {
        json_t *value = json_object_get(json_object_get(result, "traits"), name);

        if (json_is_string(value) && !strcmp(json_string_value(json_object_get(result, "engine")), "hashes"))
            return json_incref(value);
    }
    return json_null();
}

static void results_read(struct ps_call *call, const PGresult *result)
{
    json_t *json = call->state, *results = ps_shape_results(result);

    (void)json_object_set_new(json, "md5", trait_of(results, "md5"));
    (void)json_object_set_new(json, "sha1", trait_of(results, "sha1"));
    (void)json_object_set_new(json, "results", results);
    ps_call_json(call, 200, json_incref(json));
}

/* What the newest scan that knows it says. */
static json_t *type_of(const json_t *scans)
{
    const json_t *scan;
    size_t i;

    json_array_foreach (scans, i, scan)
        if (json_is_string(json_object_get(scan, "type")))
            return json_incref(json_object_get(scan, "type"));
    return json_null();
}

static void scans_read(struct ps_call *call, const PGresult *result)
{
    json_t *json = call->state, *scans = json_array();

    for (int i = 0; i < ps_row_n(result); i++)
        (void)json_array_append_new(scans, ps_shape_brief(result, i, 0)); /* one less, without memory */
    (void)json_object_set_new(json, "type", type_of(scans));
    (void)json_object_set(json, "scan", json_array_size(scans) ? json_array_get(scans, 0) : json_null());
    (void)json_object_set_new(json, "scans", scans);
    read_results(call, ps_row_n(result) ? ps_row_i64(result, 0, 0) : 0, results_read);
}

static void sample_read(struct ps_call *call, const PGresult *result)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    if (ps_row_n(result) == 0) {
        not_there(call);
        return;
    }
    if (ps_call_is_head(call)) {
        ps_call_empty(call, 200);
        return;
    }
    call->state =
        json_pack("{s:o, s:I, s:o, s:I, s:o}", "sha256", ps_shape_hash(result, 0, 1), "size",
                  (json_int_t)ps_row_i64(result, 0, 2), "first_seen", ps_shape_time(result, 0, 3),
                  "submissions", (json_int_t)ps_row_i64(result, 0, 4), "names", ps_shape_texts(result, 0, 5));
    call->state_free = object_free;
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, ps_row_i64(result, 0, 0));
    ps_call_query(call, PS_Q_WEB_READ_SCANS, &params, scans_read);
}

void ps_get_sample(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    uint8_t sha256[PS_SHA256_BYTES];

    if (ps_call_arg_sha256(call, 0, sha256) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_bytea(&params, sha256, sizeof(sha256));
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    ps_call_query(call, PS_Q_WEB_READ_SAMPLE, &params, sample_read);
}

/* ---- one scan ---- */

static void scan_results_read(struct ps_call *call, const PGresult *result)
{
    json_t *json = call->state;

    (void)json_object_set_new(json, "results", ps_shape_results(result));
    ps_call_json(call, 200, json_incref(json));
}

static void scan_read(struct ps_call *call, const PGresult *result)
{
    if (ps_row_n(result) == 0) {
        not_there(call);
        return;
    }
    call->state = ps_shape_scan(result, 0);
    call->state_free = object_free;
    read_results(call, ps_row_i64(result, 0, 0), scan_results_read);
}

void ps_get_scan(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    int64_t id;

    if (ps_call_arg_id(call, 0, &id) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, id);
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    ps_call_query(call, PS_Q_WEB_READ_SCAN, &params, scan_read);
}
