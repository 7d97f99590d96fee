#include "worker/settings.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/mem.h"
#include "proto/peer/where.h"
#include "worker/blob.h"
#include "worker/slots.h"

#define AT(field) offsetof(struct ps_worker_settings, field)

const struct ps_opt ps_worker_options[] = {
    {"config", 'c', PS_OPT_TEXT, AT(config), 0, 0, NULL, "path",
     "Configuration file; its section is worker."},
    {"broker", 'b', PS_OPT_TEXT, AT(broker), 0, 0, NULL, "endpoint",
     "The broker: a path, ipc://PATH or tcp://HOST:PORT; default ipc on this machine."},
    {"key", 0, PS_OPT_TEXT, AT(key), 0, 0, NULL, "path",
     "Our CURVE certificate, its secret beside it; needed on tcp."},
    {"broker-key", 0, PS_OPT_TEXT, AT(broker_key), 0, 0, NULL, "path", "The broker's public certificate."},
    {"insecure-tcp", 0, PS_OPT_FLAG, AT(insecure_tcp), 0, 0, NULL, NULL,
     "Allow a broker on tcp without CURVE: who is on the way can read samples and forge results."},
    {"name", 'n', PS_OPT_TEXT, AT(name), 0, 0, NULL, "name",
     "What people call this worker; default HOST:PID."},
    {"slots", 's', PS_OPT_U64, AT(slots), 0, PS_SLOTS_MAX, "0", "n",
     "Jobs at once over all engines; 0 is one a core."},
    {"engines", 'e', PS_OPT_LIST, AT(engines), 0, 0, NULL, "names", "Offer only these engines."},
    {"engine-dir", 0, PS_OPT_TEXT, AT(engine_dir), 0, 0, NULL, "path",
     "Where the shipped engines are: NAME/NAME.so (or .engine, .py) below it."},
    {"own-engine-dir", 0, PS_OPT_TEXT, AT(own_engine_dir), 0, 0, NULL, "path",
     "Where your own engines are, likewise; NAME/ here goes before the shipped one. Need not be there. All "
     "in it "
     "must be yours or root's, and nobody else's to write. Default: engines beside the configuration file."},
    {"enginehost", 0, PS_OPT_TEXT, AT(enginehost), 0, 0, NULL, "path",
     "The program phagescan-enginehost; default beside this one."},
    {"signatures", 0, PS_OPT_TEXT, AT(signatures), 0, 0, NULL, "path",
     "Signatures instead of the system's: a directory with one for each engine (clamav/, yara/), or of plain "
     "files for clamav. Its file ORIGIN says test, site or official; without one it is site. Default: "
     "signatures in the state directory when it is there."},
    {"set", 0, PS_OPT_LIST, AT(set), 0, 0, NULL, "engine.key=value",
     "A setting for an engine; may be repeated."},
    {"cache-dir", 0, PS_OPT_TEXT, AT(cache_dir), 0, 0, NULL, "path",
     "Where samples over 64 MiB are kept, nameless."},
    {"cache-bytes", 0, PS_OPT_U64, AT(cache_bytes), PS_BLOB_MEMORY_MAX, 0, "1G", "bytes",
     "Samples over 64 MiB kept there at most; a larger one is a failure."},
    {"memfd-budget", 0, PS_OPT_U64, AT(memfd_budget), 2 * PS_BLOB_MEMORY_MAX, 0, "512M", "bytes",
     "Samples kept in memory at most; when it is used up, the worker asks for fewer leases."},
    {"tmp-dir", 0, PS_OPT_TEXT, AT(tmp_dir), 0, 0, NULL, "path",
     "Where engines get their private directories."},
    {"drain", 0, PS_OPT_MS, AT(drain_ms), 0, 3600000, "10s", "time",
     "How long a SIGTERM waits for what runs."},
    {"account-services", 0, PS_OPT_TEXT, AT(account_services), 0, 0, "phagescan", "name",
     "Started as root: the account to become; none stays root."},
    {"account-engines", 0, PS_OPT_TEXT, AT(account_engines), 0, 0, "phagescan-engine", "name",
     "Started as root: the account that engines run under."},
    {"landlock-abi", 0, PS_OPT_U64, AT(landlock_abi), 0, 1000, "0", "n",
     "Use no newer Landlock than this; 0 is what the kernel has."},
    {"unjailed", 0, PS_OPT_FLAG, AT(unjailed), 0, 0, NULL, NULL,
     "Consent to engines without a system call filter where the kernel refuses one: what hostile bytes make "
     "of an "
     "engine can then use all of the kernel. Without this they are not offered there."},
    {"probe", 0, PS_OPT_FLAG, AT(probe), 0, 0, NULL, NULL,
     "Load the engines, say what they and their walls are, and end."},
    {"ready-fd", 0, PS_OPT_U64, AT(ready_fd), 0, INT_MAX, "0", "n",
     "Write a line there when the worker is ready."},
    {"verbose", 'v', PS_OPT_FLAG, AT(verbose), 0, 0, NULL, NULL, "Log every job."},
    {.name = NULL},
};

