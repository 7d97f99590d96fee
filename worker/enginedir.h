/* worker/enginedir.h: which engines there are: the directories are listed, nothing is loaded. Any thread.
 *
 * Two directories: the shipped engines, and the operator's own, whose NAME/ goes before the shipped one. An engine is
 * NAME/NAME.so, NAME/NAME.engine (a manifest) or NAME/NAME.py (a Python class); the adapters that read the latter two are
 * shipped. */
#ifndef PS_WORKER_ENGINEDIR_H
#define PS_WORKER_ENGINEDIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/layout.h"
#include "base/opt.h"
#include "proto/limits.h"
#include "worker/sigdir.h"

/* Where to look; all lent. */
struct ps_enginedirs {
    const char *shipped;
    const char *own;                /* NULL for none; need not be there */
    const char *signatures;         /* directory that overrides; NULL for none: see ps_sigdir_find */
    const char *definitions;        /* where updates are kept, NAME/current below it; NULL for none */
    const struct ps_opt_list *only; /* names wanted; empty for all */
};

/* What is known of an engine before it is loaded. */
struct ps_enginedir {
    char name[PS_NAME_MAX + 1];
    char home[PS_PATH_MAX];   /* its directory */
    char plugin[PS_PATH_MAX]; /* what is to be loaded */
    char file[PS_PATH_MAX];   /* what describes it, when plugin is an adapter; "" */
    char data[PS_PATH_MAX];   /* "" for none */
    struct ps_sigdir signatures;
    char refusal[PS_TEXT_MAX + 1]; /* why it must not be loaded; "" */
};

/* All engines, in the order of their names. *ret_list is the caller's to free. 0; PS_ERR_LIMIT above PS_ENGINES_MAX;
 * an error with a sentence when the shipped directory can't be listed; PS_ERR_NOMEM. */
int ps_enginedirs_list(const struct ps_enginedirs *self, struct ps_enginedir **ret_list, size_t *ret_n,
                       struct ps_error *reterr);

#endif
