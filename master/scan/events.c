#include "master/scan/events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct ps_events_sub {
    struct ps_events *bus;                    /* lent: outlives its subscribers */
    struct ps_event *queue[PS_EVENT_QUEUE_N]; /* ring, a reference each; guarded by the bus's mutex */
    size_t first, n;                          /* the oldest one, how many */
    bool lagged;                              /* the queue was thrown away: say so before the rest */
    bool woken;                               /* wake was called and not everything taken since */
    void (*wake)(void *arg);
    void *arg;
};

struct ps_events {
    pthread_mutex_t lock; /* guards subs, their queues and flags; wake is called under it, so that after
                           * unsubscribe it is certainly over */
    struct ps_events_sub *subs[PS_EVENT_SUBS_MAX];
    size_t subs_n;
    atomic_size_t watched_n; /* subs_n, for those who only ask */
};

const char *ps_event_word(enum ps_event_kind kind)
{
    switch (kind) {
#define X(name, word)     \
    case PS_EVENT_##name: \
        return word;
        PS_EVENT_KINDS(X)
#undef X
    }
    return "unknown";
}

bool ps_event_in_batch(const struct ps_event *event, const char *batch)
{
    if (event->kind == PS_EVENT_FLEET || event->kind == PS_EVENT_LAGGED)
        return true;
    for (size_t i = 0; i < event->batches_n; i++)
        if (strcmp(event->batches[i], batch) == 0)
            return true;
    return false;
}

struct ps_event *ps_event_ref(struct ps_event *event)
{
    (void)atomic_fetch_add(&event->refs, 1); /* the old count is nobody's business */
    return event;
}

void ps_event_unref(struct ps_event **event_p)
{
    struct ps_event *event = PS_TAKE(*event_p);

    if (!event || atomic_fetch_sub(&event->refs, 1) != 1)
        return;
    for (size_t i = 0; i < event->batches_n; i++)
        free(event->batches[i]);
    free(event->batches);
    free(event->json);
    free(event);
}

static int copy_batches(struct ps_event *event, const char *const *batches, size_t n)
{
    if (n == 0)
        return 0;

    event->batches = ps_alloc(n, sizeof(*event->batches));
    if (!event->batches)
        return PS_ERR_NOMEM;
    for (; event->batches_n < n; event->batches_n++) {
        const char *batch = batches[event->batches_n];
        event->batches[event->batches_n] = ps_strndup(batch, strlen(batch));
        if (!event->batches[event->batches_n])
            return PS_ERR_NOMEM;
    }
    return 0;
}

int ps_event_new(struct ps_event **ret_event, enum ps_event_kind kind, uint64_t seq, uint64_t scan,
                 char *json, size_t json_len, const char *const *batches, size_t batches_n)
{
    PS_FREE char *text = json;
    PS_CLEANUP(ps_event_unref) struct ps_event *event = NULL;

    if (json_len > PS_EVENT_JSON_MAX || batches_n > PS_EVENT_BATCH_MAX)
        return PS_ERR_LIMIT;
    event = PS_NEW(struct ps_event);
    if (!event)
        return PS_ERR_NOMEM;
    atomic_init(&event->refs, 1);
    if (copy_batches(event, batches, batches_n) < 0)
        return PS_ERR_NOMEM;

    event->kind = kind;
    event->seq = seq;
    event->scan = scan;
    event->json = PS_TAKE(text);
    event->json_len = json_len;
    *ret_event = PS_TAKE(event);
    return 0;
}

static struct ps_event *event_of_word(enum ps_event_kind kind)
{
    struct ps_event *event = NULL;
    char *json = ps_strf("{\"event\":\"%s\"}", ps_event_word(kind));

    if (!json || ps_event_new(&event, kind, 0, 0, json, strlen(json), NULL, 0) < 0)
        return NULL;
    return event;
}

int ps_events_new(struct ps_events **ret_self)
{
    struct ps_events *self = PS_NEW(struct ps_events);

    if (!self)
        return PS_ERR_NOMEM;
    if (pthread_mutex_init(&self->lock, NULL) != 0) {
        free(self);
        return PS_ERR_NOMEM;
    }
    *ret_self = self;
    return 0;
}

