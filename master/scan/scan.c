#include "master/scan/scan.h"

#include <sodium.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "master/ingest/ingest.h"
#include "master/scan/collect.h"
#include "master/scan/drive.h"
#include "master/scan/feed.h"
#include "master/scan/hub.h"
#include "master/scan/keep.h"
#include "master/scan/leader.h"
#include "master/scan/uplink.h"

struct ps_scan {
    struct ps_hub *hub;
    struct ps_leader *leader;
    struct ps_collect *collect;
    struct ps_drive *drive;
    struct ps_keep *keep;
    struct ps_feed *feeds[PS_BROKERS_MAX]; /* one a broker */
    struct ps_uplink *uplinks[PS_BROKERS_MAX];
    size_t brokers_n;
    struct ps_ingest *ingest; /* lent; NULL: none */
    char app[PS_LEADER_APP_MAX];
    bool standby;
    bool running;
};

/* Called by the leader's thread. */
static void epoch_changed(void *arg, uint64_t epoch)
{
    struct ps_scan *self = arg;

    ps_hub_set_epoch(self->hub, epoch);
    if (self->ingest)
        ps_ingest_set_epoch(self->ingest, epoch);
}

static void suspect(void *arg, uint64_t epoch)
{
    struct ps_scan *self = arg;

    ps_leader_suspect(self->leader, epoch);
}

const char *ps_scan_app(const struct ps_scan *self)
{
    return self->app;
}

void ps_scan_suspect(struct ps_scan *self, uint64_t epoch)
{
    ps_leader_suspect(self->leader, epoch);
}

static int make_threads(struct ps_scan *self, const struct ps_scan_settings *s)
{
    uint32_t grant = s->grant ? s->grant : PS_SCAN_GRANT_N;
    uint32_t backfill = s->backfill_per_s ? s->backfill_per_s : PS_SCAN_BACKFILL_S;
    char holder[256];

    /* Pids come again, also on one host: two lives of a master must not share a name in the epoch's row. The chance
     * part comes first, so that it is not what gets cut off. */
    (void)snprintf(holder, sizeof(holder), "%08x %s", randombytes_random(), s->name);
    ps_leader_app(self->app, holder);
    const struct ps_leader_settings leader = {
        .conninfo = s->conninfo,
        .holder = holder,
        .stale_ms = s->stale_ms,
        .changed = epoch_changed,
        .arg = self,
    };
    int r = ps_leader_new(&self->leader, &leader);
    if (r == 0)
        r = ps_collect_new(&self->collect, self->hub, s->conninfo, self->app);
    if (r == 0)
        r = ps_keep_new(&self->keep, self->hub, s->conninfo, self->app);
    if (r == 0)
        r = ps_drive_new(&self->drive, self->hub, s->conninfo, self->app, s->window, backfill);
    if (r == 0 && s->longest_run_ms)
        ps_drive_longest_run(self->drive, s->longest_run_ms);
    for (unsigned i = 0; i < self->brokers_n && r == 0; i++) {
        struct ps_peer_where where = *s->where;
        where.endpoint = s->brokers[i];
        r = ps_feed_new(&self->feeds[i], self->hub, i);
        if (r == 0)
            r = ps_uplink_new(&self->uplinks[i], self->hub, i, &where, s->name, grant);
    }
    return r;
}

