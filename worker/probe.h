/* worker/probe.h: phagescan-worker --probe: what this machine's engines and walls are, in plain words. */
#ifndef PS_WORKER_PROBE_H
#define PS_WORKER_PROBE_H

#include <stdio.h>

struct ps_roster;

/* Waits until every engine is loaded or has failed, and writes about each to `to`. Returns how many can be used. */
int ps_probe_run(struct ps_roster *roster, FILE *to);

#endif
