/* worker/host/account.h: becoming another account for good. Any program of the worker; single-threaded callers. */
#ifndef PS_HOST_ACCOUNT_H
#define PS_HOST_ACCOUNT_H

#include <sys/types.h>

#include "base/err.h"

struct ps_account {
    uid_t uid;
    gid_t gid;
};

/* Looks an account up by name (its primary group with it). 0; PS_ERR_NOTFOUND with a sentence. */
int ps_account_find(const char *name, struct ps_account *ret_account, struct ps_error *reterr);
/* Becomes that account for good: groups, gid, uid, and checks that there is no way back. 0 or PS_ERR_DENIED. */
int ps_account_become(struct ps_account account, struct ps_error *reterr);

#endif
