/* The adapter: becomes the engine that a file NAME.py describes. One file a process, so the state is static. Nothing of
 * the file runs in this process: what it says of itself is asked from a Python in a throwaway jail, and its scans are done
 * by one that lives beside each child. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engines/kit/kit.h"
#include "engines/kit/reach.h"
#include "engines/python/card.h"
#include "engines/python/interpreter.h"

#define PYTHON         "/usr/bin/python3" /* unless the setting `python` names another */
#define NAME_MAX_BYTES 64
#define SOURCE_MAX     (1u << 20) /* bytes of a file NAME.py */
#define ASK_MS         30000      /* for what a class says of itself */
#define ANSWER_MAX     (PS_FRAME_HEAD_MAX + 1)
#define ANSWERS_MAX    4096 /* of one scan; more is a flood */
#define GRANTS_MAX     (PS_CARD_ITEMS_MAX + 8)
#define VERSION_MAX    (128 + 16)
#define HEX(i)         "0123456789abcdef"[(i)&15]

struct adapter {
    char name[NAME_MAX_BYTES + 1];
    char python[PATH_MAX], runner[PATH_MAX], dir[PATH_MAX], file[PATH_MAX]; /* dir: of the file */
    char library[PATH_MAX];                                                 /* of a Python outside /usr; "" */
    const char *programs[GRANTS_MAX + 1], *readable[GRANTS_MAX + 1];
    struct ps_engine_grants grants; /* while the card is asked: Python's own; then the card's besides */
    struct ps_card card;
    struct ps_checked checked;
    char version[VERSION_MAX];
    uint64_t mark;           /* of the file's text: what it makes of a sample belongs to the version */
    bool is_test;            /* signatures of origin test */
    struct ps_engine engine; /* what it becomes */
    const char *signatures, *data;
    struct ps_interpreter python_beside; /* in a child: the one that scans */
    int64_t job;                         /* of the last request */
};

static struct adapter self = {.python_beside = {.requests = -1, .replies = -1, .log = -1}};

/* ---- asking the class ---- */

struct question {
    const char *mode;
    json_t *request; /* taken by the answer */
};

static struct ps_interpreter_conf interpreter_conf(const char *mode, const char *tmpdir)
{
    return (struct ps_interpreter_conf){
        .python = self.python, .runner = self.runner, .mode = mode, .file = self.file, .tmpdir = tmpdir};
}

