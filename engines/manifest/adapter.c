/* The adapter: becomes the engine that a manifest describes. One manifest a process, so the state is static. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines/kit/kit.h"
#include "engines/kit/reach.h"
#include "engines/kit/sigset.h"
#include "engines/manifest/asked.h"
#include "engines/manifest/judge.h"
#include "engines/manifest/sample.h"
#include "engines/manifest/tool.h"

#define NAME_MAX_BYTES 64
#define GRANTS_MAX     (2 * PS_MANIFEST_ITEMS_MAX)
#define SELF_TEST_MS   120000 /* for the manifest's own self-test */
#define NAMES_KEPT     6      /* names and values that hold for a process: {engine}, {signatures}, {data} */

struct adapter {
    struct ps_manifest manifest;
    char name[NAME_MAX_BYTES + 1];
    char dir[PATH_MAX]; /* of the manifest */
    uint64_t mark;      /* of the manifest's text: what it makes of outputs belongs to the version */
    const char *names[NAMES_KEPT + 1]; /* {engine}, {signatures}, {data} and their values, NULL at the end */
    char *programs[GRANTS_MAX + 1], *readable[GRANTS_MAX + 1]; /* owned texts, ended by NULL */
    struct ps_words writable;
    char *socket, *exchange; /* owned; NULL for none */
    struct ps_engine_grants grants;
    struct ps_engine engine; /* what it becomes */
    struct ps_asked asked;
    struct ps_sigset signatures;
    char version[PS_ASKED_TEXT_MAX + 40];
    bool explain; /* the setting: say what each pattern matched */
    bool is_test; /* signatures of origin test */
};

static struct adapter self;

/* ---- become ---- */

