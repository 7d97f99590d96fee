/* master/scan/fleet.h: workers, engines and queues as the brokers told them last, as one picture.
 *
 * The link threads put; any thread gets a snapshot: plain data, read-only, shared by reference count, so that
 * a web loop may hold it over a whole answer. Also the memory of engines that were offered once and are not
 * now: since when they are missing (in this process's life; at most PS_ENGINES_MAX of them). */
#ifndef PS_MASTER_SCAN_FLEET_H
#define PS_MASTER_SCAN_FLEET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_msg_FLEET;

/* An engine as one worker offers it. Texts are never NULL, NUL-terminated, valid UTF-8. */
struct ps_fleet_offer {
    const char *name;        /* the engine */
    unsigned kind;           /* base/outcome.h: evilness, metadata */
    const char *version;     /* engine version */
    const char *definitions; /* definitions version, "" for none */
    const char *origin;      /* test, site, official, "" */
    uint64_t signatures;     /* loaded */
    uint64_t age_s;          /* of the definitions; 0 unknown */
    const char *problem;     /* why it is not available; "" when it is */
    const char *note;        /* what people should know of it all the same; "" */
    uint32_t at_once;        /* scans at once on that worker; 0 for any number */
    uint32_t licence_scans;  /* scans at once in the fleet, by its licence; 0 for any number */
    uint64_t licence_left_s; /* until its licence ends, when it was told; 0 for no end or unknown */
};

struct ps_fleet_worker {
    const char *name;
    unsigned broker; /* that it works for: see ps_fleet_snapshot.brokers */
    uint64_t session;
    uint32_t slots, window; /* jobs at once; leases held at most */
    uint32_t held, running; /* leases */
    uint64_t done, lost;    /* in this session */
    uint32_t silent_ms;     /* since its last heartbeat, when the broker spoke */
    const char *isolation;  /* walls: full, or weaker and which are missing */
    const struct ps_fleet_offer *offers;
    size_t offers_n;
};

/* An engine over the whole fleet: the queue, and the offer that says most (one without a problem wins). */
struct ps_fleet_engine {
    struct ps_fleet_offer
        offer;        /* version "", kind 0 when no worker ever offered it in this process's life */
    uint32_t workers; /* that offer it without a problem */
    unsigned brokers; /* where those are: a bit for each of ps_fleet_snapshot.brokers */
    uint64_t queued, leased, reported, done, lost, oldest_ms;
    bool available;           /* workers > 0 */
    int64_t missing_since_us; /* real time since which no worker offers it; 0 while available */
};

/* A broker, by its last word. */
struct ps_fleet_broker {
    const char *name;       /* its endpoint */
    bool connected;         /* it has answered and is not silent now */
    uint64_t boot;          /* its boot id; 0 before the first answer */
    uint64_t uptime_s;      /* its age when it spoke */
    uint64_t jobs;          /* in its memory */
    uint64_t late;          /* results that came late or twice */
    uint64_t denied;        /* messages dropped for their key's sake */
    uint64_t strange_beats; /* heartbeats of nobody's session */
};

struct ps_fleet_snapshot {
    atomic_int refs;   /* through ps_fleet_get and ps_fleet_snapshot_unref only */
    bool connected;    /* a broker is connected */
    uint64_t boot;     /* the first broker's */
    uint64_t uptime_s; /* of the broker that is up longest */
    uint64_t jobs;     /* of all brokers, here and below */
    uint64_t late, denied, strange_beats;
    uint64_t at_ms; /* monotonic time of this snapshot */
    const struct ps_fleet_worker *workers;
    size_t workers_n;
    const struct ps_fleet_engine *engines; /* by name */
    size_t engines_n;
    const struct ps_fleet_broker *brokers; /* in the order of the settings */
    size_t brokers_n;
};

struct ps_fleet; /* holds the newest snapshot; any thread */

/* brokers: their names, at least one; copied. */
int ps_fleet_new(struct ps_fleet **ret_self, const char *const *brokers, size_t brokers_n);
void ps_fleet_free(struct ps_fleet **self_p);

/* The newest snapshot, never NULL (an empty one, not connected, before the first word). The caller unrefs. */
struct ps_fleet_snapshot *ps_fleet_get(struct ps_fleet *self);
/* Gives a reference up and nulls it; accepts NULL. */
void ps_fleet_snapshot_unref(struct ps_fleet_snapshot **snapshot_p);
/* An engine of the snapshot by name, or NULL. Lent by the snapshot. */
const struct ps_fleet_engine *ps_fleet_engine_find(const struct ps_fleet_snapshot *snapshot,
                                                   const char *name);

/* Makes a broker's word (decoded) part of the newest snapshot: the link threads, each for its broker. *ret_changed: a
 * worker or an offer came, went or changed (counters alone are no change). 0 or PS_ERR_NOMEM, then the old one stays. */
int ps_fleet_put(struct ps_fleet *self, unsigned broker, uint64_t boot, const struct ps_msg_FLEET *word,
                 bool *ret_changed);
/* The connection came or went: nothing is known of that broker's workers then, engines are remembered. */
int ps_fleet_put_connected(struct ps_fleet *self, unsigned broker, bool connected);

#endif