static int write_all(int to, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        ssize_t n = write(to, from, len);

        if (n <= 0)
            return -1;
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

/* One request, one answer. */
static int one_answer(const struct ps_interpreter_conf *conf, json_t *request, int fd,
                      struct ps_interpreter *interpreter, struct ps_reply *ret_reply, char *err,
                      size_t err_max)
{
    int rc = ps_interpreter_start(interpreter, conf, err, err_max);

    if (rc)
        json_decref(request);
    rc = rc ? rc : ps_interpreter_ask(interpreter, request, fd, err, err_max);
    return rc ? rc : ps_interpreter_next(interpreter, ret_reply, err, err_max);
}

/* In the throwaway child: '+' and the answer's JSON, or '-' and a sentence. */
static int answer(void *arg, const char *tmpdir, int out)
{
    struct question *question = arg;
    struct ps_interpreter_conf conf = interpreter_conf(question->mode, tmpdir);
    struct ps_interpreter interpreter = PS_INTERPRETER_NONE;
    struct ps_reply reply = {.object = NULL};
    char text[PS_KIT_TEXT_MAX + 1] = "-", *json = NULL;
    int rc = one_answer(&conf, json_incref(question->request), -1, &interpreter, &reply, text + 1,
                        sizeof(text) - 1);

    if (!rc)
        json = json_dumps(reply.object, JSON_COMPACT);
    rc = json ? write_all(out, "+", 1) || write_all(out, json, strlen(json))
              : write_all(out, text, strlen(text));
    free(json);
    ps_reply_fini(&reply);
    ps_interpreter_end(&interpreter);
    return rc ? -1 : 0;
}

/* Where there is no jail (tests): in this process. */
static int answer_here(const struct ps_engine_conf *conf, struct ps_engine_aside *aside, char *err,
                       size_t err_max)
{
    int fd = memfd_create("answer", MFD_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0 && aside->job(aside->arg, conf->tmpdir, fd) == 0)
        n = pread(fd, aside->buf, aside->max, 0);
    if (fd >= 0)
        (void)close(fd); /* it was memory */
    aside->len = n > 0 ? (size_t)n : 0;
    return n > 0 ? 0 : ps_kit_fail(err, err_max, "no answer");
}

/* The object that the class answered in that mode, to be released. */
static json_t *ask(const struct ps_engine_conf *conf, const char *mode, char *err, size_t err_max)
{
    struct question question = {.mode = mode};
    char *buf = malloc(ANSWER_MAX + 1);
    struct ps_engine_aside aside = {
        .job = answer, .arg = &question, .wait_ms = ASK_MS, .buf = buf, .max = ANSWER_MAX};
    json_t *object = NULL;
    int rc = -1;

    question.request = json_pack("{s:s, s:s}", "signatures", self.signatures ? self.signatures : "", "data",
                                 self.data ? self.data : "");
    if (!buf || !question.request)
        (void)ps_kit_fail(err, err_max, "out of memory"); /* says -1, as rc does */
    else if (conf->aside)
        rc = conf->aside(conf, &aside, err, err_max);
    else
        rc = answer_here(conf, &aside, err, err_max);
    if (!rc && aside.len > 0 && buf[0] == '+')
        object = json_loadb(buf + 1, aside.len - 1, JSON_REJECT_DUPLICATES, NULL);
    if (!rc && !object) {
        if (buf)
            buf[aside.len] = '\0';
        (void)ps_kit_fail(err, err_max, "%.400s", aside.len > 1 ? buf + 1 : "no answer"); /* as above */
    }
    free(buf);
    json_decref(question.request);
    return object;
}

/* ---- become ---- */

/* FNV-1a: another text, another number. Nobody gains by making two that collide: both are the operator's. */
static int mark_file(const char *path, char *err, size_t err_max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t part[4096];
    size_t len = 0;
    ssize_t n = -1;

    self.mark = UINT64_C(14695981039346656037);
    while (fd >= 0 && len <= SOURCE_MAX && (n = read(fd, part, sizeof(part))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            self.mark = (self.mark ^ part[i]) * UINT64_C(1099511628211);
        len += (size_t)n;
    }
    if (fd >= 0)
        (void)close(fd); /* only read from */
    if (n < 0)
        return ps_kit_fail(err, err_max, "it can't be read: %s", strerror(errno));
    return len > SOURCE_MAX ? ps_kit_fail(err, err_max, "it is over %u bytes", SOURCE_MAX) : 0;
}

/* NAME of .../NAME.py, and the directory. */
static int take_name(const char *path, char *err, size_t err_max)
{
    const char *base;
    size_t len;

    if (!realpath(path, self.file))
        return ps_kit_fail(err, err_max, "it can't be reached: %s", strerror(errno));
    base = strrchr(path, '/');
    base = base ? base + 1 : path;
    len = strlen(base);
    if (len < 4 || len - 3 > NAME_MAX_BYTES || strcmp(base + len - 3, ".py") != 0)
        return ps_kit_fail(err, err_max, "it is not called NAME.py");
    memcpy(self.name, base, len - 3);
    self.name[len - 3] = '\0';
    memcpy(self.dir, self.file, sizeof(self.dir));
    *strrchr(self.dir, '/') = '\0'; /* a real path has one */
    return 0;
}

/* Python, and the runner beside this adapter. */
static int take_programs(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    const char *python = conf->setting ? conf->setting(conf, "python") : NULL, *slash;
    Dl_info here = {.dli_fname = NULL};
#ifdef ENGINE_PYTHON_DIR
    const char *dir = ENGINE_PYTHON_DIR;
    size_t len = strlen(dir);

    (void)here;
    (void)slash;
#else
    const char *dir;
    size_t len;

    if (!dladdr(&self, &here) || !here.dli_fname || !(slash = strrchr(here.dli_fname, '/')))
        return ps_kit_fail(err, err_max, "the adapter doesn't know where it lies");
    dir = here.dli_fname;
    len = (size_t)(slash - dir);
#endif
    if (snprintf(self.runner, sizeof(self.runner), "%.*s/phagescan_runner.py", (int)len, dir) >=
        (int)sizeof(self.runner))
        return ps_kit_fail(err, err_max, "the adapter's path is too long");
    python = python ? python : PYTHON;
    if (!realpath(python, self.python) || access(self.python, X_OK) < 0)
        return ps_kit_fail(err, err_max, "not installed: %s: %s", python, strerror(errno));
    /* The host grants /usr/lib, /lib and /usr/local/lib to all; one that lies elsewhere has its library beside its bin. */
    if (strncmp(self.python, "/usr/", 5) != 0 &&
        snprintf(self.library, sizeof(self.library), "%.*s/../lib",
                 (int)(strrchr(self.python, '/') - self.python), self.python) < (int)sizeof(self.library)) {
        char real[PATH_MAX];

        (void)snprintf(self.library, sizeof(self.library), "%s", realpath(self.library, real) ? real : "");
    }
    return 0;
}

static int grant(const char *list[GRANTS_MAX + 1], const char *path, char *err, size_t err_max)
{
    size_t n = 0;

    if (!path || !path[0])
        return 0;
    while (list[n] && strcmp(list[n], path) != 0)
        n++;
    if (n == GRANTS_MAX)
        return ps_kit_fail(err, err_max, "more than %d grants", GRANTS_MAX);
    list[n] = path;
    return 0;
}

/* What Python itself needs, and the engine's own directories. */
static int grant_first(char *err, size_t err_max)
{
    static char runner_dir[PATH_MAX];
    const char *const dirs[] = {runner_dir, self.dir, self.library, self.signatures, self.data};
    int rc = grant(self.programs, self.python, err, err_max);

    (void)snprintf(runner_dir, sizeof(runner_dir), "%.*s", (int)(strrchr(self.runner, '/') - self.runner),
                   self.runner); /* shorter than the path that fits */
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !rc; i++)
        rc = grant(self.readable, dirs[i], err, err_max);
    self.grants = (struct ps_engine_grants){.programs = self.programs, .readable = self.readable};
    return rc;
}

static int grant_card(char *err, size_t err_max)
{
    int rc = 0;

    for (size_t i = 0; i < self.card.programs.n && !rc; i++)
        rc = grant(self.programs, self.card.programs.at[i], err, err_max);
    for (size_t i = 0; i < self.card.readable.n && !rc; i++)
        rc = grant(self.readable, self.card.readable.at[i], err, err_max);
    self.grants.socket = self.card.socket[0] ? self.card.socket : NULL;
    self.grants.writable = self.card.writable.at;
    self.grants.hosts = self.card.hosts.at;
    return rc;
}

static int take_card(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    json_t *object = ask(conf, "card", err, err_max);
    int rc = object ? ps_card_read(&self.card, object, err, err_max) : -1;

    json_decref(object);
    return rc ? rc : grant_card(err, err_max);
}

static int probe(const struct ps_engine_conf *conf, char *err, size_t err_max);
static void info(void *engine, struct ps_engine_info *ret_info);
static enum ps_found scan(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report);
static void close_engine(void *engine);
static int update(const struct ps_engine_conf *conf, int fd, const char *dir, char *err, size_t err_max);

static const struct ps_engine *become(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    char why[PS_KIT_TEXT_MAX] = "";
    int rc;

    ps_kit_json_init();
    self.signatures = conf->signatures;
    self.data = conf->data;
    self.is_test = conf->origin && strcmp(conf->origin, "test") == 0;
    rc = take_name(conf->file, why, sizeof(why));
    rc = rc ? rc : mark_file(self.file, why, sizeof(why));
    rc = rc ? rc : take_programs(conf, why, sizeof(why));
    rc = rc ? rc : grant_first(why, sizeof(why));
    rc = rc ? rc : take_card(conf, why, sizeof(why));
    if (rc) {
        (void)ps_kit_fail(err, err_max, "%s: %s", conf->file, why); /* says -1; NULL says so here */
        return NULL;
    }
    self.engine = (struct ps_engine){.abi = PS_ENGINE_ABI,
                                     .size = sizeof(struct ps_engine),
                                     .name = self.name,
                                     .kind = self.card.kind,
                                     .licence = self.card.licence,
                                     .types = self.card.types[0] ? self.card.types : NULL,
                                     .run_ms = self.card.run_ms,
                                     .at_once = self.card.at_once,
                                     .grants = &self.grants,
                                     .keeps_processes = true,
                                     .probe = probe,
                                     .info = info,
                                     .scan = scan,
                                     .close = close_engine,
                                     .update = self.card.updates ? update : NULL};
    return &self.engine;
}

/* ---- probe, info ---- */

/* "1.2" and what marks the file: results are kept by version, and an edited file makes others. */
static void write_version(void)
{
    char clean[129], mark[9];

    for (int i = 0; i < 8; i++)
        mark[i] = HEX(self.mark >> (4 * i));
    mark[8] = '\0';
    (void)snprintf(self.version, sizeof(self.version), "%.100s+%s",
                   ps_kit_text(clean, sizeof(clean), self.checked.version), mark); /* fits */
}

static int check_licence(char *err, size_t err_max)
{
    time_t ends_at = (time_t)self.checked.licence_ends_at;
    struct tm day = {0};

    if (!ends_at || ends_at > time(NULL))
        return 0;
    (void)gmtime_r(&ends_at, &day); /* too far away for a date it is in the future */
    return ps_kit_fail(err, err_max, "the licence ended on %04d-%02d-%02d", day.tm_year + 1900,
                       day.tm_mon + 1, day.tm_mday);
}

static int probe(const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    json_t *object = NULL;
    int rc = 0;

    for (size_t i = 0; self.programs[i] && !rc; i++)
        rc = ps_kit_probe_path(self.programs[i], X_OK, err, err_max);
    for (size_t i = 0; self.readable[i] && !rc; i++)
        rc = ps_kit_probe_path(self.readable[i], R_OK, err, err_max);
    if (!rc && self.grants.socket)
        rc = ps_kit_probe_socket(self.grants.socket, err, err_max);
    if (rc)
        return rc;
    ps_checked_fini(&self.checked);
    object = ask(conf, "check", err, err_max);
    rc = object ? ps_checked_read(&self.checked, object, err, err_max) : -1;
    json_decref(object);
    if (rc)
        return rc;
    if (self.checked.reason[0])
        return ps_kit_fail(err, err_max, "%s", self.checked.reason);
    write_version();
    return check_licence(err, err_max);
}

static void info(void *engine, struct ps_engine_info *ret_info)
{
    (void)engine;
    ret_info->version = self.version;
    ret_info->definitions = self.checked.definitions;
    ret_info->note = "";
    ret_info->silence_counts = self.checked.silence_counts && !self.is_test;
    ret_info->licence_scans = self.checked.licence_scans;
    ret_info->licence_ends_at = self.checked.licence_ends_at;
}

/* ---- scan ---- */

/* A Python that has loaded the engine; the one of before, as long as it lives. */
static int have_python(const struct ps_engine_sample *sample, char *err, size_t err_max)
{
    struct ps_interpreter_conf conf = interpreter_conf("serve", sample->tmpdir);
    json_t *setup;

    if (self.python_beside.pid)
        return 0;
    /* As process 1 of a pid namespace: all but it and Python came from the engine. */
    setup = json_pack("{s:s, s:s, s:b}", "signatures", self.signatures ? self.signatures : "", "data",
                      self.data ? self.data : "", "sweep", getpid() == 1);
    if (ps_interpreter_start(&self.python_beside, &conf, err, err_max)) {
        json_decref(setup);
        return -1;
    }
    return ps_interpreter_ask(&self.python_beside, setup, -1, err, err_max);
}

static json_t *request_of(const struct ps_engine_sample *sample)
{
    char hex[65] = "", type[129];

    for (int i = 0; i < 32 && sample->sha256; i++) {
        hex[2 * i] = HEX(sample->sha256[i] >> 4);
        hex[2 * i + 1] = HEX(sample->sha256[i]);
        hex[2 * i + 2] = '\0';
    }
    ps_kit_text(type, sizeof(type), sample->type ? sample->type : "");
    return json_pack("{s:I, s:I, s:s, s:s, s:s}", "job", (json_int_t)++self.job, "size",
                     (json_int_t)sample->size, "sha256", hex, "type", type, "tmpdir", sample->tmpdir);
}

/* Hands an answer on. 1: it was the last; 0: not; -1 with a sentence: none that may come now. */
static int take(const struct ps_reply *reply, const struct ps_engine_report *report, bool *malicious,
                char *err, size_t err_max)
{
    if (reply->job != self.job)
        return ps_kit_fail(err, err_max, "Python answers for another job");
    switch (reply->kind) {
    case PS_REPLY_FINDING:
        *malicious = *malicious || reply->found == PS_FOUND_MALICIOUS || reply->found == PS_FOUND_SUSPICIOUS;
        (void)report->finding(report->host, reply->found,
                              reply->text); /* refused: the host marks the result */
        return 0;
    case PS_REPLY_TRAIT:
        (void)report->trait(report->host, reply->text, (const char *)reply->body,
                            reply->body_len); /* as above */
        return 0;
    case PS_REPLY_ARTIFACT:
        (void)report->artifact(report->host, reply->text, reply->mime, reply->body,
                               reply->body_len); /* as above */
        return 0;
    case PS_REPLY_PICTURE:
        (void)report->picture(report->host, reply->text, reply->mime, reply->body,
                              reply->body_len); /* as above */
        return 0;
    case PS_REPLY_DONE:
        return 1;
    default:
        return ps_kit_fail(err, err_max, "Python answers what was not asked");
    }
}

/* What Python answers until it is done. 0 with the last answer's outcome; 1 when the first answer was to an earlier
 * request: somebody spoke twice then, and nothing of this one has been heard. */
static int listen_to(const struct ps_engine_report *report, enum ps_found *ret_found, bool *ret_last,
                     char *err, size_t err_max)
{
    bool malicious = false;
    int rc = 0;

    for (int i = 0; i < ANSWERS_MAX && rc == 0; i++) {
        struct ps_reply reply;

        rc = ps_interpreter_next(&self.python_beside, &reply, err, err_max);
        if (rc)
            return -1;
        if (i == 0 && reply.job < self.job) {
            ps_reply_fini(&reply);
            return 1;
        }
        rc = take(&reply, report, &malicious, err, err_max);
        if (rc > 0) {
            *ret_found = reply.found;
            *ret_last = reply.last;
            if (reply.text[0])
                report->reason(report->host, "%s", reply.text);
        }
        ps_reply_fini(&reply);
    }
    if (rc == 0)
        return ps_kit_fail(err, err_max, "Python gives more than %d answers", ANSWERS_MAX);
    /* An outcome and its findings belong together: what contradicts itself is an error, and a hit stays a hit, for its
     * finding is with the host. */
    if (rc > 0 && (*ret_found == PS_FOUND_MALICIOUS || *ret_found == PS_FOUND_SUSPICIOUS) != malicious &&
        *ret_found != PS_FOUND_FAILURE && *ret_found != PS_FOUND_INCOMPLETE)
        return ps_kit_fail(err, err_max, "Python's outcome contradicts its findings");
    return rc > 0 ? 0 : -1;
}

/* As listen_to. */
static int scan_once(const struct ps_engine_sample *sample, const struct ps_engine_report *report,
                     enum ps_found *ret_found, bool *ret_last, char *err, size_t err_max)
{
    int rc = have_python(sample, err, err_max);

    rc = rc ? rc : ps_interpreter_ask(&self.python_beside, request_of(sample), sample->fd, err, err_max);
    return rc ? rc : listen_to(report, ret_found, ret_last, err, err_max);
}

static enum ps_found scan(void *engine, const struct ps_engine_sample *sample,
                          const struct ps_engine_report *report)
{
    enum ps_found found = PS_FOUND_FAILURE;
    char err[PS_KIT_TEXT_MAX] = "";
    bool last = false;
    int rc = scan_once(sample, report, &found, &last, err, sizeof(err));

    (void)engine;
    if (rc > 0) { /* a Python that speaks twice is not to be believed: another one looks at this sample */
        ps_interpreter_end(&self.python_beside);
        rc = scan_once(sample, report, &found, &last, err, sizeof(err));
        if (rc > 0)
            rc = ps_kit_fail(err, sizeof(err), "Python answers for another job");
    }
    if (rc) {
        report->reason(report->host, "%s", err);
        found = PS_FOUND_FAILURE;
    }
    /* Where Python can't sweep, its end does, and the host looks who is left. */
    if (rc || last || getpid() != 1)
        ps_interpreter_end(&self.python_beside);
    return found;
}

static void close_engine(void *engine)
{
    (void)engine;
    ps_interpreter_end(&self.python_beside);
    ps_checked_fini(&self.checked);
    ps_card_fini(&self.card);
    memset(self.programs, 0, sizeof(self.programs));
    memset(self.readable, 0, sizeof(self.readable));
}

/* ---- update ---- */

static int update(const struct ps_engine_conf *conf, int fd, const char *dir, char *err, size_t err_max)
{
    struct ps_interpreter_conf how = interpreter_conf("update", conf->tmpdir);
    struct ps_interpreter interpreter = PS_INTERPRETER_NONE;
    struct ps_reply reply = {.object = NULL};
    struct stat st = {.st_size = -1};
    json_t *request;
    int rc;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
        return ps_kit_fail(err, err_max, "what was given as definitions is no file");
    request = json_pack("{s:s, s:s, s:s, s:s, s:I}", "signatures", self.signatures ? self.signatures : "",
                        "data", self.data ? self.data : "", "dir", dir, "tmpdir", conf->tmpdir, "size",
                        fd >= 0 ? (json_int_t)st.st_size : (json_int_t)-1);
    rc = one_answer(&how, request, fd, &interpreter, &reply, err, err_max);
    if (!rc && reply.kind != PS_REPLY_UPDATED)
        rc = ps_kit_fail(err, err_max, "Python answers what was not asked");
    if (!rc && reply.text[0])
        rc = ps_kit_fail(err, err_max, "%s", reply.text);
    ps_reply_fini(&reply);
    ps_interpreter_end(&interpreter);
    return rc;
}

/* While it becomes an engine it asks in a jail with these grants. */
const struct ps_engine ps_engine_entry = {.abi = PS_ENGINE_ABI,
                                          .size = sizeof(struct ps_engine),
                                          .name = "python",
                                          .kind = PS_ENGINE_EVILNESS,
                                          .licence = "MPL-2.0",
                                          .grants = &self.grants,
                                          .become = become};
