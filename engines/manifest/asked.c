#include "engines/manifest/asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engines/kit/kit.h"
#include "engines/manifest/tool.h"

#define ANSWER_MAX 65536 /* bytes of an answer that are looked at */
#define ASK_MS     30000 /* time for one question */

struct question {
    const struct ps_manifest *manifest;
    const struct ps_words *command; /* as the manifest has it */
    const char *const *names;
};

/* ---- words ---- */

void ps_words_fini(struct ps_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->at[i]);
    words->n = 0;
}

int ps_words_expand(const struct ps_words *words, const char *const *names, struct ps_words *ret_words,
                    char *err, size_t err_max)
{
    for (size_t i = 0; i < words->n; i++) {
        char *word = ps_manifest_expand(words->at[i], names, err, err_max);

        if (!word)
            return -1;
        if (ret_words->n >= PS_MANIFEST_ITEMS_MAX) {
            free(word);
            return ps_kit_fail(err, err_max, "more than %d words", PS_MANIFEST_ITEMS_MAX);
        }
        ret_words->at[ret_words->n++] = word;
    }
    return 0;
}

int ps_tool_environment(const struct ps_manifest *manifest, const char *tmpdir, const char *const *names,
                        struct ps_words *ret_words, char *err, size_t err_max)
{
    static const char *const usual[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                        "LC_ALL=C.UTF-8"};
    static const char *const places[] = {"HOME", "TMPDIR"};
    char *word = NULL;

    *ret_words = (struct ps_words){0};
    for (size_t i = 0; i < 4; i++) {
        int rc = i < 2 ? asprintf(&word, "%s", usual[i]) : asprintf(&word, "%s=%s", places[i - 2], tmpdir);

        if (rc < 0)
            return ps_kit_fail(err, err_max, "out of memory");
        ret_words->at[ret_words->n++] = word;
    }
    return ps_words_expand(&manifest->environment, names, ret_words, err, err_max);
}

/* ---- a question ---- */

static bool write_all(int to, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        ssize_t n = write(to, from, len);

        if (n <= 0)
            return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}

#define NAMES_MAX 20 /* names and values */

static void add_tmpdir(const char *const *names, const char *tmpdir, const char *ret_names[NAMES_MAX + 3])
{
    size_t n = 0;

    for (; names[n] && n < NAMES_MAX; n += 2) {
        ret_names[n] = names[n];
        ret_names[n + 1] = names[n + 1];
    }
    ret_names[n++] = "tmpdir";
    ret_names[n++] = tmpdir;
    ret_names[n] = NULL;
}

/* In the throwaway child. The answer is the wait status and what the program wrote; or a sentence and no status. */
static int answer(void *arg, const char *tmpdir, int out)
{
    const struct question *question = arg;
    const char *names[NAMES_MAX + 3];
    struct ps_words argv = {0}, env = {0};
    struct ps_tool tool = {.argv = argv.at,
                           .env = env.at,
                           .dir = tmpdir[0] == '/' ? tmpdir : ".",
                           .stdin_fd = -1,
                           .sample_fd = -1};
    struct ps_tool_end end = {0};
    char err[PS_KIT_TEXT_MAX] = "";
    int rc;

    add_tmpdir(question->names, tmpdir, names);
    rc = ps_words_expand(question->command, names, &argv, err, sizeof(err));
    rc = rc ? rc : ps_tool_environment(question->manifest, tmpdir, names, &env, err, sizeof(err));
    rc = rc ? rc : ps_tool_run(&tool, &end, err, sizeof(err));
    if (rc)
        end.status = -1;
    if (write_all(out, &end.status, sizeof(end.status)))
        (void)write_all(out, rc ? err : end.out, rc ? strlen(err) : end.len); /* it sees what came */
    free(end.out);
    ps_words_fini(&argv);
    ps_words_fini(&env);
    return 0;
}

