#include "master/scan/fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/codec.h"

struct ps_fleet {
    pthread_mutex_t lock; /* guards newest, the pointer: a snapshot itself never changes */
    struct ps_fleet_snapshot *newest;
};

/* All text of a snapshot lies in one block behind it: measured first, then copied. */
struct pool {
    char *at;       /* next byte; NULL while measuring */
    size_t bytes_n; /* used so far */
};

static const char *put_text(struct pool *pool, const void *text, size_t len)
{
    char *to = pool->at ? pool->at + pool->bytes_n : NULL;

    pool->bytes_n += len + 1;
    if (!to)
        return "";
    if (len > 0)
        memcpy(to, text, len);
    to[len] = '\0';
    return to;
}

static const char *put_bytes(struct pool *pool, struct ps_bytes text)
{
    return put_text(pool, text.at, text.len);
}

static struct ps_fleet_offer put_offer(struct pool *pool, const struct ps_part_offer *offer)
{
    return (struct ps_fleet_offer){
        .name = put_bytes(pool, offer->name),
        .kind = offer->kind,
        .version = put_bytes(pool, offer->version),
        .definitions = put_bytes(pool, offer->definitions),
        .origin = put_bytes(pool, offer->origin),
        .signatures = offer->signatures,
        .age_s = offer->age_s,
        .problem = put_bytes(pool, offer->problem),
    };
}

static struct ps_fleet_worker put_worker(struct pool *pool, const struct ps_part_worker *worker)
{
    return (struct ps_fleet_worker){
        .name = put_bytes(pool, worker->name),
        .session = worker->session,
        .slots = worker->slots,
        .window = worker->window,
        .held = worker->held,
        .running = worker->running,
        .done = worker->done,
        .lost = worker->lost,
        .silent_ms = worker->silent_ms,
        .isolation = put_bytes(pool, worker->isolation),
    };
}

/* A snapshot under construction: room is what its parts need at most. */
struct draft {
    struct ps_fleet_snapshot *snapshot;
    struct ps_fleet_worker *workers;
    struct ps_fleet_offer *offers;
    struct ps_fleet_engine *engines;
    size_t offers_n;
    struct pool pool;
};

static void measure(const struct ps_msg_FLEET *word, const struct ps_fleet_snapshot *old,
                    size_t *ret_offers_n, size_t *ret_text_n)
{
    struct pool pool = {0};
    struct ps_part_worker worker;
    struct ps_part_offer offer;
    struct ps_part_load load;
    struct ps_list_worker workers = word->workers;
    struct ps_list_load loads = word->loads;

    *ret_offers_n = 0;
    while (ps_worker_next(&workers, &worker)) {
        (void)put_worker(&pool, &worker); /* measures only, here and below */
        while (ps_offer_next(&worker.engines, &offer)) {
            (void)put_offer(&pool, &offer);
            (*ret_offers_n)++;
        }
    }
    while (ps_load_next(&loads, &load))
        (void)put_bytes(&pool, load.engine);
    for (size_t i = 0; i < old->engines_n; i++) {
        const struct ps_fleet_offer *last = &old->engines[i].offer;
        pool.bytes_n += strlen(last->name) + strlen(last->version) + strlen(last->definitions) +
                        strlen(last->origin) + strlen(last->problem) + 5;
    }
    *ret_text_n = pool.bytes_n;
}

static int draft_new(struct draft *ret_draft, const struct ps_msg_FLEET *word,
                     const struct ps_fleet_snapshot *old)
{
    size_t offers_n, text_n;

    measure(word, old, &offers_n, &text_n);
    size_t head_n = sizeof(struct ps_fleet_snapshot);
    size_t workers_n = word->workers.n * sizeof(struct ps_fleet_worker);
    size_t engines_n = PS_ENGINES_MAX * sizeof(struct ps_fleet_engine);
    size_t offers_bytes = offers_n * sizeof(struct ps_fleet_offer);

    char *block = ps_alloc(1, head_n + workers_n + engines_n + offers_bytes + text_n);
    if (!block)
        return PS_ERR_NOMEM;
    *ret_draft = (struct draft){
        .snapshot = (void *)block,
        .workers = (void *)(block + head_n),
        .engines = (void *)(block + head_n + workers_n),
        .offers = (void *)(block + head_n + workers_n + engines_n),
        .pool = {.at = block + head_n + workers_n + engines_n + offers_bytes},
    };
    atomic_init(&ret_draft->snapshot->refs, 1);
    ret_draft->snapshot->workers = ret_draft->workers;
    ret_draft->snapshot->engines = ret_draft->engines;
    return 0;
}

