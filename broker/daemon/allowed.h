/* broker/daemon/allowed.h: the keys that may connect, and what each may be: the certificate files (NAME.key) of one
 * directory, with metadata/roles.
 *
 * One thread loads; any thread may ask. A key has a number as long as it stays with the same rights: who loses a right
 * and who comes back is somebody new. */
#ifndef PS_BROKER_DAEMON_ALLOWED_H
#define PS_BROKER_DAEMON_ALLOWED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/peer/cert.h"

struct ps_allowed;

/* A key as an answer. */
struct ps_allowed_key {
    uint32_t who;   /* number, from 1; never given again */
    unsigned roles; /* PS_CERT_ROLE bits */
    char name[PS_CERT_NAME_MAX + 1];
};

/* Empty until the first load. 0 or PS_ERR_NOMEM. */
int ps_allowed_new(struct ps_allowed **ret_self, const char *directory);
void ps_allowed_free(struct ps_allowed **self_p);

/* Reads the directory again. Files that are no good are logged and left out, and so is the second of two with the same
 * key. on_gone hears of every key that was allowed and is not any more (or with other rights). A directory that can't be
 * read changes nothing: PS_ERR_IO, PS_ERR_NOTFOUND ... or PS_ERR_NOMEM. */
int ps_allowed_load(struct ps_allowed *self, void (*on_gone)(void *ctx, const struct ps_allowed_key *key),
                    void *ctx, struct ps_error *reterr);
/* True when the key (40 digits of Z85) is allowed now. */
bool ps_allowed_find(struct ps_allowed *self, const char *key, struct ps_allowed_key *ret_key);
/* How many there are. */
size_t ps_allowed_n(struct ps_allowed *self);

#endif
