/* engines/yara/rules.c */
#include "engines/yara/rules.h"
#include "engines/kit/kit.h"
#include "engines/kit/sigset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rule sets in the wild use these; a rule that needs one of them compiles and does not match. */
static const char *const externals[] = {"filename", "filepath", "extension", "filetype", "owner"};

static bool is_rules(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcmp(dot, ".yar") || !strcmp(dot, ".yara"));
}

/* Keeps the first error of a file as "line N: text". */
static void keep_error(int level, const char *file, int line, const YR_RULE *rule, const char *message,
                       void *arg)
{
    char *why = arg;
    char clean[160];

    (void)file;
    (void)rule;
    if (level == YARA_ERROR_LEVEL_ERROR && !*why)
        (void)snprintf(why, PS_KIT_TEXT_MAX, "line %d: %s", line, ps_kit_text(clean, sizeof(clean), message));
}

static YR_COMPILER *compiler_new(char *why)
{
    YR_COMPILER *compiler = NULL;

    if (yr_compiler_create(&compiler) != ERROR_SUCCESS)
        return NULL;
    yr_compiler_set_callback(compiler, keep_error, why);
    for (size_t i = 0; i < sizeof(externals) / sizeof(externals[0]); i++)
        if (yr_compiler_define_string_variable(compiler, externals[i], "") != ERROR_SUCCESS) {
            yr_compiler_destroy(compiler);
            return NULL;
        }
    return compiler;
}

/* Returns the number of errors; why holds the first. */
static int compile(YR_COMPILER *compiler, const struct ps_sigset_file *file, char *why)
{
    FILE *stream = fopen(file->path, "re");
    int errors;

    if (!stream) {
        (void)snprintf(why, PS_KIT_TEXT_MAX, "%s", strerror(errno));
        return 1;
    }
    errors = yr_compiler_add_file(compiler, stream, file->name, file->path);
    (void)fclose(stream); /* read only */
    return errors;
}

/* Whether the file compiles alone. A compiler that saw an error is of no use any more, hence one for each. */
static bool compiles(const struct ps_sigset_file *file, char *why)
{
    YR_COMPILER *compiler = compiler_new(why);
    bool ok = compiler && !compile(compiler, file, why);

    if (!compiler)
        (void)snprintf(why, PS_KIT_TEXT_MAX, "no memory");
    if (compiler)
        yr_compiler_destroy(compiler);
    return ok;
}

static void leave_out(struct ps_yara_rules *self, const struct ps_sigset_file *file, const char *why)
{
    size_t n = strlen(self->broken_why);
    char clean[128];

    self->broken++;
    (void)snprintf(self->broken_why + n, sizeof(self->broken_why) - n, "%s%s: %.120s", n ? "; " : "",
                   ps_kit_text(clean, sizeof(clean), file->name), *why ? why : "does not compile");
}

/* Compiles all files but those marked bad into one set; a file that only fails beside the others is marked.
 * Returns 0, 1 when a file was marked and all has to be done again, or -1. */
static int compile_together(struct ps_yara_rules *self, const struct ps_sigset *set, bool *bad)
{
    char why[PS_KIT_TEXT_MAX] = "";
    YR_COMPILER *compiler = compiler_new(why);
    int r = compiler ? 0 : -1;

    for (size_t i = 0; !r && i < set->n; i++)
        if (!bad[i] && compile(compiler, &set->files[i], why)) {
            leave_out(self, &set->files[i], why);
            bad[i] = true;
            r = 1;
        }
    if (!r && yr_compiler_get_rules(compiler, &self->rules) != ERROR_SUCCESS)
        r = -1;
    if (compiler)
        yr_compiler_destroy(compiler);
    return r;
}

static int compile_set(struct ps_yara_rules *self, struct ps_sigset *set, char *err, size_t err_max)
{
    bool *bad = calloc(set->n ? set->n : 1, sizeof(*bad));
    char why[PS_KIT_TEXT_MAX];
    int r = bad ? 0 : -1;

    for (size_t i = 0; !r && i < set->n; i++) {
        why[0] = '\0';
        bad[i] = !compiles(&set->files[i], why);
        if (bad[i])
            leave_out(self, &set->files[i], why);
    }
    /* Each turn leaves out one file more, so this ends. */
    while (!r && self->broken < set->n && (r = compile_together(self, set, bad)) > 0)
        r = 0;
    free(bad);
    return r ? ps_kit_fail(err, err_max, "the rules do not fit in memory") : 0;
}

static void head_of_note(struct ps_yara_rules *self)
{
    char list[sizeof(self->broken_why)];

    memcpy(list, self->broken_why, sizeof(list));
    if (self->broken)
        (void)ps_kit_fail(self->broken_why, sizeof(self->broken_why), "%zu of %zu files left out: %s",
                          self->broken, self->files, list);
}

int ps_yara_rules_load(struct ps_yara_rules *ret_rules, const char *directory, char *err, size_t err_max)
{
    struct ps_yara_rules *self = ret_rules;
    struct ps_sigset set;
    int r;

    memset(self, 0, sizeof(*self));
    r = ps_sigset_list(&set, directory, true, is_rules, err, err_max);
    self->files = set.n;
    self->newest = set.newest;
    if (!r && set.n)
        r = compile_set(self, &set, err, err_max);
    if (!r && self->rules)
        r = ps_sigset_hash(&set, NULL, err, err_max);
    if (!r && self->rules) {
        self->n = self->rules->num_rules;
        (void)snprintf(self->version, sizeof(self->version), "%s-%llu", set.hash,
                       (unsigned long long)self->n);
    }
    head_of_note(self);
    ps_sigset_fini(&set);
    return r;
}

void ps_yara_rules_fini(struct ps_yara_rules *self)
{
    if (self->rules)
        (void)yr_rules_destroy(self->rules); /* cannot fail */
    memset(self, 0, sizeof(*self));
}
