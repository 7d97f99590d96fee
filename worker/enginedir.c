#include "worker/enginedir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "worker/host/trust.h"

/* Three ways to write an engine: what lies in its directory says which. An adapter is a plug-in that becomes the engine
 * which a file describes. */
static const struct way {
    const char *suffix;  /* of NAME/NAMEsuffix */
    const char *adapter; /* directory whose adapter.so reads that file; NULL: it is the plug-in itself */
} ways[] = {{".so", NULL}, {".engine", "manifest"}, {".py", "python"}};

static bool fits(int n)
{
    return n >= 0 && n < PS_PATH_MAX;
}

/* A name that the wire and the engine host take. */
static bool proper_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= PS_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static bool wanted(const struct ps_opt_list *only, const char *name)
{
    for (size_t i = 0; i < only->n; i++)
        if (strcmp(only->at[i], name) == 0)
            return true;
    return only->n == 0;
}

static bool fill_plugin(struct ps_enginedir *engine, const char *dir, const char *shipped)
{
    for (size_t i = 0; i < PS_ARRAY_N(ways); i++) {
        char *file = ways[i].adapter ? engine->file : engine->plugin;

        if (!fits(
                snprintf(file, PS_PATH_MAX, "%s/%s/%s%s", dir, engine->name, engine->name, ways[i].suffix)) ||
            access(file, R_OK) < 0) {
            file[0] = '\0';
            continue;
        }
        return !ways[i].adapter ||
               fits(snprintf(engine->plugin, PS_PATH_MAX, "%s/%s/adapter.so", shipped, ways[i].adapter));
    }
    return false;
}

/* Definitions that an update brought go before those that were shipped, and behind what the operator's settings say. */
static void fill_signatures(struct ps_enginedir *engine, const char *dir, const struct ps_enginedirs *self)
{
    char path[PS_PATH_MAX];

    ps_sigdir_find(&engine->signatures, engine->name, dir, self->signatures, PS_SIGDIR_SYSTEM);
    if (!self->definitions ||
        !fits(snprintf(path, sizeof(path), "%s/%s/current", self->definitions, engine->name)) ||
        access(path, R_OK | X_OK) < 0)
        return;
    memcpy(engine->signatures.path, path, sizeof(path));
    if (!engine->signatures.origin || !engine->signatures.origin[0])
        engine->signatures.origin = "site";
}

/* The operator's engine runs with what its file says: nobody else may have had a hand in it. */
static void check_own(struct ps_enginedir *engine, const char *own)
{
    const char *path = engine->file[0] ? engine->file : engine->plugin;
    struct ps_error error = {0};

    if (!ps_trust_path(own, path, geteuid(), &error))
        return;
    size_t len = ps_utf8_cut(error.text, strlen(error.text), PS_TEXT_MAX);
    memcpy(engine->refusal, error.text, len);
    engine->refusal[len] = '\0';
}

static bool fill(struct ps_enginedir *ret_engine, const struct ps_enginedirs *self, const char *dir,
                 const char *name)
{
    struct ps_enginedir engine = {.name = ""};

    if (!proper_name(name) || !wanted(self->only, name))
        return false;
    (void)snprintf(engine.name, sizeof(engine.name), "%s", name); /* of that length */
    if (!fill_plugin(&engine, dir, self->shipped) ||
        !fits(snprintf(engine.home, PS_PATH_MAX, "%s/%s", dir, name)))
        return false;
    if (!fits(snprintf(engine.data, PS_PATH_MAX, "%s/%s/data", dir, name)) ||
        access(engine.data, R_OK | X_OK) < 0)
        engine.data[0] = '\0';
    fill_signatures(&engine, dir, self);
    if (dir == self->own)
        check_own(&engine, dir);
    *ret_engine = engine;
    return true;
}

/* ---- the list ---- */

struct listing {
    struct ps_enginedir *at; /* owned */
    size_t n;
};

static bool listed(const struct listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->n; i++)
        if (strcmp(listing->at[i].name, name) == 0)
            return true;
    return false;
}

static int add(struct listing *listing, const struct ps_enginedirs *self, const char *dir, const char *name,
               struct ps_error *reterr)
{
    struct ps_enginedir engine;

    if (listed(listing, name) || !fill(&engine, self, dir, name))
        return 0;
    if (listing->n == PS_ENGINES_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "more than %d engines in %s", PS_ENGINES_MAX, dir);
    if (ps_realloc(&listing->at, listing->n + 1, sizeof(*listing->at)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    listing->at[listing->n++] = engine;
    return 0;
}

static int list_dir(struct listing *listing, const struct ps_enginedirs *self, const char *path,
                    struct ps_error *reterr)
{
    DIR *dir = opendir(path);
    int error = 0;

    if (!dir && errno == ENOENT && path == self->own)
        return 0;
    if (!dir)
        return ps_error_set(reterr, ps_err_from_errno(errno), "engine directory %s: %s", path,
                            strerror(errno));
    for (const struct dirent *entry; !error && (entry = readdir(dir));)
        error = add(listing, self, path, entry->d_name, reterr);
    (void)closedir(dir); /* it was only read */
    return error;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct ps_enginedir *)a)->name, ((const struct ps_enginedir *)b)->name);
}

int ps_enginedirs_list(const struct ps_enginedirs *self, struct ps_enginedir **ret_list, size_t *ret_n,
                       struct ps_error *reterr)
{
    struct listing listing = {NULL, 0};
    int error = self->own ? list_dir(&listing, self, self->own, reterr) : 0;

    if (!error)
        error = list_dir(&listing, self, self->shipped, reterr);
    if (error) {
        free(listing.at);
        return error;
    }
    if (listing.n > 0)
        qsort(listing.at, listing.n, sizeof(*listing.at), by_name);
    *ret_list = listing.at;
    *ret_n = listing.n;
    return 0;
}
