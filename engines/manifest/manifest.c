/* The file is lines: "[section]", "key = value", "# comment" and empty ones. A reader of our own, not zconfig: that one
 * takes nearly anything, and czmq with its threads and signal handlers has no business in a zygote
 * (docs/why/tools.md). */
#include "engines/manifest/manifest.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engines/kit/kit.h"

enum type {
    TEXT,     /* char * */
    LIST,     /* struct ps_words: one text a line, may be repeated */
    COMMAND,  /* struct ps_words: its words */
    YES,      /* bool */
    NUMBER,   /* uint64_t */
    WAIT,     /* uint64_t milliseconds */
    DATE,     /* int64_t */
    KIND,     /* enum ps_engine_kind */
    GIVEN,    /* enum ps_given */
    OUTPUT,   /* bool json */
    MATCH,    /* struct ps_pattern */
    EXITS,    /* of exits: which, said says */
    PATTERNS, /* of patterns: one a line, may be repeated */
};

struct key {
    const char *section, *name;
    enum type type;
    enum ps_said said; /* EXITS, PATTERNS */
    size_t offset;
};

#define AT(field) offsetof(struct ps_manifest, field)

static const struct key keys[] = {
    {"engine", "kind", KIND, 0, AT(kind)},
    {"engine", "description", TEXT, 0, AT(description)},
    {"engine", "licence", TEXT, 0, AT(licence)},
    {"engine", "types", TEXT, 0, AT(types)},
    {"engine", "deadline", WAIT, 0, AT(deadline_ms)},
    {"engine", "serial", YES, 0, AT(serial)},
    {"engine", "self-test", TEXT, 0, AT(self_test)},
    {"engine", "needs-root", YES, 0, AT(needs_root)},
    {"engine", "licence-scans", NUMBER, 0, AT(licence_scans)},
    {"engine", "licence-ends", DATE, 0, AT(licence_ends_at)},
    {"run", "command", COMMAND, 0, AT(command)},
    {"run", "sample", GIVEN, 0, AT(sample)},
    {"run", "environment", LIST, 0, AT(environment)},
    {"run", "output", OUTPUT, 0, AT(json)},
    {"ask", "probe", COMMAND, 0, AT(probe)},
    {"ask", "version", COMMAND, 0, AT(version)},
    {"ask", "version-match", MATCH, 0, AT(version_match)},
    {"ask", "definitions", COMMAND, 0, AT(definitions)},
    {"ask", "definitions-match", MATCH, 0, AT(definitions_match)},
    {"ask", "licence", COMMAND, 0, AT(licence_command)},
    {"ask", "licence-match", MATCH, 0, AT(licence_match)},
    {"ask", "date-format", TEXT, 0, AT(date_format)},
    {"exit", "malicious", EXITS, PS_SAID_MALICIOUS, AT(exits)},
    {"exit", "suspicious", EXITS, PS_SAID_SUSPICIOUS, AT(exits)},
    {"exit", "clean", EXITS, PS_SAID_CLEAN, AT(exits)},
    {"exit", "unsupported", EXITS, PS_SAID_UNSUPPORTED, AT(exits)},
    {"exit", "incomplete", EXITS, PS_SAID_INCOMPLETE, AT(exits)},
    {"exit", "error", EXITS, PS_SAID_ERROR, AT(exits)},
    {"match", "malicious", PATTERNS, PS_SAID_MALICIOUS, AT(patterns)},
    {"match", "suspicious", PATTERNS, PS_SAID_SUSPICIOUS, AT(patterns)},
    {"match", "clean", PATTERNS, PS_SAID_CLEAN, AT(patterns)},
    {"match", "unsupported", PATTERNS, PS_SAID_UNSUPPORTED, AT(patterns)},
    {"match", "incomplete", PATTERNS, PS_SAID_INCOMPLETE, AT(patterns)},
    {"match", "error", PATTERNS, PS_SAID_ERROR, AT(patterns)},
    {"match", "label", PATTERNS, PS_SAID_LABEL, AT(patterns)},
    {"match", "trait", PATTERNS, PS_SAID_TRAIT, AT(patterns)},
    {"grants", "programs", LIST, 0, AT(programs)},
    {"grants", "read", LIST, 0, AT(read)},
    {"grants", "socket", TEXT, 0, AT(socket)},
    {"grants", "exchange", TEXT, 0, AT(exchange)},
    {"update", "command", COMMAND, 0, AT(update)},
    {"update", "writable", LIST, 0, AT(writable)},
    {"update", "host", LIST, 0, AT(hosts)},
};

