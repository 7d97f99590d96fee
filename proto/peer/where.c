#include "proto/peer/where.h"

#include "base/mem.h"

#define IPC "ipc://"
#define TCP "tcp://"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

int ps_where_settle(char **endpoint_p, const char *key, const char *broker_key, bool insecure,
                    struct ps_error *reterr)
{
    const char *endpoint = *endpoint_p;

    if (endpoint[0] == '/') {
        char *made = ps_strf(IPC "%s", endpoint);

        if (!made)
            return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
        free(*endpoint_p);
        *endpoint_p = made;
        endpoint = made;
    }
    if (!begins(endpoint, IPC) && !begins(endpoint, TCP))
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "--broker %s: write " TCP "HOST:PORT, " IPC "PATH or an absolute path", endpoint);
    if (!key != !broker_key)
        return ps_error_set(reterr, PS_ERR_INVALID, "--key and --broker-key go together");
    if (begins(endpoint, TCP) && !key && !insecure)
        return ps_error_set(
            reterr, PS_ERR_INVALID,
            "--broker %s needs --key and --broker-key (phagescan keys makes them); --insecure-tcp "
            "goes without",
            endpoint);
    return 0;
}

bool ps_where_is_insecure(const char *endpoint, const char *key)
{
    return begins(endpoint, TCP) && !key;
}
