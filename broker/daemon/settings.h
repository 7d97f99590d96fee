/* broker/daemon/settings.h: what phagescan-broker can be told, by its section of the configuration file ("broker") and
 * on the command line. */
#ifndef PS_BROKER_DAEMON_SETTINGS_H
#define PS_BROKER_DAEMON_SETTINGS_H

#include "base/opt.h"
#include "broker/core/core.h"
#include "broker/mdp/front.h"

struct ps_broker_settings {
    char *config;                  /* file named on the command line */
    char *listen;                  /* path of the UNIX socket */
    struct ps_opt_list listen_tcp; /* "HOST:PORT" */
    char *key, *allowed; /* CURVE on TCP: our certificate, the directory of allowed keys; NULL: without */
    bool insecure_tcp;   /* TCP without CURVE is wanted */
    uint64_t ready_fd;   /* 0: none */
    bool verbose;        /* debug log */
    uint64_t jobs_max, workers_max, owners_max;
    uint64_t inline_budget, result_budget, transfer_bytes, transfer_total, backlog_bytes;
    uint64_t engine_grace_ms, run_ms, aging_ms, beat_ms, dead_ms;
    struct ps_opt_list limits; /* "ENGINE=N" */
    uint64_t limit_hold_ms;
    bool mdp; /* the Majordomo front; a path turns it on too */
    char *mdp_listen;
    struct ps_opt_list mdp_listen_tcp; /* "HOST:PORT"; with CURVE only */
    uint64_t mdp_heartbeat_ms, mdp_busy_ms, mdp_wait_ms, mdp_requests, mdp_bytes, mdp_message_bytes;
};

extern const struct ps_opt ps_broker_options[];

/* Reads file and command line, fills what is missing from the layout. 0; PS_ERR_CANCELLED with text "help" or
 * "version"; else a sentence. ps_broker_settings_fini in all cases. */
int ps_broker_settings_read(struct ps_broker_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr);
void ps_broker_settings_fini(struct ps_broker_settings *self);

/* Turns settings into the core's options, drawing boot id and secret. limits: room for PS_ENGINES_MAX, must live until
 * the core is made. The engines' names in it are the settings' own. */
int ps_broker_settings_core(struct ps_broker_settings *self, struct ps_core_options *ret_options,
                            struct ps_core_limit *limits, struct ps_error *reterr);

/* What the Majordomo front is to be like; its texts are the settings' own, its path NULL when it is off. Context, and for
 * TCP key, domain, monitor and may, are the caller's to set. */
struct ps_mdp_front_config ps_broker_settings_mdp(const struct ps_broker_settings *self);

#endif
