#include "master/scan/drive.h"

#include "master/scan/drive_private.h"

#define NEWS_AT_ONCE 256
#define READY_MS     1000 /* one wait for the connection; news are looked at in between */
#define RETRY_MS     500  /* after a failure that is not the connection's */

int ps_drive_new(struct ps_drive **ret_self, struct ps_hub *hub, const char *conninfo, const char *app,
                 const uint32_t windows[PS_BANDS_N], uint32_t backfill_per_s)
{
    static const uint32_t defaults[PS_BANDS_N] = PS_DRIVE_WINDOW;
    PS_CLEANUP(ps_drive_free) struct ps_drive *self = PS_NEW(struct ps_drive);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    self->backfill_per_s = backfill_per_s;
    for (size_t i = 0; i < PS_BANDS_N; i++)
        self->bands[i].window = windows[i] ? windows[i] : defaults[i];
    const char *names[PS_BROKERS_MAX];
    for (unsigned i = 0; i < hub->lines_n; i++)
        names[i] = hub->lines[i].name;
    if (ps_pg_new(&self->pg, conninfo, app) < 0 || ps_flights_new(&self->flights) < 0 ||
        ps_brokers_new(&self->brokers, names, hub->lines_n) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_drive_longest_run(struct ps_drive *self, uint32_t run_ms)
{
    ps_brokers_longest_run(self->brokers, run_ms);
}

void ps_drive_use_ingest(struct ps_drive *self, struct ps_ingest *ingest)
{
    self->ingest = ingest;
}

void ps_drive_free(struct ps_drive **self_p)
{
    struct ps_drive *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_drive_join(self);
    if (self->flights)
        drive_forget(self);
    ps_flights_free(&self->flights);
    ps_brokers_free(&self->brokers);
    ps_pg_free(&self->pg);
    free(self);
}

static void hear_busy(struct ps_drive *self, const struct ps_news *news, uint64_t now_ms)
{
    for (uint32_t i = 0; i < news->jobs_n; i++)
        ps_flights_refuse(self->flights, news->jobs[i]);
    for (unsigned band = 0; band < PS_BANDS_N; band++)
        if (ps_flights_again_n(self->flights, band) > 0)
            self->bands[band].again_ms = now_ms + PS_MAX(news->retry_ms, 10u);
}

static void hear(struct ps_drive *self, const struct ps_news *news, uint64_t now_ms)
{
    switch (news->kind) {
    case PS_NEWS_OPENED:
        ps_brokers_opened(self->brokers, news->broker, news->dead_ms, news->limits);
        drive_forget(self);
        break;
    case PS_NEWS_CLOSED:
        ps_brokers_closed(self->brokers, news->broker, now_ms);
        drive_forget(self);
        break;
    case PS_NEWS_ACCEPTED:
        for (uint32_t i = 0; i < news->jobs_n; i++)
            ps_flights_accept(self->flights, news->jobs[i]);
        break;
    case PS_NEWS_BUSY:
        hear_busy(self, news, now_ms);
        break;
    case PS_NEWS_SETTLED:
        for (uint32_t i = 0; i < news->jobs_n; i++)
            (void)ps_flights_settle(self->flights, news->jobs[i]); /* strangers: late results */
        break;
    case PS_NEWS_FLEET:
        self->engines_ms = self->backfill_ms = 0;
        drive_serve(self);
        break;
    case PS_NEWS_LOOK:
        break;
    }
}

/* A session that came or went may have been among what was missed. Its limits are not known then: all begin anew. */
static void hear_missed(struct ps_drive *self, uint64_t now_ms)
{
    bool anew = false;

    for (unsigned i = 0; i < self->hub->lines_n; i++) {
        bool open = atomic_load(&self->hub->lines[i].open);
        if (!open)
            ps_brokers_closed(self->brokers, i, now_ms);
        else if (self->hub->lines_n == 1) /* limits don't matter there */
            ps_brokers_opened(self->brokers, i, 0, NULL);
        else
            anew |= !ps_brokers_is_open(self->brokers, i);
    }
    if (anew)
        ps_hub_miss(self->hub);
    drive_serve(self);
}

static void hear_all(struct ps_drive *self, uint64_t now_ms)
{
    void *news[NEWS_AT_ONCE];
    size_t n;

    while ((n = ps_mailbox_take(self->hub->news, news, NEWS_AT_ONCE)) > 0)
        for (size_t i = 0; i < n; i++) {
            hear(self, news[i], now_ms);
            ps_news_free(news[i]);
        }
    if (atomic_exchange(&self->hub->drive_missed, false)) {
        ps_log(PS_LOG_WARN, "drive-missed-news", "in_hand=%zu", ps_flights_n(self->flights));
        drive_forget(self);
        hear_missed(self, now_ms);
    }

    unsigned nudged = atomic_exchange(&self->hub->nudged, 0);
    bool look = now_ms >= self->look_ms;
    for (unsigned band = 0; band < PS_BANDS_N; band++)
        if (look || nudged & 1u << band)
            self->bands[band].more = true;
    if (look)
        self->look_ms = now_ms + PS_DRIVE_LOOK_MS;
}

/* A broker that says it has no job while our book is full of accepted ones has lost them (or the word about them was
 * lost): better to say all again than to wait for ever. */
static void check_broker(struct ps_drive *self, uint64_t now_ms)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *fleet = ps_fleet_get(self->hub->fleet);

    if (!fleet->connected || fleet->jobs > 0 || ps_flights_n(self->flights) == 0 || self->unsent_n > 0 ||
        ps_mailbox_n(self->hub->news) > 0 || ps_brokers_hold(self->brokers, now_ms)) {
        self->idle_since_ms = 0;
        return;
    }
    if (self->idle_since_ms == 0)
        self->idle_since_ms = now_ms;
    if (now_ms - self->idle_since_ms < PS_DRIVE_IDLE_MS || fleet->at_ms < self->idle_since_ms)
        return;
    ps_log(PS_LOG_WARN, "broker-forgot-jobs", "scans=%zu", ps_flights_n(self->flights));
    drive_forget(self);
}

static void log_database(struct ps_drive *self, int r, const struct ps_error *error)
{
    if (r < 0 && !self->failing)
        ps_log(PS_LOG_ERROR, "drive-stopped", "code=%d detail=%s", r, PS_LOGQ(error->text));
    if (r == 0 && self->failing)
        ps_log(PS_LOG_INFO, "drive-resumed", "in_hand=%zu", ps_flights_n(self->flights));
    self->failing = r < 0;
}

static void wait_after(struct ps_drive *self, int r)
{
    if (r == PS_ERR_UNAVAILABLE)
        (void)ps_pg_wait_ready(self->pg, READY_MS, self->hub->stop_fd, NULL); /* the next try tells */
    else
        (void)ps_hub_wait(self->hub, -1, RETRY_MS);
}

/* Until when there is nothing to do but for news. */
static int rest_ms(const struct ps_drive *self, uint64_t now_ms)
{
    uint64_t due_ms = PS_MIN(self->look_ms, self->sweep_ms);

    for (unsigned band = 0; band < PS_BANDS_N; band++)
        if (ps_flights_again_n(self->flights, band) > 0)
            due_ms = PS_MIN(due_ms, self->bands[band].again_ms);
    return due_ms > now_ms ? (int)PS_MIN(due_ms - now_ms, (uint64_t)PS_DRIVE_LOOK_MS) : 0;
}

static void publish_in_hand(struct ps_drive *self)
{
    uint64_t n = 0;

    for (unsigned band = 0; band < PS_BANDS_N; band++)
        n += ps_flights_jobs_n(self->flights, band);
    atomic_store(&self->hub->counters.in_hand, n);
}

static void turn(struct ps_drive *self)
{
    struct ps_error error = {0};
    uint64_t now_ms = ps_clock_mono_ms(), epoch = ps_hub_epoch(self->hub);
    bool more = false;
    int r = 0;

    hear_all(self, now_ms);
    if (epoch != self->epoch) {
        drive_forget(self);
        ps_brokers_begin(self->brokers, now_ms);
        self->epoch = epoch;
    }
    if (epoch != 0) {
        r = drive_engines(self, now_ms, &error);
        if (ps_brokers_tick(self->brokers, now_ms)) {
            ps_log(PS_LOG_INFO, "jobs-move", "scans=%zu", ps_flights_n(self->flights));
            drive_forget(self);
        }
        if (r == 0 && ps_brokers_any_open(self->brokers)) {
            more = drive_feed(self, now_ms, &r, &error);
            check_broker(self, now_ms);
        }
        log_database(self, r, &error);
    }
    publish_in_hand(self);
    if (r < 0)
        wait_after(self, r);
    else if (!more)
        (void)ps_hub_wait(self->hub, ps_mailbox_fd(self->hub->news),
                          ps_brokers_any_open(self->brokers) && epoch ? rest_ms(self, ps_clock_mono_ms())
                                                                      : PS_DRIVE_LOOK_MS);
}

static void *run(void *arg)
{
    struct ps_drive *self = arg;

    while (!ps_hub_stopping(self->hub))
        turn(self);
    return NULL;
}

int ps_drive_start(struct ps_drive *self)
{
    drive_forget(self);
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_drive_join(struct ps_drive *self)
{
    if (self->started)
        (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
