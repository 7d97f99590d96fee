#include "master/settings.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/conf.h"
#include "base/layout.h"
#include "base/mem.h"
#include "master/mdp/service.h"
#include "master/scan/post.h"
#include "master/web/text.h"
#include "proto/peer/where.h"

#define AT(field) offsetof(struct ps_master_settings, field)
#define MIB       ((uint64_t)1024 * 1024)

const struct ps_opt ps_master_options[] = {
    {"config", 'c', PS_OPT_TEXT, AT(config), 0, 0, NULL, "path",
     "Configuration file; its section is master."},
    {"host", 0, PS_OPT_TEXT, AT(host), 0, 0, "127.0.0.1", "address", "Address of the page and the API."},
    {"anywhere", 0, PS_OPT_FLAG, AT(anywhere), 0, 0, NULL, NULL,
     "Allow a --host that is not loopback. There are no accounts yet, and no TLS: whoever reads along can "
     "take over."},
    {"port", 'p', PS_OPT_TEXT, AT(port_text), 0, 0, NULL, "port",
     "Port of the page and the API: 8480, or the next free one, without it; 0 is any free one."},
    {"api-sock", 0, PS_OPT_TEXT, AT(api_sock), 0, 0, NULL, "path",
     "UNIX socket of the API: who may open it is the local user."},
    {"www", 0, PS_OPT_TEXT, AT(www), 0, 0, NULL, "path", "Directory of the page's files."},
    {"database", 'd', PS_OPT_TEXT, AT(database), 0, 0, NULL, "conninfo",
     "PostgreSQL, as libpq's connection string; the private cluster of phagescan up without it."},
    {"store", 0, PS_OPT_TEXT, AT(store), 0, 0, NULL, "path", "Directory of the samples."},
    {"broker", 'b', PS_OPT_LIST, AT(brokers), 0, 0, NULL, "endpoint",
     "The broker: a path, ipc://PATH or tcp://HOST:PORT; default ipc on this machine. May be repeated: jobs "
     "are shared "
     "out among all of them. Every master names the same ones in the same words."},
    {"key", 0, PS_OPT_TEXT, AT(key), 0, 0, NULL, "path",
     "Our CURVE certificate, its secret beside it; needed on tcp."},
    {"broker-key", 0, PS_OPT_TEXT, AT(broker_key), 0, 0, NULL, "path", "The broker's public certificate."},
    {"insecure-tcp", 0, PS_OPT_FLAG, AT(insecure_tcp), 0, 0, NULL, NULL,
     "Allow a broker on tcp without CURVE: who is on the way can read samples and forge results."},
    {"name", 'n', PS_OPT_TEXT, AT(name), 0, 0, NULL, "name",
     "What people call this master; default HOST:PID."},
    {"standby", 0, PS_OPT_FLAG, AT(standby), 0, 0, NULL, NULL,
     "Serve reads, and take over when the master that leads is gone."},
    {"stale", 0, PS_OPT_MS, AT(stale_ms), 100, 600000, "10s", "time",
     "Silence after which a leading master counts as gone."},
    {"max-sample-bytes", 0, PS_OPT_U64, AT(max_sample_bytes), 1, 2048 * MIB, "512M", "bytes",
     "Larger samples are refused, by their declared size."},
    {"backfill-rate", 0, PS_OPT_U64, AT(backfill_per_s), 1, 100000, "50", "n",
     "Scans a second that are back-filled when an engine returns."},
    {"longest-run", 0, PS_OPT_MS, AT(longest_run_ms), 1000, 86400000, "60s", "time",
     "With several brokers: no engine runs longer on one sample, as it says itself or as the brokers have "
     "it. "
     "What a broker had that is out of sight may go on for so long, and goes to another one only then."},
    {"mdp", 0, PS_OPT_FLAG, AT(mdp), 0, 0, NULL, NULL,
     "Offer the service scan to Majordomo clients, through the broker's front (its setting mdp)."},
    {"mdp-broker", 0, PS_OPT_TEXT, AT(mdp_broker), 0, 0, NULL, "endpoint",
     "That front: ipc://PATH; naming it turns the service on. Default: mdp.sock beside broker.sock."},
    {"mdp-connections", 0, PS_OPT_U64, AT(mdp_connections), 1, PS_MDP_CONNECTIONS_MAX, "16", "n",
     "Majordomo requests in work at once; further ones wait at the broker."},
    {"mdp-heartbeat", 0, PS_OPT_MS, AT(mdp_heartbeat_ms), 10, 60000, "2500ms", "time",
     "Heartbeat with the broker's front: as it is set there."},
    {"ready-fd", 0, PS_OPT_U64, AT(ready_fd), 0, INT_MAX, "0", "n",
     "Write a line there when it serves and the database was reached."},
    {"verbose", 'v', PS_OPT_FLAG, AT(verbose), 0, 0, NULL, NULL, "Log more."},
    {.name = NULL},
};

static char *own_name(void)
{
    char host[HOST_NAME_MAX + 1];

    if (gethostname(host, sizeof(host)) < 0)
        return ps_strf("master:%d", (int)getpid());
    host[HOST_NAME_MAX] = '\0';
    return ps_strf("%s:%d", host, (int)getpid());
}

static void fill(char **text_p, char *made)
{
    if (*text_p)
        free(made);
    else
        *text_p = made;
}

