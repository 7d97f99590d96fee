/* worker/results.h: results that the master has not committed yet. A worker keeps each until COMMITTED comes, and
 * sends it again after a reconnect.
 *
 * A table belongs to the session's thread. One result a job: a second one replaces the first. The limit is the
 * caller's window; what is over it is refused, and the job's lease ends at the broker. */
#ifndef PS_WORKER_RESULTS_H
#define PS_WORKER_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

struct ps_results;

/* A table of at most limit_n results. 0 or PS_ERR_NOMEM. */
int ps_results_new(struct ps_results **ret_self, size_t limit_n);
void ps_results_free(struct ps_results **self_p);

/* Keeps a copy of result, texts and files (from items) and all. 0; PS_ERR_LIMIT; PS_ERR_NOMEM. */
int ps_results_keep(struct ps_results *self, const struct ps_msg_RESULT *result);
/* The result of a job, or NULL. Valid until the table changes. */
const struct ps_msg_RESULT *ps_results_find(const struct ps_results *self, uint64_t job);
/* The broker leased the job anew while its result waits here: it answers the new lease, and has to be sent again.
 * False: none is here. */
bool ps_results_rebind(struct ps_results *self, uint64_t job, uint64_t boot, uint64_t seq);
/* Forgets the job's result; false when none is here. */
bool ps_results_forget(struct ps_results *self, uint64_t job);

/* The oldest result that was not sent in this session, or NULL. Valid until the table changes. */
const struct ps_msg_RESULT *ps_results_unsent(const struct ps_results *self);
/* The job's result was sent. */
void ps_results_sent(struct ps_results *self, uint64_t job);
/* A new session: nothing was sent in it. */
void ps_results_unsend(struct ps_results *self);

size_t ps_results_n(const struct ps_results *self);
size_t ps_results_bytes(const struct ps_results *self); /* memory that they take */
/* Walks them, oldest first: pass NULL for the first, then the last one got; NULL after the last. The table must
 * not change meanwhile. */
const struct ps_msg_RESULT *ps_results_next(const struct ps_results *self, const struct ps_msg_RESULT *last);

#endif
