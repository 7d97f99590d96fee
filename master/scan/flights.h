/* master/scan/flights.h: the scans whose jobs are in the broker's hands: drive's book. Pure: no clock, no I/O. One
 * thread. Private to master/scan and its tests.
 *
 * A flight is SENT until the broker has taken one of its jobs (ACCEPTED), AGAIN when it was too busy; it ends when all
 * its jobs are settled.
 *
 * Invariant: jobs_n of a band is the number of unsettled jobs of its flights. */
#ifndef PS_MASTER_SCAN_FLIGHTS_H
#define PS_MASTER_SCAN_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

struct ps_flights;

int ps_flights_new(struct ps_flights **ret_self);
void ps_flights_free(struct ps_flights **self_p);

/* A SUBMIT of these jobs (all of one scan, at least one) leaves at now_ms. A scan that is in the book gets this list of
 * jobs instead of its old one, and is SENT anew. 0 or PS_ERR_NOMEM. */
int ps_flights_send(struct ps_flights *self, uint64_t scan, unsigned band, const uint64_t *jobs,
                    size_t jobs_n, uint64_t now_ms);
bool ps_flights_has(const struct ps_flights *self, uint64_t scan);
/* The broker has a job. Strangers are ignored, here and below. */
void ps_flights_accept(struct ps_flights *self, uint64_t job);
/* The broker did not take a job. */
void ps_flights_refuse(struct ps_flights *self, uint64_t job);
/* A job has its final result. True when its flight ended with that. */
bool ps_flights_settle(struct ps_flights *self, uint64_t job);
/* The scan is not to be done any more (it is finished). */
void ps_flights_end(struct ps_flights *self, uint64_t scan);
/* Those SENT before this time without an answer become AGAIN. Returns how many. */
size_t ps_flights_overdue(struct ps_flights *self, uint64_t sent_before_ms);
/* Up to max scans of the band that are AGAIN, oldest first; they stay so until sent or ended. */
size_t ps_flights_again(const struct ps_flights *self, unsigned band, uint64_t *ret_scans, size_t max);
size_t ps_flights_again_n(const struct ps_flights *self, unsigned band);

size_t ps_flights_jobs_n(const struct ps_flights *self, unsigned band); /* unsettled jobs of a band */
size_t ps_flights_n(const struct ps_flights *self);                     /* scans of all bands */
void ps_flights_clear(struct ps_flights *self);

#endif
