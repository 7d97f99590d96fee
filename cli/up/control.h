/* cli/up/control.h: the client's side of the supervisor's socket. */
#ifndef PS_CLI_UP_CONTROL_H
#define PS_CLI_UP_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/layout.h"

#define PS_CONTROL_STATUS_S 10 /* a supervisor that says nothing for so long does not answer */
#define PS_CONTROL_STOP_S   60 /* while it stops: longer than its patience with one process */

/* Asks how everything is. patient: waits as long for one that has just begun, and makes its database. The caller owns
 * *ret_state. PS_ERR_UNAVAILABLE when no supervisor runs. */
int ps_control_status(const struct ps_layout *layout, bool patient, json_t **ret_state,
                      struct ps_error *reterr);

/* Tells everything to stop, one that has just begun, too, and waits for the end; told hears each state on the way (may be NULL). */
int ps_control_stop(const struct ps_layout *layout, void (*told)(const json_t *state),
                    struct ps_error *reterr);

#endif
