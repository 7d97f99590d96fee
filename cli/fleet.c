/* phagescan engines, phagescan workers: who can scan, and how busy they are. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/text.h"

/* In words that fit a column; "" when it is not known. */
static const char *age_words(const json_t *engine, char buf[24])
{
    long long s = (long long)ps_number_of(engine, "age_s");

    if (s <= 0)
        buf[0] = '\0';
    else if (s < 7200)
        (void)snprintf(buf, 24, "fresh");
    else if (s < 2 * 86400)
        (void)snprintf(buf, 24, "%lld hours", s / 3600);
    else
        (void)snprintf(buf, 24, "%lld days", s / 86400);
    return buf;
}

static void put_age(const json_t *engine)
{
    char buf[24];
    const char *words = age_words(engine, buf);

    (void)printf("%-8s", *words ? words : "-");
}

/* One that was switched off is missed by nobody. */
static bool is_available(const json_t *engine)
{
    return json_is_true(json_object_get(engine, "available")) ||
           json_is_false(json_object_get(engine, "enabled"));
}

static void put_engine(const json_t *engine)
{
    const char *problem = ps_text_of(engine, "problem");

    ps_text_cell(ps_text_of(engine, "name"), 12);
    ps_text_cell(ps_text_of(engine, "kind"), 9);
    (void)printf("%7lld %8lld %8lld %10lld  ", (long long)ps_number_of(engine, "workers"),
                 (long long)ps_number_of(engine, "queued"), (long long)ps_number_of(engine, "leased"),
                 (long long)ps_number_of(engine, "done"));
    ps_text_cell(ps_text_of(engine, "version"), 16);
    ps_text_cell(ps_text_of(engine, "definitions"), 24);
    ps_text_cell(ps_text_of(engine, "origin"), 8);
    put_age(engine);
    (void)putchar(' ');
    if (*problem)
        (void)ps_text_put(stdout, problem, 0);
    else if (json_is_false(json_object_get(engine, "enabled")))
        (void)fputs("switched off", stdout);
    else if (!is_available(engine))
        (void)fputs("no worker offers it", stdout);
    else
        (void)ps_text_put(stdout, ps_text_of(engine, "note"), 0);
    (void)putchar('\n');
}

/* Reads the line and fetches path. -1 to go on, else the exit status. */
static int fetch(int argc, char **argv, const char *usage, const char *prose, const char *path,
                 bool *ret_json_wanted, json_t **ret_json)
{
    struct ps_text_json settings = {0};
    struct ps_opts_args rest = {0};
    int status = ps_text_options(ps_text_json_options, &settings, argc, argv, usage, prose, &rest);

    if (status < 0 && rest.argc > 0)
        status = ps_text_complain(argv[0], "it takes no arguments");
    *ret_json_wanted = settings.json;
    return status < 0 ? ps_text_fetch(argv[0], path, ret_json) : status;
}

int ps_cmd_engines(int argc, char **argv)
{
    json_t *json = NULL, *engine;
    bool well = true, as_json;
    size_t i;
    int status = fetch(argc, argv, "engines [--json]",
                       "Lists engines: versions, definitions, queues.\n"
                       "Exit status: 0 when all are available, else 2.",
                       "/api/v1/engines", &as_json, &json);

    if (status >= 0)
        return status;
    if (as_json)
        ps_text_put_json(json);
    else
        (void)printf("%-12s  %-9s  %7s %8s %8s %10s  %-16s  %-24s  %-8s  %-8s\n", "engine", "kind", "workers",
                     "queued", "leased", "done", "version", "definitions", "set", "age");
    json_array_foreach (json_object_get(json, "items"), i, engine) {
        if (!as_json)
            put_engine(engine);
        well = is_available(engine) && well;
    }
    json_decref(json);
    return well ? PS_EXIT_OK : PS_EXIT_ERROR;
}

/* An engine a line: definitions with their age, or why it can't be used. */
static void put_offers(const json_t *worker)
{
    const json_t *offer;
    char buf[24];
    size_t i;

    json_array_foreach (json_object_get(worker, "engines"), i, offer) {
        const char *problem = ps_text_of(offer, "problem"), *note = ps_text_of(offer, "note");

        (void)fputs("  ", stdout);
        ps_text_cell(ps_text_of(offer, "name"), 12);
        ps_text_cell(*problem ? "" : ps_text_of(offer, "definitions"), 24);
        (void)printf("%-9s ", *problem ? "" : age_words(offer, buf));
        (void)ps_text_put(stdout, *problem ? problem : note, 0);
        (void)putchar('\n');
    }
    (void)fputs("  isolation: ", stdout);
    (void)ps_text_put(stdout, ps_text_of(worker, "isolation"), 0);
    (void)putchar('\n');
}

static void put_worker(const json_t *worker)
{
    ps_text_cell(ps_text_of(worker, "name"), 24);
    (void)printf("%6lld %6lld %8lld %8lld %10lld %6lld %6lld ms\n", (long long)ps_number_of(worker, "slots"),
                 (long long)ps_number_of(worker, "held"), (long long)ps_number_of(worker, "running"),
                 (long long)ps_number_of(worker, "window"), (long long)ps_number_of(worker, "done"),
                 (long long)ps_number_of(worker, "lost"), (long long)ps_number_of(worker, "silent_ms"));
    put_offers(worker);
}

int ps_cmd_workers(int argc, char **argv)
{
    json_t *json = NULL, *worker;
    bool as_json;
    size_t i;
    int status = fetch(argc, argv, "workers [--json]",
                       "Lists workers: slots, leases, engines, isolation, last heartbeat.\n"
                       "Exit status: 0 when there is one, else 2.",
                       "/api/v1/workers", &as_json, &json);

    if (status >= 0)
        return status;
    size_t n = json_array_size(json_object_get(json, "items"));
    if (as_json)
        ps_text_put_json(json);
    else if (!n)
        (void)puts("No worker is connected. `phagescan up` starts one here; `phagescan status` tells more.");
    else
        (void)printf("%-24s  %6s %6s %8s %8s %10s %6s %9s\n", "worker", "slots", "held", "running", "window",
                     "done", "lost", "heard");
    json_array_foreach (json_object_get(json, "items"), i, worker)
        if (!as_json)
            put_worker(worker);
    json_decref(json);
    return n ? PS_EXIT_OK : PS_EXIT_ERROR;
}