#define KEYS_N (sizeof(keys) / sizeof(keys[0]))

struct reader {
    struct ps_manifest *manifest;
    char section[32];
    unsigned line;
    bool seen[KEYS_N];
    char *err;
    size_t err_max;
};

static int __attribute__((format(printf, 2, 3))) fail(const struct reader *reader, const char *fmt, ...)
{
    char why[PS_KIT_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args); /* a cut sentence is still the sentence */
    va_end(args);
    return ps_kit_fail(reader->err, reader->err_max, "line %u: %s", reader->line, why);
}

/* ---- values ---- */

/* Takes word. */
static int put_word(const struct reader *reader, struct ps_words *words, char *word)
{
    if (!word)
        return fail(reader, "out of memory");
    if (words->n >= PS_MANIFEST_ITEMS_MAX) {
        free(word);
        return fail(reader, "more than %d words", PS_MANIFEST_ITEMS_MAX);
    }
    words->at[words->n++] = word;
    return 0;
}

/* One word from *at on, without its quotes; there is no shell. Returns owned text, or NULL when a quote does not end. */
static char *take_word(const char **at)
{
    const char *from = *at;
    char *word = malloc(strlen(from) + 1), quote = '\0';
    size_t len = 0;

    for (; *from && (quote || !isspace((unsigned char)*from)); from++) {
        if (quote && *from == quote)
            quote = '\0';
        else if (!quote && (*from == '"' || *from == '\''))
            quote = *from;
        else if (word)
            word[len++] = *from;
    }
    *at = from;
    if (word)
        word[len] = '\0';
    if (quote) {
        free(word);
        return NULL;
    }
    return word;
}

static int read_command(const struct reader *reader, struct ps_words *words, const char *value)
{
    while (*value) {
        char *word = take_word(&value);

        if (!word)
            return fail(reader, "a quote does not end");
        if (put_word(reader, words, word))
            return -1;
        value += strspn(value, " \t");
    }
    if (words->n == 0 || words->at[0][0] == '\0')
        return fail(reader, "the command is empty");
    if (words->at[0][0] != '/' && words->at[0][0] != '{')
        return fail(reader, "the program %.100s has to be a path that begins with /", words->at[0]);
    return 0;
}

static int read_number(const struct reader *reader, const char *value, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (!*value || strspn(value, "0123456789") != strlen(value) || strlen(value) > 10)
        return fail(reader, "\"%.40s\" is no number", value);
    number = strtoull(value, NULL, 10);
    if (number > max)
        return fail(reader, "%.40s is more than %llu", value, (unsigned long long)max);
    *ret_number = number;
    return 0;
}

/* "30s", "500ms", "2m". */
static int read_wait(const struct reader *reader, const char *value, uint64_t *ret_ms)
{
    size_t digits = strspn(value, "0123456789");
    char number[16] = "";
    uint64_t unit = strcmp(value + digits, "ms") == 0  ? 1
                    : strcmp(value + digits, "s") == 0 ? 1000
                    : strcmp(value + digits, "m") == 0 ? 60000
                                                       : 0;

    if (!unit || !digits || digits > 9)
        return fail(reader, "\"%.40s\" is no time like 30s, 500ms or 2m", value);
    memcpy(number, value, digits);
    *ret_ms = strtoull(number, NULL, 10) * unit;
    if (*ret_ms == 0 || *ret_ms > PS_MANIFEST_WAIT_MS)
        return fail(reader, "a deadline is from 1ms to 60m");
    return 0;
}

