/* base/layout.h: where things live (design: as root under /opt, /etc, /var/lib, /run; as a user under ~).
 * PHAGESCAN_STATE in the environment moves all of state and run under one directory (tests use it).
 * PHAGESCAN_SYSTEM, when set, stands for root's places whoever asks: `phagescan up` sets it for the accounts that it
 * starts its processes under. */
#ifndef PS_BASE_LAYOUT_H
#define PS_BASE_LAYOUT_H

#include "base/err.h"

#define PS_PATH_MAX 512

struct ps_layout {
    char lib[PS_PATH_MAX];  /* programs, engines, www: /opt/phagescan or ~/.local/lib/phagescan (or the build)
                             */
    char conf[PS_PATH_MAX]; /* the configuration file */
    char keys[PS_PATH_MAX]; /* beside it: broker.key, and allowed/ with the keys that may connect */
    char engines[PS_PATH_MAX];     /* beside it: engines/, the operator's own engines; need not be there */
    char state[PS_PATH_MAX];       /* /var/lib/phagescan, ~/.local/state/phagescan */
    char pg[PS_PATH_MAX];          /* state/pg: the private cluster */
    char store[PS_PATH_MAX];       /* state/store: samples */
    char cache[PS_PATH_MAX];       /* state/cache: the worker's sample cache */
    char run[PS_PATH_MAX];         /* /run/phagescan, state/run */
    char api_sock[PS_PATH_MAX];    /* run/api.sock: the API for local programs */
    char broker_sock[PS_PATH_MAX]; /* run/broker.sock */
    char mdp_sock[PS_PATH_MAX];    /* run/mdp.sock: Majordomo peers */
};

/* Fills *ret_self for the calling user: root's places when the effective uid is 0 (or PHAGESCAN_SYSTEM is set). lib is PHAGESCAN_LIB when
 * set, else the parent of the running program's directory when that is called bin, else the default. Reads
 * the environment and the user database: call it before threads. PS_ERR_LIMIT when a path is too long,
 * PS_ERR_INVALID when a variable is not an absolute path, PS_ERR_NOTFOUND for a user without a home. */
int ps_layout_find(struct ps_layout *ret_self, struct ps_error *reterr);

#endif
