#include "broker/daemon/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>

#include "base/conf.h"
#include "base/layout.h"
#include "base/mem.h"
#include "proto/peer/cert.h"

#define AT(field) offsetof(struct ps_broker_settings, field)
#define MIB       ((uint64_t)1024 * 1024)
#define GIB       (1024 * MIB)

const struct ps_opt ps_broker_options[] = {
    {"config", 'c', PS_OPT_TEXT, AT(config), 0, 0, NULL, "path",
     "Configuration file; its section is broker."},
    {"listen", 'l', PS_OPT_TEXT, AT(listen), 0, 0, NULL, "path",
     "UNIX socket for masters and workers of this machine; only our own user may connect."},
    {"listen-tcp", 0, PS_OPT_LIST, AT(listen_tcp), 0, 0, NULL, "HOST:PORT",
     "Listen on TCP as well, for workers and masters of other machines; HOST is an address of this machine "
     "(* is "
     "all of them), the port is 8481 by custom. May be repeated."},
    {"key", 0, PS_OPT_TEXT, AT(key), 0, 0, NULL, "path",
     "Our CURVE certificate, its secret beside it; default keys/broker.key beside the configuration file."},
    {"allowed", 0, PS_OPT_TEXT, AT(allowed), 0, 0, NULL, "path",
     "Directory of the keys that may connect on TCP; default keys/allowed beside the configuration file. "
     "What changes there is seen at once."},
    {"insecure-tcp", 0, PS_OPT_FLAG, AT(insecure_tcp), 0, 0, NULL, NULL,
     "Allow TCP without CURVE: whoever reaches the port can take jobs and samples, and forge results."},
    {"jobs-max", 0, PS_OPT_U64, AT(jobs_max), 1, 100000000, "2000000", "n",
     "Jobs in memory; above, masters wait."},
    {"workers-max", 0, PS_OPT_U64, AT(workers_max), 1, PS_WORKERS_MAX, "1024", "n",
     "Workers with a session."},
    {"owners-max", 0, PS_OPT_U64, AT(owners_max), 1, 65535, "65535", "n",
     "Owners with jobs in memory; above, masters wait."},
    {"inline-budget", 0, PS_OPT_U64, AT(inline_budget), MIB, 64 * GIB, "256M", "bytes",
     "Small samples kept in memory with their jobs; above, masters wait."},
    {"result-budget", 0, PS_OPT_U64, AT(result_budget), MIB, 64 * GIB, "256M", "bytes",
     "Results kept until they are in the database; above, nothing is leased."},
    {"transfer-bytes", 0, PS_OPT_U64, AT(transfer_bytes), PS_CHUNK_MAX, GIB, "4M", "bytes",
     "Pieces of samples on their way to one worker."},
    {"transfer-total", 0, PS_OPT_U64, AT(transfer_total), PS_CHUNK_MAX, GIB, "512K", "bytes",
     "Pieces of samples that the master was asked for and that are not here yet, for all workers; workers "
     "take turns. More fills long lines better, and delays jobs and results that share them."},
    {"backlog-bytes", 0, PS_OPT_U64, AT(backlog_bytes), 2 * (uint64_t)PS_FRAME_MAX, 4 * GIB, "64M", "bytes",
     "What one peer may leave unread before it is taken for dead."},
    {"engine-grace", 0, PS_OPT_MS, AT(engine_grace_ms), 0, 86400000, "30s", "time",
     "How long jobs wait for a worker that offers their engine; then they end as unavailable."},
    {"run-time", 0, PS_OPT_MS, AT(run_ms), 1, 21600000, "60s", "time",
     "Run time of a job where neither the scan nor the engine says one."},
    {"aging", 0, PS_OPT_MS, AT(aging_ms), 0, 86400000, "10s", "time",
     "A job of a lower band that waited so long gets its share beside higher ones."},
    {"beat", 0, PS_OPT_MS, AT(beat_ms), 10, 60000, "1s", "time", "Peers are asked to show life so often."},
    {"dead", 0, PS_OPT_MS, AT(dead_ms), 20, 600000, "5s", "time",
     "Silence after which a peer counts as gone."},
    {"limit", 0, PS_OPT_LIST, AT(limits), 0, 0, NULL, "ENGINE=N",
     "At most N jobs of that engine at once in the whole fleet (a licence); may be repeated."},
    {"limit-hold", 0, PS_OPT_MS, AT(limit_hold_ms), 0, 86400000, "75s", "time",
     "After its start the broker leases nothing of engines with a limit for so long: leases of its life "
     "before may "
     "still run. Not less than their run time and 15 s; 0 only where the limit may be exceeded."},
    {"mdp", 0, PS_OPT_FLAG, AT(mdp), 0, 0, NULL, NULL, "Serve Majordomo (MDP/0.1) clients and workers too."},
    {"mdp-listen", 0, PS_OPT_TEXT, AT(mdp_listen), 0, 0, NULL, "path",
     "UNIX socket for them; naming one turns it on. Default: mdp.sock beside broker.sock."},
    {"mdp-listen-tcp", 0, PS_OPT_LIST, AT(mdp_listen_tcp), 0, 0, NULL, "HOST:PORT",
     "Listen for them on TCP as well (turns it on, the port is 8482 by custom): by CURVE only, for allowed "
     "keys with the "
     "role client (ask) or service (offer). May be repeated."},
    {"mdp-heartbeat", 0, PS_OPT_MS, AT(mdp_heartbeat_ms), 10, 60000, "2500ms", "time",
     "Heartbeat of Majordomo workers, both ways; three missed ones mean gone."},
    {"mdp-busy", 0, PS_OPT_MS, AT(mdp_busy_ms), 1000, 86400000, "10m", "time",
     "A Majordomo worker may work so long without a word."},
    {"mdp-wait", 0, PS_OPT_MS, AT(mdp_wait_ms), 10, 86400000, "60s", "time",
     "A Majordomo request waits so long for a worker; then it is dropped."},
    {"mdp-requests", 0, PS_OPT_U64, AT(mdp_requests), 1, 10000000, "10000", "n",
     "Majordomo requests that wait for one service; above, the oldest is dropped."},
    {"mdp-bytes", 0, PS_OPT_U64, AT(mdp_bytes), MIB, 64 * GIB, "256M", "bytes",
     "Bodies of Majordomo requests that wait; above, the oldest of the fullest service is dropped."},
    {"mdp-message-bytes", 0, PS_OPT_U64, AT(mdp_message_bytes), 1024, 2 * GIB, "64M", "bytes",
     "Largest Majordomo message; who sends more loses the connection."},
    {"ready-fd", 0, PS_OPT_U64, AT(ready_fd), 0, INT_MAX, "0", "n",
     "Write a line there when the broker listens."},
    {"verbose", 'v', PS_OPT_FLAG, AT(verbose), 0, 0, NULL, NULL, "Log more."},
    {.name = NULL},
};

