/* master/scan/orders.h: orders to workers about their engines (reload, on, off, update), from the API to the links and back.
 *
 * An order is for one worker or for all that offer the engine; it is over when each has answered, has gone, or was silent
 * for PS_ORDERS_MS. The book lives in memory: after a restart of the master nobody knows an order any more, and what a
 * worker did is done. Any thread; the mutex guards the table. */
#ifndef PS_MASTER_SCAN_ORDERS_H
#define PS_MASTER_SCAN_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

#define PS_ORDERS_BOOK_N 64     /* orders remembered; the oldest makes room */
#define PS_ORDERS_MS     330000 /* an engine may take 300 s to load */
#define PS_MANDATES_N    8192   /* ORDERs that wait for a link; one more is not given */

struct ps_fleet_snapshot;
struct ps_hub;
struct ps_orders;

enum ps_ordered_state {
    PS_ORDERED_WAITING,
    PS_ORDERED_DONE,
    PS_ORDERED_REFUSED, /* by the worker, or by the broker for it */
    PS_ORDERED_SILENT,  /* no answer in time, or the worker went away */
};

/* One worker's part in an order. */
struct ps_ordered {
    uint64_t session;
    unsigned broker;
    enum ps_ordered_state state;
    char worker[PS_NAME_MAX + 1];
    char text[PS_TEXT_MAX + 1];      /* a sentence; "" while WAITING */
    char before[PS_VERSION_MAX + 1]; /* definitions */
    char after[PS_VERSION_MAX + 1];
};

/* What link sends; one block. */
struct ps_mandate {
    uint64_t order, session, size;
    uint32_t verb;
    uint8_t sha256[PS_SHA256_BYTES];
    char engine[PS_NAME_MAX + 1];
};

/* What is wanted; lent. */
struct ps_orders_wish {
    const char *engine;
    const char *worker; /* its name; NULL: all that offer the engine, also with a problem */
    enum ps_order_verb verb;
    const uint8_t *sha256; /* UPDATE with a file; else NULL */
    uint64_t size;
};

/* hub is lent. 0 or PS_ERR_NOMEM. */
int ps_orders_new(struct ps_orders **ret_self, struct ps_hub *hub);
void ps_orders_free(struct ps_orders **self_p);

/* Gives the order to the workers of fleet. 0 with its number; PS_ERR_NOTFOUND when no worker has that engine (or that
 * name); PS_ERR_NOMEM. */
int ps_orders_give(struct ps_orders *self, const struct ps_fleet_snapshot *fleet,
                   const struct ps_orders_wish *wish, uint64_t now_ms, uint64_t *ret_order);
/* An answer came by the link of that broker. What belongs to no order is dropped. */
void ps_orders_hear(struct ps_orders *self, unsigned broker, const struct ps_msg_ORDERED *msg);
/* How an order stands: copies its parts, *ret_list is the caller's to free. fleet: whose session is not in it has gone. 0;
 * PS_ERR_NOTFOUND; PS_ERR_NOMEM. */
int ps_orders_look(struct ps_orders *self, uint64_t order, const struct ps_fleet_snapshot *fleet,
                   uint64_t now_ms, struct ps_ordered **ret_list, size_t *ret_n);

#endif
