#include "broker/daemon/allowed.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/peer/certdir.h"

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

/* The same key with the same rights keeps its number, and so its sessions. */
static uint32_t number_of(struct ps_allowed *self, const struct ps_cert *cert)
{
    struct entry *old;

    HASH_FIND_STR(self->table, cert->public_key, old); /* only this thread writes it */
    return old && old->what.roles == cert->roles ? old->what.who : ++self->serial;
}

static int add(struct ps_allowed *self, struct entry **table_p, const struct ps_cert *cert)
{
    struct entry *entry = PS_NEW(struct entry);

    if (!entry)
        return PS_ERR_NOMEM;
    memcpy(entry->key, cert->public_key, PS_KEY_TEXT);
    memcpy(entry->what.name, cert->name, sizeof(entry->what.name));
    entry->what.roles = cert->roles;
    entry->what.who = number_of(self, cert);
    HASH_ADD_STR(*table_p, key, entry);
    if (entry->hh.tbl)
        return 0;
    free(entry);
    return PS_ERR_NOMEM;
}

static void log_skipped(const struct ps_certdir_file *file, unsigned nth)
{
    if (nth < FILES_LOGGED_MAX)
        ps_log(PS_LOG_WARN, "key-skipped", "file=%s why=%s", PS_LOGQ(file->file), PS_LOGQ(file->why));
}

static int read_directory(struct ps_allowed *self, struct entry **table_p, unsigned *ret_skipped_n,
                          struct ps_error *reterr)
{
    PS_CLEANUP(ps_certdir_fini) struct ps_certdir dir = {0};
    unsigned skipped_n = 0;
    int r = ps_certdir_read(&dir, self->directory, reterr);

    for (size_t i = 0; !r && i < dir.n; i++) {
        if (dir.at[i].why)
            log_skipped(&dir.at[i], skipped_n++);
        else if ((r = add(self, table_p, &dir.at[i].cert)))
            (void)ps_error_set(reterr, r, "out of memory");
    }
    *ret_skipped_n = skipped_n;
    return r;
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
    struct entry *old, *table = NULL;
    unsigned gone_n, skipped_n;
    int r = read_directory(self, &table, &skipped_n, reterr);

    if (r) {
        drop_table(&table);
        return r;
    }
    (void)pthread_mutex_lock(&self->lock); /* a default mutex in use rightly never fails */
    old = self->table;
    self->table = table;
    (void)pthread_mutex_unlock(&self->lock);
    gone_n = tell_gone(old, table, on_gone, ctx);
    drop_table(&old);
    ps_log(PS_LOG_INFO, "keys-loaded", "directory=%s keys=%u gone=%u skipped=%u", PS_LOGQ(self->directory),
           HASH_COUNT(table), gone_n, skipped_n);
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
