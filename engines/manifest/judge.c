#include "engines/manifest/judge.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TAIL_MAX   300 /* bytes of the last lines that a reason quotes */
#define UNNAMED    "unnamed"
#define TAIL_LINES 3

struct bench {
    const struct ps_manifest *manifest;
    struct ps_judgement *judgement;
    bool explain;
    bool seen[PS_SAID_N];                  /* some line says so */
    char line[PS_SAID_N][PS_KIT_TEXT_MAX]; /* the first one that does */
    bool tired;                            /* a pattern took more work than it may */
    bool long_line;                        /* a line was not seen whole */
    char label[PS_CAPTURE_MAX + 1];        /* of a pattern for labels; "" */
};

/* ---- lines ---- */

static enum ps_found found_of(enum ps_said said)
{
    return said == PS_SAID_MALICIOUS ? PS_FOUND_MALICIOUS : PS_FOUND_SUSPICIOUS;
}

static void add_label(struct bench *bench, enum ps_found what, const char *text)
{
    struct ps_judgement *judgement = bench->judgement;
    struct ps_label *at = &judgement->labels[judgement->labels_n];

    for (size_t i = 0; i < judgement->labels_n; i++)
        if (judgement->labels[i].what == what && strcmp(judgement->labels[i].text, text) == 0)
            return;
    if (judgement->labels_n == PS_JUDGE_LABELS_MAX)
        return; /* enough to know by; the outcome does not depend on the rest */
    at->what = what;
    (void)snprintf(at->text, sizeof(at->text), "%s", text); /* captures fit */
    judgement->labels_n++;
}

/* Digits are a number, anything else a text: "007" is one. */
static json_t *value_of(const char *text)
{
    char clean[PS_CAPTURE_MAX + 1];
    size_t digits = strspn(text, "0123456789");

    if (digits > 0 && digits < 16 && !text[digits] && (text[0] != '0' || digits == 1))
        return json_integer((json_int_t)strtoll(text, NULL, 10));
    return json_string(ps_kit_text(clean, sizeof(clean), text));
}

/* A trait has a value; when it comes again, it is a list of values. */
static void add_trait(struct bench *bench, const char *key, const char *text)
{
    json_t *traits = bench->judgement->traits, *was = json_object_get(traits, key), *value = value_of(text);

    if (!was) {
        (void)json_object_set_new(traits, key, value); /* want of memory: it is missing, these all */
        return;
    }
    if (!json_is_array(was)) {
        was = json_pack("[O]", was);
        (void)json_object_set_new(traits, key, was);
    }
    if (json_array_size(was) < PS_JUDGE_VALUES_MAX)
        (void)json_array_append_new(was, value);
    else
        json_decref(value);
}

static void explain_match(struct bench *bench, const struct ps_pattern *pattern, const char *line,
                          const struct ps_captures *captures)
{
    char clean[PS_KIT_TEXT_MAX], capture[PS_KIT_TEXT_MAX];
    json_t *names, *match;

    if (!bench->explain || json_array_size(bench->judgement->matches) >= PS_JUDGE_MATCHES_MAX)
        return;
    names = json_object();
    for (size_t i = 0; i < captures->n; i++)
        (void)json_object_set_new(names, captures->at[i].name,
                                  json_string(ps_kit_text(capture, sizeof(capture), captures->at[i].text)));
    match = json_pack("{s:s, s:s, s:i, s:s, s:o}", "says", ps_said_word(pattern->said), "line",
                      ps_kit_text(clean, sizeof(clean), line), "manifest_line", (int)pattern->line, "pattern",
                      pattern->text, "captures", names);
    if (match)
        (void)json_array_append_new(bench->judgement->matches, match); /* want of memory: it is missing */
}

static void take_match(struct bench *bench, const struct ps_pattern *pattern, const char *line,
                       const struct ps_captures *captures)
{
    const char *label = ps_captures_find(captures, "label");

    explain_match(bench, pattern, line, captures);
    if (pattern->said == PS_SAID_TRAIT) {
        for (size_t i = 0; i < captures->n; i++)
            add_trait(bench, captures->at[i].name, captures->at[i].text);
        return;
    }
    if (pattern->said == PS_SAID_LABEL) {
        (void)snprintf(bench->label, sizeof(bench->label), "%s", label ? label : ""); /* captures fit */
        return;
    }
    if (!bench->seen[pattern->said])
        (void)ps_kit_text(bench->line[pattern->said], sizeof(bench->line[0]), line);
    bench->seen[pattern->said] = true;
    if (pattern->said >= PS_SAID_SUSPICIOUS && label)
        add_label(bench, found_of(pattern->said), label);
}

