#include "broker/daemon/allowed.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/log.h"
#include "base/mem.h"

#define FILES_LOGGED_MAX 100 /* bad files named in one load; the rest are counted */

struct entry {
    char key[PS_KEY_TEXT]; /* of the table */
    struct ps_allowed_key what;
    UT_hash_handle hh;
};

struct ps_allowed {
    char *directory;
    uint32_t serial; /* last number given; the loading thread's */

    pthread_mutex_t lock; /* guards the table: asked by the ZAP thread while the broker's loads */
    struct entry *table;
};

/* What one load is about. */
struct load {
    struct ps_allowed *allowed;
    struct entry *table; /* in the making */
    unsigned skipped_n;
    int error;
};

static void drop_table(struct entry **table_p)
{
    struct entry *entry, *next;

    HASH_ITER (hh, *table_p, entry, next) {
        HASH_DEL(*table_p, entry); // NOLINT(clang-analyzer-core.NullDereference): it is in there
        free(entry);
    }
}

int ps_allowed_new(struct ps_allowed **ret_self, const char *directory)
{
    struct ps_allowed *self = PS_NEW(struct ps_allowed);

    if (!self)
        return PS_ERR_NOMEM;
    (void)pthread_mutex_init(&self->lock, NULL); /* can't fail with default attributes here */
    self->directory = ps_strf("%s", directory);
    if (!self->directory) {
        ps_allowed_free(&self);
        return PS_ERR_NOMEM;
    }
    *ret_self = self;
    return 0;
}

void ps_allowed_free(struct ps_allowed **self_p)
{
    struct ps_allowed *self = *self_p;

    if (!self)
        return;
    drop_table(&self->table);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->directory);
    free(self);
    *self_p = NULL;
}

/* ---- loading ---- */

static void skip(struct load *load, const char *file, const char *why)
{
    if (load->skipped_n++ < FILES_LOGGED_MAX)
        ps_log(PS_LOG_WARN, "key-skipped", "file=%s why=%s", PS_LOGQ(file), PS_LOGQ(why));
}

/* The same key with the same rights keeps its number, and so its sessions. */
static uint32_t number_of(struct ps_allowed *self, const struct ps_cert *cert)
{
    struct entry *old;

    HASH_FIND_STR(self->table, cert->public_key, old); /* only this thread writes it */
    return old && old->what.roles == cert->roles ? old->what.who : ++self->serial;
}

static void add(struct load *load, const struct ps_cert *cert)
{
    struct entry *entry = PS_NEW(struct entry);

    if (!entry) {
        load->error = PS_ERR_NOMEM;
        return;
    }
    memcpy(entry->key, cert->public_key, PS_KEY_TEXT);
    memcpy(entry->what.name, cert->name, sizeof(entry->what.name));
    entry->what.roles = cert->roles;
    entry->what.who = number_of(load->allowed, cert);
    HASH_ADD_STR(load->table, key, entry);
    if (!entry->hh.tbl) {
        free(entry);
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

static void take(struct load *load, const char *file)
{
    PS_FREE char *path = ps_strf("%s/%s", load->allowed->directory, file);
    struct entry *twin = NULL;
    struct ps_error error = {0};
    struct ps_cert cert;

    if (!path) {
        load->error = PS_ERR_NOMEM;
        return;
    }
    if (ps_cert_read(&cert, path, &error)) {
        skip(load, file, error.text);
        return;
    }
    ps_cert_fini(&cert);
    complete_name(&cert, file);
    HASH_FIND_STR(load->table, cert.public_key, twin);
    if (twin)
        skip(load, file, "another file has the same key");
    else if (!cert.roles)
        skip(load, file, "it gives no right: metadata/roles is missing");
    else if (HASH_COUNT(load->table) >= PS_ALLOWED_MAX)
        skip(load, file, "too many keys");
    else
        add(load, &cert);
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

static void look_at(struct load *load, const char *file)
{
    if (file[0] == '.' || is_temporary(file))
        return;
    if (ends_with(file, PS_CERT_SUFFIX))
        take(load, file);
    else if (ends_with(file, PS_CERT_SECRET))
        skip(load, file, "a secret key does not belong here: take it away");
    else
        skip(load, file, "its name does not end in " PS_CERT_SUFFIX);
}

/* In the order of names, so that of two files with one key it is always the same that counts. */
static int read_directory(struct load *load, struct ps_error *reterr)
{
    struct dirent **files = NULL;
    int n = scandir(load->allowed->directory, &files, NULL, alphasort);

    if (n < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "directory of allowed keys %s: %s",
                            load->allowed->directory, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (!load->error)
            look_at(load, files[i]->d_name);
        free(files[i]);
    }
    free((void *)files);
    return load->error ? ps_error_set(reterr, load->error, "out of memory") : 0;
}

/* Those of the old table that are not in the new one as they were. */
static unsigned tell_gone(struct entry *old, struct entry *table,
                          void (*on_gone)(void *ctx, const struct ps_allowed_key *key), void *ctx)
{
    struct entry *entry, *next, *now;
    unsigned n = 0;

    HASH_ITER (hh, old, entry, next) {
        HASH_FIND_STR(table, entry->key, now);
        if (now && now->what.who == entry->what.who)
            continue;
        on_gone(ctx, &entry->what);
        n++;
    }
    return n;
}

int ps_allowed_load(struct ps_allowed *self, void (*on_gone)(void *ctx, const struct ps_allowed_key *key),
                    void *ctx, struct ps_error *reterr)
{
    struct load load = {.allowed = self};
    struct entry *old;
    unsigned gone_n;
    int r = read_directory(&load, reterr);

    if (r) {
        drop_table(&load.table);
        return r;
    }
    (void)pthread_mutex_lock(&self->lock); /* a default mutex in use rightly never fails */
    old = self->table;
    self->table = load.table;
    (void)pthread_mutex_unlock(&self->lock);
    gone_n = tell_gone(old, load.table, on_gone, ctx);
    drop_table(&old);
    ps_log(PS_LOG_INFO, "keys-loaded", "directory=%s keys=%u gone=%u skipped=%u", PS_LOGQ(self->directory),
           HASH_COUNT(load.table), gone_n, load.skipped_n);
    return 0;
}

/* ---- asking ---- */

bool ps_allowed_find(struct ps_allowed *self, const char *key, struct ps_allowed_key *ret_key)
{
    struct entry *entry;

    (void)pthread_mutex_lock(&self->lock);
    HASH_FIND_STR(self->table, key, entry);
    if (entry)
        *ret_key = entry->what;
    (void)pthread_mutex_unlock(&self->lock);
    return entry != NULL;
}

size_t ps_allowed_n(struct ps_allowed *self)
{
    size_t n;

    (void)pthread_mutex_lock(&self->lock);
    n = HASH_COUNT(self->table);
    (void)pthread_mutex_unlock(&self->lock);
    return n;
}
