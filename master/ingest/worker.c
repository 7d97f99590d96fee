/* Thread ingest: takes what waits into a group, makes it durable, answers. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/pg.h"
#include "master/ingest/backfill.h"
#include "master/ingest/ingest_private.h"
#include "master/ingest/replay.h"

#define TRIES_N  5 /* of a group, when somebody was in between */
#define IDLE_MS  60000
#define SWEEP_MS 600000

static void count(struct ps_ingest *self)
{
    const struct ps_group *group = &self->group;

    pthread_mutex_lock(&self->stats_lock);
    self->stats.groups++;
    self->stats.files += group->items_n;
    self->stats.bytes += group->bytes_n;
    self->stats.known += group->known_n;
    self->stats.joined += group->joined_n;
    self->stats.scans += group->scans_new_n;
    self->stats.jobs += group->jobs_n;
    self->stats.read_us += group->read_us;
    self->stats.hash_us += group->hash_us;
    self->stats.store_us += group->store_us;
    self->stats.db_us += group->db_us;
    pthread_mutex_unlock(&self->stats_lock);
}

/* Ready to write? A failure answers for every request there is. */
static int prepare(struct ps_ingest *self, struct ps_error *reterr)
{
    uint64_t epoch = atomic_load(&self->epoch);
    int code;

    if (atomic_load(&self->stopping))
        return ps_error_set(reterr, PS_ERR_CANCELLED, "the master stops");
    if (epoch == 0)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "this master is a standby: it does not write");
    self->env.epoch = epoch;
    if ((code = ps_store_set_epoch(self->env.store, epoch, reterr)) != 0)
        return code;
    code =
        ps_resolve_refresh(self->env.resolve, self->env.pg, atomic_exchange(&self->refresh, false), reterr);
    if (code == PS_ERR_UNAVAILABLE) /* a connection that broke while it lay idle says so only now */
        code = ps_resolve_refresh(self->env.resolve, self->env.pg, true, reterr);
    return code;
}

/* Tries until nobody was in between. A connection that broke is tried once more, unless COMMIT was under way. */
static int commit(struct ps_ingest *self, struct ps_ingest_news *news, struct ps_error *reterr)
{
    struct ps_group *group = &self->group;
    bool reconnected = false;
    int code;

    for (int i = 0; i < TRIES_N; i++) {
        code = ps_group_commit(group, &self->env, news, reterr);
        if (code == PS_ERR_UNAVAILABLE && !group->maybe_committed && !reconnected)
            reconnected = true;
        else if (code != PS_ERR_AGAIN && code != PS_ERR_CONFLICT)
            return code;
    }
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "the database was too busy; try again");
}

static void tell_stale(struct ps_ingest *self)
{
    if (self->config.stale)
        self->config.stale(self->config.arg, self->env.epoch);
}

/* Commits what is in the group and answers. The group is empty afterwards. */
static void commit_and_answer(struct ps_ingest *self)
{
    struct ps_ingest_request *requests[PS_GROUP_REQUESTS_N];
    size_t n = self->group.requests_n;
    struct ps_ingest_news news;
    struct ps_error error = {0};
    int code;

    if (n == 0)
        return;
    code = commit(self, &news, &error);
    for (size_t i = 0; i < n; i++)
        requests[i] = self->group.requests[i];
    if (code == 0)
        count(self);
    ps_group_clear(&self->group);
    if (code == PS_ERR_STALE) {
        tell_stale(self);
        code = PS_ERR_UNAVAILABLE;
    }
    if (code && n > 1 && code != PS_ERR_UNAVAILABLE && code != PS_ERR_NOSPACE) {
        /* One request may have spoiled it for the others: each for itself. */
        for (size_t i = 0; i < n; i++) {
            code = ps_group_add(&self->group, &self->env, requests[i], &error);
            if (code)
                ps_ingest_finish(self, requests[i], code, &error);
            else
                commit_and_answer(self);
        }
        return;
    }
    for (size_t i = 0; i < n; i++)
        ps_ingest_finish(self, requests[i], code, &error);
    if (code == 0 && self->config.news && (news.scans_n || news.submissions_n))
        self->config.news(self->config.arg, &news);
}