static int read_file(const char *path, char **ret_text, size_t *ret_len, char *err, size_t err_max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(PS_MANIFEST_MAX + 2);
    size_t len = 0;
    ssize_t n = 1;

    while (fd >= 0 && text && len <= PS_MANIFEST_MAX && n > 0) {
        n = read(fd, text + len, PS_MANIFEST_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (fd < 0 || !text || n < 0) {
        free(text);
        return ps_kit_fail(err, err_max, "%s can't be read: %s", path, strerror(errno));
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

/* FNV-1a: another manifest, another number. Nobody gains by making two that collide: both are the operator's. */
static uint64_t mark_of(const char *text, size_t len)
{
    uint64_t mark = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < len; i++)
        mark = (mark ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
    return mark;
}

/* NAME of .../NAME.engine, and the directory. */
static int take_name(const char *path, char *err, size_t err_max)
{
    const char *base = strrchr(path, '/');
    size_t len;

    base = base ? base + 1 : path;
    len = strcspn(base, ".");
    if (len == 0 || len > NAME_MAX_BYTES || strlen(path) >= sizeof(self.dir))
        return ps_kit_fail(err, err_max, "%s is no name for a manifest", path);
    memcpy(self.name, base, len);
    self.name[len] = '\0';
    (void)snprintf(self.dir, sizeof(self.dir), "%.*s", base > path ? (int)(base - path - 1) : 1,
                   base > path ? path : "."); /* checked above */
    return 0;
}

/* Takes word. */
static int grant(char *list[GRANTS_MAX + 1], char *word, char *err, size_t err_max)
{
    size_t n = 0;

    while (list[n] && word && strcmp(list[n], word) != 0)
        n++;
    if (!word || n == GRANTS_MAX) {
        free(word);
        return word ? ps_kit_fail(err, err_max, "more than %d grants", GRANTS_MAX) : -1;
    }
    if (list[n])
        free(word); /* there already */
    else
        list[n] = word;
    return 0;
}

static int grant_all(char *list[GRANTS_MAX + 1], const struct ps_words *words, size_t n, char *err,
                     size_t err_max)
{
    int rc = 0;

    for (size_t i = 0; i < words->n && i < n && !rc; i++)
        rc = grant(list, ps_manifest_expand(words->at[i], self.names, err, err_max), err, err_max);
    return rc;
}

static int grant_text(char **ret_text, const char *text, char *err, size_t err_max)
{
    *ret_text = text ? ps_manifest_expand(text, self.names, err, err_max) : NULL;
    return text && !*ret_text ? -1 : 0;
}

/* The first word of each command, what the manifest grants, its own directory and the signatures. */
static int make_grants(char *err, size_t err_max)
{
    const struct ps_manifest *manifest = &self.manifest;
    const struct ps_words *const commands[] = {&manifest->command,         &manifest->probe,
                                               &manifest->version,         &manifest->definitions,
                                               &manifest->licence_command, &manifest->update};
    const char *const dirs[] = {self.dir, self.names[3], self.names[5]};
    bool test_file = manifest->self_test && manifest->self_test[0] == '/';
    int rc = 0;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && !rc; i++)
        rc = grant_all(self.programs, commands[i], 1, err, err_max);
    rc = rc ? rc : grant_all(self.programs, &manifest->programs, PS_MANIFEST_ITEMS_MAX, err, err_max);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !rc; i++)
        rc = dirs[i] ? grant(self.readable, strdup(dirs[i]), err, err_max) : 0;
    rc = rc ? rc : grant_all(self.readable, &manifest->read, PS_MANIFEST_ITEMS_MAX, err, err_max);
    if (!rc && test_file)
        rc = grant(self.readable, strdup(manifest->self_test), err, err_max);
    rc = rc ? rc : grant_text(&self.socket, manifest->socket, err, err_max);
    rc = rc ? rc : grant_text(&self.exchange, manifest->exchange, err, err_max);
    rc = rc ? rc : ps_words_expand(&manifest->writable, self.names, &self.writable, err, err_max);
    self.grants = (struct ps_engine_grants){.programs = (const char *const *)self.programs,
                                            .readable = (const char *const *)self.readable,
                                            .socket = self.socket,
                                            .exchange = self.exchange,
                                            .writable = (const char *const *)self.writable.at,
                                            .hosts = (const char *const *)manifest->hosts.at};
    return rc;
}

/* Whether the {names} in words are known, before a scan finds out. extra: further pairs, ended by NULL. */
static int check_words(const struct ps_words *words, const char *const *extra, char *err, size_t err_max)
{
    const char *names[NAMES_KEPT + 8];
    struct ps_words expanded = {0};
    size_t n = 0;
    int rc;

    for (; n < NAMES_KEPT; n++)
        names[n] = self.names[n];
    for (; *extra; extra++)
        names[n++] = *extra;
    names[n] = NULL;
    rc = ps_words_expand(words, names, &expanded, err, err_max);
    ps_words_fini(&expanded);
    return rc;
}

static int check_commands(char *err, size_t err_max)
{
    static const char *const scans[] = {"tmpdir", "", "sample", "", NULL},
                             *const asks[] = {"tmpdir", "", NULL}, *const updates[] = {"tmpdir", "",
                                                                                       "new",    "",
                                                                                       "file",   "",
                                                                                       NULL};
    const struct ps_manifest *manifest = &self.manifest;
    const struct ps_words *const asked[] = {&manifest->probe, &manifest->version, &manifest->definitions,
                                            &manifest->licence_command, &manifest->environment};
    int rc = check_words(&manifest->command, scans, err, err_max);

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]) && !rc; i++)
        rc = check_words(asked[i], asks, err, err_max);
    return rc ? rc : check_words(&manifest->update, updates, err, err_max);
}

static int probe(const struct ps_engine_conf *conf, char *err, size_t err_max);
static int open_engine(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max);
static void info(void *engine, struct ps_engine_info *ret_info);
static enum ps_found scan(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report);
static void close_engine(void *engine);
static int update(const struct ps_engine_conf *conf, int fd, const char *dir, char *err, size_t err_max);

