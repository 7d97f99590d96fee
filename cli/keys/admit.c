/* phagescan keys allow, phagescan keys remove: what is in the directory of allowed keys. The broker watches it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/keys/keys.h"
#include "cli/keys/ring.h"
#include "cli/text.h"

/* ---- allow ---- */

struct allow_settings {
    char *role;
    char *name;
};

static const struct ps_opt allow_options[] = {
    {"role", 'r', PS_OPT_TEXT, offsetof(struct allow_settings, role), 0, 0, NULL, "roles",
     "what it may be, instead of what the file says: worker, master, or both with a comma between"},
    {"name", 'n', PS_OPT_TEXT, offsetof(struct allow_settings, name), 0, 0, NULL, "name",
     "what to call it, instead of what the file says"},
    {0},
};

/* What the file says, and what the command line says better. */
static int read_wanted(struct ps_cert *ret_cert, const char *file, const struct allow_settings *settings,
                       struct ps_error *reterr)
{
    struct ps_cert cert;
    int r = ps_cert_read(&cert, file, reterr);

    if (r)
        return r;
    ps_cert_fini(&cert); /* the secret is nobody's business here */
    if (settings->role && (r = ps_cert_roles_read(&cert.roles, settings->role, reterr)))
        return ps_error_wrap(reterr, r, "--role %s", settings->role);
    if (settings->name && !ps_cert_name_valid(settings->name))
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "--name %s: 1 to %d letters, digits, dots, dashes or underscores", settings->name,
                            PS_CERT_NAME_MAX);
    if (settings->name)
        (void)snprintf(cert.name, sizeof(cert.name), "%s", settings->name); /* fits: it is valid */
    if (!cert.name[0])
        return ps_error_set(reterr, PS_ERR_INVALID, "%s says no name: give --name", file);
    if (!cert.roles)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s says no roles: give --role worker or --role master",
                            file);
    *ret_cert = cert;
    return 0;
}

/* The same key may come again, with other rights; a name is one key's, and a key has one name. */
static int find_place(const struct ps_ring *ring, const struct ps_cert *cert, struct ps_error *reterr)
{
    PS_CLEANUP(ps_certdir_fini) struct ps_certdir dir = {0};
    int r = ps_ring_read_allowed(ring, &dir, reterr);

    for (size_t i = 0; !r && i < dir.n; i++) {
        const struct ps_certdir_file *there = &dir.at[i];
        bool same_key = strcmp(there->cert.public_key, cert->public_key) == 0;
        bool same_name = there->cert.public_key[0] && strcmp(there->cert.name, cert->name) == 0;

        if (same_name && !same_key)
            r = ps_error_set(reterr, PS_ERR_CONFLICT,
                             "the name %s is taken by another key: %s/%s. Give --name, or remove that one",
                             cert->name, ring->allowed, there->file);
        else if (same_key && !same_name)
            r = ps_error_set(reterr, PS_ERR_CONFLICT, "this key is allowed already, by the name %s: %s/%s",
                             there->cert.name, ring->allowed, there->file);
    }
    return r;
}

