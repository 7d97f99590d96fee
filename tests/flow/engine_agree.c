/* tests/flow/engine_agree.c: the engines in their jail beside the programs that ask the same libraries: clamscan,
 * file, md5sum, ssdeep. What clamscan flags is flagged; ordinary files of this system are not; the rest is equal.
 *
 * PHAGESCAN_TEST_BUILD is the build tree. A program that isn't installed skips its test. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <ftw.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TESTFILES "/usr/share/clamav-testfiles"
#define FILES_MAX 1000    /* that one test looks at */
#define CLEAN_N   300     /* ordinary files */
#define CLEAN_MAX 1000000 /* bytes of one */
#define ARGS_MAX  (FILES_MAX + 16)

struct files {
    char *path[FILES_MAX];
    size_t n;
};

static struct files walked; /* nftw passes no argument */
static size_t walk_every, walk_seen;

static void add_file(struct files *files, const char *path)
{
    if (files->n == FILES_MAX)
        return;
    files->path[files->n] = strdup(path);
    assert_non_null(files->path[files->n++]);
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)at;
    if (kind != FTW_F || !S_ISREG(st->st_mode) || st->st_size > CLEAN_MAX || strstr(path, "clamav"))
        return 0;
    if (walk_seen++ % walk_every == 0 && !access(path, R_OK))
        add_file(&walked, path);
    return walked.n >= CLEAN_N;
}

/* Regular files of a directory: every so-manieth, at most CLEAN_N. */
static void walk(struct files *files, const char *root, size_t every)
{
    memset(&walked, 0, sizeof(walked));
    walk_every = every;
    walk_seen = 0;
    (void)nftw(root, visit, 16, FTW_PHYS | FTW_MOUNT); /* stopped early on purpose */
    *files = walked;
}

static void list_testfiles(struct files *files)
{
    struct dirent *entry;
    DIR *dir = opendir(TESTFILES);
    char path[UNIT_PATH_MAX];

    memset(files, 0, sizeof(*files));
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            add_file(files, unit_path(path, TESTFILES, entry->d_name));
    if (dir)
        (void)closedir(dir);
}

static void free_files(struct files *files)
{
    while (files->n)
        free(files->path[--files->n]);
}

/* Runs program with its arguments, then the files; returns the standard output, to be freed, or NULL when there is no
 * such program. */
static char *run(const char *const *words, const struct files *files)
{
    const char *args[ARGS_MAX + 1] = {NULL};
    size_t n = 0, len = 0, size = 1 << 16;
    char *text = malloc(size);
    int pipes[2], status;
    ssize_t got;
    pid_t pid;

    for (; words[n]; n++)
        args[n] = words[n];
    for (size_t i = 0; files && i < files->n; i++)
        args[n++] = files->path[i];
    assert_non_null(text);
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        (void)dup2(pipes[1], STDOUT_FILENO);
        (void)close(pipes[0]);
        (void)close(pipes[1]);
        (void)execvp(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    (void)close(pipes[1]);
    while ((got = read(pipes[0], text + len, size - len - 1)) > 0) {
        len += (size_t)got;
        if (size - len < 4096) {
            text = realloc(text, size *= 2);
            assert_non_null(text);
        }
    }
    text[len] = '\0';
    (void)close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 127)
        return text;
    free(text);
    return NULL;
}

/* What the engine in its jail says: an object of file name -> result. */
static json_t *ask_engine(const char *engine, const struct files *files)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");
    char host[UNIT_PATH_MAX], plugin[UNIT_PATH_MAX + 16], signatures[UNIT_PATH_MAX + 32], *text, *line, *rest;
    const char *words[] = {host, "--try", plugin, signatures, NULL};
    json_t *results = json_object(), *result;

    assert_non_null(build);
    (void)unit_path(host, build, "worker/host/phagescan-enginehost");
    (void)snprintf(plugin, sizeof(plugin), "--plugin=%s/engines/%s/%s.so", build, engine, engine);
    (void)snprintf(signatures, sizeof(signatures), "--signatures=%s/engines/%s/signatures", build, engine);
    if (strcmp(engine, "clamav") != 0 && strcmp(engine, "yara") != 0)
        words[3] = NULL;
    text = run(words, files);
    assert_non_null(text);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        result = json_loads(line, 0, NULL);
        assert_non_null(result);
        assert_int_equal(
            json_object_set_new(results, json_string_value(json_object_get(result, "file")), result), 0);
    }
    assert_int_equal(json_object_size(results), files->n);
    free(text);
    return results;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static bool flagged(const json_t *result)
{
    return !strcmp(text_of(result, "outcome"), "malicious") ||
           !strcmp(text_of(result, "outcome"), "suspicious");
}

