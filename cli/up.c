/* phagescan up: everything on one machine. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/layout.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "cli/command.h"
#include "cli/open.h"
#include "cli/text.h"
#include "cli/up/control.h"
#include "cli/up/supervisor.h"

#define LOOK_MS 200 /* while it starts: how often the terminal hears how far it is */

static const struct ps_opt up_options[] = {
    {"background", 'd', PS_OPT_FLAG, offsetof(struct ps_up_settings, background), 0, 0, NULL, NULL,
     "return once everything is ready, and leave it running"},
    {"verbose", 'v', PS_OPT_FLAG, offsetof(struct ps_up_settings, verbose), 0, 0, NULL, NULL,
     "copy the logs of all processes to standard error"},
    {"port", 'p', PS_OPT_TEXT, offsetof(struct ps_up_settings, port), 0, 0, NULL, "port",
     "web port; 8480, or the next free one, without it"},
    {"signatures", 's', PS_OPT_TEXT, offsetof(struct ps_up_settings, signatures), 0, 0, NULL, "directory",
     "signatures for the engines instead of the system's or the bundled ones"},
    {"slots", 0, PS_OPT_TEXT, offsetof(struct ps_up_settings, slots), 0, 0, NULL, "n",
     "jobs that run at once; the number of cores without it"},
    {"patience", 0, PS_OPT_MS, offsetof(struct ps_up_settings, patience_ms), 1, 3600000, "2m", "time",
     "say which process is not ready, when they are not after so long"},
    {0},
};

/* ---- waiting for readiness ---- */

/* "master is starting (exit status 1), worker is waiting"; NULL when nobody tells. */
static char *describe_unready(const struct ps_layout *layout)
{
    PS_BUF struct ps_buf text;
    json_t *state = NULL;
    const json_t *unit;
    size_t i;

    ps_buf_init(&text, PS_TEXT_SHOWN_MAX);
    if (ps_control_status(layout, false, &state, NULL) != 0)
        return NULL;
    json_array_foreach (json_object_get(state, "units"), i, unit) {
        const char *last = ps_text_of(unit, "last");

        if (!strcmp(ps_text_of(unit, "state"), "ready"))
            continue;
        ps_buf_putf(&text, "%s%s is %s", text.len ? ", " : "", ps_text_of(unit, "name"),
                    ps_text_of(unit, "state"));
        if (*last)
            ps_buf_putf(&text, " (its last end: %s; its log: %s)", last, ps_text_of(unit, "log"));
    }
    json_decref(state);
    return text.len ? ps_strf("%s", ps_buf_text(&text)) : NULL;
}

static void show_start(const struct ps_layout *layout, bool clear)
{
    PS_FREE char *unready = clear || !isatty(STDERR_FILENO) ? NULL : describe_unready(layout);

    if (!isatty(STDERR_FILENO))
        return;
    (void)fputs("\r\033[K", stderr);
    if (unready)
        (void)ps_text_put(stderr, unready, 79);
    (void)fflush(stderr);
}

/* Reads the supervisor's word from fd: at most max bytes. 0 at its end; PS_ERR_TIMEOUT. */
static int read_word(const struct ps_layout *layout, int fd, uint64_t patience_ms, char *line, size_t max)
{
    uint64_t end_ms = ps_clock_mono_ms() + patience_ms, now_ms;
    size_t n = 0;
    ssize_t got = 1;

    while (n + 1 < max && got > 0 && (now_ms = ps_clock_mono_ms()) < end_ms) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        if (poll(&ready, 1, (int)PS_MIN(end_ms - now_ms, (uint64_t)LOOK_MS)) <= 0) {
            show_start(layout, false);
            continue;
        }
        got = read(fd, line + n, max - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    line[n] = '\0';
    return got > 0 && n + 1 < max ? PS_ERR_TIMEOUT : 0;
}

static int wait_for_ready(const struct ps_layout *layout, int fd, uint64_t patience_ms)
{
    char line[PS_ERROR_TEXT_MAX + 16];
    int r = read_word(layout, fd, patience_ms, line, sizeof(line));

    show_start(layout, true);
    if (r) {
        PS_FREE char *unready = describe_unready(layout);
        PS_FREE char *why = ps_strf(
            "not ready after %llu s: %s. It goes on trying; `phagescan status` tells, `phagescan down` "
            "stops it",
            (unsigned long long)(patience_ms / 1000), unready ? unready : "the database is being made");

        return ps_text_complain("up", why ? why : "not ready");
    }
    if (!strcmp(line, "ready\n"))
        return PS_EXIT_OK;
    line[strcspn(line, "\n")] = '\0';
    return ps_text_complain("up", *line ? line : "it ended before everything was ready; its log tells why");
}

static int greet(const char *how)
{
    struct ps_error why = {0};

    if (ps_open_print(&why) != 0)
        return ps_text_complain("up", why.text);
    (void)puts(how);
    return PS_EXIT_OK;
}

/* ---- up ---- */

/* Becomes the supervisor: no terminal, no directory held, the log in its place. Does not return. */
static void supervise_in_background(const struct ps_layout *layout, const struct ps_up_settings *settings,
                                    int ready_fd)
{
    PS_FREE char *log = ps_strf("%s/supervisor.log", layout->state);
    PS_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct ps_error why = {0};

    (void)setsid();                            /* a fresh child leads no group: can't fail */
    (void)ps_file_mkdirs(layout->state, 0755); /* when it fails, the supervisor says so */
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640) : -1;
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(fd >= 0 ? fd : null, 2) < 0 ||
        chdir("/") < 0)
        _exit(PS_EXIT_ERROR);
    _exit(ps_supervisor_run(layout, settings, ready_fd, &why) ? PS_EXIT_ERROR : PS_EXIT_OK);
}

