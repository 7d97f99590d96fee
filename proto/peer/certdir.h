/* proto/peer/certdir.h: the certificate files (NAME.key) of a directory of keys that may connect, and which of them count.
 * Read by the broker, which lets them in, and by `phagescan keys`, which shows them: both judge alike. Any thread. */
#ifndef PS_PROTO_PEER_CERTDIR_H
#define PS_PROTO_PEER_CERTDIR_H

#include <stddef.h>

#include "base/err.h"
#include "proto/peer/cert.h"

#define PS_CERTDIR_KEYS_MAX  4096  /* keys that count; more are named and left out */
#define PS_CERTDIR_FILES_MAX 16384 /* files; in a directory with more, none is believed */

struct ps_certdir_file {
    char *file; /* its name in the directory; owned */
    struct ps_cert
        cert;  /* never with a secret; with a name in any case. public_key "": the file is no certificate */
    char *why; /* why it does not count, in words; NULL: it counts. Owned */
};

struct ps_certdir {
    struct ps_certdir_file *at; /* owned; in the order of names */
    size_t n;
};

/* Reads all of path but what is just being written and what begins with a dot. A file that is no good has a why, and so has
 * the second of two with the same key. 0; PS_ERR_NOTFOUND, PS_ERR_DENIED, PS_ERR_LIMIT ... with a sentence; PS_ERR_NOMEM.
 * The caller owns what is in *ret_self. */
int ps_certdir_read(struct ps_certdir *ret_self, const char *path, struct ps_error *reterr);
void ps_certdir_fini(struct ps_certdir *self);

#endif
