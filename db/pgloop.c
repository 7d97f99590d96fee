#include "db/pgloop.h"

#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg.h"
#include "db/pgloop_private.h"

#define POOL_MAGIC      0x50474c50u
#define CONN_MAGIC      0x50474c43u
#define TICK_MS         100
#define CONNECTIONS_N   2
#define PIPELINE_N      8
#define WAITING_N       1024
#define TIMEOUT_MS      10000
#define CONNECTIONS_MAX 64

static void free_query(struct ps_pgloop_query *query)
{
    PQclear(query->result);
    free(query->values);
    free(query);
}

void ps_pgloop_finish(struct ps_pgloop *self, struct ps_pgloop_query *query, int code, const PGresult *result,
                      const struct ps_error *error)
{
    ps_pgloop_done_fn *done = query->done;

    if (code == 0)
        self->stats.done++;
    else
        self->stats.failed++;
    if (code == PS_ERR_TIMEOUT)
        self->stats.timeouts++;
    query->done = NULL;
    if (done)
        done(query->arg, code, code ? NULL : result, error);
    free_query(query);
}

static void fail_waiting(struct ps_pgloop *self, int code, const struct ps_error *error)
{
    while (self->waiting) {
        struct ps_pgloop_query *query = self->waiting;

        DL_DELETE(self->waiting, query);
        self->waiting_n--;
        ps_pgloop_finish(self, query, code, NULL, error);
    }
}

static bool hopeless(const struct ps_pgloop *self)
{
    for (size_t i = 0; i < self->conns_n; i++)
        if (self->conns[i].state != PS_PGLOOP_DOWN)
            return false;
    return true;
}

void ps_pgloop_down(struct ps_pgloop *self)
{
    struct ps_error error = self->last;

    if (hopeless(self))
        fail_waiting(self, PS_ERR_UNAVAILABLE, &error);
    ps_pgloop_arm(self);
}

/* The ready connection with the fewest in flight, or NULL when all are full. */
static struct ps_pgloop_conn *pick(struct ps_pgloop *self)
{
    struct ps_pgloop_conn *best = NULL;

    for (size_t i = 0; i < self->conns_n; i++) {
        struct ps_pgloop_conn *conn = &self->conns[i];

        if (conn->state == PS_PGLOOP_READY && !conn->broken && conn->flying_n < self->pipeline_n &&
            (!best || conn->flying_n < best->flying_n))
            best = conn;
    }
    return best;
}

void ps_pgloop_pump(struct ps_pgloop *self)
{
    struct ps_pgloop_conn *conn;

    while (self->waiting && (conn = pick(self)) != NULL) {
        struct ps_pgloop_query *query = self->waiting;
        const char *values[PS_PG_PARAMS_MAX];

        for (int i = 0; i < query->params_n; i++)
            values[i] = query->nulls[i] ? NULL : query->values + query->offsets[i];
        DL_DELETE(self->waiting, query);
        self->waiting_n--;
        if (!ps_pgloop_conn_send(conn, query, query->params_n, values, query->lengths, query->formats)) {
            DL_PREPEND(self->waiting, query); /* the next connection may have it */
            self->waiting_n++;
            ps_pgloop_conn_broken(conn, "sending");
        }
    }
    ps_pgloop_arm(self);
}

/* Copies the parameters into one block: the caller's may go at once. */
static int hold_params(struct ps_pgloop_query *query, int n, const char *const *values, const int *lengths,
                       const int *formats)
{
    size_t total = 0, at = 0;

    for (int i = 0; i < n; i++)
        total += (size_t)lengths[i] + 1;
    if (n > 0 && !(query->values = ps_alloc(total, 1)))
        return PS_ERR_NOMEM;
    query->params_n = n;
    for (int i = 0; i < n; i++) {
        query->nulls[i] = values[i] == NULL;
        query->offsets[i] = at;
        query->lengths[i] = lengths[i];
        query->formats[i] = formats[i];
        if (values[i])
            memcpy(query->values + at, values[i], (size_t)lengths[i]);
        at += (size_t)lengths[i] + 1;
    }
    return 0;
}

