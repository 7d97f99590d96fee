/* broker/core/schedule.h: which worker gets which sample, and with it all the engines wanted of it there.
 *
 * The best waiting job over all active engines chooses the sample; the worker that has the sample, else the least
 * busy one that covers most of what is wanted of it, gets all of that in one JOB. The cost of a choice depends on the
 * number of active engines, not of workers or waiting jobs. */
#ifndef PS_BROKER_CORE_SCHEDULE_H
#define PS_BROKER_CORE_SCHEDULE_H

#include <stdint.h>

struct ps_core;

#define PS_SCHEDULE_LEASES_MAX 4096 /* leases given in one turn; the rest in the next */
#define PS_SCHEDULE_LOOKED_MAX 8    /* workers compared for one sample */

/* Leases what can be leased. Returns how many. */
uint32_t ps_schedule(struct ps_core *core);
/* Leases the job of a lease that runs once more, to another session, as its twin; not at a limit, or without memory. */
void ps_schedule_copy(struct ps_core *core, uint32_t lease, uint32_t session);

#endif
