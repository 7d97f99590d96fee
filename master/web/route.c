#include "master/web/route.h"

#include <string.h>

#include "base/mem.h"
#include "master/web/text.h"

#define API "/api/v1"

static const struct ps_route routes[] = {
    {"GET", "/healthz", PS_ROUTE_OPEN, ps_get_healthz},
    {"GET", "/metrics", PS_ROUTE_OPEN, ps_get_metrics},
    {"GET", "/enter", PS_ROUTE_OPEN, ps_get_enter},
    {"POST", API "/tokens", PS_ROUTE_LOCAL, ps_post_tokens},
    {"POST", API "/batch", PS_ROUTE_LEADER, ps_post_batch},
    {"POST", API "/uploads", PS_ROUTE_LEADER, ps_post_uploads},
    {"PATCH", API "/uploads/{}", PS_ROUTE_LEADER, ps_patch_upload},
    {"GET", API "/uploads/{}", 0, ps_get_upload},
    {"DELETE", API "/uploads/{}", PS_ROUTE_LEADER, ps_delete_upload},
    {"POST", API "/submissions", PS_ROUTE_LEADER, ps_post_submissions},
    {"GET", API "/submissions", 0, ps_get_submissions},
    {"GET", API "/submissions/{}", 0, ps_get_submission},
    {"GET", API "/samples/{}", 0, ps_get_sample},
    {"POST", API "/samples/{}/scans", PS_ROUTE_LEADER, ps_post_sample_scans},
    {"GET", API "/scans/{}", 0, ps_get_scan},
    {"GET", API "/artifacts/{}", 0, ps_get_artifact},
    {"GET", API "/engines", 0, ps_get_engines},
    {"POST", API "/engines/{}/reload", PS_ROUTE_LEADER, ps_post_engine_reload},
    {"POST", API "/engines/{}/on", PS_ROUTE_LEADER, ps_post_engine_on},
    {"POST", API "/engines/{}/off", PS_ROUTE_LEADER, ps_post_engine_off},
    {"GET", API "/orders/{}", 0, ps_get_order},
    {"GET", API "/workers", 0, ps_get_workers},
    {"GET", API "/profiles", 0, ps_get_profiles},
    {"GET", API "/status", 0, ps_get_status},
    {"GET", API "/events", 0, ps_get_events},
};

const struct ps_route *ps_route_find(struct ps_bytes method, struct ps_bytes path,
                                     struct ps_bytes ret_args[PS_CALL_ARGS_MAX], bool *ret_other)
{
    bool head = ps_bytes_is(method, "HEAD"); /* answered as GET; h2o leaves the body out */

    *ret_other = false;
    for (size_t i = 0; i < PS_ARRAY_N(routes); i++) {
        if (!ps_web_path_match(routes[i].path, path, ret_args, PS_CALL_ARGS_MAX))
            continue;
        if (ps_bytes_is(method, routes[i].method) || (head && !strcmp(routes[i].method, "GET")))
            return &routes[i];
        *ret_other = true;
    }
    return NULL;
}