/* One slot for each processor that this process may use. */
static uint64_t cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return (uint64_t)PS_MIN(PS_MAX(n, 1), PS_SLOTS_MAX);
}

static char *beside_us(const char *name)
{
    char path[PS_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    return slash ? ps_strf("%.*s/%s", (int)(slash - path), path, name) : NULL;
}

static char *own_name(void)
{
    char host[HOST_NAME_MAX + 1];

    if (gethostname(host, sizeof(host)) < 0)
        return ps_strf("worker:%d", (int)getpid());
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

/* A set that was put into the state directory (quickstart does) goes before the system's. */
static char *own_signatures(const struct ps_layout *layout)
{
    char *path = ps_strf("%s/signatures", layout->state);
    struct stat st;

    if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return path;
    free(path);
    return NULL;
}

static int complete(struct ps_worker_settings *self, const struct ps_layout *layout, struct ps_error *reterr)
{
    fill(&self->broker, ps_strf("ipc://%s", layout->broker_sock));
    fill(&self->name, own_name());
    fill(&self->engine_dir, ps_strf("%s/engines", layout->lib));
    fill(&self->own_engine_dir, ps_strf("%s", layout->engines));
    fill(&self->enginehost, beside_us("phagescan-enginehost"));
    fill(&self->cache_dir, ps_strf("%s", layout->cache));
    fill(&self->tmp_dir, ps_strf("%s/tmp", layout->state));
    fill(&self->signatures, own_signatures(layout));
    if (self->slots == 0)
        self->slots = cores();

    if (!self->broker || !self->name || !self->engine_dir || !self->own_engine_dir || !self->enginehost ||
        !self->cache_dir || !self->tmp_dir)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (strlen(self->name) > PS_NAME_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "--name is longer than %d bytes", PS_NAME_MAX);
    return ps_where_settle(&self->broker, self->key, self->broker_key, self->insecure_tcp, reterr);
}

/* The command line names the file, and comes after it: so it is read twice. */
static int find_config(char **ret_path, int argc, char **argv, struct ps_error *reterr)
{
    struct ps_worker_settings scratch = {0};
    struct ps_opts_args rest;
    int error = ps_opts_argv(ps_worker_options, &scratch, argc, argv, false, &rest, reterr);

    if (!error && rest.argc > 0)
        error = ps_error_set(reterr, PS_ERR_INVALID, "unexpected argument %s", rest.argv[0]);
    if (!error)
        *ret_path = PS_TAKE(scratch.config);
    ps_opts_fini(ps_worker_options, &scratch);
    return error;
}

int ps_worker_settings_read(struct ps_worker_settings *ret_self, int argc, char **argv,
                            struct ps_error *reterr)
{
    struct ps_layout layout;
    struct ps_opts_args rest;
    PS_FREE char *config = NULL;

    memset(ret_self, 0, sizeof(*ret_self));
    int error = find_config(&config, argc, argv, reterr);
    if (!error)
        error = ps_layout_find(&layout, reterr);
    if (!error)
        error = ps_opts_defaults(ps_worker_options, ret_self, reterr);
    if (!error)
        error = ps_conf_load(config ? config : layout.conf, config != NULL, "worker", ps_worker_options,
                             ret_self, reterr);
    if (!error)
        error = ps_opts_argv(ps_worker_options, ret_self, argc, argv, false, &rest, reterr);
    if (!error)
        error = complete(ret_self, &layout, reterr);
    return error;
}

void ps_worker_settings_fini(struct ps_worker_settings *self)
{
    ps_opts_fini(ps_worker_options, self);
}
