/* proto/peer/cert.h: certificate files: a CURVE key with a name and rights, in the form that czmq's zcert reads and writes
 * (ZPL: metadata/name, metadata/roles, metadata/made, curve/public-key, curve/secret-key).
 *
 * A pair is two files: FILE holds what may be shown, FILE_secret all of it. Any thread, but for the umask. */
#ifndef PS_PROTO_PEER_CERT_H
#define PS_PROTO_PEER_CERT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "proto/messages.h"
#include "proto/peer/keys.h"

#define PS_CERT_BYTES_MAX 16384 /* longer files are none */
#define PS_CERT_NAME_MAX  64
#define PS_CERT_ROLES_MAX 32        /* text of roles, with its end */
#define PS_CERT_SUFFIX    ".key"    /* of certificate files that we make */
#define PS_CERT_SECRET    "_secret" /* added for the file with the secret */

/* Bit of a role in struct ps_cert. */
#define PS_CERT_ROLE(role) (1u << (role))
/* Roles of Majordomo peers, which are none of our protocol's: who asks for services, who offers them. */
#define PS_CERT_CLIENT  PS_CERT_ROLE(16)
#define PS_CERT_SERVICE PS_CERT_ROLE(17)

struct ps_cert {
    char public_key[PS_KEY_TEXT];
    char secret_key[PS_KEY_TEXT];    /* "": not in the file */
    char name[PS_CERT_NAME_MAX + 1]; /* "": the file says none */
    unsigned roles;                  /* PS_CERT_ROLE bits; 0: the file says none */
    char made[PS_RFC3339_MAX];       /* "": the file says nothing */
};

/* Draws a new pair. name: see ps_cert_name_valid. 0; PS_ERR_INVALID; PS_ERR_UNSUPPORTED (libzmq without CURVE). */
int ps_cert_make(struct ps_cert *ret_cert, const char *name, unsigned roles, struct ps_error *reterr);
/* Reads text, which it takes apart; others' sections and keys are passed over. NULL, or why it is no certificate (static).
 */
const char *ps_cert_parse(struct ps_cert *ret_cert, char *text);
/* Reads path itself; it is a regular file. 0; PS_ERR_NOTFOUND, PS_ERR_INVALID, PS_ERR_IO ... with a sentence that names
 * the file. */
int ps_cert_read(struct ps_cert *ret_cert, const char *path, struct ps_error *reterr);
/* Reads our own: path_secret when it is there, else path. A secret that others may read (mode) is refused, as is a file
 * without one or with a public key that is not its. Errors as ps_cert_read, and PS_ERR_DENIED. */
int ps_cert_read_own(struct ps_cert *ret_cert, const char *path, struct ps_error *reterr);
/* Writes path: the public part with mode 0644, or with the secret and mode 0600. Replaces what is there. */
int ps_cert_write(const struct ps_cert *self, const char *path, bool secret, struct ps_error *reterr);
/* Overwrites the secret. */
void ps_cert_fini(struct ps_cert *self);

/* 1 to PS_CERT_NAME_MAX of A-Z a-z 0-9 . _ - and no dot in front: it becomes a file's name. */
bool ps_cert_name_valid(const char *name);
/* 40 digits of Z85. */
bool ps_cert_key_valid(const char *key);
/* "worker", "master", "client", "service", or several with commas. 0 or PS_ERR_INVALID with a sentence. */
int ps_cert_roles_read(unsigned *ret_roles, const char *text, struct ps_error *reterr);
/* Writes them into buf and returns it; "none" for 0. */
const char *ps_cert_roles_text(char buf[PS_CERT_ROLES_MAX], unsigned roles);

#endif
