/* phagescan engine test: phagescan-enginehost runs the engine in its jail, as for a worker, and says a line of JSON for
 * each file; here it becomes text, and a judgement whether the engine is fit to be offered. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/opt.h"
#include "cli/command.h"
#include "cli/engine/commands.h"
#include "cli/text.h"

#define WORDS_MAX 128 /* of the engine host's command line, without files */

struct wishes {
    char *engines, *signatures; /* owned */
    struct ps_opt_list set;     /* owned */
    bool json;
};

#define FIELD(f) offsetof(struct wishes, f)

static const struct ps_opt options[] = {
    {"engine-dir", 'e', PS_OPT_TEXT, FIELD(engines), 0, 0, NULL, "dir",
     "Where installed engines and adapters are."},
    {"signatures", 's', PS_OPT_TEXT, FIELD(signatures), 0, 0, NULL, "dir",
     "Signatures to use instead of those beside the engine."},
    {"set", 0, PS_OPT_LIST, FIELD(set), 0, 0, NULL, "key=value", "Settings for the engine."},
    {"json", 0, PS_OPT_FLAG, FIELD(json), 0, 0, NULL, NULL, "Print the engine host's lines as they are."},
    {0},
};

enum role { CLEAN, EICAR, FILES };

struct test {
    struct wishes wishes;
    struct ps_engine_place place;
    char dir[64]; /* temporary, for the two samples of our own */
    char clean[80], eicar[80];
    char *const *files; /* further ones, NULL-ended */
    unsigned seen, failed_n;
    bool describes; /* the engine says "described" */
};

/* Not whole in the binary, or scanners would find the command line. */
static const char *const eicar_parts[] = {"X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-",
                                          "ANTIVIRUS-TEST-", "FILE!$H+H*"};

static int write_samples(struct test *test, struct ps_error *reterr)
{
    static const char harmless[] = "Phagescan reads this text to see whether the engine works.\n";
    char text[128] = "";
    int rc;

    (void)snprintf(test->dir, sizeof(test->dir), "/tmp/phagescan-test-XXXXXX"); /* fits, all of these */
    if (!mkdtemp(test->dir)) {
        test->dir[0] = '\0';
        return ps_error_set(reterr, PS_ERR_IO, "no temporary directory: %s", strerror(errno));
    }
    (void)snprintf(test->clean, sizeof(test->clean), "%s/harmless.txt", test->dir);
    (void)snprintf(test->eicar, sizeof(test->eicar), "%s/eicar.com", test->dir);
    for (size_t i = 0; i < PS_ARRAY_N(eicar_parts); i++)
        (void)strncat(text, eicar_parts[i], sizeof(text) - strlen(text) - 1);
    rc = ps_file_replace(test->clean, harmless, strlen(harmless), 0644);
    rc = rc ? rc : ps_file_replace(test->eicar, text, strlen(text), 0644);
    return rc ? ps_error_set(reterr, rc, "the samples can't be written: %s", ps_err_text(rc)) : 0;
}

/* ---- the engine host ---- */

/* Takes word. */
static void add(char **words, size_t *n, char *word)
{
    if (word && *n < WORDS_MAX)
        words[(*n)++] = word;
}

static char *option(const char *name, const char *value)
{
    return ps_strf("--%s=%s", name, value);
}

/* Owned words, ended by NULL; the files at the end are borrowed. *ret_own: how many are owned. */
static char **command_line(const struct test *test, size_t *ret_own)
{
    const struct ps_engine_place *place = &test->place;
    const char *signatures = test->wishes.signatures ? test->wishes.signatures : place->signatures;
    size_t n = 0, files_n = 0;
    char **words;

    while (test->files[files_n])
        files_n++;
    words = ps_alloc(WORDS_MAX + files_n + 4, sizeof(*words));
    if (!words)
        return NULL;
    add(words, &n, ps_strf("%s", place->host));
    add(words, &n, ps_strf("--try"));
    add(words, &n, option("engine", place->name));
    add(words, &n, option("plugin", place->plugin));
    if (place->file[0])
        add(words, &n, option("file", place->file));
    if (signatures[0])
        add(words, &n, option("signatures", signatures));
    if (place->data[0])
        add(words, &n, option("data", place->data));
    if (place->manifest)
        add(words, &n, option("set", "explain=yes"));
    for (size_t i = 0; i < test->wishes.set.n; i++)
        add(words, &n, option("set", test->wishes.set.at[i]));
    add(words, &n, ps_strf("--"));
    *ret_own = n;
    words[n++] = (char *)test->clean;
    words[n++] = (char *)test->eicar;
    for (size_t i = 0; i < files_n; i++)
        words[n++] = test->files[i];
    return words;
}

static int start(char **argv, pid_t *ret_pid, FILE **ret_from, struct ps_error *reterr)
{
    posix_spawn_file_actions_t actions;
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "no pipe: %s", strerror(errno));
    rc = posix_spawn_file_actions_init(&actions);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    rc = rc ? rc : posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions); /* can't fail */
    (void)close(fds[1]);                              /* the child's */
    *ret_from = rc ? NULL : fdopen(fds[0], "r");
    if (*ret_from)
        return 0;
    (void)close(fds[0]); /* nothing was read */
    return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "%s can't be started: %s", argv[0],
                        strerror(rc ? rc : errno));
}

/* ---- what it says ---- */

static void put_cell(const char *label, const char *text)
{
    (void)fputs(label, stdout);
    (void)ps_text_put(stdout, text, 0);
}

