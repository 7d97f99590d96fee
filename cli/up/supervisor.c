#include "cli/up/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/up/accounts.h"
#include "cli/up/cluster.h"
#include "cli/up/desk.h"
#include "cli/up/dirs.h"
#include "cli/up/unit.h"

#define PING_MS    100 /* how often a starting PostgreSQL is asked */
#define LOCK_LOOKS 5   /* then the lock is another supervisor's */

enum { UNIT_POSTGRES, UNIT_BROKER, UNIT_MASTER, UNIT_WORKER, UNITS_N };

struct supervisor {
    const struct ps_layout *layout;
    const struct ps_up_settings *settings;
    struct ps_accounts accounts;
    struct ps_unit units[UNITS_N];
    struct ps_desk desk;
    char log_dir[PS_PATH_MAX + 8];
    int lock_fd, signal_fd, ready_fd;
    uint64_t ping_ms; /* when PostgreSQL is asked next */
    uint64_t kill_ms; /* while stopping: when the unit in turn gets a stronger word */
    bool stopping;
    bool changed; /* a unit's state has changed since the clients heard */
};

static json_t *state_json(const struct supervisor *self, uint64_t now_ms)
{
    json_t *units = json_array();

    for (size_t i = 0; i < UNITS_N; i++) {
        const struct ps_unit *u = &self->units[i];

        (void)json_array_append_new(units,
                                    json_pack("{s:s, s:s, s:i, s:I, s:i, s:s, s:s}", "name", u->name, "state",
                                              ps_unit_state_word(u->state), "pid", (int)u->pid, "for_s",
                                              (json_int_t)((now_ms - u->since_ms) / 1000), "restarts",
                                              (int)u->restarts, "last", u->last, "log", u->log_path));
    }
    return json_pack("{s:i, s:b, s:o}", "pid", (int)getpid(), "stopping", self->stopping, "units", units);
}

/* ---- setting up ---- */

static int take_lock(struct supervisor *self, struct ps_error *reterr)
{
    PS_FREE char *path = ps_strf("%s/" PS_UP_LOCK, self->layout->state);

    if (!path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = ps_file_mkdirs(self->layout->state, self->accounts.root ? 0755 : 0700);
    if (r)
        return ps_error_set(reterr, r, "the directory %s could not be made: %s", self->layout->state,
                            ps_err_text(r));
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lock_fd < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s: %s", path, strerror(errno));
    r = flock(self->lock_fd, LOCK_EX | LOCK_NB);
    for (int looks = 0; r < 0 && looks < LOCK_LOOKS; looks++) {
        (void)poll(NULL, 0, PING_MS); /* `phagescan status` may have it for a moment, to look */
        r = flock(self->lock_fd, LOCK_EX | LOCK_NB);
    }
    if (r < 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT,
                            "it is running already: `phagescan status` tells how it is");
    return 0;
}

static int add_program(struct supervisor *self, int which, const char *name, struct ps_error *reterr)
{
    struct ps_unit *unit = &self->units[which];
    PS_FREE char *program = ps_strf("%s/bin/phagescan-%s", self->layout->lib, name);

    /* The worker stays root to fork its launcher, then drops its rights itself. */
    ps_unit_init(unit, name, which == UNIT_WORKER ? NULL : &self->accounts.services, self->log_dir);
    if (!program || ps_unit_arg(unit, program))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (access(program, X_OK) < 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND,
                            "%s is missing: is Phagescan installed? scripts/quickstart does it", program);
    return 0;
}

static int add_option(struct ps_unit *unit, const char *name, const char *value, struct ps_error *reterr)
{
    if (!value)
        return 0;
    if (ps_unit_arg(unit, name) || ps_unit_arg(unit, value))
        return ps_error_set(reterr, PS_ERR_LIMIT, "too many arguments for %s", unit->name);
    return 0;
}

static int make_units(struct supervisor *self, struct ps_error *reterr)
{
    struct ps_unit *units = self->units;
    int r = ps_cluster_unit(&units[UNIT_POSTGRES], self->layout, &self->accounts, reterr);

    if (!r)
        r = add_program(self, UNIT_BROKER, "broker", reterr);
    if (!r)
        r = add_program(self, UNIT_MASTER, "master", reterr);
    if (!r)
        r = add_program(self, UNIT_WORKER, "worker", reterr);
    if (!r)
        r = add_option(&units[UNIT_MASTER], "--port", self->settings->port, reterr);
    if (!r)
        r = add_option(&units[UNIT_WORKER], "--signatures", self->settings->signatures, reterr);
    if (!r)
        r = add_option(&units[UNIT_WORKER], "--slots", self->settings->slots, reterr);
    for (size_t i = 0; i < UNITS_N; i++)
        units[i].echo = self->settings->verbose;
    return r;
}

static int watch_signals(struct supervisor *self, struct ps_error *reterr)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd >= 0 ? 0 : ps_error_set(reterr, PS_ERR_IO, "signalfd: %s", strerror(errno));
}

