/* worker/main.c: phagescan-worker. The order of what happens here matters: settings, launcher (still root, one thread,
 * no socket), accounts, then everything else. */
#include <czmq.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/host/launcher.h"
#include "worker/probe.h"
#include "worker/room.h"
#include "worker/roster.h"
#include "worker/session.h"
#include "worker/settings.h"

#define FDS_RESERVED 512 /* descriptors for sockets, hosts and children; the cache may have the rest */

struct worker {
    struct ps_worker_settings settings;
    struct ps_room room;          /* for the hosts' directories */
    struct ps_launcher *launcher; /* NULL when not started as root */
    struct ps_roster *roster;
    struct ps_session *session;
    struct ps_keys keys; /* filled when the broker is on tcp */
    void *context;       /* libzmq's */
    int signal_fd;       /* -1 before */
};

/* ---- accounts ---- */

/* Names from the settings' defaults need not exist on a machine where nothing was installed. */
static bool find_accounts(const struct ps_worker_settings *settings, struct ps_account *ret_services,
                          struct ps_account *ret_engines)
{
    struct ps_error error;

    if (geteuid() != 0 || strcmp(settings->account_services, "none") == 0)
        return false;
    if (ps_account_find(settings->account_services, ret_services, &error) ||
        ps_account_find(settings->account_engines, ret_engines, &error)) {
        ps_log(PS_LOG_WARN, "stays-root", "why=%s", PS_LOGQ(error.text));
        return false;
    }
    return true;
}

static int own(const char *path, struct ps_account account, struct ps_error *reterr)
{
    int error = ps_file_mkdirs(path, 0700);

    if (error)
        return ps_error_set(reterr, error, "%s: %s", path, ps_err_text(error));
    if (chown(path, account.uid, account.gid) < 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "%s: %s", path, strerror(errno));
    return 0;
}

/* A change of account clears what `phagescan up` has set: that we end with it. */
static int become_services(struct ps_account services, struct ps_error *reterr)
{
    pid_t parent = getppid();
    int death_signal = 0;

    (void)prctl(PR_GET_PDEATHSIG, &death_signal); /* can't fail with a good address */
    int error = ps_account_become(services, reterr);
    if (error || death_signal == 0)
        return error;
    (void)prctl(PR_SET_PDEATHSIG, death_signal); /* can't fail with a signal that was set before */
    if (getppid() != parent)
        return ps_error_set(reterr, PS_ERR_CLOSED, "who started us has ended");
    return 0;
}

static int load_keys(struct worker *self, struct ps_error *reterr)
{
    const struct ps_worker_settings *settings = &self->settings;

    return settings->key && !settings->probe
               ? ps_keys_load(&self->keys, settings->key, settings->broker_key, reterr)
               : 0;
}

/* As root: the launcher, which has no business with our keys, keeps the rights; we read the keys, which may be root's, and
 * give the rights up for good. Else: the keys alone. */
static int part_with_root(struct worker *self, struct ps_error *reterr)
{
    const struct ps_worker_settings *settings = &self->settings;
    struct ps_account services, engines;
    char tmp[PS_PATH_MAX + sizeof("/engines")];

    if (!find_accounts(settings, &services, &engines))
        return load_keys(self, reterr);

    (void)snprintf(tmp, sizeof(tmp), "%s/engines", self->room.path); /* fits by its size */
    const char *dirs[] = {settings->engine_dir, settings->own_engine_dir};
    struct ps_launcher_conf conf = {.program = settings->enginehost,
                                    .plugin_dirs = dirs,
                                    .plugin_dirs_n = PS_ARRAY_N(dirs),
                                    .own_dir = settings->own_engine_dir,
                                    .tmp = tmp,
                                    .engines = engines};
    int error = own(settings->cache_dir, services, reterr);
    if (!error && (chown(settings->tmp_dir, services.uid, services.gid) < 0 ||
                   chown(self->room.path, services.uid, services.gid) < 0))
        error = ps_error_set(reterr, PS_ERR_DENIED, "%s: %s", self->room.path, strerror(errno));
    if (!error)
        error = ps_launcher_fork(&self->launcher, &conf, reterr);
    if (!error)
        error = load_keys(self, reterr);
    if (!error)
        error = become_services(services, reterr);
    return error;
}

/* ---- parts ---- */

/* All that the kernel gives: each cached sample and each child costs descriptors. */
static size_t raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE,
                    &limit); /* up to the hard limit it can't fail; if it did, the old one stays */
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    return limit.rlim_cur > 2 * FDS_RESERVED ? (size_t)limit.rlim_cur - FDS_RESERVED : FDS_RESERVED / 2;
}

static int block_signals(struct worker *self, struct ps_error *reterr)
{
    sigset_t set;

    (void)sigemptyset(&set); /* none of these four can fail with good arguments */
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd >= 0 ? 0 : ps_error_set(reterr, PS_ERR_IO, "signalfd: %s", strerror(errno));
}