static void print_matches(const json_t *matches)
{
    const json_t *match, *value;
    const char *key;
    size_t i;

    json_array_foreach (matches, i, match) {
        (void)printf("    %s, by line %lld of the manifest: ", ps_text_of(match, "says"),
                     (long long)ps_number_of(match, "manifest_line"));
        put_cell("", ps_text_of(match, "pattern"));
        put_cell("\n        matched: ", ps_text_of(match, "line"));
        json_object_foreach (json_object_get(match, "captures"), key, value) {
            put_cell("\n        ", key);
            put_cell(" = ", json_string_value(value));
        }
        (void)putchar('\n');
    }
}

static void print_traits(json_t *traits)
{
    const char *key;
    const json_t *value;

    json_object_foreach (traits, key, value) {
        PS_FREE char *text = NULL;

        if (!strcmp(key, "manifest-matches"))
            continue;
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        put_cell("    trait ", key);
        put_cell(" = ", text ? text : "?");
        (void)putchar('\n');
    }
}

/* What is wrong with that answer; NULL when it is as it should be. */
static const char *wrong(struct test *test, enum role role, const json_t *result)
{
    const char *outcome = ps_text_of(result, "outcome");
    bool hit = !strcmp(outcome, "malicious") || !strcmp(outcome, "suspicious");

    if (!strcmp(outcome, "failure") || !strcmp(outcome, "timeout"))
        return "the engine did not do its work";
    if (role == CLEAN && !strcmp(outcome, "described"))
        test->describes = true;
    if (role == CLEAN && hit)
        return "a harmless text must not be found";
    if (role == CLEAN && !strcmp(outcome, "incomplete"))
        return "a short text must be looked at whole";
    if (role == EICAR && !hit && !test->describes && strcmp(outcome, "type-unsupported") != 0)
        return "the EICAR test file must be found";
    return NULL;
}

static void print_result(struct test *test, enum role role, const json_t *result)
{
    static const char *const names[] = {"a harmless text", "the EICAR test file", ""};
    const char *bad = wrong(test, role, result), *label = ps_text_of(result, "label"),
               *reason = ps_text_of(result, "reason");
    json_t *traits = json_object_get(result, "traits");

    put_cell("", role == FILES ? ps_text_of(result, "file") : names[role]);
    put_cell(": ", ps_text_of(result, "outcome"));
    if (label[0])
        put_cell(" ", label);
    (void)printf("  (%lld.%lld ms)\n", (long long)ps_number_of(result, "run_us") / 1000,
                 (long long)ps_number_of(result, "run_us") / 100 % 10);
    if (reason[0]) {
        put_cell("    reason: ", reason);
        (void)putchar('\n');
    }
    print_matches(json_object_get(traits, "manifest-matches"));
    print_traits(traits);
    if (bad)
        (void)printf("    wrong: %s\n", bad);
    test->failed_n += bad != NULL;
}

static void take_line(struct test *test, const char *line)
{
    json_t *result = json_loads(line, 0, NULL);
    enum role role = (enum role)PS_MIN(test->seen, (unsigned)FILES);

    if (!result)
        return; /* counted as missing at the end */
    test->seen++;
    if (test->wishes.json) {
        (void)fputs(line, stdout);
        test->failed_n += wrong(test, role, result) != NULL;
    } else {
        print_result(test, role, result);
    }
    json_decref(result);
}

/* ---- the command ---- */

static int run(struct test *test, struct ps_error *reterr)
{
    PS_FREE char *line = NULL;
    size_t own = 0, room = 0, wanted = 2;
    char **argv = command_line(test, &own);
    FILE *from = NULL;
    pid_t pid = 0;
    int status = 0, rc;

    if (!argv)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    rc = start(argv, &pid, &from, reterr);
    while (!rc && getline(&line, &room, from) > 0)
        take_line(test, line);
    if (from)
        (void)fclose(from); /* only read from */
    while (!rc && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    for (size_t i = 0; i < own; i++)
        free(argv[i]);
    free(argv);
    for (size_t i = 0; test->files[i]; i++)
        wanted++;
    if (!rc && test->seen < wanted)
        return ps_error_set(reterr, PS_ERR_UNAVAILABLE, "%zu of %zu files got no answer", wanted - test->seen,
                            wanted);
    return rc;
}

static int test_engine(struct test *test, const char *word, const char *command)
{
    struct ps_error why = {0};
    int rc = ps_engine_find(&test->place, word, test->wishes.engines, &why);

    rc = rc ? rc : write_samples(test, &why);
    rc = rc ? rc : run(test, &why);
    if (test->dir[0])
        (void)ps_file_remove_tree(test->dir, true); /* two files of ours */
    if (rc)
        return ps_text_complain(command, why.text);
    if (!test->wishes.json)
        (void)puts(test->failed_n ? "This engine is not fit to be offered." : "This engine works.");
    return test->failed_n ? PS_EXIT_ERROR : PS_EXIT_OK;
}

int ps_engine_test(int argc, char **argv)
{
    struct ps_opts_args rest = {0};
    struct test test = {.seen = 0};
    int status = ps_text_options(
        options, &test.wishes, argc, argv, "engine test [OPTION...] NAME|DIRECTORY [FILE...]",
        "Runs an engine in its jail: on a harmless text, on the EICAR test file, on files. Exits "
        "with 0 when it answers as it should.",
        &rest);

    if (status < 0 && rest.argc < 1)
        status = ps_text_complain(argv[0], "it takes the name or the directory of an engine");
    if (status < 0) {
        test.files = rest.argv + 1;
        status = test_engine(&test, rest.argv[0], argv[0]);
    }
    ps_opts_fini(options, &test.wishes);
    return status;
}
