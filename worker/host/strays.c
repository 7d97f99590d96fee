#include "worker/host/strays.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* Parent and state of process name by /proc; false when it has gone. The program's name may hold anything, so the
 * fields are counted from its last parenthesis. */
static bool read_stat(int proc, const char *name, pid_t *ret_parent, char *ret_state)
{
    char path[64], text[512];
    const char *at;
    ssize_t n;
    PS_CLOSE int fd = -1;

    (void)snprintf(path, sizeof(path), "%.20s/stat", name); /* a number: fits */
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    at = strrchr(text, ')');
    return at && sscanf(at + 1, " %c %d", ret_state, ret_parent) == 2;
}

static bool is_known(pid_t pid, const pid_t *known, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (known[i] == pid)
            return true;
    return false;
}

size_t ps_strays_kill(const pid_t *known, size_t n)
{
    pid_t me = getpid(), parent = 0;
    const struct dirent *entry;
    DIR *proc = opendir("/proc");
    size_t found = 0;
    char state = 0;

    while (proc && (entry = readdir(proc))) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;

        if (pid <= 0 || !read_stat(dirfd(proc), entry->d_name, &parent, &state) || parent != me ||
            state == 'Z' || is_known(pid, known, n))
            continue;
        found++;
        (void)kill(pid, SIGKILL); /* just gone is as good */
    }
    if (proc)
        (void)closedir(proc); /* only read from */
    return found;
}