/* The engine of that name, added when new; NULL when the table is full. Kept in order of names. */
static struct ps_fleet_engine *engine_of(struct draft *draft, const char *name)
{
    size_t n = draft->snapshot->engines_n, at = 0;

    while (at < n && strcmp(draft->engines[at].offer.name, name) < 0)
        at++;
    if (at < n && strcmp(draft->engines[at].offer.name, name) == 0)
        return &draft->engines[at];
    if (n == PS_ENGINES_MAX)
        return NULL;

    memmove(&draft->engines[at + 1], &draft->engines[at], (n - at) * sizeof(*draft->engines));
    draft->engines[at] = (struct ps_fleet_engine){
        .offer = {.name = name, .version = "", .definitions = "", .origin = "", .problem = ""}};
    draft->snapshot->engines_n++;
    return &draft->engines[at];
}

/* Of several offers the one without a problem says most about the engine. */
static void take_offer(struct draft *draft, const struct ps_fleet_offer *offer)
{
    struct ps_fleet_engine *engine = engine_of(draft, offer->name);

    if (!engine)
        return;
    if (offer->problem[0] == '\0')
        engine->workers++;
    if (engine->offer.kind == 0 || (engine->offer.problem[0] && !offer->problem[0]))
        engine->offer = *offer;
}

static void take_workers(struct draft *draft, const struct ps_msg_FLEET *word)
{
    struct ps_list_worker workers = word->workers;
    struct ps_part_worker worker;
    struct ps_part_offer offer;

    while (ps_worker_next(&workers, &worker)) {
        struct ps_fleet_worker *to = &draft->workers[draft->snapshot->workers_n++];
        *to = put_worker(&draft->pool, &worker);
        to->offers = &draft->offers[draft->offers_n];
        while (ps_offer_next(&worker.engines, &offer)) {
            struct ps_fleet_offer *made = &draft->offers[draft->offers_n++];
            *made = put_offer(&draft->pool, &offer);
            to->offers_n++;
            take_offer(draft, made);
        }
    }
}

static void take_loads(struct draft *draft, const struct ps_msg_FLEET *word)
{
    struct ps_list_load loads = word->loads;
    struct ps_part_load load;

    while (ps_load_next(&loads, &load)) {
        struct ps_fleet_engine *engine = engine_of(draft, put_bytes(&draft->pool, load.engine));
        if (!engine)
            continue;
        engine->queued = load.queued;
        engine->leased = load.leased;
        engine->reported = load.reported;
        engine->done = load.done;
        engine->lost = load.lost;
        engine->oldest_ms = load.oldest_ms;
    }
}

static const char *keep_text(struct draft *draft, const char *text)
{
    return put_text(&draft->pool, text, strlen(text));
}

/* What was offered once stays in the list, and since when it is away is remembered. */
static void take_memory(struct draft *draft, const struct ps_fleet_snapshot *old)
{
    int64_t now_us = ps_clock_real_us();

    for (size_t i = 0; i < old->engines_n; i++) {
        const struct ps_fleet_engine *was = &old->engines[i];
        struct ps_fleet_engine *engine = engine_of(draft, keep_text(draft, was->offer.name));
        if (!engine)
            continue;
        if (engine->offer.kind == 0) {
            const char *name = engine->offer.name;
            engine->offer = was->offer;
            engine->offer.name = name;
            engine->offer.version = keep_text(draft, was->offer.version);
            engine->offer.definitions = keep_text(draft, was->offer.definitions);
            engine->offer.origin = keep_text(draft, was->offer.origin);
            engine->offer.problem = keep_text(draft, was->offer.problem);
        }
        engine->missing_since_us = was->missing_since_us;
    }
    for (size_t i = 0; i < draft->snapshot->engines_n; i++) {
        struct ps_fleet_engine *engine = &draft->engines[i];
        engine->available = engine->workers > 0;
        if (engine->available)
            engine->missing_since_us = 0;
        else if (engine->missing_since_us == 0)
            engine->missing_since_us = now_us;
    }
}

static bool offers_differ(const struct ps_fleet_offer *a, const struct ps_fleet_offer *b)
{
    return strcmp(a->name, b->name) != 0 || a->kind != b->kind || strcmp(a->version, b->version) != 0 ||
           strcmp(a->definitions, b->definitions) != 0 || strcmp(a->origin, b->origin) != 0 ||
           a->signatures != b->signatures || strcmp(a->problem, b->problem) != 0;
}