int ps_scan_new(struct ps_scan **ret_self, const struct ps_scan_settings *settings, struct ps_error *reterr)
{
    PS_CLEANUP(ps_scan_free) struct ps_scan *self = PS_NEW(struct ps_scan);
    int r = self ? ps_hub_new(&self->hub, settings->brokers, settings->brokers_n) : PS_ERR_NOMEM;

    if (r == 0) {
        self->brokers_n = settings->brokers_n;
        self->hub->suspect = suspect;
        self->hub->suspect_arg = self;
        self->hub->store = settings->store;
        self->standby = settings->standby;
        r = make_threads(self, settings);
    }
    if (r < 0)
        return ps_error_set(reterr, r, "the scan threads: %s", ps_err_text(r));
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_scan_use_ingest(struct ps_scan *self, struct ps_ingest *ingest)
{
    self->ingest = ingest;
    ps_drive_use_ingest(self->drive, ingest);
}

int ps_scan_start(struct ps_scan *self, struct ps_error *reterr)
{
    int r = 0;

    for (size_t i = 0; i < self->brokers_n && r == 0; i++) {
        r = ps_uplink_start(self->uplinks[i]);
        if (r == 0)
            r = ps_feed_start(self->feeds[i]);
    }
    if (r == 0)
        r = ps_collect_start(self->collect);
    if (r == 0)
        r = ps_keep_start(self->keep);
    if (r == 0)
        r = ps_drive_start(self->drive);
    if (r == 0)
        r = ps_leader_start(self->leader);
    self->running = true;
    if (r < 0) {
        ps_scan_stop(self);
        return ps_error_set(reterr, r, "starting the scan threads: %s", ps_err_text(r));
    }
    ps_log(PS_LOG_INFO, "scan-started", "standby=%d", self->standby);
    return 0;
}

/* Drive and feed first: nothing new. Then collect commits what has come, link tells the broker so and says goodbye, and
 * only then the lock goes to a successor. */
void ps_scan_stop(struct ps_scan *self)
{
    if (!self->running)
        return;
    ps_hub_stop(self->hub);
    ps_drive_join(self->drive);
    ps_keep_join(self->keep);
    for (size_t i = 0; i < self->brokers_n; i++)
        ps_feed_join(self->feeds[i]);
    ps_collect_join(self->collect);
    for (size_t i = 0; i < self->brokers_n; i++)
        ps_uplink_join(self->uplinks[i]);
    ps_leader_stop(self->leader);
    self->running = false;
}

void ps_scan_free(struct ps_scan **self_p)
{
    struct ps_scan *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_scan_stop(self);
    for (size_t i = 0; i < self->brokers_n; i++) {
        ps_uplink_free(&self->uplinks[i]);
        ps_feed_free(&self->feeds[i]);
    }
    ps_drive_free(&self->drive);
    ps_collect_free(&self->collect);
    ps_keep_free(&self->keep);
    ps_leader_free(&self->leader);
    ps_hub_free(&self->hub);
    free(self);
}

void ps_scan_nudge(struct ps_scan *self, uint32_t bands)
{
    if (atomic_fetch_or(&self->hub->nudged, bands) == 0)
        ps_hub_tell_drive(self->hub, &ps_news_look);
}

struct ps_events *ps_scan_events(struct ps_scan *self)
{
    return self->hub->events;
}

struct ps_fleet *ps_scan_fleet(struct ps_scan *self)
{
    return self->hub->fleet;
}

struct ps_orders *ps_scan_orders(struct ps_scan *self)
{
    return self->hub->orders;
}

uint64_t ps_scan_epoch(const struct ps_scan *self)
{
    return ps_hub_epoch(self->hub);
}

bool ps_scan_leads(const struct ps_scan *self)
{
    return ps_scan_epoch(self) != 0;
}

void ps_scan_stats(struct ps_scan *self, struct ps_scan_stats *ret_stats)
{
    struct ps_hub_counters *c = &self->hub->counters;

    *ret_stats = (struct ps_scan_stats){
        .epoch = ps_hub_epoch(self->hub),
        .database_ok = atomic_load(&c->database_ok),
        .broker_ok = ps_hub_any_open(self->hub),
        .submitted = atomic_load(&c->submitted),
        .in_hand = atomic_load(&c->in_hand),
        .waiting = ps_mailbox_n(self->hub->findings),
        .results = atomic_load(&c->results),
        .repeated = atomic_load(&c->repeated),
        .verdicts = atomic_load(&c->verdicts),
        .batches = atomic_load(&c->batches),
        .lost = atomic_load(&c->lost),
        .backfilled = atomic_load(&c->backfilled),
        .chunks = atomic_load(&c->chunks),
    };
}
