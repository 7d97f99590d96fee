/* master/ingest/resolve.h: from what a submitter asked for (profile, engines) to what will run: an engine set with
 * its id, the profile, the deadline.
 *
 * A resolver belongs to one thread. It keeps profiles, engines and sets it has seen and reads profiles and engines
 * anew when they are older than PS_RESOLVE_FRESH_MS, or when a name is not among them: an engine that /engines shows
 * may be asked for at once. Plans are lent until the next ps_resolve_refresh. */
#ifndef PS_MASTER_INGEST_RESOLVE_H
#define PS_MASTER_INGEST_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "master/ingest/batchbody.h"

#define PS_RESOLVE_FRESH_MS 1000
#define PS_RESOLVE_PLANS_N  1024 /* different wishes kept over a refresh; a group adds at most one a file */
#define PS_SET_ENGINES_N    250  /* engines of one scan: a job's id has eight bits for them */

struct ps_pg;
struct ps_resolve;

/* What will run. */
struct ps_plan {
    int32_t set_id;     /* engine_set */
    int16_t profile_id; /* profile */
    int32_t deadline_ms;
    int16_t engines_n;
    int16_t engines[PS_SET_ENGINES_N]; /* engine ids by ordinal */
    bool required[PS_SET_ENGINES_N];
};

int ps_resolve_new(struct ps_resolve **ret_self);
void ps_resolve_free(struct ps_resolve **self_p);

/* Reads profiles and engines when what is kept is too old (or force). Forgets all plans then. */
int ps_resolve_refresh(struct ps_resolve *self, struct ps_pg *pg, bool force, struct ps_error *reterr);

/* The plan for a file's profile and engines. An unknown one is PS_ERR_INVALID with a sentence that names it and those
 * that exist. Errors of the database come through (PS_ERR_UNAVAILABLE, ...): resolving may make an engine set.
 *
 * A profile stands for the engines it names, or, when it names none, for every enabled engine; to them come those it
 * requires. Engines named by the submitter replace all that: then every evilness engine among them is required. */
int ps_resolve_file(struct ps_resolve *self, struct ps_pg *pg, const struct ps_ingest_file *file,
                    const struct ps_plan **ret_plan, struct ps_error *reterr);

#endif