/* The command line names the file, and comes after it: so it is read twice. */
static int find_config(char **ret_path, int argc, char **argv, struct ps_error *reterr)
{
    struct ps_broker_settings scratch = {0};
    struct ps_opts_args rest;
    int r = ps_opts_argv(ps_broker_options, &scratch, argc, argv, false, &rest, reterr);

    if (!r && rest.argc > 0)
        r = ps_error_set(reterr, PS_ERR_INVALID, "unexpected argument %s", rest.argv[0]);
    if (!r)
        *ret_path = PS_TAKE(scratch.config);
    ps_opts_fini(ps_broker_options, &scratch);
    return r;
}

/* TCP means keys, unless it was said aloud that it is to go without. */
static int complete_keys(struct ps_broker_settings *self, const struct ps_layout *layout,
                         struct ps_error *reterr)
{
    bool open = self->insecure_tcp && !self->key;

    if (self->mdp_listen_tcp.n && open)
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "--mdp-listen-tcp needs a key, and --insecure-tcp goes without one");
    if (open || (!self->listen_tcp.n && !self->mdp_listen_tcp.n))
        return 0;
    if (!self->key) {
        self->key = ps_strf("%s/broker" PS_CERT_SUFFIX, layout->keys);
        if (self->key && access(self->key, F_OK))
            return ps_error_set(
                reterr, PS_ERR_INVALID, "--%s needs a key: `phagescan keys broker` makes %s.%s",
                self->listen_tcp.n ? "listen-tcp" : "mdp-listen-tcp", self->key,
                self->mdp_listen_tcp.n
                    ? ""
                    : " --insecure-tcp goes without, and lets in everybody who reaches the port");
    }
    if (!self->allowed)
        self->allowed = ps_strf("%s/allowed", layout->keys);
    return self->key && self->allowed ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