static int enqueue(struct ps_pgloop *self, struct ps_pgloop_query *query, int n, const char *const *values,
                   const int *lengths, const int *formats)
{
    if (hopeless(self))
        return PS_ERR_UNAVAILABLE;
    if (self->waiting_n >= self->waiting_max) {
        self->stats.busy++;
        return PS_ERR_BUSY;
    }
    if (hold_params(query, n, values, lengths, formats) != 0)
        return PS_ERR_NOMEM;
    DL_APPEND(self->waiting, query);
    self->waiting_n++;
    return 0;
}

int ps_pgloop_query(struct ps_pgloop *self, enum ps_query_id id, const struct ps_pg_params *params,
                    ps_pgloop_done_fn *done, void *arg, struct ps_pgloop_query **ret_query)
{
    const char *values[PS_PG_PARAMS_MAX];
    int lengths[PS_PG_PARAMS_MAX], formats[PS_PG_PARAMS_MAX], n = params ? params->n : 0, code;
    struct ps_pgloop_query *query;
    struct ps_pgloop_conn *conn;

    PS_CHECK_MAGIC(self, POOL_MAGIC);
    if (params && (code = ps_pg_params_error(params)) != 0)
        return code;
    if (!(query = PS_NEW(struct ps_pgloop_query)))
        return PS_ERR_NOMEM;
    if (params)
        ps_pg_params_fill(params, values, lengths, formats);
    query->id = id;
    query->done = done;
    query->arg = arg;
    query->deadline_ms = ps_clock_mono_ms() + self->timeout_ms;

    /* Whoever waits goes first. A connection that fails while sending is noticed by the next tick, because no
     * callback may run in here: the query waits for another one. */
    conn = self->waiting ? NULL : pick(self);
    if (!conn || !ps_pgloop_conn_send(conn, query, n, values, lengths, formats)) {
        if ((code = enqueue(self, query, n, values, lengths, formats)) != 0) {
            free_query(query);
            return code;
        }
    }
    if (ret_query)
        *ret_query = query;
    ps_pgloop_arm(self);
    return 0;
}

void ps_pgloop_forget(struct ps_pgloop_query *query)
{
    query->done = NULL;
}

bool ps_pgloop_ok(const struct ps_pgloop *self, const char **ret_detail)
{
    bool ok = false;

    for (size_t i = 0; i < self->conns_n; i++)
        ok = ok || self->conns[i].state == PS_PGLOOP_READY;
    if (ret_detail)
        *ret_detail = ok ? "connected" : self->last.text[0] ? self->last.text : "connecting";
    return ok;
}

struct ps_pgloop_stats ps_pgloop_stats(const struct ps_pgloop *self)
{
    struct ps_pgloop_stats stats = self->stats;

    stats.waiting = self->waiting_n;
    for (size_t i = 0; i < self->conns_n; i++) {
        stats.in_flight += self->conns[i].flying_n;
        stats.connected += self->conns[i].state == PS_PGLOOP_READY;
    }
    return stats;
}

