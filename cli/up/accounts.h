/* cli/up/accounts.h: who runs what. As root: three accounts (database, services, engines), never one for two,
 * made as system accounts when they are missing. As a user: all the caller's own. */
#ifndef PS_CLI_UP_ACCOUNTS_H
#define PS_CLI_UP_ACCOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct ps_account {
    const char *name; /* static */
    uid_t uid;
    gid_t gid;
};

struct ps_accounts {
    bool root;                  /* started as root: processes change to these */
    struct ps_account database; /* phagescan-db */
    struct ps_account services; /* phagescan: broker, master, worker's session */
    struct ps_account engines;  /* phagescan-engine: engine hosts */
};

int ps_accounts_find(struct ps_accounts *ret_self, struct ps_error *reterr);

/* In a fresh child process: becomes that account for good (groups, gid, uid). 0 or PS_ERR_DENIED. */
int ps_account_become(const struct ps_account *self);

#endif
