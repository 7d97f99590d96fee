#include "engines/kit/reach.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engines/kit/kit.h"

int ps_kit_probe_path(const char *path, int how, char *err, size_t err_max)
{
    if (access(path, how) == 0)
        return 0;
    return errno == EACCES ? ps_kit_fail(err, err_max, "needs privilege: %s may not be %s by this account",
                                         path, how == X_OK ? "run" : "read")
                           : ps_kit_fail(err, err_max, "not installed: %s: %s", path, strerror(errno));
}

int ps_kit_probe_socket(const char *path, char *err, size_t err_max)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = -1;

    if (fd < 0 || strlen(path) >= sizeof(at.sun_path)) {
        (void)ps_kit_fail(err, err_max, "%s is no path of a socket", path); /* says -1, as rc does */
    } else {
        memcpy(at.sun_path, path, strlen(path));
        rc = connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 || errno == EPROTOTYPE ? 0 : -1;
        if (rc)
            (void)ps_kit_fail(err, err_max, "%s: the daemon's socket %s: %s",
                              errno == EACCES ? "needs privilege" : "the daemon is not there", path,
                              strerror(errno)); /* as above */
    }
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    return rc;
}
