/* phagescan engine reload, on, off: an order to the workers, and a line for each about what it did. */
#include "cli/engine/orders.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/text.h"

#define LOOK_MS 250 /* between two looks at how it stands */

struct settings {
    char *worker;
    bool json;
};

static const struct ps_opt options[] = {
    {"worker", 'w', PS_OPT_TEXT, offsetof(struct settings, worker), 0, 0, NULL, "name",
     "Only this worker; default: all that have the engine."},
    {"json", 'j', PS_OPT_FLAG, offsetof(struct settings, json), 0, 0, NULL, NULL,
     "Print the answer as JSON."},
    {.name = NULL},
};

/* Percent-encodes what is not plain. */
static char *escape(const char *text)
{
    char *out = ps_alloc(3 * strlen(text) + 1, 1), *at = out;

    for (; out && *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", c))
            *at++ = (char)c;
        else
            at += snprintf(at, 4, "%%%02X", c);
    }
    return out;
}

static json_t *parse(const struct ps_api_reply *reply)
{
    return json_loadb((const char *)reply->body.data, reply->body.len, 0, NULL);
}

/* 0 with the order's number. */
static int give(struct ps_api *api, const char *verb, const char *name, const char *worker,
                int64_t *ret_order, struct ps_error *reterr)
{
    PS_FREE char *engine = escape(name), *at = worker ? escape(worker) : NULL;
    PS_FREE char *path =
        engine ? ps_strf("/api/v1/engines/%s/%s%s%s", engine, verb, at ? "?worker=" : "", at ? at : "")
               : NULL;
    struct ps_api_reply reply;
    int r;

    if (!path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_api_call(api, "POST", path, NULL, (struct ps_bytes){NULL, 0}, &reply, reterr);
    if (r)
        return r;
    json_t *json = reply.status == 202 ? parse(&reply) : NULL;
    r = json ? 0 : ps_api_problem(&reply, reterr);
    *ret_order = json ? ps_number_of(json, "order") : 0;
    json_decref(json);
    ps_api_reply_fini(&reply);
    return r;
}

/* Until every worker has answered, or the server gives up on it: it does, in time. */
static int wait_over(struct ps_api *api, int64_t order, json_t **ret_json, struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("/api/v1/orders/%lld", (long long)order);
    int r = path ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");

    while (!r && (r = ps_api_get_json(api, path, ret_json, reterr)) == 0) {
        if (json_is_true(json_object_get(*ret_json, "over")))
            return 0;
        json_decref(PS_TAKE(*ret_json));
        (void)poll(NULL, 0, LOOK_MS); /* a pause */
    }
    return r;
}

static void put_part(const json_t *part)
{
    const char *before = ps_text_of(part, "before"), *after = ps_text_of(part, "after");

    ps_text_cell(ps_text_of(part, "worker"), 24);
    ps_text_cell(ps_text_of(part, "state"), 8);
    (void)ps_text_put(stdout, ps_text_of(part, "text"), 0);
    if (*after) {
        (void)fputs(strcmp(before, after) == 0 ? "; definitions as before: " : "; definitions: ", stdout);
        if (*before && strcmp(before, after) != 0) {
            (void)ps_text_put(stdout, before, 0);
            (void)fputs(" -> ", stdout);
        }
        (void)ps_text_put(stdout, after, 0);
    }
    (void)putchar('\n');
}

static int show(const json_t *json, bool as_json)
{
    const json_t *part;
    bool well = true;
    size_t i;

    if (as_json)
        ps_text_put_json(json);
    json_array_foreach (json_object_get(json, "items"), i, part) {
        well = well && strcmp(ps_text_of(part, "state"), "done") == 0;
        if (!as_json)
            put_part(part);
    }
    return well ? PS_EXIT_OK : PS_EXIT_ERROR;
}

static int order(const char *verb, const char *prose, int argc, char **argv)
{
    PS_CLEANUP(ps_api_free) struct ps_api *api = NULL;
    PS_FREE char *usage = ps_strf("engine %s [--worker NAME] ENGINE", verb);
    struct settings settings = {0};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    json_t *json = NULL;
    int64_t number = 0;
    int status = ps_text_options(options, &settings, argc, argv, usage ? usage : verb, prose, &rest);

    if (status < 0 && rest.argc != 1)
        status = ps_text_complain(argv[0], "it takes the name of one engine");
    if (status < 0) {
        int r = ps_api_new(&api, &why);
        if (!r)
            r = give(api, verb, rest.argv[0], settings.worker, &number, &why);
        if (!r)
            r = wait_over(api, number, &json, &why);
        status = r ? ps_text_complain(argv[0], why.text) : show(json, settings.json);
    }
    json_decref(json);
    ps_opts_fini(options, &settings);
    return status;
}

int ps_engine_reload(int argc, char **argv)
{
    return order("reload",
                 "Has the workers load an engine and its definitions anew, beside the running one.\n"
                 "Exit status: 0 when all did, else 2.",
                 argc, argv);
}

int ps_engine_on(int argc, char **argv)
{
    return order("on", "Has the workers offer an engine again. Exit status: 0 when all do, else 2.", argc,
                 argv);
}

int ps_engine_off(int argc, char **argv)
{
    return order(
        "off",
        "Has the workers offer an engine no more, until `engine on` or their next start; what runs is "
        "finished.\nExit status: 0 when all did, else 2.",
        argc, argv);
}
