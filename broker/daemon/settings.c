#include "broker/daemon/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>

#include "base/conf.h"
#include "base/layout.h"
#include "base/mem.h"

#define AT(field) offsetof(struct ps_broker_settings, field)
#define MIB       ((uint64_t)1024 * 1024)
#define GIB       (1024 * MIB)

const struct ps_opt ps_broker_options[] = {
    {"config", 'c', PS_OPT_TEXT, AT(config), 0, 0, NULL, "path",
     "Configuration file; its section is broker."},
    {"listen", 'l', PS_OPT_TEXT, AT(listen), 0, 0, NULL, "path",
     "UNIX socket for masters and workers of this machine; only our own user may connect."},
    {"jobs-max", 0, PS_OPT_U64, AT(jobs_max), 1, 100000000, "2000000", "n",
     "Jobs in memory; above, masters wait."},
    {"workers-max", 0, PS_OPT_U64, AT(workers_max), 1, PS_WORKERS_MAX, "1024", "n",
     "Workers with a session."},
    {"owners-max", 0, PS_OPT_U64, AT(owners_max), 1, 10000000, "65536", "n",
     "Owners with jobs in memory; above, masters wait."},
    {"inline-budget", 0, PS_OPT_U64, AT(inline_budget), MIB, 64 * GIB, "256M", "bytes",
     "Small samples kept in memory with their jobs; above, masters wait."},
    {"result-budget", 0, PS_OPT_U64, AT(result_budget), MIB, 64 * GIB, "256M", "bytes",
     "Results kept until they are in the database; above, nothing is leased."},
    {"transfer-bytes", 0, PS_OPT_U64, AT(transfer_bytes), PS_CHUNK_MAX, GIB, "4M", "bytes",
     "Pieces of samples on their way to one worker."},
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

static int complete(struct ps_broker_settings *self, const struct ps_layout *layout, struct ps_error *reterr)
{
    if (!self->listen)
        self->listen = ps_strf("%s", layout->broker_sock);
    if (!self->listen)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (self->listen[0] != '/')
        return ps_error_set(reterr, PS_ERR_INVALID, "--listen %s is not an absolute path", self->listen);
    if (strlen(self->listen) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return ps_error_set(reterr, PS_ERR_LIMIT, "--listen %s is too long for a UNIX socket", self->listen);
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
