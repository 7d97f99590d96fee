/* worker/host/result.h: one child's packets about one job, merged into one result. No clock, and no
 * descriptor but that of derived files (files.h).
 *
 * The child is hostile. What it says is checked against the order of a job (HAVE, then findings, traits and files, then DONE),
 * the job's number, the engine's kind and the limits of host.h; the first breach ends the job as a failure. Memory is
 * bounded by PS_TRAITS_MAX, files.h and the limits on counts. Both sides (the host's self-test collects too). */
#ifndef PS_HOST_RESULT_H
#define PS_HOST_RESULT_H

#include "proto/messages.h"
#include "worker/host/host.h"

struct ps_collect; /* what one job has brought so far; used again for the next */

enum ps_collected {
    PS_COLLECT_MORE,   /* go on */
    PS_COLLECT_HAVE,   /* the child has the sample */
    PS_COLLECT_DONE,   /* the job is over, and ps_collect_finish due */
    PS_COLLECT_BREACH, /* the child broke the rules: kill it, then ps_collect_finish */
};

/* How a job ended other than by DONE. */
enum ps_fate {
    PS_FATE_DONE,      /* the child answered */
    PS_FATE_CRASHED,   /* the child died by itself */
    PS_FATE_TIMEOUT,   /* it was killed at its deadline */
    PS_FATE_BREACH,    /* it was killed for breaking the rules */
    PS_FATE_FAILED,    /* it could not be run: nothing to do with the sample */
    PS_FATE_CANCELLED, /* it was killed because nobody wants the result */
};

/* dir: where many derived files go, lent; NULL: they stay in memory. 0 or PS_ERR_NOMEM. */
int ps_collect_new(struct ps_collect **ret_self, const char *dir);
void ps_collect_free(struct ps_collect **self_p);
/* For a new job of an engine of that kind. */
void ps_collect_start(struct ps_collect *self, uint64_t job, enum ps_engine_kind_no kind);
/* Forgets what the job has brought, to run it once more: HAVE is expected again. */
void ps_collect_restart(struct ps_collect *self);
/* Takes one packet in; msg NULL: it was malformed. */
enum ps_collected ps_collect_take(struct ps_collect *self, const struct ps_msg *msg);
/* True when DONE said that the child will exit. */
bool ps_collect_last(const struct ps_collect *self);
/* The result. fate and why (a sentence; NULL or "" for none) say how it ended. run_us and cpu_us are the child's word in DONE, 0 without. Lent until the next start or free. */
struct ps_host_result *ps_collect_finish(struct ps_collect *self, enum ps_fate fate, const char *why);

#endif
