#include "proto/peer/certdir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/mem.h"

/* A key that was seen already. */
struct seen {
    char key[PS_KEY_TEXT]; /* of the table */
    UT_hash_handle hh;
};

struct load {
    const char *directory;
    struct ps_certdir *dir; /* in the making */
    struct seen *table;
    size_t counted_n;
    int error;
};

void ps_certdir_fini(struct ps_certdir *self)
{
    for (size_t i = 0; i < self->n; i++) {
        free(self->at[i].file);
        free(self->at[i].why);
    }
    free(self->at);
    *self = (struct ps_certdir){0};
}

static void drop_table(struct seen **table_p)
{
    struct seen *seen, *next;

    HASH_ITER (hh, *table_p, seen, next) {
        HASH_DEL(*table_p, seen); // NOLINT(clang-analyzer-core.NullDereference): it is in there
        free(seen);
    }
}

static void refuse(struct load *load, struct ps_certdir_file *file, const char *why)
{
    file->why = ps_strf("%s", why);
    if (!file->why)
        load->error = PS_ERR_NOMEM;
}

static void note(struct load *load, const char *key)
{
    struct seen *seen = PS_NEW(struct seen);

    if (!seen) {
        load->error = PS_ERR_NOMEM;
        return;
    }
    memcpy(seen->key, key, PS_KEY_TEXT);
    HASH_ADD_STR(load->table, key, seen);
    if (!seen->hh.tbl) {
        free(seen);
        load->error = PS_ERR_NOMEM;
    }
}

/* A name that the file does not say is the file's. */
static void complete_name(struct ps_cert *cert, const char *file)
{
    if (!cert->name[0])
        (void)snprintf(cert->name, sizeof(cert->name), "%.*s", (int)(strlen(file) - strlen(PS_CERT_SUFFIX)),
                       file); /* a long one is cut */
}

static void read_key(struct load *load, struct ps_certdir_file *file)
{
    PS_FREE char *path = ps_strf("%s/%s", load->directory, file->file);
    struct seen *twin = NULL;
    struct ps_error error = {0};

    if (!path) {
        load->error = PS_ERR_NOMEM;
        return;
    }
    if (ps_cert_read(&file->cert, path, &error)) {
        refuse(load, file, error.text);
        return;
    }
    ps_cert_fini(&file->cert); /* it does not belong there, and nobody wants it */
    complete_name(&file->cert, file->file);
    HASH_FIND_STR(load->table, file->cert.public_key, twin);
    if (twin) {
        refuse(load, file, "another file has the same key");
    } else if (!file->cert.roles) {
        refuse(load, file, "it gives no right: metadata/roles is missing");
    } else if (load->counted_n >= PS_CERTDIR_KEYS_MAX) {
        refuse(load, file, "too many keys");
    } else {
        note(load, file->cert.public_key);
        load->counted_n++;
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);

    return text_len > end_len && strcmp(text + text_len - end_len, end) == 0;
}

/* A file that is just being replaced has a suffix by chance behind its name: it will come under its own. */
static bool is_temporary(const char *file)
{
    const char *dot = strrchr(file, '.');

    return dot && strlen(dot) == strlen(".XXXXXX") && dot - file > (long)strlen(PS_CERT_SUFFIX) &&
           strncmp(dot - strlen(PS_CERT_SUFFIX), PS_CERT_SUFFIX, strlen(PS_CERT_SUFFIX)) == 0;
}

static void look_at(struct load *load, const char *name)
{
    struct ps_certdir_file *file = &load->dir->at[load->dir->n];

    if (name[0] == '.' || is_temporary(name))
        return;
    *file = (struct ps_certdir_file){.file = ps_strf("%s", name)};
    if (!file->file) {
        load->error = PS_ERR_NOMEM;
        return;
    }
    load->dir->n++;
    if (ends_with(name, PS_CERT_SUFFIX))
        read_key(load, file);
    else if (ends_with(name, PS_CERT_SECRET))
        refuse(load, file, "a secret key does not belong here: take it away");
    else
        refuse(load, file, "its name does not end in " PS_CERT_SUFFIX);
}

static void look_at_all(struct load *load, struct dirent **names, size_t n)
{
    if (n > PS_CERTDIR_FILES_MAX)
        load->error = PS_ERR_LIMIT;
    else if (!(load->dir->at = ps_alloc(PS_MAX(n, (size_t)1), sizeof(*load->dir->at))))
        load->error = PS_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!load->error)
            look_at(load, names[i]->d_name);
        free(names[i]);
    }
}

/* In the order of names, so that of two files with one key it is always the same that counts. */
int ps_certdir_read(struct ps_certdir *ret_self, const char *path, struct ps_error *reterr)
{
    struct ps_certdir dir = {0};
    struct load load = {.directory = path, .dir = &dir};
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, alphasort);

    if (n < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "directory of allowed keys %s: %s", path,
                            strerror(errno));
    look_at_all(&load, names, (size_t)n);
    free((void *)names);
    drop_table(&load.table);
    if (load.error) {
        ps_certdir_fini(&dir);
        return ps_error_set(reterr, load.error, "directory of allowed keys %s: %s", path,
                            load.error == PS_ERR_LIMIT ? "too many files" : "out of memory");
    }
    *ret_self = dir;
    return 0;
}
