/* cli/submit/verdicts.h: the verdicts of a run that are still to come, by submission. One thread.
 *
 * An event can overtake the answer that names its submission, and the events of an earlier run's files come under the
 * same batch: those are shown, and waited for only when they were adopted. Memory: about 80 bytes a submission that
 * waits. */
#ifndef PS_CLI_SUBMIT_VERDICTS_H
#define PS_CLI_SUBMIT_VERDICTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cli/api.h"
#include "cli/submit/show.h"

struct ps_verdicts;

/* All lent. */
int ps_verdicts_new(struct ps_verdicts **ret_self, struct ps_api *api, const char *batch,
                    struct ps_show *show);
void ps_verdicts_free(struct ps_verdicts **self_p);

/* The server has acknowledged this submission. */
int ps_verdicts_expect(struct ps_verdicts *self, int64_t submission);
/* Nothing is under way to the server: what came early belongs to nobody of this run. */
void ps_verdicts_all_expected(struct ps_verdicts *self);
/* A scan event of the batch: shows the verdict of each submission in it, once. */
void ps_verdicts_take(struct ps_verdicts *self, const json_t *event);
/* Submissions whose verdict has not come. */
size_t ps_verdicts_left(const struct ps_verdicts *self);

/* Asks the server for those that are left, in case that an event was lost (a server restored from a backup, an answer
 * repeated from an earlier run). Blocks for as long as the server takes to answer. */
int ps_verdicts_look(struct ps_verdicts *self, struct ps_error *reterr);
/* Expects the verdicts that an earlier run of the batch left open, too. Blocks likewise. */
int ps_verdicts_adopt(struct ps_verdicts *self, struct ps_error *reterr);
/* Tells show which bad verdicts the batch has from earlier runs. */
int ps_verdicts_earlier(struct ps_verdicts *self, struct ps_error *reterr);

#endif
