#include "cli/place.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

static bool has_socket(const char *run)
{
    PS_FREE char *api = ps_strf("%s/api.sock", run), *up = ps_strf("%s/up.sock", run);

    return api && up && (access(api, F_OK) == 0 || access(up, F_OK) == 0);
}

void ps_place_choose(struct ps_layout *layout, const char *system_run)
{
    if (has_socket(layout->run) || !has_socket(system_run))
        return;
    (void)snprintf(layout->run, sizeof(layout->run), "%s", system_run); /* a path of ours: it fits */
    (void)snprintf(layout->api_sock, sizeof(layout->api_sock), "%s/api.sock", system_run);
}

int ps_place_find(struct ps_layout *ret_layout, struct ps_error *reterr)
{
    const char *state = getenv("PHAGESCAN_STATE");
    int r = ps_layout_find(ret_layout, reterr);

    if (!r && geteuid() != 0 && (!state || !*state))
        ps_place_choose(ret_layout, PS_PLACE_SYSTEM_RUN);
    return r;
}
