#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/mem.h"

#define BACKLOG 512 /* connections that wait for accept; the kernel may allow fewer */

/* Room for the descriptors of one packet, aligned as the kernel wants it. */
union fd_control {
    char space[CMSG_SPACE(sizeof(int) * PS_SOCK_FDS_MAX)];
    struct cmsghdr align;
};

int ps_sock_pair(int ret_fds[2])
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return ps_err_from_errno(errno);
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

static int send_error(int errnum)
{
    if (errnum == ENOBUFS || errnum == ETOOMANYREFS)
        return PS_ERR_AGAIN; /* the kernel's room for packets and descriptors in flight */
    return ps_err_from_errno(errnum);
}

int ps_sock_send(int fd, const void *data, size_t len, const int *fds, size_t fds_n, int flags)
{
    union fd_control control = {0};
    struct iovec part = {(void *)data, len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    /* An empty packet would look like the end of file to the receiver. */
    if (len == 0 || fds_n > PS_SOCK_FDS_MAX)
        return PS_ERR_INVALID;
    if (fds_n > 0) {
        struct cmsghdr *head;

        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds_n);
        head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fds_n);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fds_n);
    }
    do
        n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return send_error(errno);
    return (size_t)n == len ? 0 : PS_ERR_IO;
}

/* Collects the descriptors of msg; the kernel gave no more than control has room for. */
static size_t collect_fds(struct msghdr *msg, int ret_fds[PS_SOCK_FDS_MAX])
{
    size_t n = 0;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head; head = CMSG_NXTHDR(msg, head)) {
        size_t here;

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS || head->cmsg_len < CMSG_LEN(0))
            continue;
        here = PS_MIN((head->cmsg_len - CMSG_LEN(0)) / sizeof(int), PS_SOCK_FDS_MAX - n);
        memcpy(ret_fds + n, CMSG_DATA(head), here * sizeof(int));
        n += here;
    }
    return n;
}

int ps_sock_recv(int fd, void *buf, size_t max, size_t *ret_len, int ret_fds[PS_SOCK_FDS_MAX],
                 size_t *ret_fds_n, int flags)
{
    union fd_control control;
    struct iovec part = {buf, max};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    int fds[PS_SOCK_FDS_MAX];
    size_t fds_n;
    ssize_t n;

    do
        n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ps_err_from_errno(errno);
    fds_n = collect_fds(&msg, fds);
    if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < fds_n; i++)
            ps_close_fd_p(&fds[i]);
        /* Empty packets are never sent by us: from a stranger one counts as his farewell. */
        return n == 0 ? PS_ERR_CLOSED : PS_ERR_LIMIT;
    }
    memcpy(ret_fds, fds, fds_n * sizeof(int));
    *ret_fds_n = fds_n;
    *ret_len = (size_t)n;
    return 0;
}

static int unix_address(const char *path, struct sockaddr_un *ret_addr)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0)
        return PS_ERR_INVALID;
    if (len >= sizeof(addr.sun_path))
        return PS_ERR_LIMIT;
    memcpy(addr.sun_path, path, len + 1);
    *ret_addr = addr;
    return 0;
}

/* Locks the directory of path, so that two programs that start at once do not both remove the other's socket.
 */
static int lock_directory(const char *path, int *ret_fd)
{
    PS_FREE char *copy = ps_strndup(path, strlen(path));
    PS_CLOSE int fd = -1;

    if (!copy)
        return PS_ERR_NOMEM;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return ps_err_from_errno(errno);
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

/* Makes way for a new socket at addr: 0 when nothing is there (any more), PS_ERR_CONFLICT when it is in use.
 */
static int clear_stale(const struct sockaddr_un *addr)
{
    PS_CLOSE int fd = -1;
    struct stat st;

    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : ps_err_from_errno(errno);
    if (!S_ISSOCK(st.st_mode))
        return PS_ERR_CONFLICT;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ps_err_from_errno(errno);
    /* Only a refusal proves that nobody listens; a full backlog (EAGAIN) or a closed door (EACCES) does not.
     */
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno != ECONNREFUSED)
        return PS_ERR_CONFLICT;
    return unlink(addr->sun_path) < 0 && errno != ENOENT ? ps_err_from_errno(errno) : 0;
}

int ps_sock_listen_unix(const char *path, mode_t mode, int *ret_fd)
{
    PS_CLOSE int dir = -1, fd = -1;
    struct sockaddr_un addr;
    int rc = unix_address(path, &addr);

    if (rc || (rc = lock_directory(path, &dir)) || (rc = clear_stale(&addr)))
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ps_err_from_errno(errno);
    /* Nobody can connect before listen, so the mode is right from the first connection on. */
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return ps_err_from_errno(errno);
    if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0) {
        rc = ps_err_from_errno(errno);
        (void)unlink(path); /* ours, made above; if it stays, the next start finds it stale */
        return rc;
    }
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

int ps_sock_connect_unix(const char *path, int *ret_fd)
{
    PS_CLOSE int fd = -1;
    struct sockaddr_un addr;
    int rc = unix_address(path, &addr);

    if (rc)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ps_err_from_errno(errno);
    do
        rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return ps_err_from_errno(errno);
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

int ps_sock_peer(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return ps_err_from_errno(errno);
    if (who.uid == (uid_t)-1) /* not a UNIX socket, or not connected */
        return PS_ERR_UNSUPPORTED;
    *ret_uid = who.uid;
    *ret_gid = who.gid;
    *ret_pid = who.pid;
    return 0;
}

static int port_of(int fd, uint16_t *ret_port)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);

    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return ps_err_from_errno(errno);
    if (addr.ss_family == AF_INET)
        *ret_port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
    else if (addr.ss_family == AF_INET6)
        *ret_port = ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    else
        return PS_ERR_UNSUPPORTED;
    return 0;
}

static int listen_at(const struct addrinfo *where, int *ret_fd, uint16_t *ret_port)
{
    PS_CLOSE int fd = -1;
    const int on = 1;
    int rc;

    fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ps_err_from_errno(errno);
    /* A restart must not wait for the old connections' TIME_WAIT; both options are known to every kernel. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (where->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return ps_err_from_errno(errno);
    rc = port_of(fd, ret_port);
    if (rc)
        return rc;
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

int ps_sock_listen_tcp(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[8];
    int rc;

    (void)snprintf(service, sizeof(service), "%u", (unsigned)port); /* five digits at most */
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return PS_ERR_NOTFOUND;
    rc = PS_ERR_NOTFOUND;
    for (const struct addrinfo *at = found; at && rc && rc != PS_ERR_CONFLICT; at = at->ai_next)
        rc = listen_at(at, ret_fd, ret_port);
    freeaddrinfo(found);
    return rc;
}
