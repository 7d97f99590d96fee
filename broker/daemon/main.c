/* broker/daemon/main.c: phagescan-broker. */
#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/daemon/mdp.h"
#include "broker/daemon/server.h"

#define FDS_A_WORKER 2  /* talk and beat: a connection each */
#define FDS_RESERVED 64 /* ours, and masters' */

/* czmq reads limits and more from the environment; ours come from our options. */
static void clear_environment(void)
{
    static const char *const names[] = {
        "ZSYS_IO_THREADS", "ZSYS_MAX_SOCKETS", "ZSYS_MAX_MSGSZ", "ZSYS_LINGER",       "ZSYS_SNDHWM",
        "ZSYS_RCVHWM",     "ZSYS_PIPEHWM",     "ZSYS_IPV6",      "ZSYS_IPV6_ADDRESS", "ZSYS_INTERFACE",
        "ZSYS_LOGSTREAM",  "ZSYS_LOGIDENT",    "ZSYS_LOGSYSTEM", "ZSYS_LOGSENDER",    "ZSYS_SIGHANDLER"};

    for (size_t i = 0; i < PS_ARRAY_N(names); i++)
        (void)unsetenv(names[i]); /* fails for names that are none */
}

/* All that the kernel gives: the usual soft limit of 1,024 is less than 512 workers. Above the hard one libzmq can't accept
 * a connection, and nobody would be told: so it is said at the start. */
static void raise_descriptors(uint64_t workers_max)
{
    uint64_t wanted = FDS_A_WORKER * workers_max + FDS_RESERVED;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE,
                    &limit); /* up to the hard limit it can't fail; if it did, the old one stays */
    if (limit.rlim_max < wanted)
        ps_log(PS_LOG_WARN, "few-descriptors", "limit=%llu wanted=%llu workers-max=%llu",
               (unsigned long long)limit.rlim_max, (unsigned long long)wanted,
               (unsigned long long)workers_max);
}

/* A ROUTER counts its automatic routing ids from what rand() gives, and libzmq seeds nothing: so every process would begin at
 * the same. A peer may name itself by any id, and libzmq asserts when the next automatic one is taken: who knew where we
 * count could end us with one connection (tests/flow/curve_door.py). Before any socket. */
static int seed_routing_ids(struct ps_error *reterr)
{
    unsigned seed;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return ps_error_set(reterr, PS_ERR_IO, "no random numbers: %s", strerror(errno));
    srand(seed); // NOLINT(cert-msc32-c,cert-msc51-cpp): it is random
    return 0;
}

static int block_signals(int *ret_fd, struct ps_error *reterr)
{
    sigset_t set;

    (void)sigemptyset(&set); /* none of these can fail with good arguments */
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret_fd >= 0 ? 0 : ps_error_set(reterr, PS_ERR_IO, "signalfd: %s", strerror(errno));
}

static void tell_ready(const struct ps_broker_settings *settings)
{
    static const char line[] = "ready\n";

    ps_log(PS_LOG_INFO, "ready", "endpoint=ipc://%s", PS_LOGQ(settings->listen));
    if (settings->ready_fd == 0)
        return;
    /* Nobody there to read it is no reason to stop. */
    if (write((int)settings->ready_fd, line, sizeof(line) - 1) < 0)
        ps_log(PS_LOG_WARN, "ready-unheard", "fd=%llu", (unsigned long long)settings->ready_fd);
    (void)close((int)settings->ready_fd); /* it has done its work */
}

static int work(struct ps_broker_settings *settings, struct ps_error *reterr)
{
    PS_CLEANUP(ps_server_free) struct ps_server *server = NULL;
    PS_CLEANUP(ps_mdp_door_free) struct ps_mdp_door *mdp = NULL; /* ends before the server's guard */
    PS_CLOSE int signal_fd = -1;
    int r = block_signals(&signal_fd, reterr);

    raise_descriptors(settings->workers_max);
    if (!r)
        r = seed_routing_ids(reterr);
    if (!r)
        r = ps_server_new(&server, settings, signal_fd, reterr);
    if (!r)
        r = ps_mdp_door_new(&mdp, settings, ps_server_guard(server), reterr);
    if (r)
        return r;
    tell_ready(settings);
    r = ps_server_run(server, reterr);
    if (!r)
        ps_log(PS_LOG_INFO, "stopped", "%s", "");
    return r;
}

static int say_help(const char *what)
{
    if (strcmp(what, "version") == 0) {
        (void)printf("phagescan-broker %s\n", PS_VERSION); /* a reader who left wants no help */
        return 0;
    }
    (void)printf(
        "Usage: phagescan-broker [OPTION]...\n"
        "Leases jobs of masters to workers. Holds memory only: whatever it forgets comes back to it.\n\n");
    ps_opts_help(ps_broker_options, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct ps_broker_settings settings;
    struct ps_error error = {0};
    int r;

    zsys_handler_set(NULL);
    clear_environment();
    ps_log_init("phagescan-broker", PS_LOG_INFO);
    r = ps_broker_settings_read(&settings, argc, argv, &error);
    if (r == PS_ERR_CANCELLED) {
        r = say_help(error.text);
    } else if (r) {
        (void)fprintf(stderr, "phagescan-broker: %s\n", error.text);
    } else {
        ps_log_init("phagescan-broker", settings.verbose ? PS_LOG_DEBUG : PS_LOG_INFO);
        r = work(&settings, &error);
        if (r)
            ps_log(PS_LOG_ERROR, "ended", "why=%s", PS_LOGQ(error.text));
    }
    ps_broker_settings_fini(&settings);
    return r ? 1 : 0;
}
