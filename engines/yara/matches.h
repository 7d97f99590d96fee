/* engines/yara/matches.h: the trait `matches`: which rules matched, with their tags, metas and strings. */
#ifndef PS_ENGINES_YARA_MATCHES_H
#define PS_ENGINES_YARA_MATCHES_H

#include "engines/engine.h"

#include <jansson.h>
#include <yara.h>

#define PS_YARA_MATCHES_BYTES 60000 /* of JSON; rules that don't fit are counted, not listed */

struct ps_yara_matches {
    json_t *list;
    size_t bytes;    /* of JSON so far */
    size_t left_out; /* rules that did not fit */
};

/* Adds a rule that matched in context. Without memory it counts as left out. */
void ps_yara_matches_add(struct ps_yara_matches *self, YR_SCAN_CONTEXT *context, YR_RULE *rule,
                         enum ps_found what);

/* Reports what there is, if anything, and frees it. */
void ps_yara_matches_report(struct ps_yara_matches *self, const struct ps_engine_report *report);

#endif
