/* engines/yara/matches.c */
#include "engines/yara/matches.h"
#include "engines/kit/kit.h"
#include "engines/yara/verdict.h"

#include <stdio.h>
#include <string.h>

#define TAGS_MAX    16 /* of one rule; the rest is left out of the trait */
#define METAS_MAX   32
#define STRINGS_MAX 16
#define DATA_MAX    32 /* bytes of a matched string that are shown */

static json_t *text(const char *from)
{
    char clean[PS_KIT_TEXT_MAX];

    return json_string(ps_kit_text(clean, sizeof(clean), from));
}

static json_t *tags_of(const YR_RULE *rule)
{
    json_t *tags = json_array();
    const char *tag;

    yr_rule_tags_foreach (rule, tag)
        if (json_array_size(tags) < TAGS_MAX)
            (void)json_array_append_new(tags,
                                        text(tag)); /* what memory can't hold is left out, here and below */
    return tags;
}

static json_t *metas_of(const YR_RULE *rule)
{
    json_t *metas = json_object(), *value;
    char key[64];
    YR_META *meta;

    yr_rule_metas_foreach (rule, meta) {
        if (json_object_size(metas) >= METAS_MAX)
            break;
        value = meta->type == META_TYPE_STRING    ? text(meta->string)
                : meta->type == META_TYPE_BOOLEAN ? json_boolean(meta->integer)
                                                  : json_integer(meta->integer);
        (void)json_object_set_new(metas, ps_kit_text(key, sizeof(key), meta->identifier), value);
    }
    return metas;
}

static json_t *match_of(const YR_STRING *string, const YR_MATCH *match)
{
    char hex[2 * DATA_MAX + 1] = "";

    for (int32_t i = 0; i < match->data_length && i < DATA_MAX; i++)
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", match->data[i]);
    return json_pack("{s:s, s:I, s:i, s:s}", "id", string->identifier, "offset",
                     (json_int_t)match->base + match->offset, "length", (int)match->match_length, "data",
                     hex);
}

/* libyara keeps matches at any address, aligned or not: each is copied before it is looked at. */
static const void *take(const void *at, YR_MATCH *ret_match)
{
    memcpy(ret_match, at, sizeof(*ret_match));
    return ret_match->next;
}

static json_t *strings_of(const YR_SCAN_CONTEXT *context, YR_RULE *rule)
{
    json_t *strings = json_array();
    YR_STRING *string;
    YR_MATCH match;

    yr_rule_strings_foreach (rule, string) {
        const void *next = context->matches[string->idx].head;

        while (next && json_array_size(strings) < STRINGS_MAX) {
            next = take(next, &match);
            if (!match.is_private)
                (void)json_array_append_new(strings, match_of(string, &match));
        }
    }
    return strings;
}

void ps_yara_matches_add(struct ps_yara_matches *self, YR_SCAN_CONTEXT *context, YR_RULE *rule,
                         enum ps_found what)
{
    json_t *item = json_pack("{s:o*, s:o*, s:s, s:o*, s:o*, s:o*}", "rule", text(rule->identifier),
                             "namespace", text(rule->ns->name), "verdict", ps_yara_word_of(what), "tags",
                             tags_of(rule), "meta", metas_of(rule), "strings", strings_of(context, rule));
    size_t bytes = item ? json_dumpb(item, NULL, 0, JSON_COMPACT) + 1 : 0;

    if (!self->list)
        self->list = json_array();
    if (!item || !self->list || self->bytes + bytes > PS_YARA_MATCHES_BYTES) {
        self->left_out++;
        json_decref(item);
        return;
    }
    self->bytes += bytes;
    if (json_array_append_new(self->list, item))
        self->left_out++;
}

void ps_yara_matches_report(struct ps_yara_matches *self, const struct ps_engine_report *report)
{
    if (json_array_size(self->list))
        (void)ps_kit_trait(report, "matches", json_incref(self->list));
    if (self->left_out)
        (void)ps_kit_trait(report, "matches_left_out", json_integer((json_int_t)self->left_out));
    json_decref(self->list);
    memset(self, 0, sizeof(*self));
}
