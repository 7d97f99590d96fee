/* master/scan/leader.h: which master drives and collects.
 *
 * One thread with a PostgreSQL connection of its own. It leads while it holds the advisory lock and the row
 * master_epoch names its epoch, whose seen_at it renews every PS_LEADER_RENEW_MS. A master that does not lead
 * watches: a lock that is free it takes at once; a row older than PS_LEADER_STALE_MS means that the holder is
 * stopped or cut off: it terminates all of the holder's connections of the scan threads (a stopped process
 * keeps its locks), raises the epoch and leads.
 *
 * Invariant: every transaction that writes results or scans locks master_epoch against change and fails when
 * the epoch is not its own; so two masters may both believe that they lead, but only one can write. */
#ifndef PS_MASTER_SCAN_LEADER_H
#define PS_MASTER_SCAN_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PS_LEADER_RENEW_MS 2000
#define PS_LEADER_STALE_MS 10000
#define PS_LEADER_WATCH_MS 500              /* how often one who does not lead looks */
#define PS_LEADER_LOCK     0x50484147454cLL /* key of the advisory lock */

struct ps_leader_settings {
    const char *conninfo; /* libpq connection string; copied */
    const char *holder;   /* host and pid: for people, and in application_name; copied */
    uint64_t stale_ms;    /* 0: PS_LEADER_STALE_MS; tests take less */
    void (*changed)(void *arg,
                    uint64_t epoch); /* called by the leader's thread: epoch, or 0 when superseded */
    void *arg;
};

struct ps_leader;

#define PS_LEADER_APP_MAX 64 /* PostgreSQL cuts an application_name to 63 bytes */
/* The application_name of the scan threads' connections of that holder: a successor ends them by it. Returns app. */
char *ps_leader_app(char app[PS_LEADER_APP_MAX], const char *holder);

int ps_leader_new(struct ps_leader **ret_self, const struct ps_leader_settings *settings);
/* Starts the thread; returns at once, whether it leads or not. */
int ps_leader_start(struct ps_leader *self);
/* Gives the lock up and waits for the thread. A successor need not wait then. */
void ps_leader_stop(struct ps_leader *self);
void ps_leader_free(struct ps_leader **self_p); /* stops it first */

/* The epoch in which this master leads; 0 when it does not. Any thread, cheap. */
uint64_t ps_leader_epoch(const struct ps_leader *self);
/* Someone was told PS_ERR_STALE by the database or the broker: look now, not in 2 s. Any thread. */
void ps_leader_suspect(struct ps_leader *self, uint64_t epoch);

#endif
