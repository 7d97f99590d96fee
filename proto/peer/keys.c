#include "proto/peer/keys.h"

#include <czmq.h>

#include "base/mem.h"

#define PS_CERT PS_CLEANUP(zcert_destroy)

static int load(zcert_t **ret_cert, const char *path, struct ps_error *reterr)
{
    if (access(path, R_OK))
        return ps_error_set(reterr, ps_err_from_errno(errno), "certificate %s: %s", path, strerror(errno));

    *ret_cert = zcert_load(path);
    if (!*ret_cert)
        return ps_error_set(reterr, PS_ERR_INVALID, "certificate %s: not a certificate", path);
    return 0;
}

int ps_keys_load(struct ps_keys *ret_keys, const char *own_path, const char *server_path,
                 struct ps_error *reterr)
{
    PS_CERT zcert_t *own = NULL;
    PS_CERT zcert_t *server = NULL;
    const char *secret;
    int r;

    if ((r = load(&own, own_path, reterr)) || (r = load(&server, server_path, reterr)))
        return r;

    /* zcert_load gives a certificate without a secret an all-zero one. */
    secret = zcert_secret_txt(own);
    if (strspn(secret, "0") == strlen(secret))
        return ps_error_set(reterr, PS_ERR_INVALID, "certificate %s: the secret key (%s_secret) is missing",
                            own_path, own_path);

    (void)snprintf(ret_keys->own_public, PS_KEY_TEXT, "%s",
                   zcert_public_txt(own)); /* all are 40 digits long */
    (void)snprintf(ret_keys->own_secret, PS_KEY_TEXT, "%s", secret);
    (void)snprintf(ret_keys->server_public, PS_KEY_TEXT, "%s", zcert_public_txt(server));
    return 0;
}

void ps_keys_fini(struct ps_keys *self)
{
    explicit_bzero(self, sizeof(*self));
}
