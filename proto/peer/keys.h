/* proto/peer/keys.h: the CURVE keys of one side of a connection. Any thread. */
#ifndef PS_PROTO_PEER_KEYS_H
#define PS_PROTO_PEER_KEYS_H

#include "base/err.h"

#define PS_KEY_TEXT 41 /* a key as Z85 text, with its NUL */

struct ps_keys {
    char own_public[PS_KEY_TEXT];
    char own_secret[PS_KEY_TEXT];
    char server_public[PS_KEY_TEXT]; /* the broker's */
};

/* Reads our certificate (own_path, its secret in it or beside it as own_path + "_secret", in czmq's form) and the
 * broker's public one. 0; PS_ERR_NOTFOUND, PS_ERR_INVALID or PS_ERR_DENIED (others may read the secret) with a
 * sentence. */
int ps_keys_load(struct ps_keys *ret_keys, const char *own_path, const char *server_path,
                 struct ps_error *reterr);
/* Overwrites the secret. */
void ps_keys_fini(struct ps_keys *self);

#endif
