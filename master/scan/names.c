#include "master/scan/names.h"

#include "base/hash.h"
#include "base/mem.h"
#include "proto/limits.h"

/* Keys come from workers: a hash that strangers can't foresee. */
#define HASH_FUNCTION(key, len, value) (value) = (unsigned)ps_hash64((key), (len))
#include <uthash.h>

#define KEY_MAX (3 * (PS_NAME_MAX + PS_VERSION_MAX))

struct entry {
    UT_hash_handle hh;
    int32_t id;   /* the row's */
    size_t key_n; /* bytes of key */
    char key[];   /* the texts, each with its NUL */
};

struct ps_names {
    struct entry *builds, *workers;
};

int ps_names_new(struct ps_names **ret_self)
{
    struct ps_names *self = PS_NEW(struct ps_names);

    if (!self)
        return PS_ERR_NOMEM;
    *ret_self = self;
    return 0;
}

static void clear(struct entry **table)
{
    struct entry *entry, *next;

    HASH_ITER (hh, *table, entry, next) {
        HASH_DEL(*table, entry);
        free(entry);
    }
}

void ps_names_clear(struct ps_names *self)
{
    clear(&self->builds);
    clear(&self->workers);
}

void ps_names_free(struct ps_names **self_p)
{
    struct ps_names *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_names_clear(self);
    free(self);
}

/* Joins up to four texts into one key. The wire's limits keep them below KEY_MAX; what is longer is not cached
 * (0). */
static size_t make_key(char key[KEY_MAX], const char *const *texts, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        size_t text_n = strlen(texts[i]) + 1;
        if (text_n > KEY_MAX - len)
            return 0;
        memcpy(key + len, texts[i], text_n);
        len += text_n;
    }
    return len;
}

static struct entry *find(struct entry *table, const char *key, size_t key_n)
{
    struct entry *entry;

    HASH_FIND(hh, table, key, key_n, entry);
    return entry;
}

/* Without memory it is not cached, and asked for again next time. */
static void keep(struct entry **table, const char *key, size_t key_n, int32_t id)
{
    if (key_n == 0)
        return;
    if (HASH_COUNT(*table) >= PS_NAMES_MAX)
        clear(table);
    struct entry *entry = ps_alloc(1, sizeof(*entry) + key_n);
    if (!entry)
        return;
    memcpy(entry->key, key, key_n);
    entry->key_n = key_n;
    entry->id = id;
    HASH_ADD_KEYPTR(hh, *table, entry->key, entry->key_n, entry);
}

/* The row's id, or 0 when there is none. */
static int ask(struct ps_pg *pg, enum ps_query_id query, const struct ps_pg_params *params, int32_t *ret_id,
               struct ps_error *reterr)
{
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int r = ps_pg_exec(pg, query, params, &result, reterr);

    if (r < 0)
        return r;
    *ret_id = ps_row_n(result) > 0 ? (int32_t)ps_row_i64(result, 0, 0) : 0;
    return 0;
}

/* Asks first: an insert that finds its row there would use up an id. */
static int ask_or_make(struct ps_pg *pg, enum ps_query_id select, enum ps_query_id insert,
                       const char *const *texts, size_t n, int32_t *ret_id, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params params;
    int32_t id = 0;

    ps_pg_params_init(&params);
    for (size_t i = 0; i < n; i++)
        ps_pg_put_text(&params, texts[i]);

    int r = ask(pg, select, &params, &id, reterr);
    if (r == 0 && id == 0)
        r = ps_pg_exec(pg, insert, &params, NULL, reterr);
    if (r == 0 && id == 0)
        r = ask(pg, select, &params, &id, reterr);
    if (r == 0)
        *ret_id = id;
    return r;
}

static int look_up(struct entry **table, struct ps_pg *pg, enum ps_query_id select, enum ps_query_id insert,
                   const char *const *texts, size_t n, int32_t *ret_id, struct ps_error *reterr)
{
    char key[KEY_MAX];
    size_t key_n = make_key(key, texts, n);
    struct entry *entry = key_n > 0 ? find(*table, key, key_n) : NULL;

    if (entry) {
        *ret_id = entry->id;
        return 0;
    }
    int r = ask_or_make(pg, select, insert, texts, n, ret_id, reterr);
    if (r == 0 && *ret_id != 0)
        keep(table, key, key_n, *ret_id);
    return r;
}

int ps_names_build(struct ps_names *self, struct ps_pg *pg, const char *engine, const char *version,
                   const char *definitions, const char *origin, int32_t *ret_id, struct ps_error *reterr)
{
    const char *const texts[] = {engine, version, definitions, origin};

    return look_up(&self->builds, pg, PS_Q_COLLECT_BUILD_ID, PS_Q_COLLECT_BUILD, texts, PS_ARRAY_N(texts),
                   ret_id, reterr);
}

int ps_names_worker(struct ps_names *self, struct ps_pg *pg, const char *name, int32_t *ret_id,
                    struct ps_error *reterr)
{
    const char *const texts[] = {name};

    if (name[0] == '\0') {
        *ret_id = 0;
        return 0;
    }
    return look_up(&self->workers, pg, PS_Q_COLLECT_WORKER_ID, PS_Q_COLLECT_WORKER, texts, 1, ret_id, reterr);
}