static int set_up(struct supervisor *self, struct ps_error *reterr)
{
    const struct ps_layout *layout = self->layout;
    struct ps_unit *postgres = &self->units[UNIT_POSTGRES];
    int r = ps_accounts_find(&self->accounts, reterr);

    /* Under other accounts our programs would take a user's places for theirs. */
    if (!r && self->accounts.root && setenv("PHAGESCAN_SYSTEM", "1", 1) < 0)
        r = ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (!r)
        r = take_lock(self, reterr);
    if (!r)
        r = ps_dirs_make(layout, &self->accounts, reterr);
    (void)snprintf(self->log_dir, sizeof(self->log_dir), "%s/" PS_DIRS_LOG,
                   layout->state); /* fits by its size */
    ps_unit_init(postgres, "postgres", &self->accounts.database, self->log_dir);
    if (!r)
        r = ps_cluster_prepare(layout, &self->accounts, postgres->log_path, reterr);
    if (!r)
        r = make_units(self, reterr);
    if (!r)
        r = watch_signals(self, reterr);
    return r ? r
             : ps_desk_open(&self->desk, layout->run,
                            self->accounts.root ? self->accounts.services.gid : (gid_t)-1, reterr);
}

/* ---- running ---- */

static bool all_ready(const struct supervisor *self)
{
    for (size_t i = 0; i < UNITS_N; i++)
        if (self->units[i].state != PS_UNIT_READY)
            return false;
    return true;
}

/* The master waits for its database; the rest finds its peers by itself. */
static bool may_start(const struct supervisor *self, size_t i, uint64_t now_ms)
{
    const struct ps_unit *unit = &self->units[i];

    if (unit->state != PS_UNIT_WAITING || now_ms < unit->retry_ms)
        return false;
    return i != UNIT_MASTER || self->units[UNIT_POSTGRES].state == PS_UNIT_READY;
}

static void start_units(struct supervisor *self, uint64_t now_ms)
{
    for (size_t i = 0; i < UNITS_N; i++) {
        struct ps_error why = {0};

        if (!may_start(self, i, now_ms))
            continue;
        self->changed = true;
        if (ps_unit_start(&self->units[i], now_ms, &why) != 0) {
            ps_log(PS_LOG_ERROR, "not-started", "unit=%s reason=%s", self->units[i].name, PS_LOGQ(why.text));
            self->units[i].retry_ms = now_ms + PS_UNIT_BACKOFF_MAX_MS;
        }
    }
}

/* The next word to a process that does not stop: PostgreSQL has one more, which leaves its files in order. */
static int stronger(const struct ps_unit *unit)
{
    return unit->stop_signal == SIGINT && unit->signalled == SIGINT ? SIGQUIT : SIGKILL;
}

/* Stops one after the other, last started first: a worker gives back its jobs while a broker is there to
 * hear. */
static void stop_units(struct supervisor *self, uint64_t now_ms)
{
    static const int order[] = {UNIT_WORKER, UNIT_MASTER, UNIT_BROKER, UNIT_POSTGRES};

    for (size_t i = 0; i < PS_ARRAY_N(order); i++) {
        struct ps_unit *unit = &self->units[order[i]];

        if (unit->state == PS_UNIT_STOPPED)
            continue;
        if (unit->state != PS_UNIT_STOPPING) {
            ps_unit_signal(unit, unit->stop_signal, now_ms);
            self->kill_ms = now_ms + PS_UP_STOP_MS;
            self->changed = true;
        } else if (now_ms >= self->kill_ms) {
            ps_unit_signal(unit, stronger(unit), now_ms);
            self->kill_ms = now_ms + PS_UP_STOP_MS;
        }
        if (unit->state != PS_UNIT_STOPPED)
            return;
    }
}

static bool all_stopped(const struct supervisor *self)
{
    for (size_t i = 0; i < UNITS_N; i++)
        if (self->units[i].state != PS_UNIT_STOPPED)
            return false;
    return true;
}

static void ping_postgres(struct supervisor *self, uint64_t now_ms)
{
    struct ps_unit *unit = &self->units[UNIT_POSTGRES];

    if (unit->state != PS_UNIT_STARTING || now_ms < self->ping_ms)
        return;
    self->ping_ms = now_ms + PING_MS;
    if (ps_cluster_ready(self->layout, NULL) == 0) {
        ps_unit_is_ready(unit, now_ms);
        self->changed = true;
    }
}

static void reap(struct supervisor *self, uint64_t now_ms)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < UNITS_N; i++)
            if (self->units[i].pid == pid) {
                ps_unit_ended(&self->units[i], status, now_ms);
                self->changed = true;
                if (!self->stopping)
                    ps_log(PS_LOG_WARN, "unit-ended", "unit=%s how=%s log=%s", self->units[i].name,
                           PS_LOGQ(self->units[i].last), PS_LOGQ(self->units[i].log_path));
            }
}

