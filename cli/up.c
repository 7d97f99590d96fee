/* phagescan up, down, status, open: everything on one machine. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/layout.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/up/control.h"
#include "cli/up/supervisor.h"

static const struct ps_opt up_options[] = {
    {"background", 'd', PS_OPT_FLAG, offsetof(struct ps_up_settings, background), 0, 0, NULL, NULL,
     "return once everything is ready, and leave it running"},
    {"verbose", 'v', PS_OPT_FLAG, offsetof(struct ps_up_settings, verbose), 0, 0, NULL, NULL,
     "copy the logs of all processes to standard error"},
    {"port", 'p', PS_OPT_TEXT, offsetof(struct ps_up_settings, port), 0, 0, NULL, "port",
     "web port; 8480, or the next free one, without it"},
    {"signatures", 's', PS_OPT_TEXT, offsetof(struct ps_up_settings, signatures), 0, 0, NULL, "directory",
     "signatures for the engines instead of the system's or the bundled ones"},
    {"slots", 0, PS_OPT_TEXT, offsetof(struct ps_up_settings, slots), 0, 0, NULL, "n",
     "jobs that run at once; the number of cores without it"},
    {0},
};

static const struct ps_opt no_options[] = {{0}};

struct json_setting {
    bool json;
};
static const struct ps_opt json_options[] = {
    {"json", 'j', PS_OPT_FLAG, offsetof(struct json_setting, json), 0, 0, NULL, NULL,
     "answer as one JSON object"},
    {0},
};

static int complain(const char *command, const struct ps_error *why)
{
    (void)fprintf(stderr, "phagescan %s: %s\n", command, why->text);
    return PS_EXIT_ERROR;
}

/* Reads the command line. Returns -1 to go on, else the exit status (help was asked for, or it was wrong). */
static int read_options(const struct ps_opt *table, void *settings, int argc, char **argv, const char *prose)
{
    struct ps_opts_args rest;
    struct ps_error why = {0};
    int r = ps_opts_defaults(table, settings, &why);

    if (!r)
        r = ps_opts_argv(table, settings, argc, argv, false, &rest, &why);
    if (r == PS_ERR_CANCELLED) {
        (void)printf("usage: phagescan %s [OPTION...]\n%s\n\n", argv[0], prose);
        ps_opts_help(table, stdout);
        return PS_EXIT_OK;
    }
    if (!r && rest.argc > 0)
        r = ps_error_set(&why, PS_ERR_INVALID, "unexpected argument \"%s\"; --help lists the options",
                         rest.argv[0]);
    return r ? complain(argv[0], &why) : -1;
}

/* A fresh one-time address of the page. Prints it, and how to reach it from another machine when nobody sits
 * here. */
static int print_address(struct ps_error *reterr)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    PS_CLEANUP(ps_api_reply_fini) struct ps_api_reply reply = {0};
    int r = ps_api_new(&api, reterr);

    if (!r)
        r = ps_api_call(api, "POST", "/api/v1/tokens", NULL, (struct ps_bytes){0}, &reply, reterr);
    if (!r && reply.status != 201)
        r = ps_api_problem(&reply, reterr);
    if (r)
        return r;

    json_t *json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    const char *url = json_string_value(json_object_get(json, "url"));
    unsigned port = 0;
    if (!url) {
        json_decref(json);
        return ps_error_set(reterr, PS_ERR_PROTO, "the server's answer to POST /tokens has no url");
    }
    (void)printf("The page (this address works once; `phagescan open` prints another): %s\n", url);
    if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY") && sscanf(url, "http://127.0.0.1:%u/", &port) == 1)
        (void)printf(
            "No screen here? On your own machine: ssh -L %u:127.0.0.1:%u THIS-HOST, and open it there.\n",
            port, port);
    json_decref(json);
    return 0;
}

