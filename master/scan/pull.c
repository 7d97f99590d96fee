#include "master/scan/pull.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "db/store/store.h"

/* Columns of drive_pull and drive_again. */
enum { SCAN, BAND, SHA256, SIZE, OWNER, DEADLINE, TYPE, JOB, ENGINE, RUN_MS, LOST };

int ps_pull_next(struct ps_pg *pg, unsigned band, uint64_t behind, size_t scans_n, PGresult **ret_rows,
                 struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;

    ps_pg_params_init(&params);
    ps_pg_put_i16(&params, (int16_t)band);
    ps_pg_put_i64(&params, (int64_t)behind);
    ps_pg_put_i32(&params, (int32_t)scans_n);
    return ps_pg_exec(pg, PS_Q_DRIVE_PULL, &params, ret_rows, reterr);
}

int ps_pull_again(struct ps_pg *pg, const uint64_t *scans, size_t n, PGresult **ret_rows,
                  struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_PG_ARRAY struct ps_pg_array ids;

    ps_pg_params_init(&params);
    ps_pg_array_init(&ids, PS_PG_INT8);
    for (size_t i = 0; i < n; i++)
        ps_pg_array_i64(&ids, (int64_t)scans[i]);
    ps_pg_put_array(&params, &ids);
    return ps_pg_exec(pg, PS_Q_DRIVE_AGAIN, &params, ret_rows, reterr);
}

int ps_pull_sweep(struct ps_pg *pg, unsigned band, uint64_t behind, uint64_t upto, size_t scans_n,
                  PGresult **ret_rows, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;

    ps_pg_params_init(&params);
    ps_pg_put_i16(&params, (int16_t)band);
    ps_pg_put_i64(&params, (int64_t)behind);
    ps_pg_put_i64(&params, (int64_t)upto);
    ps_pg_put_i32(&params, (int32_t)scans_n);
    return ps_pg_exec(pg, PS_Q_DRIVE_SWEEP, &params, ret_rows, reterr);
}

uint64_t ps_pull_scan(const PGresult *rows, int row)
{
    return (uint64_t)ps_row_i64(rows, row, SCAN);
}

int ps_pull_span(const PGresult *rows, int row)
{
    uint64_t scan = ps_pull_scan(rows, row);
    int n = 1;

    while (row + n < ps_row_n(rows) && ps_pull_scan(rows, row + n) == scan)
        n++;
    return n;
}

static void load(struct ps_order *order, struct ps_store *store)
{
    PS_CLOSE int fd = -1;
    uint64_t size;

    if (!store || order->size == 0 || order->size > PS_INLINE_MAX ||
        ps_store_open_sample(store, order->sha256, &fd, &size) < 0 || size != order->size)
        return;
    PS_FREE uint8_t *data = ps_alloc(1, order->size);
    if (!data || ps_file_pread_all(fd, data, order->size, 0) < 0)
        return;
    order->data = PS_TAKE(data);
    order->data_len = order->size;
}

static uint32_t fit_u32(int64_t n)
{
    return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

int ps_pull_order(const PGresult *rows, int row, int span, struct ps_store *store,
                  struct ps_order **ret_order)
{
    size_t asks_n = PS_MIN((size_t)span, (size_t)PS_ENGINES_MAX);
    struct ps_bytes sha256 = ps_row_bytes(rows, row, SHA256);
    const char *type = ps_row_text(rows, row, TYPE);
    struct ps_order *order = ps_order_new(asks_n);

    if (!order)
        return PS_ERR_NOMEM;
    order->scan = ps_pull_scan(rows, row);
    order->band = fit_u32(ps_row_i64(rows, row, BAND));
    order->size = (uint64_t)ps_row_i64(rows, row, SIZE);
    order->owner = (uint64_t)ps_row_i64(rows, row, OWNER);
    order->deadline_ms = fit_u32(ps_row_i64(rows, row, DEADLINE));
    memcpy(order->sha256, sha256.at,
           PS_MIN(sha256.len, sizeof(order->sha256))); /* the table checks the length */
    if (type && strlen(type) < sizeof(order->type))
        (void)snprintf(order->type, sizeof(order->type), "%s", type);
    for (size_t i = 0; i < asks_n; i++) {
        struct ps_order_ask *ask = &order->asks[i];
        const char *engine = ps_row_text(rows, row + (int)i, ENGINE);
        ask->job = (uint64_t)ps_row_i64(rows, row + (int)i, JOB);
        ask->run_ms = fit_u32(ps_row_i64(rows, row + (int)i, RUN_MS));
        ask->lost = fit_u32(ps_row_i64(rows, row + (int)i, LOST));
        (void)snprintf(ask->engine, sizeof(ask->engine), "%s", engine ? engine : "");
    }
    load(order, store);
    *ret_order = order;
    return 0;
}
