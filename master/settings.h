/* master/settings.h: what phagescan-master can be told: section master of the configuration file, and the command line,
 * from one table. */
#ifndef PS_MASTER_SETTINGS_H
#define PS_MASTER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/opt.h"

#define PS_MASTER_PORT 8480

struct ps_master_settings {
    char *config;
    char *host;
    char *port_text; /* NULL: PS_MASTER_PORT or the next free one */
    uint16_t port;   /* from port_text */
    bool anywhere;
    bool insecure_tcp; /* tcp without certificates is wanted */
    bool standby;
    bool mdp; /* serve Majordomo clients; naming the endpoint turns it on too */
    char *api_sock;
    char *www;
    char *database; /* libpq connection string */
    char *store;
    char *body_dir;             /* below store */
    struct ps_opt_list brokers; /* endpoints, at least one */
    char *key, *broker_key;     /* CURVE certificates; NULL on ipc */
    char *name;                 /* host and pid */
    uint64_t stale_ms;
    uint64_t max_sample_bytes;
    uint64_t backfill_per_s;
    uint64_t longest_run_ms;
    char *mdp_broker; /* endpoint of the broker's front; NULL: off */
    uint64_t mdp_connections, mdp_heartbeat_ms;
    uint64_t ready_fd; /* 0: none */
    bool verbose;
};

extern const struct ps_opt ps_master_options[];

/* Reads file and command line, fills in what follows from the layout. PS_ERR_CANCELLED with the text "help" or
 * "version" when that was asked for. After a failure fini is due all the same. */
int ps_master_settings_read(struct ps_master_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr);
void ps_master_settings_fini(struct ps_master_settings *self);

#endif
