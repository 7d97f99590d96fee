#include "proto/peer/keys.h"

#include <string.h>

#include "proto/peer/cert.h"

int ps_keys_load(struct ps_keys *ret_keys, const char *own_path, const char *server_path,
                 struct ps_error *reterr)
{
    struct ps_cert own, server;
    int r;

    if ((r = ps_cert_read(&server, server_path, reterr)) || (r = ps_cert_read_own(&own, own_path, reterr)))
        return r;

    memcpy(ret_keys->own_public, own.public_key, PS_KEY_TEXT);
    memcpy(ret_keys->own_secret, own.secret_key, PS_KEY_TEXT);
    memcpy(ret_keys->server_public, server.public_key, PS_KEY_TEXT);
    ps_cert_fini(&own);
    ps_cert_fini(&server);
    return 0;
}

void ps_keys_fini(struct ps_keys *self)
{
    explicit_bzero(self, sizeof(*self));
}
