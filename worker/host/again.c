#include "worker/host/again.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "worker/host/deadly.h"
#include "worker/host/fds.h"
#include "worker/host/packet.h"
#include "worker/host/plugin.h"
#include "worker/host/words.h"

static int probe_disk(const char *tmp, char *err, size_t err_max)
{
    struct statvfs fs;

    if (statvfs(tmp, &fs) < 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= PS_AGAIN_DISK_BYTES)
        return 0;
    (void)snprintf(err, err_max, "the disk is full: %llu KiB are left for temporary files",
                   (unsigned long long)fs.f_bavail * fs.f_frsize / 1024); /* cut is readable */
    return -1;
}

/* The directory is one of its own, as it was for the first probe; this process's copy of the plug-in is lent it. */
static void __attribute__((noreturn)) be_probe(struct ps_plugin *plugin, const char *tmp, int out)
{
    char err[PS_ERROR_TEXT_MAX] = "";
    PS_FREE char *dir = ps_strf("%s/again", tmp);
    sigset_t none;
    int rc = 0;

    (void)sigemptyset(&none); /* these can't fail with valid arguments */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    ps_deadly_signals();
    (void)alarm(PS_AGAIN_S);
    (void)close_range(PS_FD_BASE, (unsigned)out - 1, 0); /* valid ranges don't fail: both */
    (void)close_range((unsigned)out + 1, ~0u, 0);
    if (!dir || ps_file_mkdirs(dir, 0700))
        _exit(1);
    plugin->lent.tmpdir = dir;
    rc = probe_disk(tmp, err, sizeof(err));
    if (!rc && plugin->engine->probe)
        rc = plugin->engine->probe(&plugin->lent, err, sizeof(err));
    (void)ps_file_remove_tree(dir, true); /* the next one makes it anew */
    if (rc)
        (void)ps_file_write_all(out, err[0] ? err : "it can't be used any more", err[0] ? strlen(err) : 25);
    _exit(0);
}

int ps_again_start(struct ps_plugin *plugin, const char *tmp, pid_t *ret_pid, int *ret_fd)
{
    PS_CLOSE int from = -1, to = -1;
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return ps_err_from_errno(errno);
    from = ps_fd_lift(fds[0]);
    to = ps_fd_lift(fds[1]);
    pid = from < 0 || to <= PS_FD_BASE ? -1 : fork();
    if (pid == 0)
        be_probe(plugin, tmp, to);
    if (pid < 0)
        return PS_ERR_UNAVAILABLE;
    *ret_pid = pid;
    *ret_fd = PS_TAKE_FD(from);
    return 0;
}

/* A sentence fits into a pipe, so all of it is there once the process has ended. */
void ps_again_end(int fd, int wait_status, char *ret_text, size_t max)
{
    char said[PS_ERROR_TEXT_MAX], words[PS_ERROR_TEXT_MAX];
    ssize_t n = read(fd, said, sizeof(said) - 1);

    (void)close(fd);
    ret_text[0] = '\0';
    if (n > 0) {
        said[n] = '\0';
        ps_text_clean(ret_text, max, said);
    } else if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM) {
        (void)snprintf(ret_text, max, "its probe did not end within %d s", PS_AGAIN_S);
    } else if (wait_status != 0) {
        ps_exit_words(words, sizeof(words), wait_status);
        (void)snprintf(ret_text, max, "its probe ended badly: %.200s", words);
    }
}
