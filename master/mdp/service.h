/* master/mdp/service.h: the service `scan` for Majordomo clients: this master as workers of the broker's MDP front.
 *
 * Two threads. `mdp` has all sockets: one poll over connections_n workers, each with one request at a time, so that many
 * are in flight. `mdp-report` reads finished scans from the database. A sample goes in by ingest like any other: it is
 * durable before it is scanned, and its scan goes on when the client, the broker or this master is gone. The end of a
 * scan comes over the events bus; since a scan may end before anybody knows its number, the database is asked after the
 * number is known, after LAGGED, and every PS_MDP_LOOK_MS.
 *
 * Workers are there while this master leads. */
#ifndef PS_MASTER_MDP_SERVICE_H
#define PS_MASTER_MDP_SERVICE_H

#include <stdint.h>

#include "base/err.h"

#define PS_MDP_SERVICE         "scan"
#define PS_MDP_CONNECTIONS_MAX 256
#define PS_MDP_LOOK_MS         5000 /* a scan that waits is looked at so often, whatever the bus says */
#define PS_MDP_OWNER           1    /* all MDP clients are the local user until accounts exist */
#define PS_MDP_TEAM            1

struct ps_ingest;
struct ps_scan;
struct ps_mdp_service;

struct ps_mdp_service_config {
    void *context;        /* libzmq's, lent */
    const char *endpoint; /* of the broker's front; copied */
    const char *conninfo; /* lent while it runs */
    uint32_t connections_n;
    uint32_t heartbeat_ms; /* as the broker has it */
    uint64_t max_sample_bytes;
    struct ps_ingest *ingest; /* lent */
    struct ps_scan *scan;     /* lent */
};

/* Starts the threads. Neither broker nor database need be there yet. */
int ps_mdp_service_start(struct ps_mdp_service **ret_self, const struct ps_mdp_service_config *config,
                         struct ps_error *reterr);
/* Says DISCONNECT, waits for what ingest has in work, ends. Before ps_ingest_stop and ps_scan_free. Accepts NULL. */
void ps_mdp_service_stop(struct ps_mdp_service **self_p);

#endif
