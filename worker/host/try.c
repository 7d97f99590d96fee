#include "worker/host/try.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "worker/host/files.h"
#include "worker/host/host.h"

#define EXIT_NOTHING 0
#define EXIT_FOUND   1
#define EXIT_ERROR   2

/* The next event, waited for. False when there will be none any more. */
static bool wait_event(struct ps_host *host, struct ps_host_event *event)
{
    struct pollfd at = {.fd = ps_host_fd(host), .events = POLLIN};

    for (;;) {
        uint64_t now_ms = ps_clock_mono_ms(), due_ms = ps_host_due_ms(host);

        if (ps_host_step(host, now_ms, event) == 1)
            return true;
        if (due_ms == UINT64_MAX)
            due_ms = now_ms + 1000;
        if (poll(&at, 1, due_ms > now_ms ? (int)PS_MIN(due_ms - now_ms, (uint64_t)60000) : 0) < 0 &&
            errno != EINTR)
            return false;
    }
}

static void add_text(json_t *object, const char *key, const char *text)
{
    if (text && text[0])
        (void)json_object_set_new(object, key, json_string(text)); /* want of memory: the key is missing */
}

/* Of each derived file what a report would say of it; their bytes are not kept. */
static json_t *list_files(const struct ps_host_result *result)
{
    json_t *list = json_array();

    for (size_t i = 0; i < result->files_n; i++) {
        const struct ps_host_file *file = &result->files[i];
        char hex[PS_SHA256_HEX];
        json_t *object = json_object();

        ps_hex_encode(hex, file->sha256, sizeof(file->sha256));
        add_text(object, "name", file->name);
        add_text(object, "mime", file->mime);
        (void)json_object_set_new(object, "picture", json_boolean(file->picture)); /* as in add_text: both */
        (void)json_object_set_new(object, "size", json_integer((json_int_t)file->size));
        add_text(object, "sha256", hex);
        (void)json_array_append_new(list, object); /* want of memory: it is missing */
    }
    return list;
}

static void print_result(const struct ps_host *host, const char *path, const char *sha256, uint64_t size,
                         const struct ps_host_result *result)
{
    const struct ps_host_info *info = ps_host_info(host);
    json_t *object = json_object();
    json_t *traits = result->traits_len ? json_loads(result->traits, 0, NULL) : NULL;

    add_text(object, "file", path);
    add_text(object, "sha256", sha256);
    (void)json_object_set_new(object, "size", json_integer((json_int_t)size)); /* as above, all of these */
    add_text(object, "engine", info->engine);
    add_text(object, "version", info->version);
    add_text(object, "definitions", info->definitions);
    add_text(object, "outcome", ps_outcome_word(result->outcome));
    (void)json_object_set_new(object, "counted", json_boolean(result->counted));
    add_text(object, "label", result->label);
    add_text(object, "reason", result->reason);
    add_text(object, "type", result->type);
    if (traits)
        (void)json_object_set_new(object, "traits", traits);
    if (result->files_n > 0)
        (void)json_object_set_new(object, "files", list_files(result));
    (void)json_object_set_new(object, "run_us", json_integer((json_int_t)result->run_us));
    (void)json_object_set_new(object, "cpu_us", json_integer((json_int_t)result->cpu_us));
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    (void)fputc('\n', stdout);
    (void)fflush(stdout); /* a reader that went away is seen by the next write's signal */
    json_decref(object);
}

static int status_of(enum ps_outcome outcome)
{
    switch (outcome) {
    case PS_OUTCOME_MALICIOUS:
    case PS_OUTCOME_SUSPICIOUS:
        return EXIT_FOUND;
    case PS_OUTCOME_FAILURE:
    case PS_OUTCOME_TIMEOUT:
    case PS_OUTCOME_CANCELLED:
        return EXIT_ERROR;
    default:
        return EXIT_NOTHING;
    }
}

static int open_sample(const char *path, struct ps_host_job *job, uint8_t sha256[PS_SHA256_BYTES],
                       int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || ps_sha256_fd(sha256, &job->size, fd)) {
        (void)fprintf(stderr, "%s: not a file that can be read%s%s\n", path, errno ? ": " : "",
                      errno ? strerror(errno) : "");
        ps_close_fd_p(&fd);
        return EXIT_ERROR;
    }
    *ret_fd = fd;
    return 0;
}

