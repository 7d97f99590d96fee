/* broker/core/straggler.h: jobs that run far longer than is usual for their engine, while others have nothing to do.
 *
 * Such a job is leased once more to another worker: a machine that has become slow does not hold up its scan. The first
 * result counts, the other worker is told to stop. Not for engines with a limit (a second run would use a second
 * licence), not for suspects (they run alone), and only while nothing else waits for that engine. The idea is that of
 * backup tasks (Dean, Ghemawat: MapReduce, OSDI 2004, 3.6). */
#ifndef PS_BROKER_CORE_STRAGGLER_H
#define PS_BROKER_CORE_STRAGGLER_H

struct ps_core;

#define PS_STRAGGLER_MIN_MS   10000 /* nothing that runs shorter is one */
#define PS_STRAGGLER_TIMES    4     /* times the engine's usual run time, too */
#define PS_STRAGGLER_EVERY_MS 1000  /* they are looked for so often: heartbeats bring news no sooner */
#define PS_STRAGGLER_USUAL_N  16    /* results that an engine's usual time must rest on */

/* Looks for stragglers, when it is time to. */
void ps_stragglers_tick(struct ps_core *core);

#endif
