/* POST /api/v1/engines/{name}/reload | on | off [?worker=NAME]: orders to the workers that have the engine; 202 {"order"}.
 * GET /api/v1/orders/{id}: how it stands, a member for each worker.
 * Rights: signed in. Limits: master/scan/orders.h. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "master/scan/fleet.h"
#include "master/scan/orders.h"
#include "master/scan/scan.h"
#include "master/web/route.h"
#include "master/web/server.h"

static char *text_of(struct ps_bytes bytes)
{
    return bytes.at ? ps_strf("%.*s", (int)bytes.len, (const char *)bytes.at) : NULL;
}

static void give(struct ps_call *call, enum ps_order_verb verb)
{
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(call->web->settings.scan));
    PS_FREE char *engine = call->args[0].len <= PS_NAME_MAX ? text_of(call->args[0]) : NULL;
    struct ps_bytes worker;
    uint64_t order = 0;

    if (ps_call_param_text(call, "worker", PS_NAME_MAX, &worker))
        return;
    const struct ps_orders_wish wish = {
        .engine = engine ? engine : "", .worker = (const char *)worker.at, .verb = verb};
    int error =
        ps_orders_give(ps_scan_orders(call->web->settings.scan), fleet, &wish, ps_clock_mono_ms(), &order);
    if (error == PS_ERR_NOTFOUND)
        ps_call_problem(call, 404, "not-found", "no worker%s has an engine of that name",
                        worker.at ? " of that name" : "");
    else if (error)
        ps_call_error(call, error, NULL);
    else
        ps_call_json(call, 202, json_pack("{s:I}", "order", (json_int_t)order));
}

void ps_post_engine_reload(struct ps_call *call)
{
    give(call, PS_ORDER_RELOAD);
}

void ps_post_engine_on(struct ps_call *call)
{
    give(call, PS_ORDER_ON);
}

void ps_post_engine_off(struct ps_call *call)
{
    give(call, PS_ORDER_OFF);
}

static json_t *part_json(const struct ps_ordered *part)
{
    static const char *const words[] = {"waiting", "done", "refused", "silent"};

    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "worker", part->worker, "state", words[part->state], "text",
                     part->text, "before", part->before, "after", part->after);
}

void ps_get_order(struct ps_call *call)
{
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(call->web->settings.scan));
    PS_FREE struct ps_ordered *list = NULL;
    json_t *items = json_array();
    bool over = true;
    int64_t order;
    size_t n = 0;

    if (ps_call_arg_id(call, 0, &order)) {
        json_decref(items);
        return;
    }
    int error = ps_orders_look(ps_scan_orders(call->web->settings.scan), (uint64_t)order, fleet,
                               ps_clock_mono_ms(), &list, &n);
    if (error) {
        json_decref(items);
        ps_call_error(call, error, error == PS_ERR_NOTFOUND ? "no such order, or it is forgotten" : NULL);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        over = over && list[i].state != PS_ORDERED_WAITING;
        (void)json_array_append_new(items, part_json(&list[i]));
    }
    ps_call_json(call, 200, json_pack("{s:b, s:o}", "over", (int)over, "items", items));
}
