/* GET /api/v1/engines, /workers, /profiles: who scans what, as the broker said last.
 * Rights: signed in. Limits: those of the fleet (proto/limits.h). */
#include <string.h>

#include "base/mem.h"
#include "base/outcome.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "master/web/shapes.h"

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static const char *kind_word(int64_t kind)
{
    return kind == PS_KIND_EVILNESS ? "evilness" : "metadata";
}

/* ---- engines ---- */

static json_t *since_json(int64_t real_us)
{
    char text[PS_RFC3339_MAX];

    return real_us ? json_string(ps_clock_rfc3339(text, real_us)) : json_null();
}

static json_t *engine_json(const char *name, int64_t kind, bool enabled, const struct ps_fleet_engine *engine)
{
    static const struct ps_fleet_engine never = {
        .offer = {.version = "", .definitions = "", .origin = "", .problem = "", .note = ""}};
    const struct ps_fleet_engine *e = engine ? engine : &never;

    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:o, s:b, "
                     "s:o, s:o, s:I, s:I, "
                     "s:I}",
                     "name", name, "kind", kind_word(kind), "enabled", (int)enabled, "workers",
                     (json_int_t)e->workers, "queued", (json_int_t)e->queued, "leased", (json_int_t)e->leased,
                     "reported", (json_int_t)e->reported, "done", (json_int_t)e->done, "lost",
                     (json_int_t)e->lost, "oldest_ms", (json_int_t)e->oldest_ms, "version", e->offer.version,
                     "definitions", e->offer.definitions, "origin", e->offer.origin, "signatures",
                     (json_int_t)e->offer.signatures, "age_s", (json_int_t)e->offer.age_s, "problem",
                     text_or_null(e->offer.problem), "available", (int)e->available, "missing_since",
                     since_json(e->missing_since_us), "note", text_or_null(e->offer.note), "at_once",
                     (json_int_t)e->offer.at_once, "licence_scans", (json_int_t)e->offer.licence_scans,
                     "licence_left_s", (json_int_t)e->offer.licence_left_s);
}

static bool has_row(const PGresult *result, const char *name)
{
    for (int i = 0; i < ps_row_n(result); i++)
        if (!strcmp(ps_row_text(result, i, 0), name))
            return true;
    return false;
}

/* Engines that the database knows: these may be asked for. Then those that were never more than a problem, so that
 * somebody sees it. One that was offered just now without a problem is shown when it has its row, a moment later. */
static void engines_read(struct ps_call *call, const PGresult *result)
{
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(call->web->settings.scan));
    json_t *items = json_array();

    for (int i = 0; i < ps_row_n(result); i++) {
        const char *name = ps_row_text(result, i, 0);

        (void)json_array_append_new(items,
                                    engine_json(name, ps_row_i64(result, i, 1), ps_row_bool(result, i, 2),
                                                ps_fleet_engine_find(fleet, name)));
    }
    for (size_t i = 0; i < fleet->engines_n; i++) {
        const struct ps_fleet_engine *engine = &fleet->engines[i];

        if (!engine->available && !has_row(result, engine->offer.name))
            (void)json_array_append_new(items,
                                        engine_json(engine->offer.name, engine->offer.kind, true, engine));
    }
    ps_call_json(call, 200, json_pack("{s:o}", "items", items));
}

void ps_get_engines(struct ps_call *call)
{
    ps_call_query(call, PS_Q_WEB_ENGINES, NULL, engines_read);
}

/* ---- workers ---- */

static json_t *offers_json(const struct ps_fleet_worker *worker)
{
    json_t *items = json_array();

    for (size_t i = 0; i < worker->offers_n; i++) {
        const struct ps_fleet_offer *offer = &worker->offers[i];

        (void)json_array_append_new(
            items, json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "name", offer->name, "version",
                             offer->version, "definitions", offer->definitions, "origin", offer->origin,
                             "age_s", (json_int_t)offer->age_s, "problem", text_or_null(offer->problem),
                             "note", text_or_null(offer->note)));
    }
    return items;
}

static json_t *worker_json(const struct ps_fleet_worker *w)
{
    return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "name", w->name,
                     "broker", (int)w->broker, "session", (json_int_t)w->session, "slots",
                     (json_int_t)w->slots, "window", (json_int_t)w->window, "held", (json_int_t)w->held,
                     "running", (json_int_t)w->running, "done", (json_int_t)w->done, "lost",
                     (json_int_t)w->lost, "silent_ms", (json_int_t)w->silent_ms, "isolation", w->isolation,
                     "engines", offers_json(w));
}

void ps_get_workers(struct ps_call *call)
{
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(call->web->settings.scan));
    json_t *items = json_array();

    for (size_t i = 0; i < fleet->workers_n; i++)
        (void)json_array_append_new(items, worker_json(&fleet->workers[i]));
    ps_call_json(call, 200, json_pack("{s:o}", "items", items));
}

/* ---- profiles ---- */

static void profiles_read(struct ps_call *call, const PGresult *result)
{
    json_t *items = json_array();

    for (int i = 0; i < ps_row_n(result); i++)
        (void)json_array_append_new(
            items, json_pack("{s:o, s:o, s:o, s:I}", "name", ps_shape_text(result, i, 0), "engines",
                             ps_shape_texts(result, i, 1), "required", ps_shape_texts(result, i, 2),
                             "deadline_ms", (json_int_t)ps_row_i64(result, i, 3)));
    ps_call_json(call, 200, json_pack("{s:o}", "items", items));
}

void ps_get_profiles(struct ps_call *call)
{
    ps_call_query(call, PS_Q_WEB_PROFILES, NULL, profiles_read);
}
