/* phagescan status, phagescan down: how what `phagescan up` started is, and its end. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/layout.h"
#include "base/mem.h"
#include "base/opt.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/place.h"
#include "cli/text.h"
#include "cli/up/control.h"

static const struct ps_opt no_options[] = {{0}};

/* Reads the command line of a command without arguments. -1 to go on, else the exit status. */
static int read_options(const struct ps_opt *table, void *settings, int argc, char **argv, const char *usage,
                        const char *prose)
{
    struct ps_opts_args rest = {0};
    int status = ps_text_options(table, settings, argc, argv, usage, prose, &rest);

    return status < 0 && rest.argc > 0 ? ps_text_complain(argv[0], "it takes no arguments") : status;
}

/* ---- down ---- */

static void tell_stopping(const json_t *state)
{
    const json_t *unit;
    size_t i;

    if (!isatty(STDERR_FILENO))
        return;
    json_array_foreach (json_object_get(state, "units"), i, unit)
        if (!strcmp(ps_text_of(unit, "state"), "stopping")) {
            (void)fputs("\r\033[Kstopping ", stderr);
            (void)ps_text_put(stderr, ps_text_of(unit, "name"), 60);
        }
}

int ps_cmd_down(int argc, char **argv)
{
    struct ps_layout layout;
    struct ps_error why = {0};
    char none = 0;
    int status = read_options(no_options, &none, argc, argv, "down",
                              "Stops what `phagescan up` started, and waits for its end.");

    if (status >= 0)
        return status;
    if (ps_place_find(&layout, &why) || ps_control_stop(&layout, tell_stopping, &why))
        return ps_text_complain("down", why.text);
    if (isatty(STDERR_FILENO))
        (void)fputs("\r\033[K", stderr);
    (void)puts("Stopped. Samples and results are kept.");
    return PS_EXIT_OK;
}

/* ---- status ---- */

static bool is_well(const json_t *unit)
{
    return !strcmp(ps_text_of(unit, "state"), "ready");
}

static void print_unit(const json_t *unit)
{
    ps_text_cell(ps_text_of(unit, "name"), 10);
    ps_text_cell(ps_text_of(unit, "state"), 9);
    (void)printf("%8lld %8llds %9lld  ", (long long)ps_number_of(unit, "pid"),
                 (long long)ps_number_of(unit, "for_s"), (long long)ps_number_of(unit, "restarts"));
    (void)ps_text_put(stdout, ps_text_of(unit, "last"), 0);
    (void)putchar('\n');
    if (is_well(unit))
        return;
    (void)fputs("  not well: see ", stdout);
    (void)ps_text_put(stdout, ps_text_of(unit, "log"), 0);
    (void)putchar('\n');
}

/* Both may be missing in what a master tells: then they are away. */
static bool part_ok(const json_t *master, const char *part)
{
    return json_is_true(json_object_get(json_object_get(master, part), "ok"));
}

static void print_master(const json_t *master)
{
    (void)printf("\ndatabase %s, broker %s, %s, %lld scans waiting, signatures: ",
                 part_ok(master, "database") ? "answers" : "AWAY",
                 part_ok(master, "broker") ? "connected" : "AWAY",
                 json_is_true(json_object_get(master, "leader")) ? "leader" : "standby",
                 (long long)ps_number_of(json_object_get(master, "queue"), "scans"));
    (void)ps_text_put(stdout, ps_text_of(json_object_get(master, "signatures"), "origin"), 0);
    (void)putchar('\n');
}

static void print_status(const json_t *state, const json_t *master, const struct ps_error *why)
{
    const json_t *unit;
    size_t i;

    (void)printf("%-10s  %-9s  %8s %9s %9s  %s\n", "process", "state", "pid", "for", "restarts", "last end");
    json_array_foreach (json_object_get(state, "units"), i, unit)
        print_unit(unit);
    if (master) {
        print_master(master);
    } else {
        (void)fputs("\nthe API does not answer: ", stdout);
        (void)ps_text_put(stdout, why->text, 0);
        (void)putchar('\n');
    }
}

static bool all_well(const json_t *state, const json_t *master)
{
    const json_t *unit;
    bool well = master && part_ok(master, "database") && part_ok(master, "broker");
    size_t i;

    json_array_foreach (json_object_get(state, "units"), i, unit)
        well = is_well(unit) && well;
    return well;
}

int ps_cmd_status(int argc, char **argv)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    struct ps_text_json settings = {0};
    struct ps_layout layout;
    struct ps_error why = {0};
    json_t *state = NULL, *master = NULL;
    int status = read_options(ps_text_json_options, &settings, argc, argv, "status [--json]",
                              "Tells which process is well and which is not.\n"
                              "Exit status: 0 when all are well, else 2.");

    if (status >= 0)
        return status;
    if (ps_place_find(&layout, &why) || ps_control_status(&layout, true, &state, &why))
        return ps_text_complain("status", why.text);
    if (ps_api_new(&api, &why) == 0)
        (void)ps_api_get_json(api, "/api/v1/status", &master, &why); /* master stays NULL: why is printed */
    if (settings.json) {
        json_t *all = json_pack("{s:O, s:O?}", "supervisor", state, "master", master);

        ps_text_put_json(all);
        json_decref(all);
    } else {
        print_status(state, master, &why);
    }
    status = all_well(state, master) ? PS_EXIT_OK : PS_EXIT_ERROR;
    json_decref(master);
    json_decref(state);
    return status;
}
