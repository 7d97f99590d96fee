#include "bench/dispatch/options.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "bench/dispatch/payload.h"
#include "proto/limits.h"

#define AT(field) offsetof(struct bench_options, field)

static const struct ps_opt table[] = {
    {"endpoint", 0, PS_OPT_TEXT, AT(endpoint), 0, 0, NULL, "where", "Where the broker is."},
    {"back", 0, PS_OPT_TEXT, AT(back), 0, 0, NULL, "where", "Proxy: where workers connect."},
    {"key", 0, PS_OPT_TEXT, AT(key), 0, 0, NULL, "path", "Our certificate (CURVE); keys: the directory."},
    {"server-key", 0, PS_OPT_TEXT, AT(server_key), 0, 0, NULL, "path", "The broker's public certificate."},
    {"mode", 0, PS_OPT_TEXT, AT(mode), 0, 0, "", "words", "Settings of a peer."},
    {"jobs", 0, PS_OPT_U64, AT(jobs), 0, 100000000, "10000", "n", "Jobs in all."},
    {"warm", 0, PS_OPT_U64, AT(warm), 0, 100000000, "0", "n", "Of these, the first are not measured."},
    {"window", 0, PS_OPT_U64, AT(window), 1, 65536, "128", "n", "Jobs outstanding."},
    {"size", 0, PS_OPT_U64, AT(size), 8, PAYLOAD_MAX, "200", "bytes", "Bytes of a payload."},
    {"engines", 0, PS_OPT_U64, AT(engines), 1, 8, "1", "n", "Jobs of one sample."},
    {"batch", 0, PS_OPT_U64, AT(batch), 1, 1024, "1", "n", "Jobs in one message at most."},
    {"sessions", 0, PS_OPT_U64, AT(sessions), 1, 1024, "1", "n",
     "Worker: sessions; client: workers to wait for."},
    {"threads", 0, PS_OPT_U64, AT(threads), 1, 64, "1", "n", "Worker: threads that drive them."},
    {"credit", 0, PS_OPT_U64, AT(credit), 1, PS_WINDOW_MAX, "64", "n",
     "Worker: leases in its hands at most."},
    {"queued", 0, PS_OPT_U64, AT(queued), 0, 10000000, "0", "n", "Client: jobs that wait beside."},
    {"port", 0, PS_OPT_U64, AT(port), 0, 65535, "0", "n", "TCP port on 127.0.0.1."},
    {"watch", 0, PS_OPT_LIST, AT(watch), 0, 0, NULL, "NAME=PID", "Tell what that process costs."},
    {.name = NULL},
};

void bench_die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)fputs("bench: ", stderr); /* we end either way */
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void bench_options_read(struct bench_options *ret_self, int argc, char **argv)
{
    struct rlimit files;
    struct ps_opts_args rest;
    struct ps_error error = {0};

    if (ps_opts_defaults(table, ret_self, &error) ||
        ps_opts_argv(table, ret_self, argc, argv, false, &rest, &error))
        bench_die("%s", error.text);
    if (rest.argc != 1)
        bench_die("usage: PROGRAM ROLE [OPTION]...");
    ret_self->role = rest.argv[0];
    if (ret_self->size % 8 || ret_self->warm >= PS_MAX(ret_self->jobs, (uint64_t)1))
        bench_die("--size is a multiple of 8, --warm less than --jobs");
    payload_init((size_t)ret_self->size);
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* else a thousand sessions fail, and say so */
    }
}

void bench_options_fini(struct bench_options *self)
{
    ps_opts_fini(table, self);
}

bool bench_is(const struct bench_options *self, const char *role)
{
    return strcmp(self->role, role) == 0;
}

const struct ps_keys *bench_keys(const struct bench_options *self)
{
    static struct ps_keys keys;
    struct ps_error error = {0};

    if (!self->key || !self->server_key)
        return NULL;
    if (ps_keys_load(&keys, self->key, self->server_key, &error))
        bench_die("%s", error.text);
    return &keys;
}

void bench_ready(void)
{
    if (puts("ready") < 0 || fflush(stdout))
        bench_die("nobody listens");
}
