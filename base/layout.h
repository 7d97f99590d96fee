/* base/layout.h: where things live (design: as root under /opt, /etc, /var/lib, /run; as a user under ~).
 * PHAGESCAN_STATE in the environment moves all of state and run under one directory (tests use it). */
#ifndef PS_BASE_LAYOUT_H
#define PS_BASE_LAYOUT_H

#include "base/err.h"

#define PS_PATH_MAX 512

struct ps_layout {
    char lib[PS_PATH_MAX];     /* programs, engines, www: /opt/phagescan or ~/.local/lib/phagescan (or the build) */
    char conf[PS_PATH_MAX];    /* the configuration file */
    char state[PS_PATH_MAX];   /* /var/lib/phagescan, ~/.local/state/phagescan */
    char pg[PS_PATH_MAX];      /* state/pg: the private cluster */
    char store[PS_PATH_MAX];   /* state/store: samples */
    char cache[PS_PATH_MAX];   /* state/cache: the worker's sample cache */
    char run[PS_PATH_MAX];     /* /run/phagescan, state/run */
    char api_sock[PS_PATH_MAX];    /* run/api.sock: the API for local programs */
    char broker_sock[PS_PATH_MAX]; /* run/broker.sock */
};

/* Fills *ret_self for the calling user. lib is found from the running program (/proc/self/exe): its directory's
 * parent when that is .../bin, else PHAGESCAN_LIB. PS_ERR_LIMIT when a path is too long. */
int ps_layout_find(struct ps_layout *ret_self, struct ps_error *reterr);

#endif
