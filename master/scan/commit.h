/* master/scan/commit.h: findings into rows: one transaction for a whole batch, with the verdicts of the scans that it
 * completes.
 *
 * Belongs to one thread, with its connection. All or nothing: results become final by compare-and-set on their job
 * rows, scans count down in the order of their ids, who reaches 0 gets its verdict and its place in the sequence,
 * engines that were unavailable are noted as missing, crashes in the poison ledger. Only in its epoch: the row
 * master_epoch is locked against change and looked at first. Events are published after COMMIT, SCAN events in the
 * order of their seq. Private to master/scan and its tests. */
#ifndef PS_MASTER_SCAN_COMMIT_H
#define PS_MASTER_SCAN_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/pg.h"
#include "master/scan/events.h"
#include "master/scan/post.h"

#define PS_COMMIT_N     1000               /* findings in one transaction */
#define PS_COMMIT_BYTES (16 * 1024 * 1024) /* of them, after the first */

struct ps_commit;

struct ps_commit_sum {
    uint64_t results;  /* made final */
    uint64_t repeated; /* final already, or no such job: dropped */
    uint64_t verdicts; /* scans finished */
    uint64_t lost;     /* LOST findings counted */
};

/* pg and events are lent. 0 or PS_ERR_NOMEM. */
int ps_commit_new(struct ps_commit **ret_self, struct ps_pg *pg, struct ps_events *events);
void ps_commit_free(struct ps_commit **self_p);

/* Writes n findings (at most PS_COMMIT_N) in this epoch. 0, then all of them are settled, also what was dropped;
 * PS_ERR_STALE: the epoch is over, nothing is written; PS_ERR_INVALID, PS_ERR_CONFLICT: the database does not take
 * one of them, nothing is written: try halves; PS_ERR_UNAVAILABLE: the connection broke, perhaps after COMMIT (then
 * *ret_unsure: the same batch again settles it, but what was committed then gets no event); PS_ERR_AGAIN, ..._NOSPACE,
 * _TIMEOUT, _NOMEM, _IO: nothing is written, try again later. */
int ps_commit_write(struct ps_commit *self, struct ps_finding *const *findings, size_t n, uint64_t epoch,
                    struct ps_commit_sum *ret_sum, bool *ret_unsure, struct ps_error *reterr);

#endif
