#include "master/mdp/report.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "db/pg.h"
#include "master/mdp/service.h"
#include "master/web/call.h"
#include "master/web/shapes.h"

#define FINISHED_COL 13 /* of a brief: finished_at */

static int query(struct ps_pg *pg, enum ps_query_id id, int64_t scan, bool asks_who, PGresult **ret_result,
                 struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, scan);
    if (asks_who) {
        ps_pg_put_i64(&params, PS_MDP_OWNER);
        ps_pg_put_i64(&params, PS_MDP_TEAM);
    }
    return ps_pg_exec(pg, id, &params, ret_result, reterr);
}

int ps_report_read(struct ps_pg *pg, int64_t scan, char **ret_text, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *brief = NULL;
    PS_CLEANUP(ps_pg_clear) PGresult *results = NULL;
    json_t *json;
    char *text;
    int r = query(pg, PS_Q_WEB_READ_SCAN, scan, true, &brief, reterr);

    if (r)
        return r;
    if (ps_row_n(brief) == 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "the scan is not there any more");
    if (ps_row_null(brief, 0, FINISHED_COL))
        return PS_ERR_AGAIN;
    r = query(pg, PS_Q_WEB_READ_RESULTS, scan, false, &results, reterr);
    if (r)
        return r;
    json = ps_shape_scan(brief, 0);
    text = json_object_set_new(json, "results", ps_shape_results(results)) == 0
               ? json_dumps(json, JSON_COMPACT)
               : NULL;
    json_decref(json);
    if (!text)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    *ret_text = text;
    return 0;
}

char *ps_report_error(int code, const char *text)
{
    json_t *json = json_pack("{s:{s:s, s:s}}", "error", "code", ps_call_code_of(code), "text",
                             text && *text ? text : ps_err_text(code));
    char *dumped;

    if (!json) /* no memory, or a text that is not UTF-8 */
        json = json_pack("{s:{s:s, s:s}}", "error", "code", ps_call_code_of(code), "text", ps_err_text(code));
    dumped = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return dumped;
}
