/* cli/up/cluster.h: the private PostgreSQL cluster: made once, UNIX socket only, peer authentication.
 *
 * Two roles: postgres owns the cluster, for root (or the user) and the database account; phagescan owns the database of
 * the same name and is what our programs are, so that a master that was taken over can't run commands as the database's
 * account. */
#ifndef PS_CLI_UP_CLUSTER_H
#define PS_CLI_UP_CLUSTER_H

#include "base/err.h"
#include "base/layout.h"
#include "cli/up/accounts.h"
#include "cli/up/unit.h"

#define PS_CLUSTER_ROLE      "phagescan" /* role and database */
#define PS_CLUSTER_ADMIN     "postgres"
#define PS_CLUSTER_CONNECT_S "2" /* a server that does not answer is not waited for longer */

/* Makes the cluster under layout->pg when there is none yet (initdb, as the database account, its words into log_path),
 * and writes its settings anew. Blocks for some seconds the first time. */
int ps_cluster_prepare(const struct ps_layout *layout, const struct ps_accounts *accounts,
                       const char *log_path, struct ps_error *reterr);

/* Fills in the unit that runs the server. */
int ps_cluster_unit(struct ps_unit *unit, const struct ps_layout *layout, const struct ps_accounts *accounts,
                    struct ps_error *reterr);

/* 0 when the server answers; makes role and database on the first success. PS_ERR_AGAIN while it starts. Blocks for
 * some milliseconds, the first time for as long as it takes to make a database. */
int ps_cluster_ready(const struct ps_layout *layout, struct ps_error *reterr);

#endif