static const struct ps_engine *become(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    char *text = NULL, why[PS_KIT_TEXT_MAX] = "out of memory";
    size_t len = 0;
    int rc = take_name(conf->file, why, sizeof(why));

    rc = rc ? rc : read_file(conf->file, &text, &len, why, sizeof(why));
    rc = rc ? rc : ps_manifest_read(&self.manifest, text, len, why, sizeof(why));
    self.mark = rc ? 0 : mark_of(text, len);
    free(text);
    self.names[0] = "engine";
    self.names[1] = self.dir;
    self.names[2] = "signatures";
    self.names[3] = conf->signatures;
    self.names[4] = "data";
    self.names[5] = conf->data;
    rc = rc ? rc : make_grants(why, sizeof(why));
    rc = rc ? rc : check_commands(why, sizeof(why));
    if (rc) {
        (void)ps_kit_fail(err, err_max, "%s: %s", conf->file, why); /* says -1; NULL says so here */
        return NULL;
    }
    self.engine = (struct ps_engine){.abi = PS_ENGINE_ABI,
                                     .size = sizeof(struct ps_engine),
                                     .name = self.name,
                                     .kind = self.manifest.kind,
                                     .licence = self.manifest.licence ? self.manifest.licence : "",
                                     .types = self.manifest.types,
                                     .run_ms = (uint32_t)self.manifest.deadline_ms,
                                     .at_once = self.manifest.serial ? 1 : 0,
                                     .grants = &self.grants,
                                     .probe = probe,
                                     .open = open_engine,
                                     .info = info,
                                     .scan = scan,
                                     .close = close_engine,
                                     .update = self.manifest.update.n ? update : NULL};
    return &self.engine;
}

/* ---- probe ---- */

static int probe(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    int rc = 0;

    (void)conf;
    if (self.manifest.needs_root && !self.socket)
        return ps_kit_fail(err, err_max,
                           "needs privilege: it works as root only, and has no daemon to be reached through");
    for (size_t i = 0; self.programs[i] && !rc; i++)
        rc = ps_kit_probe_path(self.programs[i], X_OK, err, err_max);
    for (size_t i = 0; self.readable[i] && !rc; i++)
        rc = ps_kit_probe_path(self.readable[i], R_OK, err, err_max);
    if (!rc && self.socket)
        rc = ps_kit_probe_socket(self.socket, err, err_max);
    if (!rc && self.exchange && access(self.exchange, W_OK | X_OK) < 0)
        rc = ps_kit_fail(err, err_max, "the exchange directory %s can't be used: %s", self.exchange,
                         strerror(errno));
    return rc;
}

/* ---- scan ---- */

/* Runs the command on sample and judges. 0 with *ret_judgement to be ended, or -1 with a sentence. */
static int run(const struct ps_engine_sample *sample, struct ps_judgement *ret_judgement, char *err,
               size_t err_max)
{
    struct ps_handed handed;
    const char *names[NAMES_KEPT + 5];
    struct ps_words argv = {0}, env = {0};
    /* Without a root of its own the directory may have no absolute name that this account can use. */
    struct ps_tool tool = {
        .argv = argv.at, .env = env.at, .dir = sample->tmpdir[0] == '/' ? sample->tmpdir : "."};
    struct ps_tool_end end = {0};
    int rc = ps_hand_over(&self.manifest, sample, self.exchange, &handed, err, err_max);
    size_t n = 0;

    for (; n < NAMES_KEPT; n++)
        names[n] = self.names[n];
    names[n++] = "tmpdir";
    names[n++] = sample->tmpdir;
    names[n++] = "sample";
    names[n++] = handed.path;
    names[n] = NULL;
    tool.stdin_fd = handed.stdin_fd;
    tool.sample_fd = handed.fd;
    rc = rc ? rc : ps_words_expand(&self.manifest.command, names, &argv, err, err_max);
    rc = rc ? rc : ps_tool_environment(&self.manifest, sample->tmpdir, names, &env, err, err_max);
    rc = rc ? rc : ps_tool_run(&tool, &end, err, err_max);
    if (!rc) {
        const struct ps_ending ending = {end.status, end.out ? end.out : "", end.len, end.cut};

        ps_judge(&self.manifest, &ending, self.explain, ret_judgement);
        if (ps_handed_is_gone(&handed) && ret_judgement->found != PS_FOUND_MALICIOUS &&
            ret_judgement->found != PS_FOUND_SUSPICIOUS) {
            ret_judgement->found = PS_FOUND_FAILURE;
            (void)snprintf(
                ret_judgement->reason, sizeof(ret_judgement->reason),
                "removed by an on-access scanner: the copy of the sample was taken away or changed while "
                "the program looked at it"); /* fits */
        }
    }
    free(end.out);
    ps_words_fini(&argv);
    ps_words_fini(&env);
    ps_handed_fini(&handed);
    return rc;
}

