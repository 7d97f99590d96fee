/* phagescan keys broker, phagescan keys new: pairs are made. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/keys/keys.h"
#include "cli/keys/ring.h"
#include "cli/text.h"

/* ---- the broker's ---- */

struct broker_settings {
    bool renew;
};

static const struct ps_opt broker_options[] = {
    {"renew", 0, PS_OPT_FLAG, offsetof(struct broker_settings, renew), 0, 0, NULL, NULL,
     "replace a key that is there: workers and masters need the new public file, and the broker a restart"},
    {0},
};

static int make_broker(const struct ps_ring *ring, bool renew, struct ps_error *reterr)
{
    PS_FREE char *secret = ps_strf("%s" PS_CERT_SECRET, ring->broker);
    PS_CLEANUP(ps_cert_fini) struct ps_cert cert = {.roles = 0};
    int r;

    if (!secret)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (!renew && access(secret, F_OK) == 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT,
                            "the broker has a key: %s. --renew makes another one, and then all workers and "
                            "masters need its public file",
                            ring->broker);
    r = ps_cert_make(&cert, "broker", 0, reterr);
    if (!r)
        r = ps_ring_make_parent(ring, ring->broker, reterr);
    if (!r)
        r = ps_ring_write_pair(ring, &cert, ring->broker, reterr);
    return r ? r : ps_ring_check_reach(ring, secret, reterr);
}

/* An empty directory of allowed keys lets the broker start, and lets nobody in. */
static int make_allowed(const struct ps_ring *ring, struct ps_error *reterr)
{
    PS_FREE char *inside = ps_strf("%s/any", ring->allowed);
    int r;

    if (!inside)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_ring_make_parent(ring, inside, reterr);
    return r ? r : ps_ring_check_reach(ring, ring->allowed, reterr);
}

int ps_keys_broker(int argc, char **argv)
{
    struct broker_settings settings = {0};
    struct ps_opts_args rest = {0};
    struct ps_ring ring;
    struct ps_error why = {0};
    int status = ps_text_options(broker_options, &settings, argc, argv, "keys broker [--renew]",
                                 "Makes the broker's own pair of keys, where it looks for them.\n"
                                 "Workers and masters of other machines need the public file, FILE.key.",
                                 &rest);

    if (status < 0 && rest.argc > 0)
        status = ps_text_complain(argv[0], "it takes no arguments");
    if (status >= 0)
        return status;
    if (ps_ring_find(&ring, true, &why) || make_broker(&ring, settings.renew, &why) ||
        make_allowed(&ring, &why))
        return ps_text_complain(argv[0], why.text);
    (void)printf("public: %s (for workers and masters: their setting broker-key)\n"
                 "secret: %s" PS_CERT_SECRET "\n"
                 "allowed: %s (phagescan keys allow)\n",
                 ring.broker, ring.broker, ring.allowed);
    return PS_EXIT_OK;
}

/* ---- a worker's or a master's ---- */

struct new_settings {
    char *role;
    char *out;
};

static const struct ps_opt new_options[] = {
    {"role", 'r', PS_OPT_TEXT, offsetof(struct new_settings, role), 0, 0, NULL, "roles",
     "what its owner may be: worker, master, or both with a comma between"},
    {"out", 'o', PS_OPT_TEXT, offsetof(struct new_settings, out), 0, 0, ".", "directory",
     "where the files go"},
    {0},
};

static int refuse_taken(const char *path, struct ps_error *reterr)
{
    return access(path, F_OK) == 0
               ? ps_error_set(reterr, PS_ERR_CONFLICT,
                              "%s is there already: take another name, or move it away", path)
               : 0;
}

/* As `phagescan keys allow` would refuse it, but before it is carried about. */
static int refuse_allowed_name(const struct ps_ring *ring, const char *name, struct ps_error *reterr)
{
    PS_CLEANUP(ps_certdir_fini) struct ps_certdir dir = {0};

    if (ps_ring_read_allowed(ring, &dir, NULL))
        return 0; /* not ours to read: then it is not here that the key will be allowed */
    for (size_t i = 0; i < dir.n; i++)
        if (dir.at[i].cert.public_key[0] && strcmp(dir.at[i].cert.name, name) == 0)
            return ps_error_set(reterr, PS_ERR_CONFLICT, "the name %s is taken: %s/%s has it", name,
                                ring->allowed, dir.at[i].file);
    return 0;
}

static int make_new(const char *name, const struct new_settings *settings, char **ret_path,
                    struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/%s" PS_CERT_SUFFIX, settings->out, name);
    PS_FREE char *secret = ps_strf("%s/%s" PS_CERT_SUFFIX PS_CERT_SECRET, settings->out, name);
    PS_CLEANUP(ps_cert_fini) struct ps_cert cert = {.roles = 0};
    struct ps_ring ring;
    unsigned roles;
    int r;

    if (!path || !secret)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if ((r = ps_cert_roles_read(&roles, settings->role, reterr)))
        return ps_error_wrap(reterr, r, "--role %s", settings->role);
    if ((r = ps_cert_make(&cert, name, roles, reterr)) || (r = ps_ring_find(&ring, false, reterr)) ||
        (r = refuse_taken(path, reterr)) || (r = refuse_taken(secret, reterr)) ||
        (r = refuse_allowed_name(&ring, name, reterr)) ||
        (r = ps_ring_write_pair(&ring, &cert, path, reterr)))
        return r;
    *ret_path = PS_TAKE(path);
    return 0;
}

int ps_keys_new(int argc, char **argv)
{
    struct new_settings settings = {0};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    PS_FREE char *path = NULL;
    int status = ps_text_options(
        new_options, &settings, argc, argv, "keys new NAME --role worker|master|client|service[,...]",
        "Makes a pair of keys for a worker or a master: NAME.key, which may be shown, and\n"
        "NAME.key_secret, which stays on its machine. `phagescan keys allow NAME.key` on the\n"
        "broker's machine lets it in.",
        &rest);

    if (status < 0 && rest.argc != 1)
        status = ps_text_complain(argv[0], "it takes one name");
    if (status < 0 && !settings.role)
        status = ps_text_complain(argv[0], "--role is missing: worker, master, or both with a comma between");
    if (status < 0 && make_new(rest.argv[0], &settings, &path, &why))
        status = ps_text_complain(argv[0], why.text);
    ps_opts_fini(new_options, &settings);
    if (status >= 0)
        return status;
    (void)fputs("public: ", stdout);
    (void)ps_text_put(stdout, path, 0);
    (void)fputs(" (for `phagescan keys allow` on the broker's machine)\nsecret: ", stdout);
    (void)ps_text_put(stdout, path, 0);
    (void)puts(PS_CERT_SECRET " (for its owner alone; the setting key names the file without " PS_CERT_SECRET
                              ")");
    return PS_EXIT_OK;
}
