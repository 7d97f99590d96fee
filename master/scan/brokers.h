/* master/scan/brokers.h: which broker a job goes to. Drive's table: pure, no clock, no I/O, one thread. Private to
 * master/scan and its tests.
 *
 * Rendezvous hashing (highest random weight: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996):
 * each broker's name and the job's key make a weight, the broker with the highest one that is there has it. A broker that
 * goes moves its own jobs only. The key is the sample, so that a sample crosses to few workers; of an engine with a limit
 * it is the engine, so that one broker counts all its leases.
 *
 * A broker is OPEN, AWAY or GONE. What was given to one that is AWAY waits, for its return or until its old leases must
 * have passed: then it is GONE, and what it had moves for good. New jobs without a limit go to those that are there at
 * once. An engine with a limit keeps its broker (its home) while that is not GONE; and a new epoch gives it none before
 * what the master before may have given to another has passed. With one broker none of this waits. */
#ifndef PS_MASTER_SCAN_BROKERS_H
#define PS_MASTER_SCAN_BROKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/scan/post.h"

#define PS_BROKERS_DEAD_MS   5000          /* of a broker that has not said its own yet */
#define PS_BROKERS_RUN_MS    60000         /* of a job whose run time the broker or the engine decides */
#define PS_BROKERS_MARGIN_MS 10000         /* a lease lasts so much longer than its run, */
#define PS_BROKERS_RATE      (1024 * 1024) /* and so many bytes of the sample make it a second longer */

struct ps_brokers;

/* names: 1 to PS_BROKERS_MAX, copied; they must be the same for every master. 0 or PS_ERR_NOMEM. */
int ps_brokers_new(struct ps_brokers **ret_self, const char *const *names, size_t names_n);
void ps_brokers_free(struct ps_brokers **self_p);
/* No such job runs longer than run_ms, PS_BROKERS_RUN_MS without this. Before the first begin. */
void ps_brokers_longest_run(struct ps_brokers *self, uint32_t run_ms);

/* A new epoch of this master's: nothing is known of what was given. now_ms: monotonic, here and below. */
void ps_brokers_begin(struct ps_brokers *self, uint64_t now_ms);
/* A session is open. limits: names of the engines that the broker limits, each with a NUL, ended by an empty one; NULL
 * for none. */
void ps_brokers_opened(struct ps_brokers *self, unsigned broker, uint32_t dead_ms, const char *limits);
void ps_brokers_closed(struct ps_brokers *self, unsigned broker, uint64_t now_ms);
bool ps_brokers_is_open(const struct ps_brokers *self, unsigned broker);
bool ps_brokers_any_open(const struct ps_brokers *self);
/* Whether workers that serve the engine are at the broker: those that are not known serve nothing. */
void ps_brokers_serve(struct ps_brokers *self, const char *engine, unsigned brokers_mask);
/* Forgets who serves what. */
void ps_brokers_serve_none(struct ps_brokers *self);

struct ps_brokers_job {
    const char *engine;
    const uint8_t *sha256; /* of the sample */
    uint64_t scan;         /* they are made in the order of their numbers */
    uint64_t size;         /* of the sample, bytes */
    uint32_t run_ms;       /* 0: the broker decides */
};

/* The broker that the job goes to now, -1: it waits. What is picked counts as given to it. */
int ps_brokers_pick(struct ps_brokers *self, const struct ps_brokers_job *job, uint64_t now_ms);
/* What is due. True when jobs that waited may go now: go through all of them again. */
bool ps_brokers_tick(struct ps_brokers *self, uint64_t now_ms);
/* Something may be waiting. */
bool ps_brokers_hold(const struct ps_brokers *self, uint64_t now_ms);

#endif