/* Waits for the supervisor's word in the detached child. */
static int wait_for_ready(int fd)
{
    char line[PS_ERROR_TEXT_MAX + 16] = "";
    size_t n = 0;
    ssize_t got;

    while (n + 1 < sizeof(line) && (got = read(fd, line + n, sizeof(line) - 1 - n)) > 0)
        n += (size_t)got;
    if (!strcmp(line, "ready\n"))
        return PS_EXIT_OK;
    line[strcspn(line, "\n")] = '\0';
    (void)fprintf(stderr, "phagescan up: %s\n",
                  n ? line : "the supervisor ended before everything was ready; see its log");
    return PS_EXIT_ERROR;
}

static int start_in_background(const struct ps_layout *layout, const struct ps_up_settings *settings)
{
    struct ps_error why = {0};
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        return PS_EXIT_ERROR;
    pid_t pid = fork(); /* no threads yet */
    if (pid < 0)
        return PS_EXIT_ERROR;
    if (pid == 0) {
        PS_FREE char *log = ps_strf("%s/supervisor.log", layout->state);
        PS_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int fd;

        (void)close(ready[0]);
        (void)setsid();
        (void)ps_file_mkdirs(layout->state, 0755); /* when it fails, the supervisor says so */
        fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(fd >= 0 ? fd : null, 2);
        _exit(ps_supervisor_run(layout, settings, ready[1], &why) ? PS_EXIT_ERROR : PS_EXIT_OK);
    }
    (void)close(ready[1]);
    int status = wait_for_ready(ready[0]);
    (void)close(ready[0]);
    if (status == PS_EXIT_OK && print_address(&why) != 0)
        return complain("up", &why);
    if (status == PS_EXIT_OK)
        (void)puts(
            "Running in the background. `phagescan status` tells how it is, `phagescan down` stops it.");
    return status;
}

/* In the foreground a small child waits for readiness and prints the address. */
static int run_in_foreground(const struct ps_layout *layout, const struct ps_up_settings *settings)
{
    struct ps_error why = {0};
    int ready[2];

    if (pipe2(ready, O_CLOEXEC) < 0)
        return PS_EXIT_ERROR;
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ready[1]);
        int status = wait_for_ready(ready[0]);
        if (status == PS_EXIT_OK && print_address(&why) != 0)
            status = complain("up", &why);
        if (status == PS_EXIT_OK)
            (void)puts("Running. ^C stops it.");
        (void)fflush(NULL);
        _exit(status);
    }
    (void)close(ready[0]);
    return ps_supervisor_run(layout, settings, ready[1], &why) ? PS_EXIT_ERROR : PS_EXIT_OK;
}

int ps_cmd_up(int argc, char **argv)
{
    struct ps_up_settings settings = {0};
    struct ps_layout layout;
    struct ps_error why = {0};
    json_t *state = NULL;
    int status = read_options(up_options, &settings, argc, argv,
                              "Starts PostgreSQL, broker, master and worker on this machine.");

    if (status >= 0)
        goto out;
    ps_log_init("phagescan-up", PS_LOG_INFO);
    status = PS_EXIT_ERROR;
    if (ps_layout_find(&layout, &why) != 0) {
        (void)complain("up", &why);
    } else if (ps_control_status(&layout, &state, NULL) == 0) {
        (void)fputs("phagescan up: it is running already: `phagescan status` tells how it is\n", stderr);
        json_decref(state);
    } else {
        status = settings.background ? start_in_background(&layout, &settings)
                                     : run_in_foreground(&layout, &settings);
    }
out:
    ps_opts_fini(up_options, &settings);
    return status;
}

static void tell_stopping(const json_t *state)
{
    const json_t *unit;
    size_t i;

    if (!isatty(STDERR_FILENO))
        return;
    json_array_foreach (json_object_get(state, "units"), i, unit)
        if (!strcmp(json_string_value(json_object_get(unit, "state")), "stopping"))
            (void)fprintf(stderr, "\r\033[Kstopping %s", json_string_value(json_object_get(unit, "name")));
}

