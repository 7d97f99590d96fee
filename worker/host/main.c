/* phagescan-enginehost: loads one engine and has it scan in jailed children. See README.md beside this file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/host/account.h"
#include "worker/host/command.h"
#include "worker/host/deadly.h"
#include "worker/host/fds.h"
#include "worker/host/packet.h"
#include "worker/host/selftest.h"
#include "worker/host/settings.h"
#include "worker/host/try.h"
#include "worker/host/zygote.h"

#define EXIT_TROUBLE 2
#define FILES_WANTED 4096 /* descriptors of the zygote */

/* Descriptors: what came along is closed, ours are high, standard output is standard error: it may be a result's pipe,
 * and engines print. */
static int tidy_descriptors(uint64_t control, int *ret_control)
{
    struct rlimit limit;
    int high = -1;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = PS_MIN(limit.rlim_max, (rlim_t)FILES_WANTED);
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* if it matters, the next call fails */
    }
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return PS_ERR_IO;
    if (control) {
        high = ps_fd_lift((int)control);
        if (high < 0)
            return PS_ERR_LIMIT;
        (void)close_range((unsigned)high + 1, ~0u, 0); /* valid ranges don't fail */
        (void)dup2(2, 1);
    }
    (void)close_range(3, high > 0 ? (unsigned)high - 1 : ~0u, 0);
    *ret_control = high;
    return 0;
}

/* A zygote answers to its control socket alone: it has no terminal, no environment, and ends with who started it. */
static int tidy_process(int control)
{
    struct pollfd at = {.fd = control, .events = 0};

    (void)setsid(); /* fails when it leads a group already: then it has one of its own */
    (void)umask(077);
    environ = (char **)ps_spawn_environ();
    tzset();
    ps_deadly_signals();
    if (control >= 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (poll(&at, 1, 0) > 0 && (at.revents & (POLLHUP | POLLERR)))
            return PS_ERR_CLOSED; /* it ended before the line above */
    }
    return 0;
}

/* The directory becomes where this process stands: whoever it becomes may not be able to reach it from the root on. */
static int enter_tmp(const char *tmp, struct ps_error *reterr)
{
    int rc = ps_file_mkdirs(tmp, 0700);

    if (!rc && chdir(tmp) < 0)
        rc = ps_err_from_errno(errno);
    return rc ? ps_error_set(reterr, rc, "%s can't be used: %s", tmp, ps_err_text(rc)) : 0;
}

/* As root: becomes settings' account, which gets the directory for temporary files. */
static int leave_root(struct ps_settings *settings, struct ps_error *reterr)
{
    struct ps_account account;
    int rc;

    if (geteuid() != 0)
        return 0;
    rc = ps_account_find(settings->account, &account, reterr);
    if (rc)
        return rc;
    if (chown(".", account.uid, account.gid) < 0)
        return ps_error_set(reterr, PS_ERR_IO, "%s can't be given to %s: %s", settings->tmp,
                            settings->account, strerror(errno));
    rc = ps_account_become(account, reterr);
    if (rc)
        return rc;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* the change of account cleared it */
    (void)prctl(PR_SET_DUMPABLE, 1);        /* and this: /proc/self would stay root's */
    settings->own_account = true;
    return 0;
}

