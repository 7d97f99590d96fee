/* engines/clamav/definitions.c */
#include "engines/clamav/definitions.h"
#include "engines/kit/kit.h"
#include "engines/kit/sigset.h"

#include <clamav.h>
#include <stdio.h>
#include <string.h>

/* The endings that libclamav 1.4 loads from a directory. */
static const char *const endings[] = {
    ".cvd", ".cld", ".cud", ".db",  ".hdb", ".hdu", ".hsb", ".hsu", ".fp",   ".sfp",  ".mdb", ".mdu",  ".msb",
    ".msu", ".ndb", ".ndu", ".ldb", ".ldu", ".sdb", ".zmd", ".rmd", ".pdb",  ".gdb",  ".wdb", ".cbc",  ".ftm",
    ".cfg", ".cdb", ".cat", ".crb", ".idb", ".ioc", ".imp", ".yar", ".yara", ".pwdb", ".ign", ".ign2",
};

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), e = strlen(ending);

    return n > e && !strcmp(name + n - e, ending);
}

static bool loadable(const char *name)
{
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (ends_with(name, endings[i]))
            return true;
    return false;
}

/* These have a header that says their version; .cud is built by anybody, so its bytes are hashed as well. */
static bool is_signed(const char *name)
{
    return ends_with(name, ".cvd") || ends_with(name, ".cld");
}

static bool is_plain(const char *name)
{
    return !is_signed(name);
}

static void add_version(struct ps_clamav_definitions *self, const char *name, unsigned version)
{
    size_t n = strlen(self->version);

    /* A directory of dozens of databases fills the text: describe() then hashes every file instead. */
    (void)snprintf(self->version + n, sizeof(self->version) - n, "%s%.*s-%u", n ? " " : "",
                   (int)strcspn(name, "."), name, version);
}

static int read_head(struct ps_clamav_definitions *self, const struct ps_sigset_file *file, char *err,
                     size_t err_max)
{
    struct cl_cvd *head = cl_cvdhead(file->path);

    if (!head)
        return ps_kit_fail(err, err_max, "%s: no database header", file->path);
    add_version(self, file->name, head->version);
    if (head->stime > self->built_at)
        self->built_at = head->stime;
    if (!strncmp(file->name, "daily.", 6) || !strncmp(file->name, "main.", 5))
        self->official = true;
    cl_cvdfree(head);
    return 0;
}

static int describe(struct ps_clamav_definitions *self, struct ps_sigset *set, char *err, size_t err_max)
{
    bool (*hashed)(const char *) = is_plain;
    size_t plain = 0, n;

    for (size_t i = 0; i < set->n; i++) {
        if (is_signed(set->files[i].name) && read_head(self, &set->files[i], err, err_max))
            return -1;
        if (is_plain(set->files[i].name)) {
            plain++;
            if (set->files[i].mtime > self->built_at)
                self->built_at = set->files[i].mtime;
        }
    }
    n = strlen(self->version);
    if (n > sizeof(self->version) - sizeof(self->hash)) {
        self->version[n = 0] = '\0';
        hashed = NULL;
    }
    if (!plain && hashed)
        return 0;
    if (ps_sigset_hash(set, hashed, err, err_max))
        return -1;
    (void)snprintf(self->hash, sizeof(self->hash), "%s", set->hash);
    (void)snprintf(self->version + n, sizeof(self->version) - n, "%s%s", n ? " " : "", set->hash);
    return 0;
}

int ps_clamav_definitions_read(struct ps_clamav_definitions *ret_definitions, const char *directory,
                               char *err, size_t err_max)
{
    struct ps_clamav_definitions self = {0};
    struct ps_sigset set;
    int r;

    r = ps_sigset_list(&set, directory, false, loadable, err, err_max);
    if (!r)
        r = describe(&self, &set, err, err_max);
    self.files = set.n;
    ps_sigset_fini(&set);
    if (!r)
        *ret_definitions = self;
    return r;
}
