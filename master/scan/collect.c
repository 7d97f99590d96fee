#include "master/scan/collect.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "master/scan/commit.h"

#define RETRY_MS  500  /* after a failure that is not the connection's */
#define READY_MS  1000 /* one wait for the connection; the epoch is looked at in between */
#define PACE_MS   20   /* from one transaction to the next, unless PACE_N findings wait: see pace */
#define PACE_N    256
#define UNSENT_MS 10 /* until settled jobs that link had no room for are offered again */

struct ps_collect {
    struct ps_hub *hub; /* lent */
    struct ps_pg *pg;
    struct ps_commit *commit;
    pthread_t thread;
    bool started;
    struct ps_finding *held[PS_COMMIT_N]; /* taken and not settled, oldest first */
    size_t held_n;
    struct ps_news *unsent[PS_SETTLED_N]; /* settled lists for link that had no room */
    size_t unsent_n;
    bool failing; /* the last transaction failed: logged once */
};

int ps_collect_new(struct ps_collect **ret_self, struct ps_hub *hub, const char *conninfo, const char *app)
{
    PS_CLEANUP(ps_collect_free) struct ps_collect *self = PS_NEW(struct ps_collect);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    if (ps_pg_new(&self->pg, conninfo, app) < 0 || ps_commit_new(&self->commit, self->pg, hub->events) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

static void let_go(struct ps_collect *self, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        atomic_fetch_sub(&self->hub->findings_bytes, self->held[i]->bytes);
        ps_finding_free(self->held[i]);
    }
    self->held_n -= n;
    memmove(self->held, self->held + n, self->held_n * sizeof(void *));
}

void ps_collect_free(struct ps_collect **self_p)
{
    struct ps_collect *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_collect_join(self);
    let_go(self, self->held_n);
    for (size_t i = 0; i < self->unsent_n; i++)
        ps_news_free(self->unsent[i]);
    ps_commit_free(&self->commit);
    ps_pg_free(&self->pg);
    free(self);
}

/* Link may have no room for a moment; the broker must get every COMMITTED, so they are kept. */
static void flush_unsent(struct ps_collect *self)
{
    size_t sent = 0;

    while (sent < self->unsent_n && ps_hub_tell_settled(self->hub, self->unsent[sent]) == 0)
        sent++;
    self->unsent_n -= sent;
    memmove(self->unsent, self->unsent + sent, self->unsent_n * sizeof(void *));
}

static struct ps_news *settled_news(struct ps_finding *const *findings, size_t n, uint64_t epoch)
{
    struct ps_news *news = ps_news_new(PS_NEWS_SETTLED, NULL, n);

    if (!news)
        return NULL;
    news->epoch = epoch;
    news->jobs_n = 0;
    for (size_t i = 0; i < n; i++)
        if (findings[i]->kind != PS_FINDING_LOST)
            news->jobs[news->jobs_n++] = findings[i]->job;
    return news;
}

static void tell_settled(struct ps_collect *self, struct ps_finding *const *findings, size_t n,
                         uint64_t epoch)
{
    struct ps_news *for_link = settled_news(findings, n, epoch);

    /* Without memory or room the broker does not hear of it now: a resumed session brings the results once more. */
    if (!for_link || self->unsent_n == PS_SETTLED_N) {
        ps_news_free(for_link);
        ps_hub_miss(self->hub);
    } else {
        self->unsent[self->unsent_n++] = for_link;
    }
    flush_unsent(self);
    ps_hub_tell_drive(self->hub, settled_news(findings, n, epoch));
}

static void count(struct ps_collect *self, const struct ps_commit_sum *sum)
{
    struct ps_hub_counters *c = &self->hub->counters;

    atomic_fetch_add(&c->results, sum->results);
    atomic_fetch_add(&c->repeated, sum->repeated);
    atomic_fetch_add(&c->verdicts, sum->verdicts);
    atomic_fetch_add(&c->lost, sum->lost);
    atomic_fetch_add(&c->batches, 1);
}

/* The one finding that the database does not take: the engine's answer becomes a failure that says so. True when
 * there was something left to simplify. */
static bool simplify(struct ps_finding *f)
{
    if (f->kind == PS_FINDING_LOST || (f->outcome == PS_OUTCOME_FAILURE && f->version[0] == '\0'))
        return false;
    f->outcome = PS_OUTCOME_FAILURE;
    f->counted = false;
    f->reason = "the engine's answer could not be stored";
    f->files_n = 0;
    f->label = f->type = f->traits = f->version = f->definitions = f->origin = f->worker = "";
    return true;
}

static int settle(struct ps_collect *self, struct ps_finding **findings, size_t n, uint64_t epoch,
                  struct ps_error *reterr);

/* Something in there is not to the database's taste: find out what, the rest must not suffer for it. */
static int settle_refused(struct ps_collect *self, struct ps_finding **findings, size_t n, uint64_t epoch,
                          struct ps_error *reterr)
{
    if (n > 1) {
        int r = settle(self, findings, n / 2, epoch, reterr);
        return r < 0 ? r : settle(self, findings + n / 2, n - n / 2, epoch, reterr);
    }

    atomic_fetch_add(&self->hub->counters.bad, 1);
    ps_log(PS_LOG_WARN, "result-refused", "job=%llu engine=%s detail=%s",
           (unsigned long long)findings[0]->job, PS_LOGQ(findings[0]->engine), PS_LOGQ(reterr->text));
    if (simplify(findings[0]))
        return settle(self, findings, 1, epoch, reterr);
    return 0; /* not settled, not asked for again: the job stays with the broker, where people can see it */
}

/* The depth of this recursion is the logarithm of PS_COMMIT_N. */
static int settle(struct ps_collect *self, struct ps_finding **findings, size_t n, uint64_t epoch,
                  struct ps_error *reterr)
{
    struct ps_commit_sum sum;
    bool unsure;
    int r = ps_commit_write(self->commit, findings, n, epoch, &sum, &unsure, reterr);

    if (unsure) /* perhaps it is committed, and then nobody will make its events */
        ps_events_publish_lagged(self->hub->events);
    if (r == PS_ERR_INVALID || r == PS_ERR_CONFLICT)
        return settle_refused(self, findings, n, epoch, reterr);
    if (r == 0) {
        count(self, &sum);
        tell_settled(self, findings, n, epoch);
    }
    return r;
}

static void drop_stale(struct ps_collect *self, uint64_t epoch)
{
    size_t kept = 0;

    for (size_t i = 0; i < self->held_n; i++) {
        if (self->held[i]->epoch == epoch) {
            self->held[kept++] = self->held[i];
            continue;
        }
        atomic_fetch_sub(&self->hub->findings_bytes, self->held[i]->bytes);
        ps_finding_free(self->held[i]);
    }
    self->held_n = kept;
}

static void take(struct ps_collect *self)
{
    self->held_n += ps_mailbox_take(self->hub->findings, (void **)(self->held + self->held_n),
                                    PS_COMMIT_N - self->held_n);
    drop_stale(self, ps_hub_epoch(self->hub));
}

/* How many of the held ones make the next transaction. */
static size_t batch_n(const struct ps_collect *self)
{
    size_t bytes = 0, n = 0;

    for (; n < self->held_n; n++) {
        bytes += self->held[n]->bytes;
        if (n > 0 && bytes > PS_COMMIT_BYTES)
            break;
    }
    return n;
}

static void log_failure(struct ps_collect *self, int r, const struct ps_error *error)
{
    atomic_store(&self->hub->counters.database_ok, false);
    if (!self->failing)
        ps_log(PS_LOG_ERROR, "collect-stopped", "waiting=%zu code=%d detail=%s",
               self->held_n + ps_mailbox_n(self->hub->findings), r, PS_LOGQ(error->text));
    self->failing = true;
}

static void log_success(struct ps_collect *self)
{
    atomic_store(&self->hub->counters.database_ok, true);
    if (self->failing)
        ps_log(PS_LOG_INFO, "collect-resumed", "waiting=%zu", ps_mailbox_n(self->hub->findings));
    self->failing = false;
}

/* Waits for the database or for a better moment. */
static void wait_after(struct ps_collect *self, int r)
{
    if (r == PS_ERR_UNAVAILABLE)
        (void)ps_pg_wait_ready(self->pg, READY_MS, self->hub->stop_fd, NULL); /* the next try tells */
    else
        (void)ps_hub_wait(self->hub, -1, RETRY_MS);
}

/* True when something was done, or is to be tried again. */
static bool turn(struct ps_collect *self)
{
    struct ps_error error = {0};

    take(self);
    size_t n = batch_n(self);
    uint64_t epoch = ps_hub_epoch(self->hub);
    if (n == 0 || epoch == 0)
        return false;

    int r = settle(self, self->held, n, epoch, &error);
    if (r == 0) {
        log_success(self);
        let_go(self, n);
    } else if (r == PS_ERR_STALE) {
        ps_log(PS_LOG_WARN, "collect-superseded", "epoch=%llu dropped=%zu", (unsigned long long)epoch,
               self->held_n);
        ps_hub_suspect(self->hub, epoch);
        let_go(self, self->held_n);
    } else {
        log_failure(self, r, &error);
    }
    if (r < 0 && r != PS_ERR_STALE && !ps_hub_stopping(self->hub))
        wait_after(self, r);
    return r == 0 || !ps_hub_stopping(self->hub);
}

/* Waits until the next transaction is due, after one that began at begun_ms. It costs the database the same for one
 * finding as for some, so under load they are written together; the first one after a pause is written at once. */
static void pace(struct ps_collect *self, uint64_t begun_ms)
{
    uint64_t now_ms = ps_clock_mono_ms(), due_ms = begun_ms + PACE_MS;

    if (self->held_n + ps_mailbox_n(self->hub->findings) < PACE_N && now_ms < due_ms)
        (void)ps_hub_wait(self->hub, -1, (int)(due_ms - now_ms));
}

static void *run(void *arg)
{
    struct ps_collect *self = arg;

    /* Connects before the first result comes; a failure is told by database_ok and tried again. */
    atomic_store(&self->hub->counters.database_ok, ps_pg_ready(self->pg, NULL) == 0);
    while (!ps_hub_stopping(self->hub)) {
        uint64_t begun_ms = ps_clock_mono_ms();

        flush_unsent(self);
        if (turn(self))
            pace(self, begun_ms);
        else
            (void)ps_hub_wait(self->hub, ps_mailbox_fd(self->hub->findings),
                              self->unsent_n > 0 ? UNSENT_MS : READY_MS);
    }
    while (turn(self))
        ; /* what link brought before it ended; a failure ends this */
    flush_unsent(self);
    return NULL;
}

int ps_collect_start(struct ps_collect *self)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_collect_join(struct ps_collect *self)
{
    if (self->started)
        (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