/* What patterns and people see: a zero byte as a blank, or it would hide the rest. */
static void copy_text(char *to, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] ? from[i] : ' ';
    to[len] = '\0';
}

static void take_line(struct bench *bench, const char *from, size_t len)
{
    const struct ps_patterns *patterns = &bench->manifest->patterns;
    struct ps_captures captures;
    char line[PS_JUDGE_LINE_MAX + 1];

    if (len > 0 && from[len - 1] == '\r')
        len--;
    bench->long_line = bench->long_line || len > PS_JUDGE_LINE_MAX;
    len = len < PS_JUDGE_LINE_MAX ? len : PS_JUDGE_LINE_MAX;
    copy_text(line, from, len);
    for (size_t i = 0; i < patterns->n; i++) {
        int rc = ps_pattern_match(&patterns->at[i], line, len, &captures);

        bench->tired = bench->tired || rc < 0;
        if (rc > 0)
            take_match(bench, &patterns->at[i], line, &captures);
    }
}

static void take_lines(struct bench *bench, const struct ps_ending *ending)
{
    size_t at = 0;

    while (at < ending->len) {
        const char *end = memchr(ending->out + at, '\n', ending->len - at);
        size_t len = end ? (size_t)(end - ending->out) - at : ending->len - at;

        take_line(bench, ending->out + at, len);
        at += len + 1;
    }
}

/* ---- JSON ---- */

/* The program's answer is an object, or a list with one object in it: its members are the traits. */
static bool take_json(struct bench *bench, const struct ps_ending *ending)
{
    json_t *all = json_loadb(ending->out, ending->len, JSON_REJECT_DUPLICATES, NULL);
    json_t *object = json_is_array(all) && json_array_size(all) == 1 ? json_array_get(all, 0) : all;
    bool ok = json_is_object(object);

    if (ok)
        (void)json_object_update(bench->judgement->traits, object); /* want of memory: some are missing */
    json_decref(all);
    return ok;
}

/* ---- the verdict ---- */

