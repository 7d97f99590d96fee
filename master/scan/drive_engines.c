/* What drive does about engines: rows for those that are offered, back-fill for those that came back. */
#include "master/scan/drive_private.h"

void drive_serve(struct ps_drive *self)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *fleet = NULL;

    if (self->hub->lines_n == 1)
        return;
    fleet = ps_fleet_get(self->hub->fleet);
    ps_brokers_serve_none(self->brokers);
    for (size_t i = 0; i < fleet->engines_n; i++)
        ps_brokers_serve(self->brokers, fleet->engines[i].offer.name, fleet->engines[i].brokers);
}

static int see_engine(struct ps_drive *self, const struct ps_fleet_engine *engine, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;

    ps_pg_params_init(&params);
    ps_pg_put_text(&params, engine->offer.name);
    ps_pg_put_i16(&params, engine->offer.kind == PS_KIND_EVILNESS ? PS_KIND_EVILNESS : PS_KIND_METADATA);
    int r = ps_pg_exec(self->pg, PS_Q_DRIVE_ENGINE_SEEN, &params, &rows, reterr);
    if (r == 0 && ps_row_n(rows) > 0) {
        /* First: who reads of it in the log may ask for it at once. */
        if (self->ingest)
            ps_ingest_refresh(self->ingest);
        ps_log(PS_LOG_INFO, "engine-registered", "engine=%s kind=%u", PS_LOGQ(engine->offer.name),
               engine->offer.kind);
    }
    return r;
}

static int see_engines(struct ps_drive *self, const struct ps_fleet_snapshot *fleet, struct ps_error *reterr)
{
    int r = 0;

    for (size_t i = 0; i < fleet->engines_n && r == 0; i++)
        if (fleet->engines[i].available)
            r = see_engine(self, &fleet->engines[i], reterr);
    return r;
}

/* On ingest's thread. */
static void backfill_done(struct ps_ingest_request *request)
{
    struct ps_drive *self = request->arg;

    if (request->code == 0)
        atomic_fetch_add(&self->hub->counters.backfilled, request->backfilled);
    else
        ps_log(PS_LOG_WARN, "backfill-failed", "engine=%s detail=%s", PS_LOGQ(request->backfill_engine),
               PS_LOGQ(request->error.text));
    ps_ingest_request_fini(request);
    atomic_store(&self->asking, false);
}

static void ask_backfill(struct ps_drive *self, const char *engine)
{
    size_t len = PS_MIN(strlen(engine), sizeof(self->asked_engine) - 1);

    memcpy(self->asked_engine, engine, len);
    self->asked_engine[len] = '\0';
    self->asked = (struct ps_ingest_request){
        .kind = PS_INGEST_BACKFILL,
        .owner_id = 1,
        .team_id = 1,
        .backfill_engine = self->asked_engine,
        .backfill_n = self->backfill_per_s,
        .done = backfill_done,
        .arg = self,
    };
    atomic_store(&self->asking, true);
    if (ps_ingest_send(self->ingest, &self->asked) < 0)
        atomic_store(&self->asking, false); /* busy: people come first; we ask again in a second */
}

/* Engines that are here now and have something to make up for; one of them a second. */
static int backfill(struct ps_drive *self, const struct ps_fleet_snapshot *fleet, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_PG_ARRAY struct ps_pg_array names;
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;

    ps_pg_params_init(&params);
    ps_pg_array_init(&names, PS_PG_TEXT);
    for (size_t i = 0; i < fleet->engines_n; i++)
        if (fleet->engines[i].available)
            ps_pg_array_text(&names, fleet->engines[i].offer.name);
    if (names.n == 0)
        return 0;
    ps_pg_put_array(&params, &names);
    int r = ps_pg_exec(self->pg, PS_Q_DRIVE_MISSING, &params, &rows, reterr);
    if (r < 0 || ps_row_n(rows) == 0)
        return r;
    const char *engine = ps_row_text(rows, (int)(self->backfills_n++ % (unsigned)ps_row_n(rows)), 0);
    if (engine)
        ask_backfill(self, engine);
    return 0;
}

int drive_engines(struct ps_drive *self, uint64_t now_ms, struct ps_error *reterr)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *fleet = NULL;
    int r = 0;

    if (now_ms < self->engines_ms && now_ms < self->backfill_ms)
        return 0;
    fleet = ps_fleet_get(self->hub->fleet);
    if (!fleet->connected)
        return 0;
    if (now_ms >= self->engines_ms) {
        r = see_engines(self, fleet, reterr);
        self->engines_ms = now_ms + PS_DRIVE_ENGINE_MS;
    }
    if (r == 0 && now_ms >= self->backfill_ms) {
        self->backfill_ms = now_ms + PS_DRIVE_LOOK_MS;
        if (self->ingest && !atomic_load(&self->asking))
            r = backfill(self, fleet, reterr);
    }
    return r;
}