static int try_one(struct ps_host *host, const struct ps_settings *settings, const char *path)
{
    PS_CLOSE int fd = -1;
    uint8_t sha256[PS_SHA256_BYTES];
    char hex[PS_SHA256_HEX];
    struct ps_host_job job = {.job = 1, .sha256 = sha256, .run_ms = (uint32_t)settings->run_ms};
    struct ps_host_event event;
    int rc = open_sample(path, &job, sha256, &fd);

    if (rc)
        return rc;
    job.fd = fd;
    ps_hex_encode(hex, sha256, sizeof(sha256));
    rc = ps_host_run(host, 0, &job, ps_clock_mono_ms());
    if (rc) {
        (void)fprintf(stderr, "%s: %s\n", path, ps_err_text(rc));
        return EXIT_ERROR;
    }
    while (wait_event(host, &event)) {
        if (event.kind == PS_HOST_GONE)
            return EXIT_ERROR;
        if (event.kind != PS_HOST_RESULT)
            continue;
        print_result(host, path, hex, job.size, event.result);
        return status_of(event.result->outcome);
    }
    return EXIT_ERROR;
}

static int wait_loaded(struct ps_host *host)
{
    struct ps_host_event event;

    while (wait_event(host, &event)) {
        if (event.kind == PS_HOST_LOADED) {
            const struct ps_host_info *info = ps_host_info(host);

            (void)fprintf(stderr, "%s %s, definitions %s (%llu signatures%s%s), isolation %s%s%s\n",
                          info->engine, info->version, info->definitions[0] ? info->definitions : "none",
                          (unsigned long long)info->signatures, info->origin[0] ? ", " : "", info->origin,
                          info->walls, info->note[0] ? "; " : "", info->note);
            return 0;
        }
        (void)fprintf(stderr, "the engine can't be offered: %s\n", event.text);
        return EXIT_ERROR;
    }
    return EXIT_ERROR;
}

/* The name in .../NAME.so; the host checks it against the plug-in's own. */
static int name_of(const struct ps_settings *settings, char *buf, size_t max)
{
    const char *base = strrchr(settings->plugin, '/');
    size_t len;

    if (settings->engine)
        return snprintf(buf, max, "%s", settings->engine) < (int)max ? 0 : -1;
    base = base ? base + 1 : settings->plugin;
    len = strcspn(base, ".");
    return snprintf(buf, max, "%.*s", (int)len, base) < (int)max ? 0 : -1;
}

static int run(const struct ps_settings *settings, const char *tmp)
{
    struct ps_opt_list options = {0};
    char program[PATH_MAX] = "", name[PS_NAME_MAX + 1];
    struct ps_host_conf conf = {.program = program,
                                .engine = name,
                                .plugin = settings->plugin,
                                .file = settings->file,
                                .signatures = settings->signatures,
                                .data = settings->data,
                                .tmp = tmp,
                                .settings = (const char *const *)settings->set,
                                .settings_n = settings->set_n,
                                .slots = 1};
    PS_CLEANUP(ps_host_free) struct ps_host *host = NULL;
    struct ps_error error = {0};
    int rc, status = EXIT_NOTHING;

    if (readlink("/proc/self/exe", program, sizeof(program) - 1) <= 0 ||
        name_of(settings, name, sizeof(name))) {
        (void)fprintf(stderr, "this program or the plug-in has no usable name\n");
        return EXIT_ERROR;
    }
    rc = ps_settings_options(settings, &options);
    conf.options = (const char *const *)options.at;
    conf.options_n = options.n;
    rc = rc ? ps_error_set(&error, rc, "out of memory")
            : ps_host_start(&host, &conf, ps_clock_mono_ms(), &error);
    ps_settings_options_fini(&options);
    if (rc) {
        (void)fprintf(stderr, "%s\n", error.text);
        return EXIT_ERROR;
    }
    rc = wait_loaded(host);
    for (int i = 0; i < settings->rest.argc && !rc; i++) {
        int one = try_one(host, settings, settings->rest.argv[i]);

        if (one == EXIT_FOUND || status == EXIT_NOTHING)
            status = one; /* found wins over errors */
    }
    return rc ? rc : status;
}

int ps_try(const struct ps_settings *settings)
{
    char tmp[] = "/tmp/phagescan-try-XXXXXX";
    int status;

    if (!settings->plugin || settings->rest.argc == 0) {
        (void)fprintf(stderr, "--try wants --plugin and files\n");
        return EXIT_ERROR;
    }
    if (!mkdtemp(tmp)) {
        (void)fprintf(stderr, "%s: %s\n", tmp, strerror(errno));
        return EXIT_ERROR;
    }
    (void)chmod(tmp, 0711); /* as root the zygote becomes somebody else, and must get through */
    status = run(settings, tmp);
    (void)ps_file_remove_tree(tmp, true); /* empty by now */
    return status;
}
