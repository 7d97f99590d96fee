/* worker/host/granted.h: what an engine that runs programs may reach by name, as a flat list of paths. Made once in the
 * zygote from the engine's struct ps_engine_grants; each child's root and Landlock rules are built from it. Engine host
 * only. */
#ifndef PS_HOST_GRANTED_H
#define PS_HOST_GRANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engines/engine.h"

#define PS_GRANTED_MAX 128 /* paths; more is refused */

enum ps_granted_use {
    PS_GRANTED_READ = 1 << 0,
    PS_GRANTED_WRITE = 1 << 1,
    PS_GRANTED_EXECUTE = 1 << 2,
    PS_GRANTED_DEVICE = 1 << 3, /* a device file: its mount keeps devices */
    PS_GRANTED_SOCKET = 1 << 4, /* may be connected to */
};

struct ps_granted_path {
    char *path;   /* owned; absolute, as the engine names it */
    uint32_t use; /* enum ps_granted_use */
    bool is_dir;
};

struct ps_granted {
    struct ps_granted_path at[PS_GRANTED_MAX];
    size_t n;
    bool below_tmp; /* one of them lies below /tmp: temporary files need another place */
    bool socket;    /* UNIX sockets may be made */
    bool network;   /* TCP and UDP may be used: for update alone */
};

/* Adds what every program needs (the directories of libraries, the programs' loaders, ld.so.cache, /dev/null and its
 * kin) to what the engine names. update: with the grants that count for an update. 0; PS_ERR_NOTFOUND with a sentence
 * when something named is missing; PS_ERR_INVALID for a path that can't be granted; PS_ERR_LIMIT above PS_GRANTED_MAX.
 * ps_granted_fini is due in any case. */
int ps_granted_read(struct ps_granted *ret_self, const struct ps_engine_grants *grants, bool update,
                    struct ps_error *reterr);
void ps_granted_fini(struct ps_granted *self);

#endif
