#include "worker/host/command.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/mem.h"

#define ARGS_FIXED 10 /* program, seven options of ours, and the end, with one to spare */

bool ps_spawn_name_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;

    return len > 0 && len <= PS_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

char *const *ps_spawn_environ(void)
{
    static char path[] = "PATH=/usr/bin:/bin", lang[] = "LC_ALL=C.UTF-8", zone[] = "TZ=UTC0";
    static char *const table[] = {path, lang, zone, NULL};

    return table;
}

void ps_spawn_argv_free(char ***argv_p)
{
    for (size_t i = 0; *argv_p && (*argv_p)[i]; i++)
        free((*argv_p)[i]);
    free(*argv_p);
    *argv_p = NULL;
}

/* Appends name=value; value NULL leaves it out. */
static int put(char **argv, size_t *n, const char *name, const char *value)
{
    if (!value)
        return 0;
    argv[*n] = ps_strf("%s%s", name, value);
    return argv[*n] && ++*n ? 0 : PS_ERR_NOMEM;
}

int ps_spawn_argv(const struct ps_host_conf *conf, const char *tmpdir, bool own_account, char ***ret_argv)
{
    PS_CLEANUP(ps_spawn_argv_free) char **argv = NULL;
    size_t n = 0;
    int rc;

    if (conf->settings_n > PS_HOST_SETTINGS_MAX || conf->options_n > PS_HOST_SETTINGS_MAX)
        return PS_ERR_LIMIT;
    argv = ps_alloc(ARGS_FIXED + conf->settings_n + conf->options_n, sizeof(*argv));
    if (!argv)
        return PS_ERR_NOMEM;
    rc = put(argv, &n, "", conf->program);
    rc = rc ? rc : put(argv, &n, "--control=", "3");
    rc = rc ? rc : put(argv, &n, "--engine=", conf->engine);
    rc = rc ? rc : put(argv, &n, "--plugin=", conf->plugin);
    rc = rc ? rc : put(argv, &n, "--signatures=", conf->signatures);
    rc = rc ? rc : put(argv, &n, "--data=", conf->data);
    rc = rc ? rc : put(argv, &n, "--file=", conf->file);
    rc = rc ? rc : put(argv, &n, "--tmp=", tmpdir);
    rc = rc ? rc : put(argv, &n, "--own-account", own_account ? "" : NULL);
    for (size_t i = 0; i < conf->settings_n && !rc; i++)
        rc = put(argv, &n, "--set=", conf->settings[i]);
    for (size_t i = 0; i < conf->options_n && !rc; i++)
        rc = put(argv, &n, "", conf->options[i]);
    if (!rc)
        *ret_argv = PS_TAKE(argv);
    return rc;
}

/* The child must not inherit what this program blocks or ignores. */
static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int rc;

    (void)sigemptyset(&none); /* can't fail: both */
    (void)sigfillset(&all);
    rc = posix_spawnattr_setsigmask(attr, &none);
    if (!rc)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    return rc ? rc : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* 0 or an errno. */
static int spawn(const char *program, char **argv, int control, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    /* dup2 onto itself would be no copy, but glibc then takes close-on-exec off, which is what is wanted. */
    rc = posix_spawn_file_actions_adddup2(&actions, control, PS_SPAWN_CONTROL_FD);
    if (!rc)
        rc = set_signals(&attr);
    if (!rc)
        rc = posix_spawn(ret_pid, program, &actions, &attr, argv, ps_spawn_environ());
    (void)posix_spawnattr_destroy(&attr); /* never fails in glibc: both */
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int ps_spawn_here(const struct ps_host_conf *conf, const char *tmpdir, int control, pid_t *ret_pid,
                  int *ret_pidfd, struct ps_error *reterr)
{
    PS_CLEANUP(ps_spawn_argv_free) char **argv = NULL;
    int rc = ps_spawn_argv(conf, tmpdir, conf->launcher != NULL, &argv);
    int pidfd;
    pid_t pid = -1;

    if (rc)
        return ps_error_set(reterr, rc, "the engine host's command line: %s", ps_err_text(rc));
    rc = spawn(conf->program, argv, control, &pid);
    if (rc)
        return ps_error_set(reterr, ps_err_from_errno(rc), "%s can't be started: %s", conf->program,
                            strerror(rc));
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    if (pidfd < 0) {
        rc = ps_err_from_errno(errno);
        (void)kill(pid, SIGKILL); /* ours, not waited for yet */
        (void)waitpid(pid, NULL, 0);
        return ps_error_set(reterr, rc, "this kernel gives no descriptor of a process (pidfd_open)");
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
