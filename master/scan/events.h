/* master/scan/events.h: what happened, told to everyone who watches.
 *
 * One bus per process. Any thread publishes; every web loop subscribes once and hands the events on to its
 * clients. An event is made once, its JSON text with it, and is shared by reference count; nothing in it
 * changes after it was published. Publishing never waits: a subscriber that is too slow loses its queue and
 * gets one event of kind LAGGED instead, after which its clients read anew what they show.
 *
 * Order: SCAN events come in the order of seq, each after its transaction has been committed. So a reader who
 * wants everything after seq n subscribes first, then reads the database (scan.finished_seq > n), and then
 * drops from its queue the SCAN events whose seq it has had already. */
#ifndef PS_MASTER_SCAN_EVENTS_H
#define PS_MASTER_SCAN_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, word of the API) */
#define PS_EVENT_KINDS(X)       \
    X(SCAN, "scan")             \
    X(RESULT, "result")         \
    X(SUBMISSION, "submission") \
    X(FLEET, "fleet")           \
    X(LAGGED, "lagged")

enum ps_event_kind {
#define X(name, word) PS_EVENT_##name,
    PS_EVENT_KINDS(X)
#undef X
};

#define PS_EVENT_QUEUE_N   8192         /* events that wait for one subscriber; over it: LAGGED */
#define PS_EVENT_SUBS_MAX  64           /* subscribers of a bus: web loops, not their clients */
#define PS_EVENT_JSON_MAX  (256 * 1024) /* bytes of one event's JSON */
#define PS_EVENT_BATCH_MAX 1024         /* batches named in one event */

/* An event: plain data, read-only once published. */
struct ps_event {
    atomic_int refs;         /* holders; touched through ps_event_ref and ps_event_unref only */
    enum ps_event_kind kind; /* what happened */
    uint64_t seq;            /* SCAN: scan.finished_seq, the cursor of clients; 0 for live events */
    uint64_t scan;           /* SCAN, RESULT: the scan's id; SUBMISSION: the id of its scan; else 0 */
    char **batches;          /* SCAN, SUBMISSION: batches of the submissions concerned, for ?batch=; owned */
    size_t batches_n;        /* how many; a RESULT names none: it goes to those who watch without a batch */
    char *json;              /* the whole object as in docs/api.md, one line without its newline; owned */
    size_t json_len;         /* bytes of it */
};

/* "scan", "result", ...: the SSE event name. Static. */
const char *ps_event_word(enum ps_event_kind kind);
/* True when the event concerns a submission of that batch. FLEET and LAGGED concern everyone. */
bool ps_event_in_batch(const struct ps_event *event, const char *batch);

struct ps_event *ps_event_ref(struct ps_event *event);
/* Gives a reference up and nulls it; accepts NULL. */
void ps_event_unref(struct ps_event **event_p);

/* Makes an event with one reference, for publishing. Takes json (malloc'd); copies the batches. On failure
 * json is freed. 0; PS_ERR_NOMEM; PS_ERR_LIMIT when there is more than the limits above. */
int ps_event_new(struct ps_event **ret_event, enum ps_event_kind kind, uint64_t seq, uint64_t scan,
                 char *json, size_t json_len, const char *const *batches, size_t batches_n);

struct ps_events;     /* the bus; any thread */
struct ps_events_sub; /* one subscriber; taken from by one thread */

int ps_events_new(struct ps_events **ret_self);
/* Every subscriber must be gone before. */
void ps_events_free(struct ps_events **self_p);

/* Subscribes from now on. wake (arg) is called by a publishing thread each time the empty queue gets its
 * first event: it must not block, nor call into the bus, but for example send a h2o message to its loop.
 * After unsubscribe has returned it is never called again. 0; PS_ERR_NOMEM; PS_ERR_LIMIT at
 * PS_EVENT_SUBS_MAX. */
int ps_events_subscribe(struct ps_events *self, void (*wake)(void *arg), void *arg,
                        struct ps_events_sub **ret_sub);
void ps_events_unsubscribe(struct ps_events *self, struct ps_events_sub **sub_p);
/* Takes out up to max events in order, without waiting, and returns how many: each with a reference that is
 * now the caller's. Take until it returns less than max: only then wake is called again. */
size_t ps_events_take(struct ps_events_sub *sub, struct ps_event **ret_events, size_t max);

/* True when someone listens: without, nobody need make events. Cheap, any thread. */
bool ps_events_watched(const struct ps_events *self);
/* Gives the event to every subscriber; takes it and nulls the pointer. Never waits, never fails. */
void ps_events_publish(struct ps_events *self, struct ps_event **event_p);
/* A FLEET event, without anything to say. */
void ps_events_publish_fleet(struct ps_events *self);
/* Everyone reads anew (a new leader, a bus that could not follow). */
void ps_events_publish_lagged(struct ps_events *self);

#endif