static int read_date(const struct reader *reader, const char *value, int64_t *ret_at)
{
    struct tm day = {0};
    const char *end = strptime(value, "%Y-%m-%d", &day);

    if (!end || *end)
        return fail(reader, "\"%.40s\" is no date like 2027-03-31", value);
    *ret_at = (int64_t)timegm(&day) + PS_MANIFEST_DAY_S; /* a licence counts until the end of its last day */
    return 0;
}

/* The place of value among choices, which end with NULL. */
static int read_choice(const struct reader *reader, const char *value, const char *const *choices,
                       const char *expected, unsigned *ret_which)
{
    for (unsigned i = 0; choices[i]; i++)
        if (strcmp(value, choices[i]) == 0) {
            *ret_which = i;
            return 0;
        }
    return fail(reader, "\"%.40s\" is none of %s", value, expected);
}

/* "0, 2-5, 255" */
static int read_exits(const struct reader *reader, const char *value, enum ps_said said)
{
    struct ps_manifest *manifest = reader->manifest;

    for (;;) {
        char *end = NULL;
        long from = strtol(value, &end, 10), to = from;

        if (!isdigit((unsigned char)*value)) /* strtol would take blanks and signs */
            from = -1;
        if (*end == '-' && isdigit((unsigned char)end[1]))
            to = strtol(end + 1, &end, 10);
        if (from < 0 || from > 255 || to < from || to > 255)
            return fail(reader, "exit statuses are numbers from 0 to 255, like 1, 40-63");
        for (long i = from; i <= to; i++) {
            if (manifest->exits[i] != PS_SAID_NOTHING)
                return fail(reader, "exit status %ld is there twice", i);
            manifest->exits[i] = (uint8_t)said;
        }
        manifest->has_exits = true;
        value = end + strspn(end, " \t");
        if (!*value)
            return 0;
        if (*value != ',')
            return fail(reader, "exit statuses are separated by commas");
        value += 1 + strspn(value + 1, " \t");
    }
}

static int read_pattern(const struct reader *reader, const char *value, enum ps_said said)
{
    struct ps_patterns *patterns = &reader->manifest->patterns;
    struct ps_pattern *at = &patterns->at[patterns->n];
    char why[PS_KIT_TEXT_MAX];

    if (patterns->n >= PS_PATTERNS_MAX)
        return fail(reader, "more than %d patterns", PS_PATTERNS_MAX);
    if (ps_pattern_read(at, value, why, sizeof(why)))
        return fail(reader, "%s", why);
    at->said = said;
    at->line = reader->line;
    patterns->n++;
    patterns->has[said] = true;
    if (said == PS_SAID_LABEL && !ps_pattern_has_group(at, "label"))
        return fail(reader, "a pattern for labels has a group (?<label>...)");
    if (said == PS_SAID_TRAIT && ps_pattern_groups(at) == 0)
        return fail(reader, "a pattern for traits has a named group (?<key>...)");
    return 0;
}

static int read_match(const struct reader *reader, const char *value, struct ps_pattern *ret_pattern)
{
    char why[PS_KIT_TEXT_MAX];

    if (ps_pattern_read(ret_pattern, value, why, sizeof(why)))
        return fail(reader, "%s", why);
    ret_pattern->line = reader->line;
    if (ps_pattern_groups(ret_pattern) == 0)
        return fail(reader, "the pattern has no named group (?<name>...)");
    return 0;
}

