/* phagescan engines, phagescan workers: who can scan, and how busy they are. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/text.h"

static void put_age(const json_t *engine)
{
    long long s = (long long)ps_number_of(engine, "age_s");

    if (s <= 0)
        (void)printf("%-8s", "-");
    else if (s < 2 * 86400)
        (void)printf("%-8s", s < 7200 ? "fresh" : "1 day");
    else
        (void)printf("%lld days%*s", s / 86400, s / 86400 > 9 ? (s / 86400 > 99 ? 0 : 1) : 2, "");
}

static bool put_engine(const json_t *engine)
{
    const char *problem = ps_text_of(engine, "problem");
    bool available = json_is_true(json_object_get(engine, "available"));

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
    else if (!available)
        (void)fputs("no worker offers it", stdout);
    (void)putchar('\n');
    return available;
}

int ps_cmd_engines(int argc, char **argv)
{
    struct ps_text_settings settings = {0};
    json_t *json = NULL, *engine;
    bool well = true;
    size_t i;
    int rest;
    int status = ps_text_options(argc, argv, "engines [--json]",
                                 "Lists engines: versions, definitions, queues.", &settings, &rest, &argv);

    if (status < 0)
        status = ps_text_fetch("engines", "/api/v1/engines", settings.json, &json);
    if (status >= 0)
        return status;
    (void)printf("%-12s  %-9s  %7s %8s %8s %10s  %-16s  %-24s  %-8s  %-8s\n", "engine", "kind", "workers",
                 "queued", "leased", "done", "version", "definitions", "set", "age");
    json_array_foreach (json_object_get(json, "items"), i, engine)
        well = put_engine(engine) && well;
    json_decref(json);
    return well ? PS_EXIT_OK : PS_EXIT_ERROR;
}

static void put_offers(const json_t *worker)
{
    const json_t *offer;
    size_t i;

    (void)fputs("  engines: ", stdout);
    json_array_foreach (json_object_get(worker, "engines"), i, offer) {
        const char *problem = ps_text_of(offer, "problem");

        (void)ps_text_put(stdout, ps_text_of(offer, "name"), 0);
        if (*problem) {
            (void)fputs(" (", stdout);
            (void)ps_text_put(stdout, problem, 0);
            (void)putchar(')');
        }
        (void)putchar(' ');
    }
    (void)fputs("\n  isolation: ", stdout);
    (void)ps_text_put(stdout, ps_text_of(worker, "isolation"), 0);
    (void)putchar('\n');
}

int ps_cmd_workers(int argc, char **argv)
{
    struct ps_text_settings settings = {0};
    json_t *json = NULL, *worker;
    size_t i, n;
    int rest;
    int status = ps_text_options(argc, argv, "workers [--json]",
                                 "Lists workers: slots, leases, engines, isolation, last heartbeat.",
                                 &settings, &rest, &argv);

    if (status < 0)
        status = ps_text_fetch("workers", "/api/v1/workers", settings.json, &json);
    if (status >= 0)
        return status;
    n = json_array_size(json_object_get(json, "items"));
    if (!n)
        (void)puts("No worker is connected. `phagescan up` starts one here; `phagescan status` tells more.");
    else
        (void)printf("%-24s  %6s %6s %8s %8s %10s %6s %9s\n", "worker", "slots", "held", "running", "window",
                     "done", "lost", "heard");
    json_array_foreach (json_object_get(json, "items"), i, worker) {
        ps_text_cell(ps_text_of(worker, "name"), 24);
        (void)printf("%6lld %6lld %8lld %8lld %10lld %6lld %6lld ms\n",
                     (long long)ps_number_of(worker, "slots"), (long long)ps_number_of(worker, "held"),
                     (long long)ps_number_of(worker, "running"), (long long)ps_number_of(worker, "window"),
                     (long long)ps_number_of(worker, "done"), (long long)ps_number_of(worker, "lost"),
                     (long long)ps_number_of(worker, "silent_ms"));
        put_offers(worker);
    }
    json_decref(json);
    return n ? PS_EXIT_OK : PS_EXIT_ERROR;
}