static void do_backfill(struct ps_ingest *self, struct ps_ingest_request *request)
{
    struct ps_ingest_news news;
    struct ps_error error = {0};
    int code = ps_backfill(&self->env, request, &news, &error);

    if (code == PS_ERR_STALE) {
        tell_stale(self);
        code = PS_ERR_UNAVAILABLE;
    }
    ps_ingest_finish(self, request, code, &error);
    if (code == 0 && self->config.news && news.scans_n)
        self->config.news(self->config.arg, &news);
}

static bool same_key(const struct ps_ingest_request *a, const struct ps_ingest_request *b)
{
    return a->idempotency_key && b->idempotency_key && a->owner_id == b->owner_id &&
           strcmp(a->idempotency_key, b->idempotency_key) == 0;
}

/* True when the group holds the first one of a repeated request: its answer is to be there before it is looked for. */
static bool repeats(const struct ps_ingest *self, const struct ps_ingest_request *request)
{
    for (size_t i = 0; i < self->group.requests_n; i++)
        if (same_key(self->group.requests[i], request))
            return true;
    return false;
}

/* 1: it was answered from the table; 0: it is new; or a failure. */
static int replay(struct ps_ingest *self, struct ps_ingest_request *request, struct ps_error *reterr)
{
    int code;

    if (!request->idempotency_key)
        return 0;
    if (request->kind == PS_INGEST_BODY &&
        (code = ps_sha256(request->digest, request->body.at, request->body.len)) != 0)
        return ps_error_set(reterr, code, "ingest: out of memory");
    request->code = 0;
    if ((code = ps_replay_find(self->env.pg, &request, 1, reterr)) != 0)
        return code;
    if (!request->replayed && request->code == 0)
        return 0;
    ps_ingest_finish(self, request, request->code, NULL);
    return 1;
}

/* Takes one request in, or answers it. */
static void take(struct ps_ingest *self, struct ps_ingest_request *request)
{
    struct ps_error error = {0};
    int code;

    if (request->kind == PS_INGEST_BACKFILL) {
        do_backfill(self, request);
        return;
    }
    code = replay(self, request, &error);
    if (code == 1)
        return;
    if (code == 0)
        code = ps_group_add(&self->group, &self->env, request, &error);
    if (code)
        ps_ingest_finish(self, request, code, &error);
}

static struct ps_ingest_request *next(struct ps_ingest *self)
{
    void *msg = NULL;

    if (self->late)
        return PS_TAKE(self->late);
    return ps_mailbox_take(self->inbox, &msg, 1) == 1 ? msg : NULL;
}

/* Room for one more request in the group? */
static bool room(const struct ps_ingest *self, size_t bytes)
{
    return self->group.items_n < self->config.group_files && bytes < self->config.group_bytes &&
           self->group.requests_n < PS_GROUP_REQUESTS_N;
}

/* One group: the first request, and all that wait behind it as far as there is room. */
static void work(struct ps_ingest *self, struct ps_ingest_request *first)
{
    struct ps_ingest_request *request = first;
    struct ps_error error = {0};
    size_t bytes = 0;
    int code = prepare(self, &error);

    for (; request; request = room(self, bytes) ? next(self) : NULL) {
        if (code) {
            ps_ingest_finish(self, request, code, &error);
            continue;
        }
        if (repeats(self, request)) {
            self->late = request;
            break;
        }
        bytes += request->charged_bytes;
        take(self, request);
    }
    commit_and_answer(self);
}

static void sweep(struct ps_ingest *self)
{
    uint64_t now_ms = ps_clock_mono_ms();

    if (now_ms < self->sweep_at_ms || atomic_load(&self->epoch) == 0)
        return;
    self->sweep_at_ms = now_ms + SWEEP_MS;
    (void)ps_pg_exec(self->env.pg, PS_Q_INGEST_FORGET, NULL, NULL, NULL); /* the next sweep tries again */
}

void *ps_ingest_worker(void *arg)
{
    struct ps_ingest *self = arg;
    int code = 0;

    while (code != PS_ERR_CLOSED) {
        void *msg = NULL;

        if (self->late)
            msg = PS_TAKE(self->late);
        else
            code = ps_mailbox_wait(self->inbox, &msg, IDLE_MS);
        if (msg)
            work(self, msg);
        sweep(self);
    }
    return NULL;
}
