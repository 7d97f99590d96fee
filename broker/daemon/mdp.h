/* broker/daemon/mdp.h: the Majordomo front inside the broker: its context, and for TCP a door of its own with the keys and
 * rights that the broker's guard knows. The main thread. */
#ifndef PS_BROKER_DAEMON_MDP_H
#define PS_BROKER_DAEMON_MDP_H

#include "base/err.h"
#include "broker/daemon/guard.h"
#include "broker/daemon/settings.h"

struct ps_mdp_door;

/* Opens it, when the settings ask for it; else *ret_self stays NULL. guard is lent until ps_mdp_door_free. 0, or an error
 * with a sentence. */
int ps_mdp_door_new(struct ps_mdp_door **ret_self, const struct ps_broker_settings *settings,
                    struct ps_guard *guard, struct ps_error *reterr);
/* Says DISCONNECT and closes. Accepts NULL. */
void ps_mdp_door_free(struct ps_mdp_door **self_p);

#endif