/* Empties it, and calls it by a name that works for this account. */
static int clear_tmp(struct ps_settings *settings, struct ps_error *reterr)
{
    int rc = ps_file_remove_tree(".", false);

    if (rc)
        return ps_error_set(reterr, rc, "%s can't be emptied: %s", settings->tmp, ps_err_text(rc));
    if (access(settings->tmp, W_OK | X_OK) == 0)
        return 0;
    free(settings->tmp);
    settings->tmp = ps_strf(".");
    return settings->tmp ? 0 : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

struct host {
    struct ps_settings settings;
    int control; /* to the session; -1 without */
    struct ps_jail jail;
    struct ps_plugin *plugin; /* owned */
    struct ps_zygote *zygote; /* owned */
};

static int load(struct host *host, struct ps_error *reterr)
{
    const struct ps_settings *settings = &host->settings;
    PS_FREE char *dir = ps_strf("%s/load", settings->tmp);
    struct ps_plugin_conf conf = {.name = settings->engine,
                                  .path = settings->plugin,
                                  .signatures = settings->signatures,
                                  .origin = settings->origin,
                                  .data = settings->data,
                                  .file = settings->file,
                                  .tmpdir = dir,
                                  .jail = &host->jail,
                                  .settings = settings->set,
                                  .settings_n = settings->set_n};
    int rc = dir ? ps_file_mkdirs(dir, 0700) : PS_ERR_NOMEM;

    if (rc)
        return ps_error_set(reterr, rc, "no directory to load in: %s", ps_err_text(rc));
    if (!settings->plugin)
        return ps_error_set(reterr, PS_ERR_INVALID, "--plugin is missing");
    rc = ps_plugin_load(&host->plugin, &conf, reterr);
    (void)ps_file_remove_tree(dir, true); /* cleared again with all of tmp */
    if (host->plugin)
        host->plugin->lent.tmpdir = NULL; /* its time is over */
    return rc;
}

static int settle(struct host *host, struct ps_error *reterr)
{
    PS_FREE char *dir = ps_strf("%s/probe", host->settings.tmp);

    return dir ? ps_jail_settle(&host->jail, dir, reterr)
               : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

static int prepare(struct host *host, struct ps_error *reterr)
{
    const struct ps_settings *settings = &host->settings;
    struct ps_zygote_conf conf = {.jail = &host->jail,
                                  .tmp = settings->tmp,
                                  .recycle = settings->recycle,
                                  .growth_bytes = settings->growth_bytes,
                                  .child_stderr = settings->child_stderr};
    int rc = load(host, reterr);

    conf.plugin = host->plugin;
    if (!rc && host->plugin) /* there, when it is loaded */
        rc = ps_jail_grant(&host->jail, host->plugin->engine->grants, false, reterr);
    rc = rc ? rc : settle(host, reterr);
    rc = rc ? rc : ps_zygote_new(&host->zygote, &conf, reterr);
    if (rc)
        return rc;
    assert(host->plugin); /* load would have failed */
    return ps_self_test(host->zygote, host->plugin->engine->kind, settings->self_test, reterr);
}

static uint64_t age_s(int64_t built_at)
{
    int64_t now = (int64_t)time(NULL);

    return built_at > 0 && built_at < now ? (uint64_t)(now - built_at) : 0;
}

static const char *walls_words(const struct host *host, char buf[PS_WALLS_WORDS_MAX])
{
    return ps_walls_words(buf, host->jail.walls, host->jail.landlock_abi, host->settings.own_account);
}

/* Called once the plug-in is loaded. */
static int say_loaded(struct host *host)
{
    assert(host->plugin);
    const struct ps_engine *engine = host->plugin->engine;
    const struct ps_engine_info *info = &host->plugin->info;
    char version[PS_VERSION_MAX + 1], definitions[PS_VERSION_MAX + 1], types[PS_TEXT_MAX + 1],
        note[PS_TEXT_MAX + 1];
    char walls[PS_WALLS_WORDS_MAX];

    ps_text_clean(version, sizeof(version), info->version);
    ps_text_clean(definitions, sizeof(definitions), info->definitions);
    ps_text_clean(types, sizeof(types), engine->types);
    ps_text_clean(note, sizeof(note), info->note);
    return ps_packet_send(host->control,
                          PS_MSG(H_LOADED, .engine = ps_bytes_of(engine->name), .kind = engine->kind,
                                 .version = ps_bytes_of(version), .definitions = ps_bytes_of(definitions),
                                 .origin = ps_bytes_of(host->plugin->origin), .signatures = info->signatures,
                                 .age_s = age_s(info->built_at), .run_ms = engine->run_ms,
                                 .types = ps_bytes_of(types), .note = ps_bytes_of(note),
                                 .walls = ps_bytes_of(walls_words(host, walls))),
                          -1, 0);
}

static int say_failed(int control, const struct ps_error *error)
{
    char reason[PS_TEXT_MAX + 1];

    ps_text_clean(reason, sizeof(reason), error->text);
    (void)ps_packet_send(control, PS_MSG(H_FAILED, .reason = ps_bytes_of(reason)), -1,
                         0); /* or it sees us end */
    return EXIT_TROUBLE;
}

/* A path that works from another directory, too. One that leads nowhere stays as it is, for the message about it. */
static void make_absolute(char **path)
{
    char *absolute = *path ? realpath(*path, NULL) : NULL;

    if (!absolute)
        return;
    free(*path);
    *path = absolute;
}

/* Where and as whom everything else happens. */
static int move_in(struct host *host, struct ps_error *reterr)
{
    int rc;

    if (!host->settings.tmp)
        return ps_error_set(reterr, PS_ERR_INVALID, "--tmp is missing");
    make_absolute(&host->settings.plugin);
    make_absolute(&host->settings.signatures);
    make_absolute(&host->settings.data);
    make_absolute(&host->settings.file);
    rc = enter_tmp(host->settings.tmp, reterr);
    rc = rc ? rc : leave_root(&host->settings, reterr);
    rc = rc ? rc : ps_jail_enter(&host->jail, reterr);
    return rc ? rc : clear_tmp(&host->settings, reterr);
}

/* The life of a zygote. */
static int serve(struct host *host)
{
    struct ps_error error = {0};
    int rc = move_in(host, &error);

    rc = rc ? rc : prepare(host, &error);
    if (rc)
        return say_failed(host->control, &error);
    if (say_loaded(host))
        return 0; /* nobody waits for it any more */
    rc = ps_zygote_serve(host->zygote, host->control, &error);
    if (rc)
        ps_log(PS_LOG_ERROR, "zygote-confused", "reason=%s", PS_LOGQ(error.text));
    return rc ? EXIT_TROUBLE : 0;
}

static int show_walls(struct host *host)
{
    char walls[PS_WALLS_WORDS_MAX], tmp[] = "/tmp/phagescan-walls-XXXXXX";
    struct ps_error error = {0};
    int rc;

    free(host->settings.tmp);
    host->settings.tmp = mkdtemp(tmp) ? ps_strf("%s", tmp) : NULL;
    if (!host->settings.tmp)
        return EXIT_TROUBLE;
    rc = move_in(host, &error);
    rc = rc ? rc : settle(host, &error);
    (void)rmdir(tmp); /* empty, and owned by whom this process became */
    if (rc) {
        (void)fprintf(stderr, "%s\n", error.text);
        return EXIT_TROUBLE;
    }
    (void)printf("%s\n", walls_words(host, walls)); /* a reader that went away needs none */
    return 0;
}

static void fini(struct host *host)
{
    ps_zygote_free(&host->zygote);
    ps_plugin_free(&host->plugin);
    ps_jail_fini(&host->jail);
    ps_settings_fini(&host->settings);
}

static int run(struct host *host)
{
    const struct ps_settings *settings = &host->settings;
    int rc;

    if (settings->try_files)
        return ps_try(settings);
    if (!settings->control && !settings->show_walls) {
        (void)fprintf(stderr, "phagescan-enginehost is started by phagescan-worker; see --help for --try\n");
        return EXIT_TROUBLE;
    }
    rc = tidy_descriptors(settings->control, &host->control);
    rc = rc ? rc : tidy_process(host->control);
    if (rc)
        return EXIT_TROUBLE;
    ps_jail_init(&host->jail, &settings->limits, settings->off, (int)settings->landlock_abi, settings->trap);
    return settings->show_walls ? show_walls(host) : serve(host);
}

int main(int argc, char **argv)
{
    static struct host host = {.control = -1};
    struct ps_error error = {0};
    int rc, status;

    ps_log_init("phagescan-enginehost", PS_LOG_INFO);
    host.jail.space.pid_ns = -1;
    rc = ps_settings_read(&host.settings, argc, argv, &error);
    if (rc == PS_ERR_CANCELLED && strcmp(error.text, "help") == 0) {
        (void)printf(
            "phagescan-enginehost --try --plugin=PATH [OPTION...] FILE...\n"); /* as above: all three */
        ps_opts_help(ps_settings_table, stdout);
        status = 0;
    } else if (rc == PS_ERR_CANCELLED) {
        (void)printf("phagescan-enginehost " PS_VERSION "\n");
        status = 0;
    } else if (rc) {
        (void)fprintf(stderr, "phagescan-enginehost: %s\n", error.text);
        status = EXIT_TROUBLE;
    } else {
        status = run(&host);
    }
    fini(&host);
    return status;
}
