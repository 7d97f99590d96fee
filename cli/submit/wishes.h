/* cli/submit/wishes.h: what the person asked of a run: its options, and what of them goes with every file. */
#ifndef PS_CLI_SUBMIT_WISHES_H
#define PS_CLI_SUBMIT_WISHES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/opt.h"
#include "cli/api.h"

struct ps_wishes {
    bool wait, no_wait, json, table, quiet, one_file_system;
    char *profile, *priority, *visibility, *resume, *name;
    struct ps_opt_list engines, exclude, tags;
    uint64_t patience_ms;
};

extern const struct ps_opt ps_wishes_options[];

/* Looks for what can't be: words that are none, wishes that exclude each other. */
int ps_wishes_check(const struct ps_wishes *self, struct ps_error *reterr);
/* Asks the server whether it has the profile and the engines: one clear sentence instead of one a file. */
int ps_wishes_ask(const struct ps_wishes *self, struct ps_api *api, struct ps_error *reterr);
/* An object with what goes with every file; single: one file alone, which goes first. The caller owns *ret_json. */
int ps_wishes_common(const struct ps_wishes *self, bool single, json_t **ret_json, struct ps_error *reterr);

#endif