static int read_value(const struct reader *reader, const struct key *key, const char *value)
{
    static const char *const kinds[] = {"evilness", "metadata", NULL}, *const yes[] = {"no", "yes", NULL},
                             *const given[] = {"fd", "file", "stream", NULL},
                             *const outputs[] = {"lines", "json", NULL};
    void *field = (char *)reader->manifest + key->offset;
    unsigned which = 0;
    int rc = 0;

    switch (key->type) {
    case TEXT:
        *(char **)field = strdup(value);
        return *(char **)field ? 0 : fail(reader, "out of memory");
    case LIST:
        return put_word(reader, field, strdup(value));
    case COMMAND:
        return read_command(reader, field, value);
    case YES:
    case OUTPUT:
        rc = read_choice(reader, value, key->type == YES ? yes : outputs,
                         key->type == YES ? "yes, no" : "lines, json", &which);
        *(bool *)field = which == 1;
        return rc;
    case NUMBER:
        return read_number(reader, value, 1000000, field);
    case WAIT:
        return read_wait(reader, value, field);
    case DATE:
        return read_date(reader, value, field);
    case KIND:
        rc = read_choice(reader, value, kinds, "evilness, metadata", &which);
        *(enum ps_engine_kind *)field = which ? PS_ENGINE_METADATA : PS_ENGINE_EVILNESS;
        return rc;
    case GIVEN:
        rc = read_choice(reader, value, given, "fd, file, stream", &which);
        *(enum ps_given *)field = (enum ps_given)which;
        return rc;
    case MATCH:
        return read_match(reader, value, field);
    case EXITS:
        return read_exits(reader, value, key->said);
    case PATTERNS:
        return read_pattern(reader, value, key->said);
    }
    return 0;
}

/* ---- lines ---- */

static int read_section(struct reader *reader, const char *line, size_t len)
{
    if (len < 3 || line[len - 1] != ']' || len - 2 >= sizeof(reader->section))
        return fail(reader, "a section is a line like [run]");
    memcpy(reader->section, line + 1, len - 2);
    reader->section[len - 2] = '\0';
    for (size_t i = 0; i < KEYS_N; i++)
        if (strcmp(keys[i].section, reader->section) == 0)
            return 0;
    return fail(reader, "there is no section [%s]", reader->section);
}

static int read_pair(struct reader *reader, char *line)
{
    char *equals = strchr(line, '='), *value, *end;

    if (!equals || equals == line)
        return fail(reader, "a line is [section], key = value or # comment");
    value = equals + 1 + strspn(equals + 1, " \t");
    for (end = equals; end > line && isspace((unsigned char)end[-1]); end--)
        ;
    *end = '\0';
    if (!*value)
        return fail(reader, "%.40s has no value", line);
    for (size_t i = 0; i < KEYS_N; i++) {
        bool repeats = keys[i].type == LIST || keys[i].type == PATTERNS;

        if (strcmp(keys[i].section, reader->section) != 0 || strcmp(keys[i].name, line) != 0)
            continue;
        if (reader->seen[i] && !repeats)
            return fail(reader, "%s is there twice", line);
        reader->seen[i] = true;
        return read_value(reader, &keys[i], value);
    }
    return fail(reader, "there is no key \"%.40s\" in section [%s]", line, reader->section);
}

static int read_line(struct reader *reader, const char *text, size_t len)
{
    char line[PS_MANIFEST_LINE_MAX + 1];

    reader->line++;
    if (len > PS_MANIFEST_LINE_MAX || memchr(text, '\0', len))
        return fail(reader, "the line has more than %d bytes, or a zero byte", PS_MANIFEST_LINE_MAX);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    memcpy(line, text, len);
    line[len] = '\0';
    if (len == 0 || line[0] == '#')
        return 0;
    return line[0] == '[' ? read_section(reader, line, len) : read_pair(reader, line);
}

