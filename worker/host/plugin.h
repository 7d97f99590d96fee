/* worker/host/plugin.h: one engine, loaded from its shared object. Lives in the zygote and, by fork, in its children.
 * Engine host only. */
#ifndef PS_HOST_PLUGIN_H
#define PS_HOST_PLUGIN_H

#include "base/err.h"
#include "engines/engine.h"
#include "proto/limits.h"

struct ps_jail;

struct ps_plugin_conf {
    const char *name;       /* the engine's name; NULL for whatever the plug-in says */
    const char *path;       /* the shared object */
    const char *signatures; /* NULL for none */
    const char *origin;     /* overrides the file ORIGIN; NULL: read it */
    const char *data;       /* NULL for none */
    const char *file;       /* for an adapter: what describes the engine; NULL for none */
    const char *tmpdir;     /* for open and warm */
    struct ps_jail *jail;   /* borrowed: for what the engine does aside; NULL: it can't */
    char *const *settings;  /* "key=value"; borrowed until ps_plugin_free */
    size_t settings_n;
};

struct ps_plugin {
    void *handle;                   /* of dlopen */
    const struct ps_engine *engine; /* its one symbol, or what an adapter became */
    void *state;                    /* what open gave */
    struct ps_plugin_conf conf;     /* texts borrowed from the caller */
    char origin[PS_NAME_MAX + 1];   /* test, site, official, "" */
    struct ps_engine_conf lent;     /* what the engine sees of conf */
    struct ps_engine_info info;     /* after ps_plugin_load; texts are the engine's */
};

/* Loads it: dlopen, the check of its ABI, probe, open, warm, info. conf's texts must live until ps_plugin_free. 0 with
 * *ret_self; a ps_err with a sentence that names what was wrong. A plug-in may crash here: that ends the zygote. */
int ps_plugin_load(struct ps_plugin **ret_self, const struct ps_plugin_conf *conf, struct ps_error *reterr);
void ps_plugin_free(struct ps_plugin **self_p);

#endif