static int make_roster(struct worker *self, struct ps_error *reterr)
{
    const struct ps_worker_settings *settings = &self->settings;
    /* Lent to the roster for its life. */
    static char landlock[sizeof("--landlock-abi=18446744073709551615")];
    static char tmp[PS_PATH_MAX + sizeof("/engines")];
    static const char *options[2];
    size_t options_n = 0;

    (void)snprintf(tmp, sizeof(tmp), "%s/engines", self->room.path);
    (void)snprintf(landlock, sizeof(landlock), "--landlock-abi=%" PRIu64, settings->landlock_abi);
    if (settings->landlock_abi > 0)
        options[options_n++] = landlock;
    if (settings->unjailed) {
        options[options_n++] = "--unjailed";
        ps_log(PS_LOG_WARN, "unjailed",
               "note=\"engines run without a system call filter where the kernel refuses one\"");
    }
    /* An engine host of ours that was started by root changes its account by itself: it passes through, too. */
    if (!self->launcher && ps_file_mkdirs(tmp, 0711))
        return ps_error_set(reterr, PS_ERR_IO, "%s could not be made", tmp);

    /* Else the bundled set would quietly be taken instead. */
    if (settings->signatures && access(settings->signatures, R_OK | X_OK) < 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "--signatures %s can't be read by account number %u: %s",
                            settings->signatures, (unsigned)geteuid(), strerror(errno));

    struct ps_roster_conf conf = {
        .program = settings->enginehost,
        .dirs = {.shipped = settings->engine_dir,
                 .own = settings->own_engine_dir,
                 .signatures = settings->signatures,
                 .only = &settings->engines},
        .settings = &settings->set,
        .options = options,
        .options_n = options_n,
        .tmp = tmp,
        .files = settings->cache_dir,
        .slots = (unsigned)settings->slots,
        .launcher = self->launcher,
        .still = settings->probe,
    };
    return ps_roster_new(&self->roster, &conf, ps_clock_mono_ms(), reterr);
}

static int make_session(struct worker *self, size_t descriptors, struct ps_error *reterr)
{
    const struct ps_worker_settings *settings = &self->settings;
    struct ps_session_conf conf = {
        .settings = settings,
        .roster = self->roster,
        .cached_samples_n = descriptors,
        .signal_fd = self->signal_fd,
    };

    zsys_handler_set(NULL);
    self->context = zmq_ctx_new();
    if (!self->context)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    conf.where = (struct ps_peer_where){.context = self->context, .endpoint = settings->broker};
    if (settings->key)
        conf.where.keys = &self->keys;
    if (ps_where_is_insecure(settings->broker, settings->key))
        ps_log(PS_LOG_WARN, "insecure-tcp", "broker=%s detail=%s", PS_LOGQ(settings->broker),
               PS_LOGQ("no CURVE: who is on the way can read samples and forge results"));
    return ps_session_new(&self->session, &conf, reterr);
}

static int prepare(struct worker *self, size_t *ret_descriptors, struct ps_error *reterr)
{
    const struct ps_worker_settings *settings = &self->settings;
    int error = ps_room_enter(&self->room, settings->tmp_dir, reterr);

    if (!error && (error = ps_file_mkdirs(settings->cache_dir, 0700)))
        error = ps_error_set(reterr, error, "%s: %s", settings->cache_dir, ps_err_text(error));
    if (!error)
        error = block_signals(self, reterr);
    if (!error)
        error = part_with_root(self, reterr);
    if (settings->ready_fd > 0) /* for us alone; one that is not open is noticed when it is written */
        (void)fcntl((int)settings->ready_fd, F_SETFD, FD_CLOEXEC);
    *ret_descriptors = raise_descriptors();
    if (!error)
        error = make_roster(self, reterr);
    return error;
}

static void finish(struct worker *self)
{
    ps_session_free(&self->session);
    ps_roster_free(&self->roster);
    ps_launcher_free(&self->launcher);
    ps_room_leave(&self->room);
    if (self->context)
        (void)zmq_ctx_term(self->context); /* all sockets are closed: it can't wait */
    ps_keys_fini(&self->keys);
    ps_close_fd_p(&self->signal_fd);
    ps_worker_settings_fini(&self->settings);
}

static int work(struct worker *self, struct ps_error *reterr)
{
    size_t descriptors = 0;
    int error = prepare(self, &descriptors, reterr);

    if (error)
        return error;
    if (self->settings.probe)
        return ps_probe_run(self->roster, stdout) > 0
                   ? 0
                   : ps_error_set(reterr, PS_ERR_UNAVAILABLE, "no engine can be used");
    error = make_session(self, descriptors, reterr);
    if (error)
        return error;

    ps_log(PS_LOG_INFO, "started", "name=%s broker=%s slots=%" PRIu64 " engines=%zu",
           PS_LOGQ(self->settings.name), PS_LOGQ(self->settings.broker), self->settings.slots,
           ps_roster_n(self->roster));
    error = ps_session_run(self->session);
    if (error)
        return ps_error_set(reterr, error, "the session ended: %s", ps_err_text(error));
    ps_log(PS_LOG_INFO, "stopped", "%s", "");
    return 0;
}

static int say_help(const char *what)
{
    if (strcmp(what, "version") == 0) {
        (void)printf("phagescan-worker %s\n", PS_VERSION); /* a reader who left wants no help */
        return 0;
    }
    (void)printf(
        "Usage: phagescan-worker [OPTION]...\n"
        "Offers the engines of this machine to a broker, and runs them on the samples it leases.\n\n");
    ps_opts_help(ps_worker_options, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct worker worker = {.room = PS_ROOM_NONE, .signal_fd = -1};
    struct ps_error error = {0};

    ps_log_init("phagescan-worker", PS_LOG_INFO);
    int status = ps_worker_settings_read(&worker.settings, argc, argv, &error);
    if (status == PS_ERR_CANCELLED) {
        status = say_help(error.text);
    } else if (status) {
        (void)fprintf(stderr, "phagescan-worker: %s\n", error.text);
    } else {
        ps_log_init("phagescan-worker", worker.settings.verbose ? PS_LOG_DEBUG : PS_LOG_INFO);
        status = work(&worker, &error);
        if (status)
            ps_log(PS_LOG_ERROR, "ended", "why=%s", PS_LOGQ(error.text));
    }
    finish(&worker);
    return status ? 1 : 0;
}
