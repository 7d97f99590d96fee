/* master/web/route.h: which handler answers what. The table is in route.c; a handler is one file, named after its
 * noun, and states route, rights and limits at its top. */
#ifndef PS_MASTER_WEB_ROUTE_H
#define PS_MASTER_WEB_ROUTE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "master/web/call.h"

enum ps_route_flags {
    PS_ROUTE_OPEN = 1,   /* nobody need be signed in */
    PS_ROUTE_LOCAL = 2,  /* over the UNIX socket only */
    PS_ROUTE_LEADER = 4, /* changes something: a standby refuses with 503 */
};

struct ps_route {
    const char *method;
    const char *path; /* {} stands for one segment */
    unsigned flags;
    void (*run)(struct ps_call *call);
};

/* Finds the route and fills args. NULL when none; *ret_other is true when the path exists with another method. */
const struct ps_route *ps_route_find(struct ps_bytes method, struct ps_bytes path,
                                     struct ps_bytes ret_args[PS_CALL_ARGS_MAX], bool *ret_other);

/* The handlers. */
void ps_get_healthz(struct ps_call *call);
void ps_get_metrics(struct ps_call *call);
void ps_get_enter(struct ps_call *call);
void ps_post_tokens(struct ps_call *call);
void ps_post_batch(struct ps_call *call);
void ps_post_uploads(struct ps_call *call);
void ps_patch_upload(struct ps_call *call);
void ps_get_upload(struct ps_call *call);
void ps_delete_upload(struct ps_call *call);
void ps_post_submissions(struct ps_call *call);
void ps_get_submissions(struct ps_call *call);
void ps_get_submission(struct ps_call *call);
void ps_get_sample(struct ps_call *call);
void ps_post_sample_scans(struct ps_call *call);
void ps_get_artifact(struct ps_call *call);
void ps_get_scan(struct ps_call *call);
void ps_get_engines(struct ps_call *call);
void ps_get_workers(struct ps_call *call);
void ps_post_engine_reload(struct ps_call *call);
void ps_post_engine_on(struct ps_call *call);
void ps_post_engine_off(struct ps_call *call);
void ps_get_order(struct ps_call *call);
void ps_get_profiles(struct ps_call *call);
void ps_get_status(struct ps_call *call);
void ps_get_events(struct ps_call *call);

#endif