static void report_traits(const struct ps_engine_report *report, struct ps_judgement *judgement)
{
    const char *key;
    json_t *value;

    json_object_foreach (judgement->traits, key, value)
        (void)ps_kit_trait(report, key, json_incref(value)); /* refused: the host marks the result */
    if (judgement->matches)
        (void)ps_kit_trait(report, "manifest-matches", json_incref(judgement->matches)); /* likewise */
}

static enum ps_found scan(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report)
{
    struct ps_judgement judgement;
    char err[PS_KIT_TEXT_MAX] = "";
    enum ps_found found;

    (void)engine;
    if (run(sample, &judgement, err, sizeof(err))) {
        report->reason(report->host, "%s", err);
        return PS_FOUND_FAILURE;
    }
    for (size_t i = 0; i < judgement.labels_n; i++)
        (void)report->finding(report->host, judgement.labels[i].what, judgement.labels[i].text); /* bounded */
    report_traits(report, &judgement);
    if (judgement.reason[0])
        report->reason(report->host, "%s", judgement.reason);
    found = judgement.found;
    ps_judgement_fini(&judgement);
    return found;
}

/* ---- open ---- */

/* Not whole in the binary either, or scanners would find the adapter. */
static const char *const eicar[] = {"X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-",
                                    "FILE!$H+H*"};