/* Asks one command. 0 with the text of an answer that came with exit status 0, to be freed. */
static int ask(const struct question *question, const struct ps_engine_conf *conf, const char *what,
               char **ret_text, char *err, size_t err_max)
{
    char *buf = calloc(1, sizeof(int) + ANSWER_MAX + 1), clean[PS_KIT_TEXT_MAX], said[PS_KIT_TEXT_MAX] = "";
    struct ps_engine_aside aside = {.job = answer,
                                    .arg = (void *)question,
                                    .wait_ms = ASK_MS,
                                    .buf = buf,
                                    .max = sizeof(int) + ANSWER_MAX};
    int status = -1, rc = 0;

    if (!buf || !conf->aside) {
        free(buf);
        return ps_kit_fail(err, err_max, "%s: %s", what,
                           buf ? "there is no jail to ask in" : "out of memory");
    }
    if (conf->aside(conf, &aside, said, sizeof(said)))
        rc = ps_kit_fail(err, err_max, "%s: %s", what, said);
    else if (aside.len >= sizeof(int))
        memcpy(&status, buf, sizeof(int));
    if (!rc && status != 0) {
        buf[aside.len] = '\0';
        ps_kit_text(clean, 200, buf + (aside.len >= sizeof(int) ? sizeof(int) : aside.len));
        rc = status == -1 ? ps_kit_fail(err, err_max, "%s: %s", what, clean)
             : WIFEXITED(status)
                 ? ps_kit_fail(err, err_max, "%s: exit status %d: %s", what, WEXITSTATUS(status), clean)
                 : ps_kit_fail(err, err_max, "%s: killed by signal %d: %s", what, WTERMSIG(status), clean);
    }
    if (rc) {
        free(buf);
        return rc;
    }
    memmove(buf, buf + sizeof(int), aside.len - sizeof(int));
    buf[aside.len - sizeof(int)] = '\0';
    *ret_text = buf;
    return 0;
}

/* ---- answers ---- */

/* The first line of text that pattern matches. */
static bool find(const struct ps_pattern *pattern, const char *text, struct ps_captures *ret_captures)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (ps_pattern_match(pattern, text, strcspn(text, "\n"), ret_captures) > 0)
            return true;
    return false;
}

static int take_date(const struct ps_manifest *manifest, const char *text, int64_t *ret_at)
{
    const char *format = manifest->date_format ? manifest->date_format : "%Y-%m-%d";
    struct tm at = {0};
    const char *end = strptime(text, format, &at);

    if (!end || *end)
        return -1;
    *ret_at = (int64_t)timegm(&at);
    return 0;
}

/* The text that stands for the whole: the group of that name, or else the whole first line. */
static int take_text(const struct ps_pattern *pattern, const char *answer_text, const char *name,
                     struct ps_captures *captures, char ret_text[PS_ASKED_TEXT_MAX], char *err,
                     size_t err_max)
{
    char line[PS_CAPTURE_MAX + 1] = "";
    const char *text = line;

    captures->n = 0;
    if (!pattern->code) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(answer_text, "\r\n"),
                       answer_text); /* cut is fine */
    } else {
        if (!find(pattern, answer_text, captures))
            return ps_kit_fail(err, err_max, "%s: no line of the answer matches", name);
        text = ps_captures_find(captures, name);
    }
    (void)ps_kit_text(ret_text, PS_ASKED_TEXT_MAX, text ? text : "");
    return 0;
}

static int ask_version(const struct question *base, const struct ps_engine_conf *conf, struct ps_asked *self,
                       char *err, size_t err_max)
{
    struct question question = *base;
    struct ps_captures captures;
    char *text = NULL;
    int rc;

    question.command = &base->manifest->version;
    if (question.command->n == 0)
        return 0;
    rc = ask(&question, conf, "version", &text, err, err_max);
    rc = rc ? rc
            : take_text(&base->manifest->version_match, text ? text : "", "version", &captures, self->version,
                        err, err_max);
    free(text);
    return rc;
}

