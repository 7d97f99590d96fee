/* engines/yara/verdict.c */
#include "engines/yara/verdict.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *word;
    enum ps_found what;
} words[] = {
    {"malicious", PS_FOUND_MALICIOUS},
    {"suspicious", PS_FOUND_SUSPICIOUS},
    {"harmless", PS_FOUND_HARMLESS},
    {"info", PS_FOUND_DESCRIBED},
};

#define WORDS_N (sizeof(words) / sizeof(words[0]))

int ps_yara_word(const char *word, size_t len, enum ps_found *ret_what)
{
    for (size_t i = 0; i < WORDS_N; i++)
        if (strlen(words[i].word) == len && !strncasecmp(words[i].word, word, len)) {
            *ret_what = words[i].what;
            return 0;
        }
    return -1;
}

const char *ps_yara_word_of(enum ps_found what)
{
    for (size_t i = 0; i < WORDS_N; i++)
        if (words[i].what == what)
            return words[i].word;
    return "unknown";
}

static int from_directory(const char *name, enum ps_found *ret_what)
{
    static const char infected[] = "infected";
    size_t len = strcspn(name, "/");

    if (!strncmp(name, infected, sizeof(infected) - 1)) {
        *ret_what = PS_FOUND_MALICIOUS;
        return 0;
    }
    return name[len] ? ps_yara_word(name, len, ret_what) : -1;
}

enum ps_found ps_yara_verdict(const YR_RULE *rule, enum ps_found fallback)
{
    enum ps_found what;
    const char *tag;
    YR_META *meta;

    yr_rule_tags_foreach (rule, tag)
        if (!ps_yara_word(tag, strlen(tag), &what))
            return what;
    yr_rule_metas_foreach (rule, meta)
        if (meta->type == META_TYPE_STRING && !strcmp(meta->identifier, "verdict") &&
            !ps_yara_word(meta->string, strlen(meta->string), &what))
            return what;
    return from_directory(rule->ns->name, &what) ? fallback : what;
}