int ps_cmd_down(int argc, char **argv)
{
    struct ps_layout layout;
    struct ps_error why = {0};
    char none = 0;
    int status = read_options(no_options, &none, argc, argv,
                              "Stops what `phagescan up` started, and waits for its end.");

    if (status >= 0)
        return status;
    if (ps_layout_find(&layout, &why) || ps_control_stop(&layout, tell_stopping, &why))
        return complain("down", &why);
    if (isatty(STDERR_FILENO))
        (void)fputs("\r\033[K", stderr);
    (void)puts("Stopped. Samples and results are kept.");
    return PS_EXIT_OK;
}

static bool print_units(const json_t *state)
{
    bool well = true;
    const json_t *unit;
    size_t i;

    (void)printf("%-10s %-9s %8s %9s %9s  %s\n", "process", "state", "pid", "for", "restarts", "last end");
    json_array_foreach (json_object_get(state, "units"), i, unit) {
        const char *word = json_string_value(json_object_get(unit, "state"));

        (void)printf("%-10s %-9s %8lld %8llds %9lld  %s\n", json_string_value(json_object_get(unit, "name")),
                     word, (long long)json_integer_value(json_object_get(unit, "pid")),
                     (long long)json_integer_value(json_object_get(unit, "for_s")),
                     (long long)json_integer_value(json_object_get(unit, "restarts")),
                     json_string_value(json_object_get(unit, "last")));
        if (strcmp(word, "ready") != 0) {
            (void)printf("  not well: see %s\n", json_string_value(json_object_get(unit, "log")));
            well = false;
        }
    }
    return well;
}

static bool print_master(const json_t *master)
{
    const json_t *database = json_object_get(master, "database"), *broker = json_object_get(master, "broker");
    bool database_ok = json_is_true(json_object_get(database, "ok"));
    bool broker_ok = json_is_true(json_object_get(broker, "ok"));

    (void)printf("\ndatabase %s, broker %s, %s, %lld scans waiting, signatures: %s\n",
                 database_ok ? "answers" : "AWAY", broker_ok ? "connected" : "AWAY",
                 json_is_true(json_object_get(master, "leader")) ? "leader" : "standby",
                 (long long)json_integer_value(json_object_get(json_object_get(master, "queue"), "scans")),
                 json_string_value(json_object_get(json_object_get(master, "signatures"), "origin")));
    return database_ok && broker_ok;
}

int ps_cmd_status(int argc, char **argv)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct json_setting settings = {0};
    struct ps_layout layout;
    struct ps_error why = {0};
    json_t *state = NULL, *master = NULL;
    bool well;
    int status =
        read_options(json_options, &settings, argc, argv, "Tells which process is well and which is not.");

    if (status >= 0)
        return status;
    if (ps_layout_find(&layout, &why) || ps_control_status(&layout, &state, &why))
        return complain("status", &why);

    int r = ps_api_new(&api, &why);
    if (!r)
        r = ps_api_get_json(api, "/api/v1/status", &master, &why);
    if (settings.json) {
        json_t *all =
            json_pack("{s:O, s:o?}", "supervisor", state, "master", master ? json_incref(master) : NULL);

        (void)json_dumpf(all, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(all);
        well = !r;
    } else {
        well = print_units(state);
        if (r)
            (void)printf("\nthe API does not answer: %s\n", why.text);
        well = !r && print_master(master) && well;
    }
    json_decref(master);
    json_decref(state);
    return well ? PS_EXIT_OK : PS_EXIT_ERROR;
}

int ps_cmd_open(int argc, char **argv)
{
    struct ps_error why = {0};
    char none = 0;
    int status = read_options(no_options, &none, argc, argv,
                              "Prints a fresh address of the web page; it opens a session once.");

    if (status >= 0)
        return status;
    return print_address(&why) ? complain("open", &why) : PS_EXIT_OK;
}
