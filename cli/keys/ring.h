/* cli/keys/ring.h: where this machine's keys are, and whose they have to be: as base/layout.h has it, unless the broker's
 * section of the configuration file names other places. One thread. */
#ifndef PS_CLI_KEYS_RING_H
#define PS_CLI_KEYS_RING_H

#include <stdbool.h>

#include "base/err.h"
#include "base/layout.h"
#include "cli/up/accounts.h"
#include "proto/peer/cert.h"
#include "proto/peer/certdir.h"

struct ps_ring {
    struct ps_layout layout;
    char broker[PS_PATH_MAX];   /* the broker's certificate; its secret beside it */
    char allowed[PS_PATH_MAX];  /* directory of the keys that may connect */
    bool handed_over;           /* we are root, and files are given to the account below */
    struct ps_account services; /* who reads them then */
};

/* Finds the places. As root, the account phagescan when there is one; it is made when make_accounts is true. 0, or an
 * error with a sentence. */
int ps_ring_find(struct ps_ring *ret_self, bool make_accounts, struct ps_error *reterr);

/* Makes the directory that path is in, when it is missing: as root open to all who pass through (secrets have a mode of
 * their own), else ours alone. */
int ps_ring_make_parent(const struct ps_ring *self, const char *path, struct ps_error *reterr);
/* Writes path (public) and path_secret (0600, and the account's when we are root), in this order: a secret that is there is
 * complete. Replaces both. */
int ps_ring_write_pair(const struct ps_ring *self, const struct ps_cert *cert, const char *path,
                       struct ps_error *reterr);
/* Can the account that is to read path come to it? PS_ERR_DENIED with a sentence when not. */
int ps_ring_check_reach(const struct ps_ring *self, const char *path, struct ps_error *reterr);
/* The directory of allowed keys; one that is not there yet is empty. */
int ps_ring_read_allowed(const struct ps_ring *self, struct ps_certdir *ret_dir, struct ps_error *reterr);

#endif
