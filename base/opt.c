#include "base/opt.h"

#include <errno.h>

#include "base/mem.h"

static void *field(const struct ps_opt *opt, void *settings)
{
    return (char *)settings + opt->offset;
}

const struct ps_opt *ps_opts_find(const struct ps_opt *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

/* Edits that lead from a to b, or more than limit. Names are short; longer ones are never near. */
static size_t distance(const char *a, const char *b)
{
    enum { NAME_MAX_N = 40 };
    size_t row[NAME_MAX_N + 1], b_len = strlen(b);

    if (b_len > NAME_MAX_N || strlen(a) > NAME_MAX_N)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = PS_MIN(replace, PS_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

int ps_opts_unknown(const struct ps_opt *table, const char *name, struct ps_error *reterr)
{
    size_t best = 3; /* more than two slips is another word */
    const char *nearest = NULL;

    for (; table->name; table++) {
        size_t d = distance(name, table->name);

        if (d < best) {
            best = d;
            nearest = table->name;
        }
    }
    if (nearest)
        return ps_error_set(reterr, PS_ERR_INVALID, "unknown option \"%.64s\": did you mean \"%s\"?", name,
                            nearest);
    return ps_error_set(reterr, PS_ERR_INVALID, "unknown option \"%.64s\"", name);
}

/* Digits at the start of text; what follows them in *ret_rest. Unlike strtoull: no sign, no blanks, no
 * wrapping. */
static int parse_digits(const char *text, uint64_t *ret_value, const char **ret_rest)
{
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return PS_ERR_LIMIT;
    if (at == text)
        return PS_ERR_INVALID;
    *ret_value = value;
    *ret_rest = at;
    return 0;
}

struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix byte_suffixes[] = {
    {"", 1},           {"k", 1ULL << 10}, {"K", 1ULL << 10}, {"m", 1ULL << 20}, {"M", 1ULL << 20},
    {"g", 1ULL << 30}, {"G", 1ULL << 30}, {"t", 1ULL << 40}, {"T", 1ULL << 40},
};
static const struct suffix time_suffixes[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
static const struct suffix no_suffixes[] = {{"", 1}};

static int parse_scaled(const char *text, const struct suffix *suffixes, size_t n, uint64_t *ret_value)
{
    const char *rest;
    uint64_t value;
    int rc = parse_digits(text, &value, &rest);

    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (strcmp(rest, suffixes[i].text) == 0)
            return __builtin_mul_overflow(value, suffixes[i].factor, ret_value) ? PS_ERR_LIMIT : 0;
    return PS_ERR_INVALID;
}

static int parse_number(const struct ps_opt *opt, const char *text, uint64_t *ret_value)
{
    if (opt->type == PS_OPT_MS)
        return parse_scaled(text, time_suffixes, PS_ARRAY_N(time_suffixes), ret_value);
    if (opt->unit && strcmp(opt->unit, "bytes") == 0)
        return parse_scaled(text, byte_suffixes, PS_ARRAY_N(byte_suffixes), ret_value);
    return parse_scaled(text, no_suffixes, PS_ARRAY_N(no_suffixes), ret_value);
}

static const char *unit_hint(const struct ps_opt *opt)
{
    if (opt->type == PS_OPT_MS)
        return " (a time: 250ms, 30s, 5m, 2h)";
    return opt->unit && strcmp(opt->unit, "bytes") == 0 ? " (bytes, or with k, M, G)" : " (a whole number)";
}

static int set_number(const struct ps_opt *opt, uint64_t *to, const char *text, struct ps_error *reterr)
{
    uint64_t max = opt->max > 0 ? opt->max : UINT64_MAX, value = 0;
    int rc = parse_number(opt, text, &value);

    if (rc == PS_ERR_INVALID)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: \"%.64s\" is not a number%s", opt->name, text,
                            unit_hint(opt));
    if (rc || value < opt->min || value > max)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: %.64s is not between %llu and %llu%s", opt->name,
                            text, (unsigned long long)opt->min, (unsigned long long)max,
                            opt->type == PS_OPT_MS ? " milliseconds" : "");
    *to = value;
    return 0;
}

static int set_flag(const struct ps_opt *opt, bool *to, const char *text, struct ps_error *reterr)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

    for (size_t i = 0; i < PS_ARRAY_N(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *to = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return ps_error_set(reterr, PS_ERR_INVALID, "%s: \"%.64s\" is neither yes nor no", opt->name, text);
}

static int set_text(const struct ps_opt *opt, char **to, const char *text, struct ps_error *reterr)
{
    char *copy = ps_strndup(text, strlen(text));

    if (!copy)
        return ps_error_set(reterr, PS_ERR_NOMEM, "%s: out of memory", opt->name);
    free(*to);
    *to = copy;
    return 0;
}

static int append(const struct ps_opt *opt, struct ps_opt_list *to, const char *item, size_t len,
                  struct ps_error *reterr)
{
    char *copy;

    if (to->n >= PS_OPT_LIST_ITEMS_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: more than %d items", opt->name,
                            PS_OPT_LIST_ITEMS_MAX);
    copy = ps_strndup(item, len);
    if (!copy || ps_realloc(&to->at, to->n + 1, sizeof(char *))) {
        free(copy);
        return ps_error_set(reterr, PS_ERR_NOMEM, "%s: out of memory", opt->name);
    }
    to->at[to->n++] = copy;
    return 0;
}

/* "a, b,,c" adds three items: blanks around are for the eye, and an empty one is a comma too many, not a
 * wish. */
static int add_items(const struct ps_opt *opt, struct ps_opt_list *to, const char *text,
                     struct ps_error *reterr)
{
    int rc = 0;

    while (*text && !rc) {
        size_t len = strcspn(text, ","), first = strspn(text, " \t"), end = len;

        while (end > first && (text[end - 1] == ' ' || text[end - 1] == '\t'))
            end--;
        if (end > first)
            rc = append(opt, to, text + first, end - first, reterr);
        text += len + (text[len] == ',');
    }
    return rc;
}

static int set(const struct ps_opt *opt, void *settings, const char *value, struct ps_error *reterr)
{
    if (!value && opt->type == PS_OPT_FLAG)
        value = "yes";
    if (!value)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: a value is missing", opt->name);
    if (strnlen(value, PS_OPT_TEXT_BYTES_MAX + 1) > PS_OPT_TEXT_BYTES_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: longer than %d bytes", opt->name,
                            PS_OPT_TEXT_BYTES_MAX);
    switch (opt->type) {
    case PS_OPT_FLAG:
        return set_flag(opt, field(opt, settings), value, reterr);
    case PS_OPT_U64:
    case PS_OPT_MS:
        return set_number(opt, field(opt, settings), value, reterr);
    case PS_OPT_TEXT:
        return set_text(opt, field(opt, settings), value, reterr);
    case PS_OPT_LIST:
        return add_items(opt, field(opt, settings), value, reterr);
    }
    return PS_ERR_UNSUPPORTED;
}

static void fini_list(struct ps_opt_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->at[i]);
    free(list->at);
    *list = (struct ps_opt_list){0};
}

static void zero(const struct ps_opt *opt, void *settings)
{
    switch (opt->type) {
    case PS_OPT_FLAG:
        *(bool *)field(opt, settings) = false;
        break;
    case PS_OPT_U64:
    case PS_OPT_MS:
        *(uint64_t *)field(opt, settings) = 0;
        break;
    case PS_OPT_TEXT:
        *(char **)field(opt, settings) = NULL;
        break;
    case PS_OPT_LIST:
        *(struct ps_opt_list *)field(opt, settings) = (struct ps_opt_list){0};
        break;
    }
}

int ps_opts_defaults(const struct ps_opt *table, void *settings, struct ps_error *reterr)
{
    int rc = 0;

    for (const struct ps_opt *opt = table; opt->name; opt++)
        zero(opt, settings);
    for (const struct ps_opt *opt = table; opt->name && !rc; opt++)
        if (opt->def)
            rc = set(opt, settings, opt->def, reterr);
    return rc;
}

int ps_opts_set(const struct ps_opt *table, void *settings, const char *name, const char *value,
                struct ps_error *reterr)
{
    const struct ps_opt *opt = ps_opts_find(table, name);

    return opt ? set(opt, settings, value, reterr) : ps_opts_unknown(table, name, reterr);
}

void ps_opts_forget(const struct ps_opt *table, void *settings, const char *name)
{
    const struct ps_opt *opt = ps_opts_find(table, name);

    if (opt && opt->type == PS_OPT_LIST)
        fini_list(field(opt, settings));
}

void ps_opts_fini(const struct ps_opt *table, void *settings)
{
    for (const struct ps_opt *opt = table; opt->name; opt++) {
        if (opt->type == PS_OPT_TEXT)
            ps_free_p(field(opt, settings));
        else if (opt->type == PS_OPT_LIST)
            fini_list(field(opt, settings));
    }
}