static void __attribute__((format(printf, 2, 3))) because(struct ps_judgement *self, const char *fmt, ...)
{
    char text[2 * PS_KIT_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a cut sentence still says what it is about */
    va_end(args);
    (void)ps_kit_text(self->reason, sizeof(self->reason), text);
}

/* The last lines, for people. */
static const char *tail(const struct ps_ending *ending, char buf[TAIL_MAX + 1])
{
    size_t end = ending->len, from;
    unsigned lines = 0;

    while (end > 0 && strchr("\r\n\t ", ending->out[end - 1]))
        end--;
    for (from = end; from > 0 && end - from < TAIL_MAX; from--)
        if (ending->out[from - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    copy_text(buf, ending->out + from, end - from);
    for (char *at = buf; *at; at++)
        if (*at == '\n')
            *at = '|';
    return buf[0] ? buf : "it wrote nothing";
}

/* How the program ended, when that alone says that it did not do its work. "" when it says nothing of the kind. */
static const char *mishap(const struct bench *bench, const struct ps_ending *ending, char buf[160])
{
    buf[0] = '\0';
    if (ending->cut)
        (void)snprintf(buf, 160, "it wrote too much and was ended"); /* these fit */
    else if (WIFSIGNALED(ending->status))
        (void)snprintf(buf, 160, "it was killed by signal %d (%s)%s", WTERMSIG(ending->status),
                       strsignal(WTERMSIG(ending->status)),
                       WTERMSIG(ending->status) == SIGSYS ? ": the system call filter" : "");
    else if (bench->tired)
        (void)snprintf(buf, 160, "a pattern took more than it may to match a line");
    else if (bench->long_line)
        (void)snprintf(buf, 160, "it wrote a line of more than %d bytes", PS_JUDGE_LINE_MAX);
    return buf;
}

static enum ps_said exit_says(const struct ps_manifest *manifest, const struct ps_ending *ending)
{
    return WIFEXITED(ending->status) ? (enum ps_said)manifest->exits[WEXITSTATUS(ending->status)]
                                     : PS_SAID_NOTHING;
}

/* A hit stands, whatever else was said; what was is told. */
static void judge_hit(struct bench *bench, const struct ps_ending *ending, enum ps_said hit,
                      enum ps_said by_exit)
{
    struct ps_judgement *self = bench->judgement;
    char why[160];

    self->found = found_of(hit);
    if (self->labels_n == 0)
        add_label(bench, self->found, bench->label[0] ? bench->label : UNNAMED);
    if (mishap(bench, ending, why)[0])
        because(self, "found, but %s", why);
    else if (!bench->seen[hit] && bench->manifest->patterns.has[hit])
        because(self, "the exit status %d says %s, no line does", WEXITSTATUS(ending->status),
                ps_said_word(hit));
    else if (by_exit == PS_SAID_CLEAN || bench->seen[PS_SAID_CLEAN])
        because(self, "contradiction: %s says clean: %s",
                by_exit == PS_SAID_CLEAN ? "the exit status" : "a line",
                by_exit == PS_SAID_CLEAN ? bench->line[hit] : bench->line[PS_SAID_CLEAN]);
    else if (bench->seen[PS_SAID_ERROR])
        because(self, "found, with an error: %s", bench->line[PS_SAID_ERROR]);
    else if (by_exit == PS_SAID_ERROR)
        because(self, "found, but the exit status %d says error", WEXITSTATUS(ending->status));
}

/* What is neither a hit nor clean: worst first. */
static bool judge_trouble(struct bench *bench, const struct ps_ending *ending, enum ps_said by_exit)
{
    static const struct {
        enum ps_said said;
        enum ps_found found;
    } order[] = {{PS_SAID_ERROR, PS_FOUND_FAILURE},
                 {PS_SAID_INCOMPLETE, PS_FOUND_INCOMPLETE},
                 {PS_SAID_UNSUPPORTED, PS_FOUND_TYPE_UNSUPPORTED}};
    char last[TAIL_MAX + 1];

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (by_exit != order[i].said && !bench->seen[order[i].said])
            continue;
        bench->judgement->found = order[i].found;
        if (bench->seen[order[i].said])
            because(bench->judgement, "%s",
                    bench->line[order[i].said][0] ? bench->line[order[i].said] : "an empty line says so");
        else
            because(bench->judgement, "exit status %d says %s: %s", WEXITSTATUS(ending->status),
                    ps_said_word(order[i].said), tail(ending, last));
        return true;
    }
    return false;
}

/* Whoever can say clean has to: the exit status when the manifest lists any, a line when it has patterns for that. */
static bool is_clean(const struct bench *bench, enum ps_said by_exit)
{
    const struct ps_manifest *manifest = bench->manifest;
    bool exit_agrees = by_exit == PS_SAID_CLEAN || !manifest->has_exits;
    bool line_agrees = bench->seen[PS_SAID_CLEAN] || !manifest->patterns.has[PS_SAID_CLEAN];

    return exit_agrees && line_agrees;
}

static void judge(struct bench *bench, const struct ps_ending *ending)
{
    enum ps_said by_exit = exit_says(bench->manifest, ending);
    struct ps_judgement *self = bench->judgement;
    char why[160], last[TAIL_MAX + 1];
    bool metadata = bench->manifest->kind == PS_ENGINE_METADATA;

    for (enum ps_said hit = PS_SAID_MALICIOUS; hit >= PS_SAID_SUSPICIOUS; hit--)
        if (bench->seen[hit] || by_exit == hit) {
            judge_hit(bench, ending, hit, by_exit);
            return;
        }
    self->found = PS_FOUND_FAILURE;
    if (mishap(bench, ending, why)[0]) {
        because(self, "%s; last lines: %s", why, tail(ending, last));
        return;
    }
    if (judge_trouble(bench, ending, by_exit))
        return;
    if (!is_clean(bench, by_exit)) {
        because(self, "nothing in the manifest matches exit status %d and this output: %s",
                WEXITSTATUS(ending->status), tail(ending, last));
        return;
    }
    if (bench->manifest->json && !take_json(bench, ending)) {
        because(self, "its output is no JSON object: %s", tail(ending, last));
        return;
    }
    self->found = metadata ? PS_FOUND_DESCRIBED : PS_FOUND_UNDETECTED;
}

void ps_judge(const struct ps_manifest *manifest, const struct ps_ending *ending, bool explain,
              struct ps_judgement *ret_self)
{
    struct bench bench = {.manifest = manifest, .judgement = ret_self, .explain = explain};

    *ret_self = (struct ps_judgement){.traits = json_object(), .matches = explain ? json_array() : NULL};
    if (!ret_self->traits) {
        ret_self->found = PS_FOUND_FAILURE;
        because(ret_self, "out of memory");
        return;
    }
    /* JSON may be one line of any length: patterns look at what is written line by line. */
    if (!manifest->json || manifest->patterns.n)
        take_lines(&bench, ending);
    bench.long_line = bench.long_line && !manifest->json;
    judge(&bench, ending);
}

void ps_judgement_fini(struct ps_judgement *self)
{
    json_decref(self->traits);
    json_decref(self->matches);
    self->traits = self->matches = NULL;
}