/* Every file of clamav-testfiles that clamscan flags with the same set is flagged, by the same name. */
static void clamscan(void **state)
{
    const char *build = getenv("PHAGESCAN_TEST_BUILD");
    char set[UNIT_PATH_MAX], *text, *line, *rest, *end;
    const char *words[] = {"clamscan", "--no-summary", "-d", set, NULL};
    struct files files;
    size_t hits = 0;
    json_t *results;

    (void)state;
    assert_non_null(build);
    (void)unit_path(set, build, "engines/clamav/signatures");
    list_testfiles(&files);
    text = files.n ? run(words, &files) : NULL;
    if (!text) {
        free_files(&files);
        skip();
    }
    results = ask_engine("clamav", &files);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        end = strstr(line, " FOUND");
        if (!end)
            continue;
        *end = '\0';
        end = strrchr(line, ' ');
        assert_non_null(end);
        end[-1] = '\0'; /* "PATH: NAME" */
        assert_true(flagged(json_object_get(results, line)));
        assert_string_equal(text_of(json_object_get(results, line), "label"), end + 1);
        hits++;
    }
    assert_true(hits >= 44);
    json_decref(results);
    free(text);
    free_files(&files);
}

/* Ordinary programs, documents and libraries of this system: nothing flagged, nothing that failed. */
static void clean_files(void **state)
{
    static const char *const engines[] = {"clamav", "yara"}, *const roots[] = {"/usr/bin", "/usr/share",
                                                                               "/usr/lib"};
    const char *outcome, *path;
    struct files files;
    json_t *results, *result;

    (void)state;
    for (size_t r = 0; r < sizeof(roots) / sizeof(roots[0]); r++) {
        walk(&files, roots[r], r ? 37 : 5);
        assert_true(files.n > 0);
        for (size_t e = 0; e < sizeof(engines) / sizeof(engines[0]); e++) {
            results = ask_engine(engines[e], &files);
            json_object_foreach (results, path, result) {
                outcome = text_of(result, "outcome");
                if (strcmp(outcome, "undetected") != 0 && strcmp(outcome, "incomplete") != 0)
                    fail_msg("%s: %s %s %s: %s", engines[e], path, outcome, text_of(result, "label"),
                             text_of(result, "reason"));
            }
            json_decref(results);
        }
        free_files(&files);
    }
}

/* file and the type engine agree on what a file is. */
static void file_types(void **state)
{
    static const char *const words[] = {"file", "-b", "--mime-type", NULL};
    char *text, *line, *rest;
    struct files files;
    json_t *results;
    size_t n = 0;

    (void)state;
    walk(&files, "/usr/share", 53);
    text = run(words, &files);
    if (!text) {
        free_files(&files);
        skip();
    }
    results = ask_engine("type", &files);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++)
        assert_string_equal(
            text_of(json_object_get(json_object_get(results, files.path[n]), "traits"), "mime"), line);
    assert_int_equal(n, files.n);
    json_decref(results);
    free(text);
    free_files(&files);
}

/* Checks the trait against what a program prints: the first word of a line, or a line of CSV up to its comma. */
static void compare_hashes(const json_t *results, const struct files *files, const char *const *words,
                           const char *trait, const char *ends, size_t headings)
{
    char *text = run(words, files), *line, *rest;
    size_t n = 0;

    if (!text)
        return;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
        if (n < headings)
            continue;
        line[strcspn(line, ends)] = '\0';
        assert_string_equal(
            text_of(json_object_get(json_object_get(results, files->path[n - headings]), "traits"), trait),
            line);
    }
    assert_int_equal(n, files->n + headings);
    free(text);
}

static void file_hashes(void **state)
{
    static const char *const md5[] = {"md5sum", NULL}, *const sha1[] = {"sha1sum", NULL},
                             *const sha256[] = {"sha256sum", NULL},
                             *const ssdeep[] = {"ssdeep", "-s", "-b", NULL};
    struct files files;
    json_t *results;

    (void)state;
    walk(&files, "/usr/bin", 7);
    assert_true(files.n > 0);
    results = ask_engine("hashes", &files);
    compare_hashes(results, &files, md5, "md5", " ", 0);
    compare_hashes(results, &files, sha1, "sha1", " ", 0);
    compare_hashes(results, &files, sha256, "sha256", " ", 0);
    compare_hashes(results, &files, ssdeep, "ssdeep", ",", 1);
    json_decref(results);
    free_files(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clamscan),
        cmocka_unit_test(clean_files),
        cmocka_unit_test(file_types),
        cmocka_unit_test(file_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