static int ask_definitions(const struct question *base, const struct ps_engine_conf *conf,
                           struct ps_asked *self, char *err, size_t err_max)
{
    struct question question = *base;
    struct ps_captures captures;
    const char *number, *built;
    char *text = NULL;
    int rc;

    question.command = &base->manifest->definitions;
    if (question.command->n == 0)
        return 0;
    rc = ask(&question, conf, "definitions", &text, err, err_max);
    rc = rc ? rc
            : take_text(&base->manifest->definitions_match, text ? text : "", "definitions", &captures,
                        self->definitions, err, err_max);
    free(text);
    if (rc)
        return rc;
    number = ps_captures_find(&captures, "signatures");
    built = ps_captures_find(&captures, "built");
    self->signatures = number ? strtoull(number, NULL, 10) : 0; /* what is no number is unknown */
    if (built && take_date(base->manifest, built, &self->built_at))
        return ps_kit_fail(err, err_max, "definitions: \"%.60s\" is no date by date-format", built);
    return 0;
}

static int ask_licence(const struct question *base, const struct ps_engine_conf *conf, struct ps_asked *self,
                       char *err, size_t err_max)
{
    const struct ps_manifest *manifest = base->manifest;
    struct question question = *base;
    struct ps_captures captures = {.n = 0};
    const char *ends, *scans;
    char *text = NULL;
    int rc = 0;

    question.command = &manifest->licence_command;
    if (question.command->n == 0)
        return 0;
    rc = ask(&question, conf, "licence", &text, err, err_max);
    if (!rc && manifest->licence_match.code && !find(&manifest->licence_match, text ? text : "", &captures))
        rc = ps_kit_fail(err, err_max, "licence: no line of the answer matches");
    free(text);
    if (rc)
        return rc;
    ends = ps_captures_find(&captures, "ends");
    scans = ps_captures_find(&captures, "scans");
    if (scans)
        self->licence_scans = (uint32_t)strtoul(scans, NULL, 10); /* what is no number limits nothing */
    if (ends && take_date(manifest, ends, &self->licence_ends_at))
        return ps_kit_fail(err, err_max, "licence: \"%.60s\" is no date by date-format", ends);
    if (ends && !manifest->date_format)
        self->licence_ends_at += PS_MANIFEST_DAY_S; /* it counts until the end of its last day */
    return 0;
}

static int check_licence(const struct ps_asked *self, char *err, size_t err_max)
{
    time_t ends_at = (time_t)self->licence_ends_at;
    struct tm day = {0};

    if (!self->licence_ends_at || ends_at > time(NULL))
        return 0;
    (void)gmtime_r(&ends_at, &day); /* a date that was read from one */
    return ps_kit_fail(err, err_max, "the licence ended on %04d-%02d-%02d", day.tm_year + 1900,
                       day.tm_mon + 1, day.tm_mday);
}

int ps_ask(const struct ps_manifest *manifest, const struct ps_engine_conf *conf, const char *const *names,
           struct ps_asked *ret_self, char *err, size_t err_max)
{
    struct question question = {.manifest = manifest, .command = &manifest->probe, .names = names};
    struct ps_asked self = {.licence_scans = (uint32_t)manifest->licence_scans,
                            .licence_ends_at = manifest->licence_ends_at};
    char *text = NULL;
    int rc = 0;

    if (manifest->probe.n) {
        rc = ask(&question, conf, "probe", &text, err, err_max);
        free(text);
    }
    rc = rc ? rc : ask_version(&question, conf, &self, err, err_max);
    rc = rc ? rc : ask_definitions(&question, conf, &self, err, err_max);
    rc = rc ? rc : ask_licence(&question, conf, &self, err, err_max);
    rc = rc ? rc : check_licence(&self, err, err_max);
    if (!rc)
        *ret_self = self;
    return rc;
}
