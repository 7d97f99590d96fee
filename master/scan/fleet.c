#include "master/scan/fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proto/codec.h"

/* What one broker said last. */
struct part {
    char *name;               /* owned */
    bool connected;           /* it has answered and is not silent now */
    uint64_t boot;            /* 0 before its first answer */
    struct ps_buf record;     /* its FLEET, encoded */
    struct ps_msg_FLEET word; /* the same, decoded: borrows from record */
};

struct ps_fleet {
    pthread_mutex_t lock; /* guards newest, the pointer: a snapshot itself never changes */
    struct ps_fleet_snapshot *newest;
    pthread_mutex_t put_lock; /* guards parts, and that a snapshot is made of one state of them */
    struct part *parts;
    size_t parts_n;
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
        .note = put_bytes(pool, offer->note),
        .at_once = offer->at_once,
        .licence_scans = offer->licence_scans,
        .licence_left_s = offer->licence_left_s,
    };
}

static struct ps_fleet_worker put_worker(struct pool *pool, const struct ps_part_worker *worker,
                                         unsigned broker)
{
    return (struct ps_fleet_worker){
        .name = put_bytes(pool, worker->name),
        .broker = broker,
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
    struct ps_fleet_broker *brokers;
    size_t offers_n;
    struct pool pool;
};

/* What a snapshot of these words needs. */
struct need {
    size_t workers_n, offers_n;
    struct pool text; /* measures */
};

static void measure_word(struct need *need, const struct ps_msg_FLEET *word)
{
    struct ps_part_worker worker;
    struct ps_part_offer offer;
    struct ps_part_load load;
    struct ps_list_worker workers = word->workers;
    struct ps_list_load loads = word->loads;

    while (ps_worker_next(&workers, &worker)) {
        (void)put_worker(&need->text, &worker, 0); /* measures only, here and below */
        need->workers_n++;
        while (ps_offer_next(&worker.engines, &offer)) {
            (void)put_offer(&need->text, &offer);
            need->offers_n++;
        }
    }
    while (ps_load_next(&loads, &load))
        (void)put_bytes(&need->text, load.engine);
}

static struct need measure(const struct ps_fleet *self, const struct ps_fleet_snapshot *old)
{
    struct need need = {0};

    for (size_t i = 0; i < self->parts_n; i++) {
        measure_word(&need, &self->parts[i].word);
        need.text.bytes_n += strlen(self->parts[i].name) + 1;
    }
    for (size_t i = 0; i < old->engines_n; i++) {
        const struct ps_fleet_offer *last = &old->engines[i].offer;
        need.text.bytes_n += strlen(last->name) + strlen(last->version) + strlen(last->definitions) +
                             strlen(last->origin) + strlen(last->problem) + strlen(last->note) + 6;
    }
    return need;
}

static int draft_new(struct draft *ret_draft, const struct ps_fleet *self,
                     const struct ps_fleet_snapshot *old)
{
    struct need need = measure(self, old);
    size_t workers_at = sizeof(struct ps_fleet_snapshot);
    size_t engines_at = workers_at + need.workers_n * sizeof(struct ps_fleet_worker);
    size_t offers_at = engines_at + PS_ENGINES_MAX * sizeof(struct ps_fleet_engine);
    size_t brokers_at = offers_at + need.offers_n * sizeof(struct ps_fleet_offer);
    size_t text_at = brokers_at + self->parts_n * sizeof(struct ps_fleet_broker);

    char *block = ps_alloc(1, text_at + need.text.bytes_n);
    if (!block)
        return PS_ERR_NOMEM;
    *ret_draft = (struct draft){
        .snapshot = (void *)block,
        .workers = (void *)(block + workers_at),
        .engines = (void *)(block + engines_at),
        .offers = (void *)(block + offers_at),
        .brokers = (void *)(block + brokers_at),
        .pool = {.at = block + text_at},
    };
    atomic_init(&ret_draft->snapshot->refs, 1);
    ret_draft->snapshot->workers = ret_draft->workers;
    ret_draft->snapshot->engines = ret_draft->engines;
    ret_draft->snapshot->brokers = ret_draft->brokers;
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
        .offer = {.name = name, .version = "", .definitions = "", .origin = "", .problem = "", .note = ""}};
    draft->snapshot->engines_n++;
    return &draft->engines[at];
}

