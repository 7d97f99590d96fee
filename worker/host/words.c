#include "worker/host/words.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void signal_words(char *buf, size_t max, int sig)
{
    const char *name = sigabbrev_np(sig);

    if (sig == SIGSYS)
        (void)snprintf(buf, max,
                       "stopped by the system call filter (SIGSYS)"); /* cut is readable: all of these */
    else if (name)
        (void)snprintf(buf, max, "killed by SIG%s", name);
    else
        (void)snprintf(buf, max, "killed by signal %d", sig);
}

const char *ps_exit_words(char *buf, size_t max, int status)
{
    if (WIFSIGNALED(status))
        signal_words(buf, max, WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) > 128 && sigabbrev_np(WEXITSTATUS(status) - 128))
        signal_words(buf, max, WEXITSTATUS(status) - 128);
    else if (WIFEXITED(status))
        (void)snprintf(buf, max, "exit status %d", WEXITSTATUS(status));
    else
        (void)snprintf(buf, max, "wait status %d", status);
    return buf;
}

bool ps_exit_was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