/* Makes the sample of the self-test in tmpdir. Returns a descriptor to read it by, or -1. */
static int make_test_sample(const char *tmpdir, uint64_t *ret_size)
{
    const char *file = self.manifest.self_test;
    char path[PATH_MAX];
    struct stat st;
    int fd;

    if (strcmp(file, "eicar") != 0) {
        fd = open(file, O_RDONLY | O_CLOEXEC);
    } else {
        if (snprintf(path, sizeof(path), "%s/self-test", tmpdir) >= (int)sizeof(path))
            return -1;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        for (size_t i = 0; fd >= 0 && i < sizeof(eicar) / sizeof(eicar[0]); i++)
            if (write(fd, eicar[i], strlen(eicar[i])) < 0)
                return -1; /* the process ends soon */
        if (fd >= 0)
            (void)close(fd); /* what was not written is not found */
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    *ret_size = (uint64_t)st.st_size;
    return fd;
}

/* In the throwaway child: a letter, H for found, and what was said. */
static int answer_self_test(void *arg, const char *tmpdir, int out)
{
    struct ps_engine_sample sample = {.sha256 = (const uint8_t[32]){0}, .type = "", .tmpdir = tmpdir};
    struct ps_judgement judgement;
    char err[PS_KIT_TEXT_MAX] = "its sample can't be made";
    bool hit = false;

    (void)arg;
    sample.fd = make_test_sample(tmpdir, &sample.size);
    if (sample.fd >= 0 && run(&sample, &judgement, err, sizeof(err)) == 0) {
        hit = judgement.found == PS_FOUND_MALICIOUS || judgement.found == PS_FOUND_SUSPICIOUS;
        (void)snprintf(err, sizeof(err), "%s",
                       judgement.reason[0] ? judgement.reason : "it is called clean"); /* of one size */
    }
    return dprintf(out, "%c%s", hit ? 'H' : '-', err) > 0 ? 0 : -1;
}

static int self_test(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    char buf[PS_KIT_TEXT_MAX + 2] = "", why[PS_KIT_TEXT_MAX] = "";
    struct ps_engine_aside aside = {
        .job = answer_self_test, .wait_ms = SELF_TEST_MS, .buf = buf, .max = sizeof(buf) - 1};

    if (!self.manifest.self_test || strcmp(self.manifest.self_test, "none") == 0)
        return 0;
    if (strcmp(self.manifest.self_test, "eicar") != 0 && self.manifest.self_test[0] != '/')
        return ps_kit_fail(err, err_max, "self-test is eicar, none or the path of a file");
    if (!conf->aside)
        return ps_kit_fail(err, err_max, "self-test: there is no jail to test in");
    if (conf->aside(conf, &aside, why, sizeof(why)))
        return ps_kit_fail(err, err_max, "self-test: %s", why);
    if (buf[0] == 'H')
        return 0;
    return ps_kit_fail(err, err_max, "self-test: %s is not found: %s", self.manifest.self_test,
                       buf[0] ? ps_kit_text(why, sizeof(why), buf + 1) : "no answer");
}

static bool is_any(const char *name)
{
    return name[0] != '\0';
}

/* What changes when the signatures change, when the manifest asks no program for it. */
static int look_at_signatures(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    if (!conf->signatures || self.asked.definitions[0])
        return 0;
    if (ps_sigset_list(&self.signatures, conf->signatures, true, is_any, err, err_max) ||
        ps_sigset_hash(&self.signatures, NULL, err, err_max))
        return -1;
    (void)snprintf(self.asked.definitions, sizeof(self.asked.definitions), "%s",
                   self.signatures.hash); /* fits */
    self.asked.built_at = self.asked.built_at ? self.asked.built_at : self.signatures.newest;
    return 0;
}

/* Who does not say which version it is, is known by its file's time. */
static void name_version(void)
{
    struct stat st;

    if (!self.asked.version[0] && stat(self.programs[0], &st) == 0)
        (void)snprintf(self.asked.version, sizeof(self.asked.version), "file of %lld",
                       (long long)st.st_mtim.tv_sec); /* fits */
    (void)snprintf(self.version, sizeof(self.version), "%s, manifest %08x", self.asked.version,
                   (unsigned)(self.mark ^ self.mark >> 32)); /* fits */
}

static int open_engine(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    ps_kit_json_init();
    self.is_test = conf->origin && strcmp(conf->origin, "test") == 0;
    if (ps_kit_switch(conf, "explain", false, &self.explain, err, err_max) ||
        ps_ask(&self.manifest, conf, self.names, &self.asked, err, err_max) ||
        look_at_signatures(conf, err, err_max) || self_test(conf, err, err_max))
        return -1;
    name_version();
    if (self.exchange)
        ps_exchange_clear(self.exchange);
    *ret_engine = &self;
    return 0;
}

static void info(void *engine, struct ps_engine_info *ret_info)
{
    (void)engine;
    ret_info->version = self.version;
    ret_info->definitions = self.asked.definitions;
    ret_info->signatures = self.asked.signatures;
    ret_info->built_at = self.asked.built_at;
    ret_info->note = self.manifest.description ? self.manifest.description : "";
    ret_info->silence_counts = !self.is_test;
    ret_info->licence_scans = self.asked.licence_scans;
    ret_info->licence_ends_at = self.asked.licence_ends_at;
}

static void close_engine(void *engine)
{
    (void)engine; /* what become made stays: the engine's description lies in it */
    ps_sigset_fini(&self.signatures);
}

/* ---- update ---- */

/* Runs the update command: {new} is the directory to fill, {file} what the operator brought. */
static int update(const struct ps_engine_conf *conf, int fd, const char *dir, char *err, size_t err_max)
{
    const char *names[NAMES_KEPT + 7];
    struct ps_words argv = {0}, env = {0};
    struct ps_tool tool = {.argv = argv.at, .env = env.at, .dir = dir, .stdin_fd = -1, .sample_fd = fd};
    struct ps_tool_end end = {0};
    char last[PS_KIT_TEXT_MAX];
    size_t n = 0;
    int rc;

    for (; n < NAMES_KEPT; n++)
        names[n] = self.names[n];
    names[n++] = "tmpdir";
    names[n++] = conf->tmpdir ? conf->tmpdir : dir;
    names[n++] = "new";
    names[n++] = dir;
    names[n++] = "file";
    names[n++] = fd >= 0 ? "/proc/self/fd/3" : NULL;
    names[n] = NULL;
    rc = ps_words_expand(&self.manifest.update, names, &argv, err, err_max);
    rc = rc ? rc
            : ps_tool_environment(&self.manifest, conf->tmpdir ? conf->tmpdir : dir, names, &env, err,
                                  err_max);
    rc = rc ? rc : ps_tool_run(&tool, &end, err, err_max);
    if (!rc && (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)) {
        size_t skip = end.len > 200 ? end.len - 200 : 0;

        (void)snprintf(last, sizeof(last), "%.*s", (int)(end.len - skip), end.out ? end.out + skip : "");
        rc = ps_kit_fail(err, err_max, "the update command ended with status %d: %s",
                         WIFEXITED(end.status) ? WEXITSTATUS(end.status) : 128 + WTERMSIG(end.status), last);
    }
    free(end.out);
    ps_words_fini(&argv);
    ps_words_fini(&env);
    return rc;
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI, .size = sizeof(struct ps_engine), .name = "manifest", .become = become};
