/* broker/daemon/guard.h: who may connect over TCP, and what each may say: our certificate, the directory of allowed keys
 * (watched), the door (zap.h). Without TCP, or without a key, there is nothing to guard and all may do everything.
 * The broker's thread. */
#ifndef PS_BROKER_DAEMON_GUARD_H
#define PS_BROKER_DAEMON_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "broker/daemon/allowed.h"
#include "broker/daemon/settings.h"
#include "proto/messages.h"

struct ps_guard;

#define PS_GUARD_NOBODY 0 /* comes without a key: the UNIX socket's peers, whom its file mode lets in */

struct ps_guard_config {
    void *context;                             /* libzmq's, lent */
    const struct ps_broker_settings *settings; /* lent for ps_guard_new */
    /* The key of that number is not allowed any more. */
    void (*on_gone)(void *ctx, uint32_t who);
    void *ctx;
};

/* Loads certificate and directory and opens the door; before the ROUTER binds. 0, or an error with a sentence. */
int ps_guard_new(struct ps_guard **ret_self, const struct ps_guard_config *config, struct ps_error *reterr);
/* After the ROUTER was closed. */
void ps_guard_free(struct ps_guard **self_p);

/* The keys, for whoever asks in another thread; lent. NULL without CURVE. */
struct ps_allowed *ps_guard_allowed(const struct ps_guard *self);
/* Our secret key for the ROUTER; NULL without CURVE. */
const char *ps_guard_secret(const struct ps_guard *self);
/* Readable when the directory has changed; -1: never. */
int ps_guard_fd(const struct ps_guard *self);
/* Reads the directory again: the descriptor was readable, or somebody asks for it. */
void ps_guard_reload(struct ps_guard *self);
/* The number of a key as ZAP named it (NULL: PS_GUARD_NOBODY). False: it is not allowed any more; counted. */
bool ps_guard_identify(struct ps_guard *self, const char *user, uint32_t *ret_who);
/* May who's last identified message greet in that role? Logged and counted when not. */
bool ps_guard_may(struct ps_guard *self, uint32_t who, uint32_t role);
/* n messages were dropped for their key's sake, by another door: counted. Any thread. */
void ps_guard_deny(struct ps_guard *self, uint64_t n);
/* Messages dropped so far for a reason of keys or rights. Any thread. */
uint64_t ps_guard_denied(const struct ps_guard *self);
/* Logs, when there is news, how many messages of removed keys were dropped. */
void ps_guard_tell(struct ps_guard *self);

#endif
