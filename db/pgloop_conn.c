/* One connection of the pool: connecting, sending, reading in pipeline mode. */
#include <fcntl.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg.h"
#include "db/pgloop_private.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define CONNECT_MS     5000
#define CONN_MAGIC     0x50474c43u

static void on_connect_event(h2o_socket_t *sock, const char *err);
static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result; /* libpq's default would print to standard error */
}

static void close_sock(struct ps_pgloop_conn *self)
{
    if (self->sock)
        h2o_socket_close(self->sock);
    self->sock = NULL;
}

/* h2o owns and closes the descriptor that it is given, and libpq's can change while it connects. */
static bool watch(struct ps_pgloop_conn *self)
{
    int fd = fcntl(PQsocket(self->conn), F_DUPFD_CLOEXEC, 3);

    close_sock(self);
    if (fd < 0)
        return false;
    self->sock = h2o_evloop_socket_create(self->pool->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    if (!self->sock) {
        (void)close(fd); /* nothing was read or written on it */
        return false;
    }
    self->sock->data = self;
    return true;
}

void ps_pgloop_conn_fail(struct ps_pgloop_conn *self, int code, const struct ps_error *error)
{
    struct ps_error story = *error; /* it may be the pool's own, which changes here */
    struct ps_pgloop_query *flying = self->flying;

    close_sock(self);
    if (self->conn)
        PQfinish(self->conn);
    self->conn = NULL;
    self->broken = false;
    self->state = PS_PGLOOP_DOWN;
    self->flying = NULL;
    self->flying_n = 0;
    self->backoff_ms = self->backoff_ms ? PS_MIN(2 * self->backoff_ms, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    self->retry_at_ms = ps_clock_mono_ms() + self->backoff_ms;
    self->pool->last = story;
    while (flying) {
        struct ps_pgloop_query *query = flying;

        DL_DELETE(flying, query);
        if (query->code == PS_ERR_TIMEOUT)
            ps_pgloop_finish(self->pool, query, query->code, NULL, &query->error);
        else
            ps_pgloop_finish(self->pool, query, code, NULL, &story);
    }
    ps_pgloop_down(self->pool);
}

void ps_pgloop_conn_broken(struct ps_pgloop_conn *self, const char *what)
{
    struct ps_error error = {0};

    (void)ps_pg_error(self->conn, NULL, what, &error);
    ps_pgloop_conn_fail(self, PS_ERR_UNAVAILABLE, &error);
}

static void became_ready(struct ps_pgloop_conn *self)
{
    if (!watch(self) || PQsetnonblocking(self->conn, 1) != 0 || !PQenterPipelineMode(self->conn)) {
        ps_pgloop_conn_broken(self, "connecting");
        return;
    }
    self->state = PS_PGLOOP_READY;
    self->backoff_ms = 0;
    self->pool->last.text[0] = '\0';
    memset(self->prepared, 0, sizeof(self->prepared));
    h2o_socket_read_start(self->sock, on_readable);
    ps_pgloop_pump(self->pool);
}

static void connect_step(struct ps_pgloop_conn *self, PostgresPollingStatusType next)
{
    if (next == PGRES_POLLING_OK) {
        became_ready(self);
    } else if (next == PGRES_POLLING_FAILED || !watch(self)) {
        ps_pgloop_conn_broken(self, "connecting");
    } else if (next == PGRES_POLLING_READING) {
        h2o_socket_read_start(self->sock, on_connect_event);
    } else {
        h2o_socket_notify_write(self->sock, on_connect_event);
    }
}

static void on_connect_event(h2o_socket_t *sock, const char *err)
{
    struct ps_pgloop_conn *self = sock->data;

    (void)err; /* PQconnectPoll finds out by itself */
    PS_CHECK_MAGIC(self, CONN_MAGIC);
    connect_step(self, PQconnectPoll(self->conn));
}

void ps_pgloop_conn_open(struct ps_pgloop_conn *self)
{
    struct ps_pgloop *pool = self->pool;
    const char *keys[] = {"dbname", "application_name", "options", "client_encoding", NULL};
    const char *values[] = {pool->conninfo, pool->app, pool->options, "UTF8", NULL};

    self->conn = PQconnectStartParams(keys, values, 1);
    pool->stats.reconnects++;
    if (!self->conn || PQstatus(self->conn) == CONNECTION_BAD) {
        ps_pgloop_conn_broken(self, "connecting");
        return;
    }
    PQsetNoticeReceiver(self->conn, drop_notice, NULL);
    self->state = PS_PGLOOP_CONNECTING;
    self->retry_at_ms = ps_clock_mono_ms() + CONNECT_MS;
    connect_step(self, PGRES_POLLING_WRITING);
}

/* Pushes out what libpq holds. False: broken. */
static bool flush(struct ps_pgloop_conn *self)
{
    int left = PQflush(self->conn);

    if (left > 0 && !h2o_socket_is_writing(self->sock))
        h2o_socket_notify_write(self->sock, on_writable);
    return left >= 0;
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct ps_pgloop_conn *self = sock->data;

    PS_CHECK_MAGIC(self, CONN_MAGIC);
    if (err || !flush(self))
        ps_pgloop_conn_broken(self, "sending");
}

bool ps_pgloop_conn_send(struct ps_pgloop_conn *self, struct ps_pgloop_query *query, int n,
                         const char *const *values, const int *lengths, const int *formats)
{
    const struct ps_query *text = &ps_queries[query->id];

    query->preparing = !self->prepared[query->id];
    self->broken = PQstatus(self->conn) != CONNECTION_OK ||
                   (query->preparing && !PQsendPrepare(self->conn, text->name, text->sql, 0, NULL)) ||
                   !PQsendQueryPrepared(self->conn, text->name, n, values, lengths, formats, 1) ||
                   !PQpipelineSync(self->conn) || !flush(self);
    if (self->broken)
        return false;
    self->prepared[query->id] = true;
    DL_APPEND(self->flying, query);
    self->flying_n++;
    return true;
}

/* One answer for the oldest query in flight: that of PREPARE, of the statement, or the sync that ends it. */
static void take_result(struct ps_pgloop_conn *self, PGresult *result)
{
    struct ps_pgloop_query *query = self->flying;
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        DL_DELETE(self->flying, query);
        self->flying_n--;
        if (query->code == 0 && !query->result)
            query->code = ps_error_set(&query->error, PS_ERR_IO, "database: no answer");
        ps_pgloop_finish(self->pool, query, query->code, query->result, &query->error);
        return;
    }
    if (!good && query->code == 0) {
        query->code = ps_pg_error(NULL, result, ps_queries[query->id].name, &query->error);
        if (query->preparing)
            self->prepared[query->id] = false;
    }
    if (good && !query->preparing && !query->result)
        query->result = PS_TAKE(result);
    query->preparing = false;
    PQclear(result);
}

/* Reads until libpq has nothing complete. Between two results of a pipeline stands one NULL. False: confused. */
static bool read_results(struct ps_pgloop_conn *self)
{
    int nulls = 0;

    while (self->state == PS_PGLOOP_READY && self->flying && !PQisBusy(self->conn)) {
        PGresult *result = PQgetResult(self->conn);

        if (result) {
            nulls = 0;
            take_result(self, result);
        } else if (++nulls > 2) {
            return false;
        }
    }
    return true;
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct ps_pgloop_conn *self = sock->data;

    PS_CHECK_MAGIC(self, CONN_MAGIC);
    if (err || !PQconsumeInput(self->conn)) {
        ps_pgloop_conn_broken(self, "reading");
        return;
    }
    if (!flush(self) || !read_results(self)) {
        ps_pgloop_conn_broken(self, "reading");
        return;
    }
    if (self->state != PS_PGLOOP_READY)
        return; /* a callback ended it */
    if (self->broken || PQstatus(self->conn) == CONNECTION_BAD) {
        ps_pgloop_conn_broken(self, "reading");
        return;
    }
    ps_pgloop_pump(self->pool);
}
