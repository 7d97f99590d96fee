/* master/scan/hub.h: what the threads of master/scan share: their mailboxes, the epoch, counters. Everything in here is
 * a mailbox, an atomic or set before the threads start. Private to master/scan and its tests. */
#ifndef PS_MASTER_SCAN_HUB_H
#define PS_MASTER_SCAN_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "master/scan/events.h"
#include "master/scan/fleet.h"
#include "master/scan/post.h"

struct ps_orders;
struct ps_store;

struct ps_hub_counters {
    atomic_uint_fast64_t submitted, results, repeated, verdicts, batches, lost, backfilled, chunks, bad;
    atomic_uint_fast64_t in_hand; /* jobs in the broker's hands, by drive's book */
    atomic_bool database_ok;
};

/* What belongs to one broker: its threads link and feed, and who speaks to them. */
struct ps_hub_line {
    unsigned broker;             /* number in ps_hub.lines, in ps_brokers and in ps_fleet */
    char *name;                  /* the broker's endpoint; owned */
    struct ps_mailbox *orders;   /* struct ps_order: drive -> link */
    struct ps_mailbox *settled;  /* struct ps_news: collect -> link */
    struct ps_mailbox *wishes;   /* struct ps_wish: link -> feed */
    struct ps_mailbox *pieces;   /* struct ps_piece: feed -> link */
    struct ps_mailbox *mandates; /* struct ps_mandate: the API's threads -> link */
    struct ps_mailbox *replies;  /* struct ps_reply: keep -> link */
    int feed_fd;                 /* eventfd: a wish waits for feed, or room for its pieces */
    atomic_bool open;            /* a session is open */
    atomic_bool missed; /* something it brought or should hear was dropped: the session is to begin anew */
    atomic_bool orders_full; /* drive waits until link has taken the orders */
    atomic_bool pieces_full; /* feed waits until link has taken the pieces */
};

struct ps_hub {
    struct ps_mailbox *findings; /* struct ps_finding: links -> collect */
    struct ps_mailbox *news;     /* struct ps_news: all -> drive */
    struct ps_mailbox *words;    /* struct ps_word: links -> keep */
    struct ps_hub_line lines[PS_BROKERS_MAX];
    unsigned lines_n;
    int stop_fd; /* eventfd: readable for ever once the threads shall end */
    atomic_bool stopping;

    atomic_uint_fast64_t epoch; /* in which this master leads; 0: it does not */
    void (*suspect)(void *arg,
                    uint64_t epoch); /* the database or the broker says that the epoch is over; may be NULL */
    void *suspect_arg;

    atomic_size_t findings_bytes; /* in the mailbox and in collect's hands */
    atomic_bool drive_missed;     /* news for drive were dropped: it starts afresh */
    atomic_uint nudged;           /* bands with new scans, a bit each */

    struct ps_events *events;
    struct ps_fleet *fleet;
    struct ps_orders *orders;
    struct ps_store *store; /* lent; NULL in tests without */
    struct ps_hub_counters counters;
};

/* brokers: their names (endpoints), 1 to PS_BROKERS_MAX; copied. */
int ps_hub_new(struct ps_hub **ret_self, const char *const *brokers, size_t brokers_n);
/* The threads must have ended. Frees mailboxes with what is in them, events and fleet. */
void ps_hub_free(struct ps_hub **self_p);
/* Tells all threads to end. */
void ps_hub_stop(struct ps_hub *self);

/* Leads in this epoch from now on, or not any more (0): tells the threads. */
void ps_hub_set_epoch(struct ps_hub *self, uint64_t epoch);
uint64_t ps_hub_epoch(const struct ps_hub *self);
void ps_hub_suspect(struct ps_hub *self, uint64_t epoch);

/* Gives settled jobs to all links: a broker that has a job which another brought the result of drops it. Takes news on
 * success; PS_ERR_BUSY: the first broker's link has no room now. One of the others that has none begins a new session,
 * in which it is told what is open. */
int ps_hub_tell_settled(struct ps_hub *self, struct ps_news *news);
/* Something was lost on the way: all sessions begin anew when there is room. */
void ps_hub_miss(struct ps_hub *self);
bool ps_hub_any_open(const struct ps_hub *self);
/* Sends news to drive and takes them; when they don't fit drive will start afresh. NULL (no memory) counts as such. */
void ps_hub_tell_drive(struct ps_hub *self, struct ps_news *news);
/* Waits until fd (-1: none) is readable, the threads shall end, or timeout_ms passed. True: they shall end. */
bool ps_hub_wait(struct ps_hub *self, int fd, int timeout_ms);
/* An eventfd of the hub's: makes it readable; makes it not readable. */
void ps_hub_signal(int event_fd);
void ps_hub_clear(int event_fd);
bool ps_hub_stopping(const struct ps_hub *self);

#endif