static int read_port(struct ps_master_settings *self, struct ps_error *reterr)
{
    uint64_t port = PS_MASTER_PORT;

    if (self->port_text && (ps_web_u64(ps_bytes_of(self->port_text), &port) != 0 || port > UINT16_MAX))
        return ps_error_set(reterr, PS_ERR_INVALID, "--port %s: a number from 0 to 65535 is expected",
                            self->port_text);
    self->port = (uint16_t)port;
    return 0;
}

static int check_host(const struct ps_master_settings *self, struct ps_error *reterr)
{
    bool loopback =
        !strncmp(self->host, "127.", 4) || !strcmp(self->host, "localhost") || !strcmp(self->host, "::1");

    if (loopback || self->anywhere)
        return 0;
    return ps_error_set(
        reterr, PS_ERR_INVALID,
        "--host %s is not loopback: without accounts that gives everything to everyone who gets hold of "
        "a session; --anywhere allows it",
        self->host);
}

static int check(const struct ps_master_settings *self, struct ps_error *reterr)
{
    if (strlen(self->api_sock) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return ps_error_set(reterr, PS_ERR_LIMIT, "--api-sock %s is too long for a UNIX socket",
                            self->api_sock);
    if (self->mdp_broker && strncmp(self->mdp_broker, "ipc://", strlen("ipc://")) != 0)
        return ps_error_set(reterr, PS_ERR_INVALID, "--mdp-broker %s has to be ipc://PATH", self->mdp_broker);
    return check_host(self, reterr);
}

/* A name that stands there twice would be two brokers that are one: its limits would count twice. */
static int check_twins(const struct ps_opt_list *brokers, struct ps_error *reterr)
{
    for (size_t i = 0; i < brokers->n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(brokers->at[i], brokers->at[j]) == 0)
                return ps_error_set(reterr, PS_ERR_INVALID, "--broker %s is there twice", brokers->at[i]);
    return 0;
}

static int settle_brokers(struct ps_master_settings *self, const struct ps_layout *layout,
                          struct ps_error *reterr)
{
    int r = 0;

    if (self->brokers.n == 0)
        r = ps_opts_set(ps_master_options, self, "broker", layout->broker_sock, reterr);
    if (r == 0 && self->brokers.n > PS_BROKERS_MAX)
        r = ps_error_set(reterr, PS_ERR_LIMIT, "more than %d brokers", PS_BROKERS_MAX);
    for (size_t i = 0; i < self->brokers.n && r == 0; i++)
        r = ps_where_settle(&self->brokers.at[i], self->key, self->broker_key, self->insecure_tcp, reterr);
    return r ? r : check_twins(&self->brokers, reterr);
}

static int complete(struct ps_master_settings *self, const struct ps_layout *layout, struct ps_error *reterr)
{
    /* Two masters on one machine can't share a socket. */
    fill(&self->api_sock,
         self->standby ? ps_strf("%s/standby.sock", layout->run) : ps_strf("%s", layout->api_sock));
    fill(&self->www, ps_strf("%s/www", layout->lib));
    fill(&self->database, ps_strf("host=%s/pg dbname=phagescan user=phagescan", layout->run));
    fill(&self->store, ps_strf("%s", layout->store));
    if (self->mdp)
        fill(&self->mdp_broker, ps_strf("ipc://%s", layout->mdp_sock));
    fill(&self->name, own_name());
    if (self->store)
        self->body_dir = ps_strf("%s/bodies", self->store);
    if (!self->host || !self->api_sock || !self->www || !self->database || !self->store || !self->name ||
        !self->body_dir || (self->mdp && !self->mdp_broker))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = read_port(self, reterr);
    if (!r)
        r = settle_brokers(self, layout, reterr);
    return r ? r : check(self, reterr);
}

/* The command line names the file, and comes after it: so it is read twice. */
static int find_config(char **ret_path, int argc, char **argv, struct ps_error *reterr)
{
    struct ps_master_settings scratch = {0};
    struct ps_opts_args rest;
    int r = ps_opts_argv(ps_master_options, &scratch, argc, argv, false, &rest, reterr);

    if (!r && rest.argc > 0)
        r = ps_error_set(reterr, PS_ERR_INVALID, "unexpected argument %s", rest.argv[0]);
    if (!r)
        *ret_path = PS_TAKE(scratch.config);
    ps_opts_fini(ps_master_options, &scratch);
    return r;
}

int ps_master_settings_read(struct ps_master_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr)
{
    struct ps_layout layout;
    struct ps_opts_args rest;
    PS_FREE char *config = NULL;

    *ret_self = (struct ps_master_settings){0};
    int r = find_config(&config, argc, argv, reterr);
    if (!r)
        r = ps_layout_find(&layout, reterr);
    if (!r)
        r = ps_opts_defaults(ps_master_options, ret_self, reterr);
    if (!r)
        r = ps_conf_load(config ? config : layout.conf, config != NULL, "master", ps_master_options, ret_self,
                         reterr);
    if (!r)
        r = ps_opts_argv(ps_master_options, ret_self, argc, argv, false, &rest, reterr);
    return r ? r : complete(ret_self, &layout, reterr);
}

void ps_master_settings_fini(struct ps_master_settings *self)
{
    ps_opts_fini(ps_master_options, self);
    free(PS_TAKE(self->body_dir));
}
