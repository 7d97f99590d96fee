/* cli/up/cluster.h: the private PostgreSQL cluster: made once, UNIX socket only, peer authentication. */
#ifndef PS_CLI_UP_CLUSTER_H
#define PS_CLI_UP_CLUSTER_H

#include "base/err.h"
#include "base/layout.h"
#include "cli/up/accounts.h"
#include "cli/up/unit.h"

#define PS_CLUSTER_ROLE "phagescan" /* role and database */

/* Makes the cluster under layout->pg when there is none yet (initdb, as the database account), and writes its
 * settings anew. Blocks for some seconds the first time. */
int ps_cluster_prepare(const struct ps_layout *layout, const struct ps_accounts *accounts,
                       struct ps_error *reterr);

/* Fills in the unit that runs the server. */
int ps_cluster_unit(struct ps_unit *unit, const struct ps_layout *layout, const struct ps_accounts *accounts,
                    struct ps_error *reterr);

/* True when the server answers. Makes the database on the first success. Blocks for some milliseconds. */
int ps_cluster_ready(const struct ps_layout *layout, struct ps_error *reterr);

#endif
