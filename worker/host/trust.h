/* worker/host/trust.h: whether a file may be taken for an engine of the operator's: who else could have written it? Any
 * thread. */
#ifndef PS_HOST_TRUST_H
#define PS_HOST_TRUST_H

#include <sys/types.h>

#include "base/err.h"

/* Looks at dir, at path below it, and at all that lies between: each must belong to owner or root, and nobody else may
 * write it (no bits for group and others); links are refused, since what they lead to can change. 0; PS_ERR_DENIED with
 * a sentence; PS_ERR_NOTFOUND; PS_ERR_INVALID when path is not below dir. */
int ps_trust_path(const char *dir, const char *path, uid_t owner, struct ps_error *reterr);

#endif
