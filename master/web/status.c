/* GET /api/v1/status: how all of it is, in one object. GET /healthz: ready or not, and why not.
 * Rights: status signed in, healthz anyone. Limits: the database is asked once a second at most. */
#include "master/web/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/outcome.h"
#include "db/store/store.h"
#include "master/web/route.h"
#include "master/web/server.h"

int ps_status_cache_new(struct ps_status_cache **ret_self)
{
    *ret_self = PS_NEW(struct ps_status_cache);
    return *ret_self ? 0 : PS_ERR_NOMEM;
}

void ps_status_cache_free(struct ps_status_cache **self_p)
{
    free(PS_TAKE(*self_p));
}

/* ---- signatures ---- */

/* The weakest set that a judging engine works with: what silence is worth. */
static json_t *signatures_json(const struct ps_fleet_snapshot *fleet)
{
    static const char *const origins[] = {"test", "site", "official"};
    size_t weakest = PS_ARRAY_N(origins);

    for (size_t i = 0; i < fleet->engines_n; i++)
        for (size_t k = 0; k < weakest; k++)
            if (fleet->engines[i].available && fleet->engines[i].offer.kind == PS_KIND_EVILNESS &&
                !strcmp(fleet->engines[i].offer.origin, origins[k]))
                weakest = k;
    const char *origin = weakest < PS_ARRAY_N(origins) ? origins[weakest] : "";
    const char *note = NULL;
    if (!strcmp(origin, "test"))
        note = "bundled test signatures: hits count, silence does not; `phagescan up --signatures DIR` takes "
               "real ones";
    else if (!*origin)
        note = "no engine with signatures is there";
    return json_pack("{s:s, s:s?}", "origin", origin, "note", note);
}

/* ---- the answer ---- */

static json_t *database_json(struct ps_web *web)
{
    const char *detail = "";
    bool ok = ps_pgloop_ok(web->pg, &detail);

    return json_pack("{s:b, s:s}", "ok", (int)ok, "detail", detail);
}

static json_t *limits_json(const struct ps_web *web)
{
    return json_pack("{s:I, s:i, s:i, s:i, s:i}", "max_sample_bytes",
                     (json_int_t)web->settings.max_sample_bytes, "batch_bytes", (int)PS_BATCH_BYTES,
                     "batch_files", PS_BATCH_FILES, "chunk_bytes", (int)PS_WEB_CHUNK_BYTES, "oneshot_bytes",
                     (int)PS_WEB_ONESHOT_BYTES);
}

/* A worker names its broker by the place in this list. */
static json_t *brokers_json(const struct ps_fleet_snapshot *fleet)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < fleet->brokers_n; i++) {
        const struct ps_fleet_broker *b = &fleet->brokers[i];
        if (json_array_append_new(list, json_pack("{s:s, s:b, s:I, s:I, s:I}", "name", b->name, "ok",
                                                  (int)b->connected, "uptime_s", (json_int_t)b->uptime_s,
                                                  "jobs", (json_int_t)b->jobs, "late", (json_int_t)b->late)) <
            0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static void answer(struct ps_call *call)
{
    struct ps_web *web = call->web;
    const struct ps_status_cache *cache = web->status;
    PS_CLEANUP(ps_fleet_snapshot_unref)
    struct ps_fleet_snapshot *fleet = ps_fleet_get(ps_scan_fleet(web->settings.scan));
    uint64_t free_bytes = 0;

    (void)ps_store_free_bytes(web->settings.store, &free_bytes); /* 0 says enough */
    ps_call_json(call, 200,
                 json_pack("{s:s, s:b, s:I, s:I, s:I, s:o, s:{s:b, s:I, s:I, s:I}, s:o, s:{s:I, s:I}, "
                           "s:{s:I, s:I}, s:o, s:o}",
                           "version", PS_VERSION, "leader", (int)ps_scan_leads(web->settings.scan), "epoch",
                           (json_int_t)ps_scan_epoch(web->settings.scan), "uptime_s",
                           (json_int_t)((ps_clock_mono_ms() - web->started_ms) / 1000), "seq",
                           (json_int_t)cache->seq, "database", database_json(web), "broker", "ok",
                           (int)fleet->connected, "uptime_s", (json_int_t)fleet->uptime_s, "jobs",
                           (json_int_t)fleet->jobs, "late", (json_int_t)fleet->late, "brokers",
                           brokers_json(fleet), "queue", "scans", (json_int_t)cache->scans, "jobs",
                           (json_int_t)cache->jobs, "store", "samples", (json_int_t)cache->samples,
                           "free_bytes", (json_int_t)free_bytes, "signatures", signatures_json(fleet),
                           "limits", limits_json(web)));
}

static void status_read(struct ps_call *call, const PGresult *result)
{
    *call->web->status = (struct ps_status_cache){.at_ms = ps_clock_mono_ms(),
                                                  .seq = ps_row_i64(result, 0, 0),
                                                  .scans = ps_row_i64(result, 0, 1),
                                                  .jobs = ps_row_i64(result, 0, 2),
                                                  .samples = ps_row_i64(result, 0, 3)};
    answer(call);
}

/* Without the database the rest is worth telling all the same. */
static void not_read(struct ps_call *call, int code, const struct ps_error *error)
{
    (void)code;
    (void)error;
    answer(call);
}

static void seq_read(struct ps_call *call, const PGresult *result)
{
    call->web->status->seq = ps_row_i64(result, 0, 0);
    answer(call);
}

/* The counts may be a moment old; seq may not: who follows from an old one is told what he knows. */
void ps_get_status(struct ps_call *call)
{
    const struct ps_status_cache *cache = call->web->status;
    PS_PG_PARAMS struct ps_pg_params params = {0};

    call->failed = not_read;
    if (cache->at_ms && ps_clock_mono_ms() < cache->at_ms + PS_STATUS_CACHE_MS) {
        ps_call_query(call, PS_Q_WEB_EVENTS_NEWEST, NULL, seq_read);
        return;
    }
    ps_pg_params_init(&params);
    ps_pg_put_i32(&params, PS_STATUS_COUNT_MAX);
    ps_call_query(call, PS_Q_WEB_STATUS, &params, status_read);
}

/* ---- healthz ---- */

static const char *why_not_ready(struct ps_web *web)
{
    struct ps_scan_stats scan;
    const char *detail = NULL;

    ps_scan_stats(web->settings.scan, &scan);
    if (!ps_pgloop_ok(web->pg, &detail))
        return "the database is away\n";
    if (!atomic_load(&web->ready))
        return "the database's schema is not this program's yet\n";
    if (!web->settings.standby && !scan.epoch)
        return "another master leads, or this one is about to\n";
    if (scan.epoch && !scan.broker_ok)
        return "the broker is away: samples are taken, and wait\n";
    return NULL;
}

void ps_get_healthz(struct ps_call *call)
{
    const char *why = why_not_ready(call->web);

    if (why)
        ps_call_data(call, 503, "text/plain; charset=utf-8", why, strlen(why));
    else
        ps_call_data(call, 200, "text/plain; charset=utf-8", "ok\n", 3);
}