/* Of several offers the one without a problem says most about the engine. */
static void take_offer(struct draft *draft, const struct ps_fleet_offer *offer, unsigned broker)
{
    struct ps_fleet_engine *engine = engine_of(draft, offer->name);

    if (!engine)
        return;
    if (offer->problem[0] == '\0') {
        engine->workers++;
        engine->brokers |= 1u << broker;
    }
    if (engine->offer.kind == 0 || (engine->offer.problem[0] && !offer->problem[0]))
        engine->offer = *offer;
    else if (!offer->problem[0] && !engine->offer.note[0])
        engine->offer.note = offer->note; /* what one worker has to say is shown whoever else has not */
}

static void take_workers(struct draft *draft, const struct ps_msg_FLEET *word, unsigned broker)
{
    struct ps_list_worker workers = word->workers;
    struct ps_part_worker worker;
    struct ps_part_offer offer;

    while (ps_worker_next(&workers, &worker)) {
        struct ps_fleet_worker *to = &draft->workers[draft->snapshot->workers_n++];
        *to = put_worker(&draft->pool, &worker, broker);
        to->offers = &draft->offers[draft->offers_n];
        while (ps_offer_next(&worker.engines, &offer)) {
            struct ps_fleet_offer *made = &draft->offers[draft->offers_n++];
            *made = put_offer(&draft->pool, &offer);
            to->offers_n++;
            take_offer(draft, made, broker);
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
        engine->queued += load.queued;
        engine->leased += load.leased;
        engine->reported += load.reported;
        engine->done += load.done;
        engine->lost += load.lost;
        engine->oldest_ms = PS_MAX(engine->oldest_ms, load.oldest_ms);
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
            engine->offer.note = keep_text(draft, was->offer.note);
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
           a->signatures != b->signatures || strcmp(a->problem, b->problem) != 0 ||
           strcmp(a->note, b->note) != 0 || a->licence_scans != b->licence_scans || a->at_once != b->at_once;
}

static bool workers_differ(const struct ps_fleet_worker *a, const struct ps_fleet_worker *b)
{
    if (a->session != b->session || a->broker != b->broker || a->slots != b->slots ||
        a->window != b->window || a->offers_n != b->offers_n || strcmp(a->name, b->name) != 0 ||
        strcmp(a->isolation, b->isolation) != 0)
        return true;
    for (size_t i = 0; i < a->offers_n; i++)
        if (offers_differ(&a->offers[i], &b->offers[i]))
            return true;
    return false;
}

static bool snapshots_differ(const struct ps_fleet_snapshot *a, const struct ps_fleet_snapshot *b)
{
    if (a->brokers_n != b->brokers_n || a->workers_n != b->workers_n || a->engines_n != b->engines_n)
        return true;
    for (size_t i = 0; i < a->brokers_n; i++)
        if (a->brokers[i].connected != b->brokers[i].connected || a->brokers[i].boot != b->brokers[i].boot)
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

static void take_part(struct draft *draft, const struct part *part, unsigned broker)
{
    struct ps_fleet_snapshot *snapshot = draft->snapshot;

    draft->brokers[broker] = (struct ps_fleet_broker){
        .name = keep_text(draft, part->name),
        .connected = part->connected,
        .boot = part->boot,
        .uptime_s = part->word.uptime_s,
        .jobs = part->word.jobs,
        .late = part->word.late,
        .denied = part->word.denied,
        .strange_beats = part->word.strange_beats,
    };
    snapshot->brokers_n++;
    snapshot->connected |= part->connected;
    snapshot->uptime_s = PS_MAX(snapshot->uptime_s, part->word.uptime_s);
    snapshot->jobs += part->word.jobs;
    snapshot->late += part->word.late;
    snapshot->denied += part->word.denied;
    snapshot->strange_beats += part->word.strange_beats;
    take_workers(draft, &part->word, broker);
    take_loads(draft, &part->word);
}

/* A new snapshot of what all parts say. Under put_lock. */
static int rebuild(struct ps_fleet *self, bool *ret_changed)
{
    PS_CLEANUP(ps_fleet_snapshot_unref) struct ps_fleet_snapshot *old = ps_fleet_get(self);
    struct draft draft;
    int r = draft_new(&draft, self, old);

    if (r < 0)
        return r;
    for (size_t i = 0; i < self->parts_n; i++)
        take_part(&draft, &self->parts[i], (unsigned)i);
    draft.snapshot->boot = self->parts[0].boot;
    draft.snapshot->at_ms = ps_clock_mono_ms();
    take_memory(&draft, old);
    *ret_changed = snapshots_differ(old, draft.snapshot);
    replace(self, draft.snapshot);
    return 0;
}

/* Keeps a word in a block of its own: the other brokers' next words need it. */
static int keep_word(struct part *part, const struct ps_msg_FLEET *word)
{
    struct ps_msg msg = {.id = PS_MSG_FLEET, .FLEET = *word};
    struct ps_bytes frame;
    struct ps_buf record;

    ps_buf_init(&record, PS_FRAME_MAX);
    if (ps_msg_put(&record, &msg) < 0) {
        ps_buf_fini(&record);
        return PS_ERR_NOMEM;
    }
    frame = (struct ps_bytes){record.data, record.len};
    if (ps_msg_next(&frame, &msg) != 1) {
        ps_buf_fini(&record);
        return PS_ERR_INVALID;
    }
    ps_buf_fini(&part->record);
    part->record = record;
    part->word = msg.FLEET;
    return 0;
}

int ps_fleet_put(struct ps_fleet *self, unsigned broker, uint64_t boot, const struct ps_msg_FLEET *word,
                 bool *ret_changed)
{
    struct part *part = &self->parts[broker];

    pthread_mutex_lock(&self->put_lock);
    int r = keep_word(part, word);
    if (r == 0) {
        part->connected = true;
        part->boot = boot;
        r = rebuild(self, ret_changed);
    }
    pthread_mutex_unlock(&self->put_lock);
    return r;
}

int ps_fleet_put_connected(struct ps_fleet *self, unsigned broker, bool connected)
{
    struct part *part = &self->parts[broker];
    bool changed;

    pthread_mutex_lock(&self->put_lock);
    part->connected = connected;
    part->word = (struct ps_msg_FLEET){
        .uptime_s = part->word.uptime_s,
        .jobs = part->word.jobs,
        .late = part->word.late,
        .denied = part->word.denied,
        .strange_beats = part->word.strange_beats,
    };
    int r = rebuild(self, &changed);
    pthread_mutex_unlock(&self->put_lock);
    return r;
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

int ps_fleet_new(struct ps_fleet **ret_self, const char *const *brokers, size_t brokers_n)
{
    PS_CLEANUP(ps_fleet_free) struct ps_fleet *self = PS_NEW(struct ps_fleet);
    bool changed;

    if (!self)
        return PS_ERR_NOMEM;
    (void)pthread_mutex_init(&self->lock, NULL); /* of the default kind neither fails on Linux */
    (void)pthread_mutex_init(&self->put_lock, NULL);
    self->newest = PS_NEW(struct ps_fleet_snapshot);
    self->parts = ps_alloc(brokers_n, sizeof(*self->parts));
    if (!self->newest || !self->parts)
        return PS_ERR_NOMEM;
    atomic_init(&self->newest->refs, 1);
    for (; self->parts_n < brokers_n; self->parts_n++) {
        struct part *part = &self->parts[self->parts_n];
        ps_buf_init(&part->record, PS_FRAME_MAX);
        part->name = ps_strf("%s", brokers[self->parts_n]);
        if (!part->name)
            return PS_ERR_NOMEM;
    }
    if (rebuild(self, &changed) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_fleet_free(struct ps_fleet **self_p)
{
    struct ps_fleet *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_fleet_snapshot_unref(&self->newest);
    for (size_t i = 0; i < self->parts_n; i++) {
        ps_buf_fini(&self->parts[i].record);
        free(self->parts[i].name);
    }
    free(self->parts);
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds them: the threads are gone */
    (void)pthread_mutex_destroy(&self->put_lock);
    free(self);
}
