/* Keys for a broker with CURVE: a certificate each for the broker, a master and workers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "bench/dispatch/ours.h"
#include "proto/peer/cert.h"

static void write_cert(const struct ps_cert *cert, const char *path, bool secret)
{
    struct ps_error error = {0};

    if (ps_cert_write(cert, path, secret, &error))
        bench_die("%s", error.text);
}

/* DIRECTORY/NAME.key, its secret beside it, and a copy in allowed/ of one that has rights. */
static void make(const char *directory, const char *name, unsigned roles)
{
    PS_FREE char *path = ps_strf("%s/%s" PS_CERT_SUFFIX, directory, name);
    PS_FREE char *secret = ps_strf("%s/%s" PS_CERT_SUFFIX PS_CERT_SECRET, directory, name);
    PS_FREE char *allowed = ps_strf("%s/allowed/%s" PS_CERT_SUFFIX, directory, name);
    struct ps_error error = {0};
    struct ps_cert cert;

    if (!path || !secret || !allowed)
        bench_die("out of memory");
    if (ps_cert_make(&cert, name, roles, &error))
        bench_die("%s", error.text);
    write_cert(&cert, path, false);
    write_cert(&cert, secret, true);
    if (roles)
        write_cert(&cert, allowed, false);
    ps_cert_fini(&cert);
}

int ours_keys(const struct bench_options *options)
{
    PS_FREE char *allowed = options->key ? ps_strf("%s/allowed", options->key) : NULL;

    if (!allowed)
        bench_die("--key DIRECTORY is missing");
    if (mkdir(allowed, 0700))
        bench_die("%s: %s", allowed, strerror(errno));
    make(options->key, "broker", 0);
    make(options->key, "master", PS_CERT_ROLE(PS_ROLE_MASTER));
    make(options->key, "worker", PS_CERT_ROLE(PS_ROLE_WORKER));
    return 0;
}
