/* broker/core/fleet.h: FLEET, what the master is told of workers and queues: every second, and soon after a change. */
#ifndef PS_BROKER_CORE_FLEET_H
#define PS_BROKER_CORE_FLEET_H

#include <stdint.h>

#include "proto/messages.h"

struct ps_core;

#define PS_FLEET_EVERY_MS  1000
#define PS_FLEET_SOON_MS   100               /* after a change, at most so often */
#define PS_FLEET_BYTES_MAX (3 * 1024 * 1024) /* workers that would make it longer are left out */

struct ps_fleet {
    struct ps_part_worker *workers; /* owned: room for the next report */
    uint32_t workers_cap;
    struct ps_part_offer *offers; /* owned: all workers' offers */
    uint32_t offers_cap;
    uint64_t sent_ms; /* core time of the last report */
    bool changed;     /* a worker or an offer, since then */
};

void ps_fleet_fini(struct ps_fleet *self);
/* Sends a report when one is due. */
void ps_fleet_turn(struct ps_core *core);

#endif