/* A UNIX socket: where it was said, or the layout's own place. */
static int complete_path(char **path_p, const char *standard, const char *option, struct ps_error *reterr)
{
    if (!*path_p && !(*path_p = ps_strf("%s", standard)))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if ((*path_p)[0] != '/')
        return ps_error_set(reterr, PS_ERR_INVALID, "--%s %s is not an absolute path", option, *path_p);
    if (strlen(*path_p) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return ps_error_set(reterr, PS_ERR_LIMIT, "--%s %s is too long for a UNIX socket", option, *path_p);
    return 0;
}

static int complete(struct ps_broker_settings *self, const struct ps_layout *layout, struct ps_error *reterr)
{
    int r = complete_path(&self->listen, layout->broker_sock, "listen", reterr);

    if (!r && (self->mdp || self->mdp_listen || self->mdp_listen_tcp.n))
        r = complete_path(&self->mdp_listen, layout->mdp_sock, "mdp-listen", reterr);
    if (!r)
        r = complete_keys(self, layout, reterr);
    if (r)
        return r;
    if (self->dead_ms < 2 * self->beat_ms)
        return ps_error_set(reterr, PS_ERR_INVALID, "--dead must be at least twice --beat");
    return 0;
}

int ps_broker_settings_read(struct ps_broker_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr)
{
    struct ps_layout layout;
    struct ps_opts_args rest;
    PS_FREE char *config = NULL;
    int r;

    *ret_self = (struct ps_broker_settings){0};
    r = find_config(&config, argc, argv, reterr);
    if (!r)
        r = ps_layout_find(&layout, reterr);
    if (!r)
        r = ps_opts_defaults(ps_broker_options, ret_self, reterr);
    if (!r)
        r = ps_conf_load(config ? config : layout.conf, config != NULL, "broker", ps_broker_options, ret_self,
                         reterr);
    if (!r)
        r = ps_opts_argv(ps_broker_options, ret_self, argc, argv, false, &rest, reterr);
    return r ? r : complete(ret_self, &layout, reterr);
}

void ps_broker_settings_fini(struct ps_broker_settings *self)
{
    ps_opts_fini(ps_broker_options, self);
}

/* "ENGINE=N": the sign is replaced by the end of the name. */
static int read_limit(char *text, struct ps_core_limit *ret_limit, struct ps_error *reterr)
{
    char *sign = strrchr(text, '='), *end;
    unsigned long n;

    errno = 0;
    n = sign ? strtoul(sign + 1, &end, 10) : 0;
    if (!sign || sign == text || errno || end == sign + 1 || *end || !n || n > UINT32_MAX ||
        (size_t)(sign - text) > PS_NAME_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "--limit %s: write ENGINE=N, N at least 1", text);
    *sign = '\0';
    *ret_limit = (struct ps_core_limit){.engine = text, .leases_n = (uint32_t)n};
    return 0;
}

static int draw(struct ps_core_options *options, struct ps_error *reterr)
{
    do {
        if (getrandom(&options->boot, sizeof(options->boot), 0) != (ssize_t)sizeof(options->boot) ||
            getrandom(options->secret, sizeof(options->secret), 0) != (ssize_t)sizeof(options->secret))
            return ps_error_set(reterr, PS_ERR_IO, "no random numbers: %s", strerror(errno));
    } while (options->boot == 0);
    return 0;
}

int ps_broker_settings_core(struct ps_broker_settings *self, struct ps_core_options *ret_options,
                            struct ps_core_limit *limits, struct ps_error *reterr)
{
    struct ps_core_options options;
    int r;

    if (self->limits.n > PS_ENGINES_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "more than %d limits", PS_ENGINES_MAX);
    for (size_t i = 0; i < self->limits.n; i++)
        if ((r = read_limit(self->limits.at[i], &limits[i], reterr)))
            return r;
    ps_core_options_init(&options);
    options.jobs_max = (uint32_t)self->jobs_max;
    options.workers_max = (uint32_t)self->workers_max;
    options.owners_max = (uint32_t)self->owners_max;
    /* Talk and beat of every worker, as many that come anew while the old ones are not forgotten, masters. */
    options.peers_max = 4 * options.workers_max + 4 * options.masters_max + 64;
    options.inline_budget_bytes = self->inline_budget;
    options.result_budget_bytes = self->result_budget;
    options.transfer_bytes = (uint32_t)self->transfer_bytes;
    options.transfer_total = (uint32_t)self->transfer_total;
    options.engine_grace_ms = (uint32_t)self->engine_grace_ms;
    options.run_ms = (uint32_t)self->run_ms;
    options.aging_ms = (uint32_t)self->aging_ms;
    options.beat_ms = (uint32_t)self->beat_ms;
    options.dead_ms = (uint32_t)self->dead_ms;
    options.limits = limits;
    options.limits_n = self->limits.n;
    options.limit_hold_ms = (uint32_t)self->limit_hold_ms;
    if ((r = draw(&options, reterr)))
        return r;
    *ret_options = options;
    return 0;
}

struct ps_mdp_front_config ps_broker_settings_mdp(const struct ps_broker_settings *self)
{
    struct ps_mdp_front_config config = {
        .path = self->mdp_listen,
        .message_bytes = (size_t)self->mdp_message_bytes,
        .tcp = {.at = (const char *const *)self->mdp_listen_tcp.at, .n = self->mdp_listen_tcp.n}};

    ps_mdp_limits_init(&config.limits);
    config.limits.heartbeat_ms = (uint32_t)self->mdp_heartbeat_ms;
    config.limits.busy_ms = (uint32_t)self->mdp_busy_ms;
    config.limits.wait_ms = (uint32_t)self->mdp_wait_ms;
    config.limits.requests_max = (uint32_t)self->mdp_requests;
    config.limits.bytes_max = (size_t)self->mdp_bytes;
    return config;
}
