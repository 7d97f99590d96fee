#include "worker/host/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "worker/host/aside.h"
#include "worker/host/packet.h"

#define ORIGIN_FILE_MAX 256 /* bytes of a file ORIGIN; a longer one is refused */

static const char *setting(const struct ps_engine_conf *lent, const char *key)
{
    const struct ps_plugin *self = lent->host;
    size_t len = strlen(key);

    for (size_t i = self->conf.settings_n; i-- > 0;) /* the last one wins */
        if (strncmp(self->conf.settings[i], key, len) == 0 && self->conf.settings[i][len] == '=')
            return self->conf.settings[i] + len + 1;
    return NULL;
}

static int aside(const struct ps_engine_conf *lent, struct ps_engine_aside *wanted, char *err, size_t err_max)
{
    const struct ps_plugin *self = lent->host;
    PS_FREE char *dir = ps_strf("%s/aside", self->conf.tmpdir);
    struct ps_error error = {0};
    int rc = dir ? ps_aside_run(self->conf.jail, self->engine->grants, dir, wanted, &error)
                 : ps_error_set(&error, PS_ERR_NOMEM, "out of memory");

    if (rc)
        (void)snprintf(err, err_max, "%s", error.text); /* a cut sentence is better than none */
    return rc ? -1 : 0;
}

static int check_origin(struct ps_plugin *self, const char *word, struct ps_error *reterr)
{
    static const char *const known[] = {"", "test", "site", "official"};

    for (size_t i = 0; i < PS_ARRAY_N(known); i++)
        if (strcmp(word, known[i]) == 0) {
            (void)snprintf(self->origin, sizeof(self->origin), "%s", known[i]); /* fits */
            return 0;
        }
    return ps_error_set(reterr, PS_ERR_INVALID, "origin \"%.32s\" is none of test, site, official", word);
}

static int read_origin(struct ps_plugin *self, struct ps_error *reterr)
{
    PS_FREE char *path = NULL;
    PS_BUF struct ps_buf text;
    int rc;

    ps_buf_init(&text, ORIGIN_FILE_MAX);
    if (self->conf.origin)
        return check_origin(self, self->conf.origin, reterr);
    if (!self->conf.signatures)
        return 0;
    path = ps_strf("%s/ORIGIN", self->conf.signatures);
    if (!path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    rc = ps_file_read(path, &text);
    if (rc == PS_ERR_NOTFOUND)
        return 0;
    if (rc)
        return ps_error_set(reterr, rc, "%s can't be read: %s", path, ps_err_text(rc));
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]))
        text.len--;
    return check_origin(self, ps_buf_text(&text), reterr);
}

static int check_abi(const struct ps_plugin *self, struct ps_error *reterr)
{
    const struct ps_engine *engine = self->engine;

    if (engine->abi != PS_ENGINE_ABI)
        return ps_error_set(reterr, PS_ERR_UNSUPPORTED, "%s speaks engine ABI %u, this host speaks %u",
                            self->conf.path, engine->abi, PS_ENGINE_ABI);
    if (engine->size != sizeof(*engine))
        return ps_error_set(reterr, PS_ERR_UNSUPPORTED,
                            "%s has an entry of %u bytes, this host knows one of %zu", self->conf.path,
                            engine->size, sizeof(*engine));
    return 0;
}

static int check_entry(const struct ps_plugin *self, struct ps_error *reterr)
{
    const struct ps_engine *engine = self->engine;

    if (!engine->name || !engine->name[0] ||
        strspn(engine->name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(engine->name) ||
        strlen(engine->name) > PS_NAME_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s has no valid name", self->conf.path);
    if (self->conf.name && strcmp(self->conf.name, engine->name) != 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT, "%s is the engine %s, not %s", self->conf.path,
                            engine->name, self->conf.name);
    if ((engine->kind != PS_ENGINE_EVILNESS && engine->kind != PS_ENGINE_METADATA) || !engine->scan)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s has no kind or no scan", self->conf.path);
    return 0;
}

static int open_object(struct ps_plugin *self, struct ps_error *reterr)
{
    const char *why;

    self->handle = dlopen(self->conf.path, RTLD_NOW | RTLD_LOCAL);
    if (self->handle)
        self->engine = dlsym(self->handle, "ps_engine_entry");
    if (self->engine)
        return check_abi(self, reterr);
    why = dlerror();
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "the plug-in can't be loaded: %s", why ? why : "unknown");
}

/* An adapter gives its place to the engine that its file describes. */
static int become(struct ps_plugin *self, struct ps_error *reterr)
{
    char said[PS_ERROR_TEXT_MAX] = "", clean[PS_ERROR_TEXT_MAX];
    const struct ps_engine *engine;

    if (!self->engine->become)
        return 0;
    if (!self->conf.file)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is an adapter: it needs --file", self->conf.path);
    engine = self->engine->become(&self->lent, said, sizeof(said));
    if (engine) {
        self->engine = engine;
        return check_abi(self, reterr);
    }
    ps_text_clean(clean, sizeof(clean), said);
    return ps_error_set(reterr, PS_ERR_INVALID, "%.400s",
                        clean[0] ? clean : "its file was refused without a reason");
}

/* A step of the engine's own that failed with text in said. */
static int engine_error(const struct ps_plugin *self, const char *step, const char *said,
                        struct ps_error *reterr)
{
    char clean[PS_ERROR_TEXT_MAX];

    ps_text_clean(clean, sizeof(clean), said);
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "%s of %s: %.400s", step, self->engine->name,
                        clean[0] ? clean : "failed without a reason");
}

static int start_engine(struct ps_plugin *self, struct ps_error *reterr)
{
    const struct ps_engine *engine = self->engine;
    char said[PS_ERROR_TEXT_MAX] = "";

    if (engine->probe && engine->probe(&self->lent, said, sizeof(said)) != 0)
        return engine_error(self, "probe", said, reterr);
    if (engine->open && engine->open(&self->lent, &self->state, said, sizeof(said)) != 0)
        return engine_error(self, "open", said, reterr);
    if (engine->warm && engine->warm(self->state, said, sizeof(said)) != 0)
        return engine_error(self, "warm-up", said, reterr);
    self->info =
        (struct ps_engine_info){.version = "", .definitions = "", .note = "", .silence_counts = true};
    if (engine->info)
        engine->info(self->state, &self->info);
    return 0;
}

int ps_plugin_load(struct ps_plugin **ret_self, const struct ps_plugin_conf *conf, struct ps_error *reterr)
{
    PS_CLEANUP(ps_plugin_free) struct ps_plugin *self = PS_NEW(struct ps_plugin);
    int rc;

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->conf = *conf;
    self->lent = (struct ps_engine_conf){.signatures = conf->signatures,
                                         .origin = self->origin,
                                         .data = conf->data,
                                         .file = conf->file,
                                         .tmpdir = conf->tmpdir,
                                         .setting = setting,
                                         .aside = conf->jail ? aside : NULL,
                                         .host = self};
    if ((rc = read_origin(self, reterr)) || (rc = open_object(self, reterr)) || (rc = become(self, reterr)) ||
        (rc = check_entry(self, reterr)) || (rc = start_engine(self, reterr)))
        return rc;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_plugin_free(struct ps_plugin **self_p)
{
    struct ps_plugin *self = *self_p;

    if (!self)
        return;
    if (self->state && self->engine && self->engine->close)
        self->engine->close(self->state);
    if (self->handle)
        (void)dlclose(self->handle); /* the process ends soon */
    free(self);
    *self_p = NULL;
}
