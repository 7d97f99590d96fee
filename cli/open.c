/* phagescan open: an address that lets a browser in. */
#include "cli/open.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/text.h"

int ps_open_print(struct ps_error *reterr)
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
    const char *url = ps_text_of(json, "url");
    unsigned port = 0;
    if (!*url) {
        json_decref(json);
        return ps_error_set(reterr, PS_ERR_PROTO, "the server's answer to POST /tokens has no url");
    }
    (void)fputs("The page (this address works once; `phagescan open` prints another): ", stdout);
    (void)ps_text_put(stdout, url, 0);
    (void)putchar('\n');
    if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY") && sscanf(url, "http://127.0.0.1:%u/", &port) == 1)
        (void)printf(
            "No screen here? On your own machine: ssh -L %u:127.0.0.1:%u THIS-HOST, and open it there.\n",
            port, port);
    json_decref(json);
    return 0;
}

int ps_cmd_open(int argc, char **argv)
{
    static const struct ps_opt no_options[] = {{0}};
    struct ps_opts_args rest = {0};
    struct ps_error why = {0};
    char none = 0;
    int status = ps_text_options(no_options, &none, argc, argv, "open",
                                 "Prints a fresh address of the web page; it opens a session once.", &rest);

    if (status < 0 && rest.argc > 0)
        status = ps_text_complain("open", "it takes no arguments");
    if (status >= 0)
        return status;
    return ps_open_print(&why) ? ps_text_complain("open", why.text) : PS_EXIT_OK;
}
