/* worker/settings.h: what phagescan-worker can be told, by the section "worker" of the configuration and by its command
 * line. */
#ifndef PS_WORKER_SETTINGS_H
#define PS_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/layout.h"
#include "base/opt.h"

struct ps_worker_settings {
    char *config;           /* path of the configuration file */
    char *broker;           /* endpoint */
    char *key, *broker_key; /* certificates for CURVE: our own, the broker's public one; NULL on ipc */
    bool insecure_tcp;      /* tcp without them is wanted */
    char *name;             /* what people call this worker */
    uint64_t slots;         /* jobs at once; 0: one a core */
    struct ps_opt_list engines;
    char *engine_dir;     /* shipped engines */
    char *own_engine_dir; /* the operator's; need not be there */
    char *enginehost;     /* program */
    char *signatures;     /* NULL: see worker/sigdir.h */
    struct ps_opt_list set;
    char *cache_dir, *tmp_dir;
    uint64_t cache_bytes, memfd_budget;
    uint64_t drain_ms;
    uint64_t landlock_abi; /* 0: what the kernel has */
    char *account_services, *account_engines;
    uint64_t ready_fd; /* 0: none */
    bool unjailed;     /* consent to engines without a system call filter */
    bool probe, verbose;
};

extern const struct ps_opt ps_worker_options[];

/* Reads file and command line, and fills what is not said from the layout, the host and the machine.
 * 0; PS_ERR_CANCELLED with text "help" or "version"; else a sentence. The caller ends with ps_worker_settings_fini,
 * after a failure too. */
int ps_worker_settings_read(struct ps_worker_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr);
void ps_worker_settings_fini(struct ps_worker_settings *self);

#endif
