/* worker/sigdir.h: where an engine's signatures are. Any thread. */
#ifndef PS_WORKER_SIGDIR_H
#define PS_WORKER_SIGDIR_H

#include <stdbool.h>

#include "base/layout.h"

#define PS_SIGDIR_SYSTEM "/var/lib/clamav" /* where Debian's freshclam keeps its databases */

struct ps_sigdir {
    char path[PS_PATH_MAX]; /* the directory; "" for none */
    const char
        *origin; /* what its silence is worth when it has no file ORIGIN: site or official; "" for none */
};

/* The first of:
 *   1. override/ENGINE when that is a directory; override itself for clamav, when no directory in it has the name of
 *      an engine (plain files);
 *   2. for clamav: system (PS_SIGDIR_SYSTEM, tests bring another), when it holds a main or daily database;
 *   3. engine_dir/ENGINE/signatures.
 * override may be NULL. A path that is too long counts as not there. */
void ps_sigdir_find(struct ps_sigdir *ret_self, const char *engine, const char *engine_dir,
                    const char *override, const char *system);

#endif
