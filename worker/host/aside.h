/* worker/host/aside.h: a throwaway child, jailed as those that scan are, for what an engine has to ask its programs before
 * there are scans: their versions. Engine host only. */
#ifndef PS_HOST_ASIDE_H
#define PS_HOST_ASIDE_H

#include "engines/engine.h"
#include "worker/host/jail.h"

/* Runs aside->job as struct ps_engine_aside says, in a child of this zygote with these grants. dir: a directory for it,
 * made and removed here. It settles the jail, which is settled again for the children that scan. 0, or a ps_err with a
 * sentence: PS_ERR_TIMEOUT when the time was up, PS_ERR_UNAVAILABLE when it died or job said no. */
int ps_aside_run(struct ps_jail *jail, const struct ps_engine_grants *grants, const char *dir,
                 struct ps_engine_aside *aside, struct ps_error *reterr);

#endif