static void tick_conn(struct ps_pgloop_conn *conn, uint64_t now_ms)
{
    static const struct ps_error slow = {PS_ERR_TIMEOUT, "database: no answer in time"};
    static const struct ps_error reset = {PS_ERR_UNAVAILABLE, "database: the connection was reset"};

    if (conn->state == PS_PGLOOP_DOWN && now_ms >= conn->retry_at_ms) {
        ps_pgloop_conn_open(conn);
    } else if (conn->state == PS_PGLOOP_CONNECTING && now_ms >= conn->retry_at_ms) {
        ps_pgloop_conn_fail(conn, PS_ERR_UNAVAILABLE, &slow);
    } else if (conn->state == PS_PGLOOP_READY && (conn->broken || PQstatus(conn->conn) == CONNECTION_BAD)) {
        ps_pgloop_conn_broken(conn, "sending");
    } else if (conn->flying && now_ms >= conn->flying->deadline_ms) {
        /* The server was told to give up earlier (statement_timeout): it or the way to it is stuck. */
        conn->flying->code = PS_ERR_TIMEOUT;
        conn->flying->error = slow;
        ps_pgloop_conn_fail(conn, PS_ERR_UNAVAILABLE, &reset);
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    static const struct ps_error late = {PS_ERR_TIMEOUT, "database: no connection was free in time"};
    struct ps_pgloop *self = PS_CONTAINER_OF(entry, struct ps_pgloop, tick_entry);
    uint64_t now_ms = ps_clock_mono_ms();

    PS_CHECK_MAGIC(self, POOL_MAGIC);
    for (size_t i = 0; i < self->conns_n; i++)
        tick_conn(&self->conns[i], now_ms);
    while (self->waiting && now_ms >= self->waiting->deadline_ms) {
        struct ps_pgloop_query *query = self->waiting;

        DL_DELETE(self->waiting, query);
        self->waiting_n--;
        ps_pgloop_finish(self, query, PS_ERR_TIMEOUT, NULL, &late);
    }
    ps_pgloop_pump(self);
}

void ps_pgloop_arm(struct ps_pgloop *self)
{
    bool watch = self->waiting != NULL;

    for (size_t i = 0; i < self->conns_n; i++)
        watch = watch || self->conns[i].state != PS_PGLOOP_READY || self->conns[i].broken ||
                self->conns[i].flying;
    if (watch && !h2o_timeout_is_linked(&self->tick_entry))
        h2o_timeout_link(self->loop, &self->tick, &self->tick_entry);
}

static int fill(struct ps_pgloop *self, const struct ps_pgloop_config *config)
{
    self->pipeline_n = config->pipeline_n ? config->pipeline_n : PIPELINE_N;
    self->waiting_max = config->waiting_n ? config->waiting_n : WAITING_N;
    self->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
    self->conns_n = config->connections_n ? PS_MIN(config->connections_n, CONNECTIONS_MAX) : CONNECTIONS_N;
    self->conninfo = ps_strf("%s", config->conninfo);
    self->app = ps_strf("%s", config->app);
    /* A generic plan of a search with optional conditions walks an index for minutes (docs/why): plan each time. The
     * server gives up a little before we do, which spares the connection. */
    self->options = ps_strf("-c jit=off -c plan_cache_mode=force_custom_plan -c statement_timeout=%llu "
                            "-c lock_timeout=5000 -c client_min_messages=warning -c timezone=UTC",
                            (unsigned long long)(self->timeout_ms - self->timeout_ms / 10));
    self->conns = ps_alloc(self->conns_n, sizeof(*self->conns));
    return self->conninfo && self->app && self->options && self->conns ? 0 : PS_ERR_NOMEM;
}

int ps_pgloop_new(struct ps_pgloop **ret_self, h2o_loop_t *loop, const struct ps_pgloop_config *config,
                  struct ps_error *reterr)
{
    struct ps_pgloop *self = PS_NEW(struct ps_pgloop);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "database pool: out of memory");
    self->magic = POOL_MAGIC;
    self->loop = loop;
    h2o_timeout_init(loop, &self->tick, TICK_MS);
    self->tick_entry.cb = on_tick;
    if (fill(self, config) != 0) {
        self->conns_n = self->conns ? self->conns_n : 0;
        ps_pgloop_free(&self);
        return ps_error_set(reterr, PS_ERR_NOMEM, "database pool: out of memory");
    }
    for (size_t i = 0; i < self->conns_n; i++) {
        self->conns[i].magic = CONN_MAGIC;
        self->conns[i].pool = self;
        ps_pgloop_conn_open(&self->conns[i]);
    }
    ps_pgloop_arm(self);
    *ret_self = self;
    return 0;
}

void ps_pgloop_free(struct ps_pgloop **self_p)
{
    static const struct ps_error cancelled = {PS_ERR_CANCELLED, "database: the program stops"};
    struct ps_pgloop *self = *self_p;

    if (!self)
        return;
    fail_waiting(self, PS_ERR_CANCELLED, &cancelled);
    for (size_t i = 0; i < self->conns_n; i++)
        if (self->conns[i].pool)
            ps_pgloop_conn_fail(&self->conns[i], PS_ERR_CANCELLED, &cancelled);
    fail_waiting(self, PS_ERR_CANCELLED, &cancelled);
    if (h2o_timeout_is_linked(&self->tick_entry))
        h2o_timeout_unlink(&self->tick_entry);
    h2o_timeout_dispose(self->loop, &self->tick);
    free(self->conninfo);
    free(self->app);
    free(self->options);
    free(self->conns);
    free(self);
    *self_p = NULL;
}