static int allow(const struct ps_ring *ring, const struct ps_cert *cert, char **ret_path,
                 struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/%s" PS_CERT_SUFFIX, ring->allowed, cert->name);
    int r;

    if (!path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_ring_make_parent(ring, path, reterr);
    if (!r)
        r = find_place(ring, cert, reterr);
    if (!r)
        r = ps_cert_write(cert, path, false, reterr);
    if (!r)
        r = ps_ring_check_reach(ring, path, reterr);
    if (!r)
        *ret_path = PS_TAKE(path);
    return r;
}

int ps_keys_allow(int argc, char **argv)
{
    struct allow_settings settings = {0};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    struct ps_ring ring;
    struct ps_cert cert = {.roles = 0};
    PS_FREE char *path = NULL;
    char roles[PS_CERT_ROLES_MAX];
    int status =
        ps_text_options(allow_options, &settings, argc, argv, "keys allow FILE [OPTION...]",
                        "Lets the owner of a public key connect to the broker of this machine: at once, the\n"
                        "broker needs no restart. A key that is there gets the rights that are said now.",
                        &rest);

    if (status < 0 && rest.argc != 1)
        status = ps_text_complain(argv[0], "it takes one file");
    if (status < 0 && (ps_ring_find(&ring, false, &why) ||
                       read_wanted(&cert, rest.argv[0], &settings, &why) || allow(&ring, &cert, &path, &why)))
        status = ps_text_complain(argv[0], why.text);
    ps_opts_fini(allow_options, &settings);
    if (status >= 0)
        return status;
    (void)printf("%s may connect as %s: ", cert.name, ps_cert_roles_text(roles, cert.roles));
    (void)ps_text_put(stdout, path, 0);
    (void)putchar('\n');
    return PS_EXIT_OK;
}

/* ---- remove ---- */

static bool is_meant(const struct ps_certdir_file *file, const char *which)
{
    return file->cert.public_key[0] &&
           (strcmp(file->cert.public_key, which) == 0 || strcmp(file->cert.name, which) == 0);
}

/* The key that is meant: a key, or a name that only one key has. */
static int find_key(const struct ps_ring *ring, const struct ps_certdir *dir, const char *which,
                    char ret_key[PS_KEY_TEXT], struct ps_error *reterr)
{
    const struct ps_certdir_file *found = NULL;

    for (size_t i = 0; i < dir->n; i++) {
        const struct ps_certdir_file *file = &dir->at[i];

        if (!is_meant(file, which))
            continue;
        if (found && strcmp(found->cert.public_key, file->cert.public_key) != 0)
            return ps_error_set(reterr, PS_ERR_CONFLICT, "%s and %s are both called %s: give the key itself",
                                found->file, file->file, which);
        found = file;
    }
    if (!found)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "no such key in %s: %s", ring->allowed, which);
    memcpy(ret_key, found->cert.public_key, PS_KEY_TEXT);
    return 0;
}

/* All files with that key: with one of them left, it would still be allowed. */
static int take_away(const struct ps_ring *ring, const char *which, struct ps_error *reterr)
{
    PS_CLEANUP(ps_certdir_fini) struct ps_certdir dir = {0};
    char key[PS_KEY_TEXT];
    int r = ps_ring_read_allowed(ring, &dir, reterr);

    if (!r)
        r = find_key(ring, &dir, which, key, reterr);
    for (size_t i = 0; !r && i < dir.n; i++) {
        PS_FREE char *path = NULL;

        if (strcmp(dir.at[i].cert.public_key, key) != 0)
            continue;
        path = ps_strf("%s/%s", ring->allowed, dir.at[i].file);
        if (!path || unlink(path) < 0)
            return ps_error_set(reterr, path ? ps_err_from_errno(errno) : PS_ERR_NOMEM,
                                "%s/%s can't be removed: %s", ring->allowed, dir.at[i].file,
                                path ? strerror(errno) : "out of memory");
        (void)fputs("removed: ", stdout);
        (void)ps_text_put(stdout, path, 0);
        (void)putchar('\n');
    }
    return r;
}

int ps_keys_remove(int argc, char **argv)
{
    static const struct ps_opt no_options[] = {{0}};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    struct ps_ring ring;
    char none = 0;
    int status = ps_text_options(
        no_options, &none, argc, argv, "keys remove NAME|KEY",
        "Takes a key from those that may connect. The broker ends its sessions at once, gives its\n"
        "jobs to others, and hears nothing more of it.",
        &rest);

    if (status < 0 && rest.argc != 1)
        status = ps_text_complain(argv[0], "it takes one name, or a public key");
    if (status >= 0)
        return status;
    if (ps_ring_find(&ring, false, &why) || take_away(&ring, rest.argv[0], &why))
        return ps_text_complain(argv[0], why.text);
    return PS_EXIT_OK;
}
