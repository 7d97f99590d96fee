#include "broker/daemon/mdp.h"

#include <zmq.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/daemon/zap.h"

struct ps_mdp_door {
    void *context; /* libzmq's: not the broker's, so that neither waits for the other */
    struct ps_zap *zap;
    struct ps_mdp_front *front;
};

/* On the front's thread, both. */
static bool may(void *ctx, const char *key, bool offers)
{
    struct ps_allowed_key found;

    return ps_allowed_find(ps_guard_allowed(ctx), key, &found) &&
           (found.roles & (offers ? PS_CERT_SERVICE : PS_CERT_CLIENT));
}

static void denied(void *ctx, uint64_t n)
{
    ps_guard_deny(ctx, n);
}

static int open_door(struct ps_mdp_door *self, struct ps_mdp_front_config *config, struct ps_guard *guard,
                     struct ps_error *reterr)
{
    int r = 0;

    self->context = zmq_ctx_new();
    if (!self->context)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    config->context = self->context;
    if (config->tcp.n) {
        config->tcp.secret_key = ps_guard_secret(guard);
        config->tcp.zap_domain = PS_ZAP_DOMAIN_MDP;
        config->tcp.monitor = PS_ZAP_MONITOR;
        config->tcp.may = may;
        config->tcp.denied = denied;
        config->tcp.ctx = guard;
        if (!config->tcp.secret_key ||
            !ps_guard_allowed(guard)) /* never without, whatever the settings say */
            return ps_error_set(reterr, PS_ERR_INVALID, "--mdp-listen-tcp needs a key");
        r = ps_zap_new(&self->zap, self->context, ps_guard_allowed(guard), reterr);
    }
    return r ? r : ps_mdp_front_start(&self->front, config, reterr);
}

static void tell(const struct ps_mdp_door *self, const struct ps_mdp_front_config *config)
{
    ps_log(PS_LOG_INFO, "mdp-listening", "endpoint=ipc://%s", PS_LOGQ(config->path));
    for (size_t i = 0; i < config->tcp.n; i++)
        ps_log(PS_LOG_INFO, "mdp-listening", "endpoint=%s", PS_LOGQ(ps_mdp_front_tcp(self->front, i)));
}

int ps_mdp_door_new(struct ps_mdp_door **ret_self, const struct ps_broker_settings *settings,
                    struct ps_guard *guard, struct ps_error *reterr)
{
    struct ps_mdp_front_config config = ps_broker_settings_mdp(settings);
    PS_CLEANUP(ps_mdp_door_free) struct ps_mdp_door *self = NULL;
    int r;

    if (!config.path)
        return 0;
    self = PS_NEW(struct ps_mdp_door);
    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = open_door(self, &config, guard, reterr);
    if (r)
        return r;
    tell(self, &config);
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_mdp_door_free(struct ps_mdp_door **self_p)
{
    struct ps_mdp_door *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_mdp_front_stop(&self->front);
    ps_zap_free(&self->zap);
    if (self->context)
        (void)zmq_ctx_term(self->context); /* waits for the linger, at most */
    free(self);
}
