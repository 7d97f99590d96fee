/* Files, the network and other processes: what lies outside of the child. */
#include "engines/crashy/crashy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_FD_BASE 512  /* the host's own descriptors lie from here on */
#define FD_MAX       2048 /* descriptors that are looked at */

/* As crashy_wall for a descriptor, which is closed. */
static enum ps_found wall_fd(struct scan *scan, int fd, const char *label)
{
    enum ps_found found = crashy_wall(scan, fd, label);

    if (fd >= 0)
        (void)close(fd);
    return found;
}

static enum ps_found do_read(struct scan *scan)
{
    return wall_fd(scan, open(scan->argument, O_RDONLY | O_CLOEXEC), "Wall.Read");
}

static enum ps_found do_write(struct scan *scan)
{
    return wall_fd(scan, open(scan->argument, O_WRONLY | O_APPEND | O_CLOEXEC), "Wall.Write");
}

static enum ps_found do_remove(struct scan *scan)
{
    return crashy_wall(scan, unlink(scan->argument), "Wall.Remove");
}

/* Whatever is open and was not given to it: a file, a directory, a socket that is not the host's. */
static enum ps_found do_descriptors(struct scan *scan)
{
    struct stat st;
    int sockets = 0;

    for (int fd = 0; fd < FD_MAX; fd++) {
        if (fd == scan->sample->fd || fstat(fd, &st) < 0)
            continue;
        if (S_ISSOCK(st.st_mode) && fd >= HOST_FD_BASE && ++sockets == 1)
            continue; /* to the session */
        if (S_ISCHR(st.st_mode) && fd < 3)
            continue; /* /dev/null */
        scan->report->reason(scan->report->host, "descriptor %d is open, mode %o", fd, (unsigned)st.st_mode);
        return crashy_through(scan, "Wall.Descriptor");
    }
    errno = EBADF;
    return crashy_held(scan);
}

static enum ps_found do_socket(struct scan *scan)
{
    return wall_fd(scan, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "Wall.Socket");
}

/* Connects to an address and closes what it got. */
static enum ps_found reach(struct scan *scan, int type, const void *address, size_t len, const char *label)
{
    const struct sockaddr *at = address;
    int fd = socket(at->sa_family, type | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : connect(fd, at, (socklen_t)len), error;

    if (!rc && type == SOCK_DGRAM)
        rc = send(fd, "hello", 5, 0) == 5 ? 0 : -1;
    error = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return crashy_wall(scan, rc, label);
}

static struct sockaddr_in here(const struct scan *scan)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(scan->argument)),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static enum ps_found do_tcp(struct scan *scan)
{
    struct sockaddr_in at = here(scan);

    return reach(scan, SOCK_STREAM, &at, sizeof(at), "Wall.Tcp");
}

static enum ps_found do_udp(struct scan *scan)
{
    struct sockaddr_in at = here(scan);

    return reach(scan, SOCK_DGRAM, &at, sizeof(at), "Wall.Udp");
}

static enum ps_found do_unix(struct scan *scan)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", scan->argument);
    return reach(scan, SOCK_STREAM, &at, sizeof(at), "Wall.Unix");
}

static enum ps_found do_abstract(struct scan *scan)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "%s", scan->argument);

    return reach(scan, SOCK_STREAM, &at, offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n,
                 "Wall.Abstract");
}

static enum ps_found do_sysv(struct scan *scan)
{
    return crashy_wall(scan, shmget((key_t)atoi(scan->argument), 1, 0), "Wall.Sysv");
}

static enum ps_found do_kill(struct scan *scan)
{
    return crashy_wall(scan, kill((pid_t)atoi(scan->argument), SIGKILL), "Wall.Kill");
}

static enum ps_found do_kill_all(struct scan *scan)
{
    return crashy_wall(scan, kill(-1, SIGKILL), "Wall.KillAll");
}

static enum ps_found do_ptrace(struct scan *scan)
{
    pid_t pid = (pid_t)atoi(scan->argument);
    long rc = ptrace(PTRACE_SEIZE, pid ? pid : getppid(), NULL, NULL);

    return crashy_wall(scan, rc, "Wall.Ptrace");
}

/* The sibling was forked from the same zygote: what is here is there. */
static enum ps_found do_peek(struct scan *scan)
{
    static const char marker[] = "the same address in every child";
    char copy[sizeof(marker)];
    struct iovec local = {copy, sizeof(copy)}, remote = {(void *)(uintptr_t)marker, sizeof(marker)};

    return crashy_wall(scan, process_vm_readv((pid_t)atoi(scan->argument), &local, 1, &remote, 1, 0),
                       "Wall.Peek");
}

const struct crashy_command crashy_reach[] = {
    {"read", do_read},         {"write", do_write}, {"remove", do_remove}, {"descriptors", do_descriptors},
    {"socket", do_socket},     {"tcp", do_tcp},     {"udp", do_udp},       {"unix", do_unix},
    {"abstract", do_abstract}, {"sysv", do_sysv},   {"kill", do_kill},     {"kill-all", do_kill_all},
    {"ptrace", do_ptrace},     {"peek", do_peek},   {NULL, NULL},
};