void ps_events_free(struct ps_events **self_p)
{
    struct ps_events *self = PS_TAKE(*self_p);

    if (!self)
        return;
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds it: subscribers and publishers are gone */
    free(self);
}

int ps_events_subscribe(struct ps_events *self, void (*wake)(void *arg), void *arg,
                        struct ps_events_sub **ret_sub)
{
    struct ps_events_sub *sub = PS_NEW(struct ps_events_sub);

    if (!sub)
        return PS_ERR_NOMEM;
    sub->bus = self;
    sub->wake = wake;
    sub->arg = arg;

    pthread_mutex_lock(&self->lock);
    bool room = self->subs_n < PS_EVENT_SUBS_MAX;
    if (room) {
        self->subs[self->subs_n++] = sub;
        atomic_store(&self->watched_n, self->subs_n);
    }
    pthread_mutex_unlock(&self->lock);

    if (!room) {
        free(sub);
        return PS_ERR_LIMIT;
    }
    *ret_sub = sub;
    return 0;
}

static void forget_queue(struct ps_events_sub *sub)
{
    for (; sub->n > 0; sub->n--) {
        ps_event_unref(&sub->queue[sub->first]);
        sub->first = (sub->first + 1) % PS_EVENT_QUEUE_N;
    }
}

void ps_events_unsubscribe(struct ps_events *self, struct ps_events_sub **sub_p)
{
    struct ps_events_sub *sub = PS_TAKE(*sub_p);

    if (!sub)
        return;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->subs_n; i++)
        if (self->subs[i] == sub) {
            self->subs[i] = self->subs[--self->subs_n];
            break;
        }
    atomic_store(&self->watched_n, self->subs_n);
    pthread_mutex_unlock(&self->lock);

    forget_queue(sub);
    free(sub);
}

size_t ps_events_take(struct ps_events_sub *sub, struct ps_event **ret_events, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&sub->bus->lock);
    if (sub->lagged && max > 0 && (ret_events[0] = event_of_word(PS_EVENT_LAGGED))) {
        sub->lagged = false;
        n = 1;
    }
    for (; n < max && sub->n > 0 && !sub->lagged; n++) {
        ret_events[n] = PS_TAKE(sub->queue[sub->first]);
        sub->first = (sub->first + 1) % PS_EVENT_QUEUE_N;
        sub->n--;
    }
    if (n < max)
        sub->woken = false;
    pthread_mutex_unlock(&sub->bus->lock);
    return n;
}

bool ps_events_watched(const struct ps_events *self)
{
    return atomic_load(&self->watched_n) > 0;
}

static void wake(struct ps_events_sub *sub)
{
    if (!sub->woken) {
        sub->woken = true;
        sub->wake(sub->arg);
    }
}

void ps_events_publish(struct ps_events *self, struct ps_event **event_p)
{
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->subs_n; i++) {
        struct ps_events_sub *sub = self->subs[i];
        if (sub->n == PS_EVENT_QUEUE_N) {
            forget_queue(sub);
            sub->lagged = true;
        }
        sub->queue[(sub->first + sub->n++) % PS_EVENT_QUEUE_N] = ps_event_ref(*event_p);
        wake(sub);
    }
    pthread_mutex_unlock(&self->lock);
    ps_event_unref(event_p);
}

void ps_events_publish_fleet(struct ps_events *self)
{
    struct ps_event *event = event_of_word(PS_EVENT_FLEET);

    if (event)
        ps_events_publish(self, &event);
    else
        ps_events_publish_lagged(self); /* no memory for it: they must read anew all the same */
}

void ps_events_publish_lagged(struct ps_events *self)
{
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->subs_n; i++) {
        struct ps_events_sub *sub = self->subs[i];
        forget_queue(sub);
        sub->lagged = true;
        wake(sub);
    }
    pthread_mutex_unlock(&self->lock);
}
