/* cli/place.h: which Phagescan of this machine is meant. As root, and with PHAGESCAN_STATE, the one of base/layout.h. A
 * user's own, when the user has one; else the machine's, which root has started: its API is open to the group phagescan.
 * Before threads. */
#ifndef PS_CLI_PLACE_H
#define PS_CLI_PLACE_H

#include "base/err.h"
#include "base/layout.h"

#define PS_PLACE_SYSTEM_RUN "/run/phagescan"

/* The layout whose run directory is to be talked to. */
int ps_place_find(struct ps_layout *ret_layout, struct ps_error *reterr);
/* The choice in it: points run and api_sock of layout to system_run when only that one has a socket. */
void ps_place_choose(struct ps_layout *layout, const char *system_run);

#endif
