/* phagescan keys list: the broker's key, those that may connect, and files that let nobody in. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/keys/keys.h"
#include "cli/keys/ring.h"
#include "cli/text.h"

/* What there is to show. */
struct listing {
    struct ps_ring ring;
    bool has_broker;
    struct ps_cert broker;
    struct ps_certdir dir;
};

/* The public file: the secret is not ours to read. */
static int look(struct listing *self, struct ps_error *reterr)
{
    int r = ps_ring_find(&self->ring, false, reterr);

    if (r)
        return r;
    r = ps_cert_read(&self->broker, self->ring.broker, reterr);
    if (r && r != PS_ERR_NOTFOUND)
        return r;
    self->has_broker = r == 0;
    ps_cert_fini(&self->broker);
    return ps_ring_read_allowed(&self->ring, &self->dir, reterr);
}

static json_t *roles_json(unsigned roles)
{
    static const unsigned bits[] = {PS_CERT_ROLE(PS_ROLE_MASTER), PS_CERT_ROLE(PS_ROLE_WORKER),
                                    PS_CERT_CLIENT, PS_CERT_SERVICE};
    char word[PS_CERT_ROLES_MAX];
    json_t *list = json_array();

    for (size_t i = 0; i < PS_ARRAY_N(bits); i++)
        if (roles & bits[i]) /* appending fails for want of memory: see put_json */
            (void)json_array_append_new(list, json_string(ps_cert_roles_text(word, bits[i])));
    return list;
}

static json_t *key_json(const struct ps_certdir_file *file)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:s}", "file", file->file, "name", file->cert.name, "roles",
                     roles_json(file->cert.roles), "key", file->cert.public_key, "made", file->cert.made);
}

static int put_json(const struct listing *self)
{
    json_t *allowed = json_array(), *skipped = json_array(), *json;
    int failed = 0;

    for (size_t i = 0; i < self->dir.n; i++) {
        const struct ps_certdir_file *file = &self->dir.at[i];

        failed |= file->why ? json_array_append_new(skipped, json_pack("{s:s%, s:s}", "file", file->file,
                                                                       strlen(file->file), "why", file->why))
                            : json_array_append_new(allowed, key_json(file));
    }
    json = json_pack("{s:{s:s, s:s*}, s:s, s:o, s:o}", "broker", "file", self->ring.broker, "key",
                     self->has_broker ? self->broker.public_key : NULL, "directory", self->ring.allowed,
                     "allowed", allowed, "skipped", skipped);
    if (!json || failed)
        return ps_text_complain("keys list", "a file's name is not UTF-8, or there is no memory");
    ps_text_put_json(json);
    json_decref(json);
    return PS_EXIT_OK;
}

static void put_text(const struct listing *self)
{
    (void)printf("%-24s  %-28s  %-24s  %s\n", "name", "roles", "made", "key");
    if (self->has_broker)
        (void)printf("%-24s  %-28s  %-24s  %s\n", "(the broker's own)", "-", self->broker.made,
                     self->broker.public_key);
    for (size_t i = 0; i < self->dir.n; i++) {
        const struct ps_cert *cert = &self->dir.at[i].cert;
        char roles[PS_CERT_ROLES_MAX];

        if (self->dir.at[i].why)
            continue;
        ps_text_cell(cert->name, 24);
        (void)printf("%-28s  ", ps_cert_roles_text(roles, cert->roles));
        ps_text_cell(cert->made, 24);
        (void)puts(cert->public_key);
    }
    for (size_t i = 0; i < self->dir.n; i++) {
        if (!self->dir.at[i].why)
            continue;
        (void)fputs("lets nobody in: ", stdout);
        (void)ps_text_put(stdout, self->dir.at[i].file, 0);
        (void)fputs(": ", stdout);
        (void)ps_text_put(stdout, self->dir.at[i].why, 0);
        (void)putchar('\n');
    }
}

static bool all_count(const struct ps_certdir *dir)
{
    for (size_t i = 0; i < dir->n; i++)
        if (dir->at[i].why)
            return false;
    return true;
}

int ps_keys_list(int argc, char **argv)
{
    struct ps_text_json settings = {0};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    struct listing listing = {.has_broker = false};
    int status = ps_text_options(ps_text_json_options, &settings, argc, argv, "keys list [--json]",
                                 "Lists the broker's key and those that may connect to it.\n"
                                 "Exit status: 0 when every file of the directory counts, else 2.",
                                 &rest);

    if (status < 0 && rest.argc > 0)
        status = ps_text_complain(argv[0], "it takes no arguments");
    if (status >= 0)
        return status;
    if (look(&listing, &why))
        status = ps_text_complain(argv[0], why.text);
    else if (settings.json)
        status = put_json(&listing);
    else
        put_text(&listing);
    if (status <= PS_EXIT_OK)
        status = all_count(&listing.dir) ? PS_EXIT_OK : PS_EXIT_ERROR;
    ps_certdir_fini(&listing.dir);
    return status;
}