/* What has to be there, and what does not go together. */
static int check(const struct ps_manifest *self, char *err, size_t err_max)
{
    bool judges = self->kind == PS_ENGINE_EVILNESS,
         has_hits = self->patterns.has[PS_SAID_MALICIOUS] || self->patterns.has[PS_SAID_SUSPICIOUS],
         has_clean = self->patterns.has[PS_SAID_CLEAN];

    for (size_t i = 0; i < 256; i++) {
        has_hits = has_hits || self->exits[i] == PS_SAID_MALICIOUS || self->exits[i] == PS_SAID_SUSPICIOUS;
        has_clean = has_clean || self->exits[i] == PS_SAID_CLEAN;
    }
    if (!self->kind)
        return ps_kit_fail(err, err_max, "[engine] kind is missing");
    if (self->command.n == 0)
        return ps_kit_fail(err, err_max, "[run] command is missing");
    if (judges && !has_hits)
        return ps_kit_fail(err, err_max, "nothing in [exit] or [match] says malicious or suspicious");
    if (!judges && has_hits)
        return ps_kit_fail(err, err_max, "an engine of kind metadata finds nothing malicious or suspicious");
    if (!has_clean)
        return ps_kit_fail(err, err_max, "nothing in [exit] or [match] says clean");
    if (self->json && judges)
        return ps_kit_fail(err, err_max, "output = json is for engines of kind metadata");
    if (self->exchange && self->sample != PS_GIVEN_FILE)
        return ps_kit_fail(err, err_max, "[grants] exchange is for sample = file");
    return 0;
}

int ps_manifest_read(struct ps_manifest *ret_self, const char *text, size_t len, char *err, size_t err_max)
{
    struct reader reader = {.manifest = ret_self, .err = err, .err_max = err_max};
    size_t at = 0;

    *ret_self = (struct ps_manifest){0};
    if (len > PS_MANIFEST_MAX)
        return ps_kit_fail(err, err_max, "a manifest has at most %d bytes", PS_MANIFEST_MAX);
    while (at < len) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end ? (size_t)(end - text) - at : len - at;

        if (read_line(&reader, text + at, line))
            return -1;
        at += line + 1;
    }
    return check(ret_self, err, err_max);
}

/* ---- the end, and expansion ---- */

static void fini_words(struct ps_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->at[i]);
    words->n = 0;
}

void ps_manifest_fini(struct ps_manifest *self)
{
    for (size_t i = 0; i < KEYS_N; i++) {
        void *field = (char *)self + keys[i].offset;

        if (keys[i].type == TEXT)
            free(*(char **)field);
        else if (keys[i].type == LIST || keys[i].type == COMMAND)
            fini_words(field);
        else if (keys[i].type == MATCH)
            ps_pattern_fini(field);
    }
    for (size_t i = 0; i < self->patterns.n; i++)
        ps_pattern_fini(&self->patterns.at[i]);
    *self = (struct ps_manifest){0};
}

/* The value of the name in the braces at *at, which moves behind them. NULL with a sentence in err. */
static const char *value_of(const char **at, const char *const *names, char *err, size_t err_max)
{
    const char *name = *at + 1;
    size_t len = strcspn(name, "}");

    for (size_t i = 0; names[i] && name[len] == '}'; i += 2) {
        if (strlen(names[i]) != len || memcmp(names[i], name, len) != 0)
            continue;
        *at += len + 2;
        if (!names[i + 1])
            (void)ps_kit_fail(err, err_max, "there is no {%s} here", names[i]); /* NULL says so */
        return names[i + 1];
    }
    (void)ps_kit_fail(err, err_max, "{%.*s} is not known; {{ stands for one brace",
                      (int)(len < 40 ? len : 40), name); /* NULL says so */
    return NULL;
}

char *ps_manifest_expand(const char *text, const char *const *names, char *err, size_t err_max)
{
    char *out = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&out, &len);
    bool ok = to != NULL;

    while (ok && *text) {
        const char *value = NULL;

        if (*text != '{' || text[1] == '{') {
            ok = fputc(*text, to) != EOF;
            text += *text == '{' ? 2 : 1;
        } else {
            value = value_of(&text, names, err, err_max);
            ok = value && fputs(value, to) != EOF;
        }
    }
    if (to && fclose(to) == 0 && ok)
        return out;
    free(out);
    return NULL;
}
