#include "master/scan/leader.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/pg.h"

#define AFTER_TERMINATE_MS 50 /* a terminated backend needs a moment to let go of its lock */

struct ps_leader {
    struct ps_leader_settings settings; /* its texts are owned */
    struct ps_pg *pg;
    pthread_t thread;
    bool started;
    int wake_fd; /* eventfd: look now */
    atomic_bool stopping;
    atomic_uint_fast64_t epoch; /* 0: does not lead */
    int lock_backend;           /* backend of the connection that holds the lock; 0: it is not held */
    bool told_waiting;          /* logged that another leads */
    bool told_database;         /* logged that the database is away */
};

int ps_leader_new(struct ps_leader **ret_self, const struct ps_leader_settings *settings)
{
    PS_CLEANUP(ps_leader_free) struct ps_leader *self = PS_NEW(struct ps_leader);
    char app[PS_LEADER_APP_MAX];

    if (!self)
        return PS_ERR_NOMEM;
    self->settings = *settings;
    self->settings.conninfo = ps_strf("%s", settings->conninfo);
    self->settings.holder = ps_strf("%s", settings->holder);
    if (self->settings.stale_ms == 0)
        self->settings.stale_ms = PS_LEADER_STALE_MS;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0)
        return ps_err_from_errno(errno);
    if (!self->settings.conninfo || !self->settings.holder)
        return PS_ERR_NOMEM;
    ps_leader_app(app, self->settings.holder);
    if (ps_pg_new(&self->pg, self->settings.conninfo, app) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_leader_free(struct ps_leader **self_p)
{
    struct ps_leader *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_leader_stop(self);
    ps_pg_free(&self->pg);
    free((char *)self->settings.conninfo);
    free((char *)self->settings.holder);
    ps_close_fd_p(&self->wake_fd);
    free(self);
}

char *ps_leader_app(char app[PS_LEADER_APP_MAX], const char *holder)
{
    (void)snprintf(app, PS_LEADER_APP_MAX, "phagescan scan %s", holder); /* cut where PostgreSQL would */
    return app;
}

uint64_t ps_leader_epoch(const struct ps_leader *self)
{
    return atomic_load(&self->epoch);
}

static void wake(struct ps_leader *self)
{
    uint64_t one = 1;

    while (write(self->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void ps_leader_suspect(struct ps_leader *self, uint64_t epoch)
{
    if (ps_leader_epoch(self) == epoch)
        wake(self);
}

static void set_epoch(struct ps_leader *self, uint64_t epoch)
{
    if (ps_leader_epoch(self) == epoch)
        return;
    atomic_store(&self->epoch, epoch);
    if (self->settings.changed)
        self->settings.changed(self->settings.arg, epoch);
}

/* Waits for the next look; ends early when woken. */
static void rest(struct ps_leader *self, uint64_t ms)
{
    struct pollfd fd = {.fd = self->wake_fd, .events = POLLIN};
    uint64_t count;

    if (atomic_load(&self->stopping))
        return;
    if (poll(&fd, 1, (int)ms) > 0)
        (void)read(self->wake_fd, &count, sizeof(count)); /* empties it; nobody else reads */
}

struct row {
    uint64_t epoch;
    char holder[256];
    int backend;
    uint64_t age_ms;
};

static int look(struct ps_leader *self, struct row *ret_row, struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int r = ps_pg_exec(self->pg, PS_Q_LEADER_LOOK, NULL, &result, reterr);

    if (r < 0)
        return r;
    if (ps_row_n(result) != 1)
        return ps_error_set(reterr, PS_ERR_CORRUPT, "table master_epoch has no row");
    const char *holder = ps_row_text(result, 0, 1);
    int64_t age_ms = ps_row_i64(result, 0, 3);
    ret_row->epoch = (uint64_t)ps_row_i64(result, 0, 0);
    (void)snprintf(ret_row->holder, sizeof(ret_row->holder), "%s", holder ? holder : "");
    ret_row->backend = (int)ps_row_i64(result, 0, 2);
    ret_row->age_ms = age_ms > 0 ? (uint64_t)age_ms : 0;
    return 0;
}

static int try_lock(struct ps_leader *self, bool *ret_locked, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, PS_LEADER_LOCK);
    int r = ps_pg_exec(self->pg, PS_Q_LEADER_LOCK, &params, &result, reterr);
    if (r == 0)
        *ret_locked = ps_row_bool(result, 0, 0);
    return r;
}

/* Ends the connections of whoever holds the lock and does not answer. */
static int terminate(struct ps_leader *self, const struct row *row, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    char app[PS_LEADER_APP_MAX];

    ps_pg_params_init(&params);
    ps_pg_put_i32(&params, row->backend);
    ps_pg_put_text(&params, ps_leader_app(app, row->holder));
    return ps_pg_exec(self->pg, PS_Q_LEADER_TERMINATE, &params, NULL, reterr);
}

/* With the lock in hand: raises the epoch, after every transaction of the old one has ended. */
static int raise_epoch(struct ps_leader *self, uint64_t *ret_epoch, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;

    ps_pg_params_init(&params);
    ps_pg_put_text(&params, self->settings.holder);
    struct ps_pg_step steps[] = {{.query = PS_Q_LEADER_AWAIT},
                                 {.query = PS_Q_LEADER_TAKE, .params = &params}};
    int r = ps_pg_run(self->pg, steps, PS_ARRAY_N(steps), true, NULL, reterr);
    if (r < 0)
        return r;
    *ret_epoch = (uint64_t)ps_row_i64(steps[1].result, 0, 0);
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    return 0;
}

/* *ret_ours: the row still names our epoch, and now says that we live. */
static int renew(struct ps_leader *self, uint64_t epoch, bool *ret_ours, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;

    ps_pg_params_init(&params);
    ps_pg_put_i64(&params, (int64_t)epoch);
    ps_pg_put_text(&params, self->settings.holder);
    int r = ps_pg_exec(self->pg, PS_Q_LEADER_RENEW, &params, &result, reterr);
    if (r == 0)
        *ret_ours = ps_row_n(result) == 1;
    return r;
}

static void step_down(struct ps_leader *self, const char *why)
{
    ps_log(PS_LOG_WARN, "superseded", "epoch=%llu detail=%s", (unsigned long long)ps_leader_epoch(self),
           PS_LOGQ(why));
    set_epoch(self, 0);
    self->lock_backend = 0;
    ps_pg_reset(self->pg); /* with the lock, if it was still there */
}

/* The lock is ours. An epoch that is still in the row goes on; else a new one begins. */
static int enter(struct ps_leader *self, struct ps_error *reterr)
{
    uint64_t epoch = ps_leader_epoch(self);
    bool ours = false;
    int r = epoch ? renew(self, epoch, &ours, reterr) : 0;

    if (r == 0 && !ours)
        r = raise_epoch(self, &epoch, reterr);
    if (r < 0)
        return r;
    self->lock_backend = ps_pg_backend(self->pg);
    self->told_waiting = false;
    if (ps_leader_epoch(self) != epoch)
        ps_log(PS_LOG_INFO, "leads", "epoch=%llu holder=%s", (unsigned long long)epoch,
               PS_LOGQ(self->settings.holder));
    set_epoch(self, epoch);
    return 0;
}

/* Another connection has the lock: that of a master that lives, of a stopped one, or a dead one of our own. */
static int watch(struct ps_leader *self, uint64_t *ret_rest_ms, struct ps_error *reterr)
{
    struct row row = {0};
    int r = look(self, &row, reterr);
    uint64_t epoch = ps_leader_epoch(self);

    if (r < 0)
        return r;
    *ret_rest_ms = PS_LEADER_WATCH_MS;
    if (epoch != 0 && row.epoch != epoch) {
        step_down(self, "another master has taken over");
        return 0;
    }
    if (epoch != 0 || row.age_ms >= self->settings.stale_ms) {
        ps_log(PS_LOG_WARN, "ends-lock-holder", "epoch=%llu holder=%s age_ms=%llu",
               (unsigned long long)row.epoch, PS_LOGQ(row.holder), (unsigned long long)row.age_ms);
        *ret_rest_ms = AFTER_TERMINATE_MS;
        return terminate(self, &row, reterr);
    }
    if (!self->told_waiting)
        ps_log(PS_LOG_INFO, "stands-by", "epoch=%llu holder=%s", (unsigned long long)row.epoch,
               PS_LOGQ(row.holder));
    self->told_waiting = true;
    return 0;
}

static int turn(struct ps_leader *self, uint64_t *ret_rest_ms, struct ps_error *reterr)
{
    uint64_t epoch = ps_leader_epoch(self);
    bool locked = false, ours = false;
    int r = ps_pg_ready(self->pg, reterr);

    if (r < 0)
        return r;
    *ret_rest_ms = PS_MIN((uint64_t)PS_LEADER_RENEW_MS, self->settings.stale_ms / 4);
    if (epoch != 0 && self->lock_backend == ps_pg_backend(self->pg)) {
        r = renew(self, epoch, &ours, reterr);
        if (r == 0 && !ours)
            step_down(self, "the epoch was raised");
        return r;
    }
    self->lock_backend = 0;
    r = try_lock(self, &locked, reterr);
    if (r < 0)
        return r;
    return locked ? enter(self, reterr) : watch(self, ret_rest_ms, reterr);
}

static void *run(void *arg)
{
    struct ps_leader *self = arg;

    while (!atomic_load(&self->stopping)) {
        struct ps_error error = {0};
        uint64_t rest_ms = PS_LEADER_WATCH_MS;
        int r = turn(self, &rest_ms, &error);
        if (r < 0) {
            if (!self->told_database)
                ps_log(PS_LOG_ERROR, "leader-no-database", "detail=%s", PS_LOGQ(error.text));
            rest_ms = PS_LEADER_WATCH_MS;
        }
        self->told_database = r < 0;
        rest(self, rest_ms);
    }
    ps_pg_reset(self->pg); /* gives the lock back */
    return NULL;
}

int ps_leader_start(struct ps_leader *self)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_leader_stop(struct ps_leader *self)
{
    if (!self->started)
        return;
    atomic_store(&self->stopping, true);
    wake(self);
    (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