static int start_in_background(const struct ps_layout *layout, const struct ps_up_settings *settings)
{
    int ready[2];
    pid_t pid = pipe2(ready, O_CLOEXEC) < 0 ? -1 : fork(); /* no threads yet */

    if (pid < 0)
        return ps_text_complain("up", strerror(errno));
    if (pid == 0) {
        (void)close(ready[0]); /* the other end is what counts */
        supervise_in_background(layout, settings, ready[1]);
    }
    (void)close(ready[1]);
    int status = wait_for_ready(layout, ready[0], settings->patience_ms);
    (void)close(ready[0]);
    return status == PS_EXIT_OK ? greet("Running in the background. `phagescan status` tells how it is, "
                                        "`phagescan down` stops it.")
                                : status;
}

/* In the foreground a small child waits for readiness and prints the address. */
static int run_in_foreground(const struct ps_layout *layout, const struct ps_up_settings *settings)
{
    struct ps_error why = {0};
    int ready[2];
    pid_t pid = pipe2(ready, O_CLOEXEC) < 0 ? -1 : fork(); /* no threads yet */

    if (pid < 0)
        return ps_text_complain("up", strerror(errno));
    if (pid == 0) {
        (void)close(ready[1]);
        int status = wait_for_ready(layout, ready[0], settings->patience_ms);
        if (status == PS_EXIT_OK)
            status = greet("Running. ^C stops it.");
        (void)fflush(NULL); /* _exit would not */
        _exit(status);
    }
    (void)close(ready[0]);
    int r = ps_supervisor_run(layout, settings, ready[1], &why);
    (void)waitpid(pid, NULL, 0); /* what it has to say comes before our end; reaped already: as well */
    return r ? PS_EXIT_ERROR : PS_EXIT_OK;
}

/* The processes work in another directory. */
static int make_absolute(char **path_p, struct ps_error *reterr)
{
    struct stat st;

    if (!*path_p)
        return 0;
    char *path = realpath(*path_p, NULL);
    if (!path || stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        free(path);
        return ps_error_set(reterr, PS_ERR_INVALID, "--signatures %s is not a directory", *path_p);
    }
    free(*path_p);
    *path_p = path;
    return 0;
}

static int start(struct ps_up_settings *settings)
{
    struct ps_layout layout;
    struct ps_error why = {0};
    json_t *state = NULL;
    int r = ps_layout_find(&layout, &why);

    if (!r)
        r = make_absolute(&settings->signatures, &why);
    if (!r && ps_control_status(&layout, false, &state, NULL) == 0) {
        json_decref(state);
        r = ps_error_set(&why, PS_ERR_CONFLICT, "it is running already: `phagescan status` tells how it is");
    }
    if (r)
        return ps_text_complain("up", why.text);
    return settings->background ? start_in_background(&layout, settings)
                                : run_in_foreground(&layout, settings);
}

int ps_cmd_up(int argc, char **argv)
{
    struct ps_up_settings settings = {0};
    struct ps_opts_args rest = {0};
    int status = ps_text_options(up_options, &settings, argc, argv, "up [OPTION...]",
                                 "Starts PostgreSQL, broker, master and worker on this machine.", &rest);

    ps_log_init("phagescan-up", PS_LOG_INFO);
    if (status < 0 && rest.argc > 0)
        status = ps_text_complain("up", "it takes no arguments");
    if (status < 0)
        status = start(&settings);
    ps_opts_fini(up_options, &settings);
    return status;
}