static void read_signals(struct supervisor *self, uint64_t now_ms)
{
    struct signalfd_siginfo info;

    while (read(self->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(self, now_ms);
        } else if (info.ssi_signo == SIGHUP) {
            continue; /* the terminal went: that is no reason to stop */
        } else {
            self->stopping = true;
            self->changed = true;
        }
    }
}

static void tell_changes(struct supervisor *self, uint64_t now_ms)
{
    if (!self->changed)
        return;
    self->changed = false;
    json_t *state = state_json(self, now_ms);
    ps_desk_tell(&self->desk, state);
    json_decref(state);
    if (self->ready_fd >= 0 && all_ready(self)) {
        (void)ps_file_write_all(self->ready_fd, "ready\n", 6); /* nobody there to hear: fine */
        ps_close_fd_p(&self->ready_fd);
    }
}

static void serve_desk(struct supervisor *self, const struct pollfd *fds, uint64_t now_ms)
{
    json_t *state = state_json(self, now_ms);

    if (ps_desk_turn(&self->desk, fds, state)) {
        ps_log(PS_LOG_INFO, "stop-asked", "by=control");
        self->stopping = true;
        self->changed = true;
    }
    json_decref(state);
}

static void read_ready(struct supervisor *self, struct ps_unit *unit, uint64_t now_ms)
{
    char word[16] = "";
    ssize_t got = read(unit->ready_fd, word, sizeof(word) - 1);

    if (got > 0 && !strncmp(word, "ready", 5)) {
        ps_unit_is_ready(unit, now_ms);
        self->changed = true;
    } else {
        ps_close_fd_p(&unit->ready_fd); /* it ended before it was ready: waitpid tells the rest */
    }
}

enum { AT_SIGNAL, AT_DESK, AT_UNITS = AT_DESK + PS_DESK_FDS, FDS_N = AT_UNITS + 2 * UNITS_N };

static void turn(struct supervisor *self)
{
    struct pollfd fds[FDS_N];

    fds[AT_SIGNAL] = (struct pollfd){.fd = self->signal_fd, .events = POLLIN};
    ps_desk_watch(&self->desk, fds + AT_DESK);
    for (size_t i = 0; i < UNITS_N; i++) { /* poll passes over -1 */
        fds[AT_UNITS + 2 * i] = (struct pollfd){.fd = self->units[i].ready_fd, .events = POLLIN};
        fds[AT_UNITS + 2 * i + 1] = (struct pollfd){.fd = self->units[i].log_fd, .events = POLLIN};
    }
    bool quiet = poll(fds, FDS_N, PING_MS) <= 0; /* back-offs and the ping need a regular look */

    uint64_t now_ms = ps_clock_mono_ms();
    for (size_t i = 0; !quiet && i < UNITS_N; i++) {
        if (fds[AT_UNITS + 2 * i].revents)
            read_ready(self, &self->units[i], now_ms);
        if (fds[AT_UNITS + 2 * i + 1].revents)
            ps_unit_drain_log(&self->units[i]);
    }
    if (!quiet)
        serve_desk(self, fds + AT_DESK, now_ms);
    read_signals(self, now_ms);

    ping_postgres(self, now_ms);
    if (self->stopping)
        stop_units(self, now_ms);
    else
        start_units(self, now_ms);
    tell_changes(self, now_ms);
}

static void tear_down(struct supervisor *self)
{
    for (size_t i = 0; i < UNITS_N; i++)
        ps_unit_fini(&self->units[i]);
    ps_close_fd_p(&self->lock_fd); /* first: who hears of the end at the desk may start anew at once */
    ps_desk_close(&self->desk);
    ps_close_fd_p(&self->signal_fd);
    ps_close_fd_p(&self->ready_fd);
}

int ps_supervisor_run(const struct ps_layout *layout, const struct ps_up_settings *settings, int ready_fd,
                      struct ps_error *reterr)
{
    struct supervisor self = {
        .layout = layout, .settings = settings, .lock_fd = -1, .signal_fd = -1, .ready_fd = ready_fd};
    struct ps_error why = {0};
    int r;

    ps_desk_init(&self.desk);
    for (size_t i = 0; i < UNITS_N; i++)
        ps_unit_init(&self.units[i], "", NULL, "");

    r = set_up(&self, &why);
    if (r && self.ready_fd >= 0) {
        PS_FREE char *line = ps_strf("%s\n", why.text);

        if (line)
            (void)ps_file_write_all(self.ready_fd, line, strlen(line));
    }
    while (!r && !(self.stopping && all_stopped(&self)))
        turn(&self);
    tear_down(&self);
    if (r)
        (void)ps_error_set(reterr, r, "%s", why.text);
    return r;
}