static bool workers_differ(const struct ps_fleet_worker *a, const struct ps_fleet_worker *b)
{
    if (a->session != b->session || a->slots != b->slots || a->window != b->window ||
        a->offers_n != b->offers_n || strcmp(a->name, b->name) != 0 ||
        strcmp(a->isolation, b->isolation) != 0)
        return true;
    for (size_t i = 0; i < a->offers_n; i++)
        if (offers_differ(&a->offers[i], &b->offers[i]))
            return true;
    return false;
}

static bool snapshots_differ(const struct ps_fleet_snapshot *a, const struct ps_fleet_snapshot *b)
{
    if (a->connected != b->connected || a->boot != b->boot || a->workers_n != b->workers_n ||
        a->engines_n != b->engines_n)
        return true;
    for (size_t i = 0; i < a->workers_n; i++)
        if (workers_differ(&a->workers[i], &b->workers[i]))
            return true;
    return false;
}

static void replace(struct ps_fleet *self, struct ps_fleet_snapshot *by)
{
    pthread_mutex_lock(&self->lock);
    struct ps_fleet_snapshot *old = self->newest;
    self->newest = by;
    pthread_mutex_unlock(&self->lock);
    ps_fleet_snapshot_unref(&old);
}

int ps_fleet_put(struct ps_fleet *self, uint64_t boot, const struct ps_msg_FLEET *word, bool *ret_changed)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *old = ps_fleet_get(self);
    struct draft draft;
    int r = draft_new(&draft, word, old);

    if (r < 0)
        return r;
    draft.snapshot->connected = true;
    draft.snapshot->boot = boot;
    draft.snapshot->uptime_s = word->uptime_s;
    draft.snapshot->jobs = word->jobs;
    draft.snapshot->late = word->late;
    draft.snapshot->at_ms = ps_clock_mono_ms();
    take_workers(&draft, word);
    take_loads(&draft, word);
    take_memory(&draft, old);

    *ret_changed = snapshots_differ(old, draft.snapshot);
    replace(self, draft.snapshot);
    return 0;
}

/* Only the link thread puts, so nothing gets between the reading of the old one and its replacement. */
int ps_fleet_put_connected(struct ps_fleet *self, bool connected)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *old = ps_fleet_get(self);
    struct ps_msg_FLEET nobody = {.uptime_s = old->uptime_s, .jobs = old->jobs, .late = old->late};
    struct draft draft;
    int r = draft_new(&draft, &nobody, old);

    if (r < 0)
        return r;
    draft.snapshot->connected = connected;
    draft.snapshot->boot = old->boot;
    draft.snapshot->uptime_s = old->uptime_s;
    draft.snapshot->jobs = old->jobs;
    draft.snapshot->late = old->late;
    draft.snapshot->at_ms = ps_clock_mono_ms();
    take_memory(&draft, old);
    replace(self, draft.snapshot);
    return 0;
}

struct ps_fleet_snapshot *ps_fleet_get(struct ps_fleet *self)
{
    pthread_mutex_lock(&self->lock);
    struct ps_fleet_snapshot *newest = self->newest;
    (void)atomic_fetch_add(&newest->refs, 1); /* the old count is nobody's business */
    pthread_mutex_unlock(&self->lock);
    return newest;
}

void ps_fleet_snapshot_unref(struct ps_fleet_snapshot **snapshot_p)
{
    struct ps_fleet_snapshot *snapshot = PS_TAKE(*snapshot_p);

    if (snapshot && atomic_fetch_sub(&snapshot->refs, 1) == 1)
        free(snapshot);
}

const struct ps_fleet_engine *ps_fleet_engine_find(const struct ps_fleet_snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->engines_n; i++)
        if (strcmp(snapshot->engines[i].offer.name, name) == 0)
            return &snapshot->engines[i];
    return NULL;
}

int ps_fleet_new(struct ps_fleet **ret_self)
{
    struct ps_fleet *self = PS_NEW(struct ps_fleet);
    struct ps_fleet_snapshot *empty = PS_NEW(struct ps_fleet_snapshot);

    if (!self || !empty || pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        free(empty);
        return PS_ERR_NOMEM;
    }
    atomic_init(&empty->refs, 1);
    self->newest = empty;
    *ret_self = self;
    return 0;
}

void ps_fleet_free(struct ps_fleet **self_p)
{
    struct ps_fleet *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_fleet_snapshot_unref(&self->newest);
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds it: the threads are gone */
    free(self);
}
