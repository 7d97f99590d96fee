#include "master/ingest/backfill.h"

#include "base/mem.h"
#include "db/pg.h"

static int pick(struct ps_pg *pg, const char *engine, uint32_t n, PGresult **ret_picked,
                struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;

    ps_pg_params_init(&params);
    ps_pg_put_text(&params, engine);
    ps_pg_put_i32(&params, (int32_t)PS_MIN(n, (uint32_t)PS_BACKFILL_N));
    return ps_pg_exec(pg, PS_Q_INGEST_BACKFILL_PICK, &params, ret_picked, reterr);
}

/* The children of the picked scans: their rows, their jobs, and what else their parents miss. */
static int make(struct ps_pg *pg, const PGresult *picked, struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array parents, children;
    PS_PG_PARAMS struct ps_pg_params pairs, jobs;
    struct ps_pg_step steps[] = {{.query = PS_Q_INGEST_BACKFILL_SCAN, .params = &pairs},
                                 {.query = PS_Q_INGEST_BACKFILL_JOB, .params = &jobs},
                                 {.query = PS_Q_INGEST_BACKFILL_MOVE, .params = &pairs}};
    int64_t first[3];
    int code = ps_group_draw_ids(pg, 0, (size_t)ps_row_n(picked), 0, first, reterr);

    ps_pg_array_init(&parents, PS_PG_INT8);
    ps_pg_array_init(&children, PS_PG_INT8);
    ps_pg_params_init(&pairs);
    ps_pg_params_init(&jobs);
    if (code)
        return code;
    for (int row = 0; row < ps_row_n(picked); row++) {
        ps_pg_array_i64(&parents, ps_row_i64(picked, row, 0));
        ps_pg_array_i64(&children, first[1] + row);
    }
    ps_pg_put_array(&pairs, &parents);
    ps_pg_put_array(&pairs, &children);
    ps_pg_put_array(&jobs, &parents);
    ps_pg_put_array(&jobs, &children);
    ps_pg_put_i16(&jobs, (int16_t)ps_row_i64(picked, 0, 1));
    code = ps_pg_run(pg, steps, PS_ARRAY_N(steps), false, NULL, reterr);
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    return code;
}

int ps_backfill(struct ps_group_env *env, struct ps_ingest_request *request, struct ps_ingest_news *ret_news,
                struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *picked = NULL;
    int code = ps_group_begin(env->pg, env->epoch, reterr);

    memset(ret_news, 0, sizeof(*ret_news));
    if (code)
        return code;
    code = pick(env->pg, request->backfill_engine, request->backfill_n, &picked, reterr);
    if (code == 0 && ps_row_n(picked) > 0)
        code = make(env->pg, picked, reterr);
    if (code == 0)
        code = ps_pg_commit(env->pg, reterr);
    if (code) {
        ps_pg_rollback(env->pg);
        return code;
    }
    request->backfilled = (uint32_t)ps_row_n(picked);
    if (request->backfilled) {
        ret_news->bands = 1u << PS_BAND_IDLE;
        ret_news->scans_n = request->backfilled;
    }
    return 0;
}
