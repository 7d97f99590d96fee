/* worker/host/fds.h: where the engine host keeps its own descriptors. Engine host only. */
#ifndef PS_HOST_FDS_H
#define PS_HOST_FDS_H

#include <fcntl.h>

#include "base/mem.h"

#define PS_FD_BASE \
    512 /* the engine host's own lie from here on, those below are the engine's: a child keeps them */

/* Moves a descriptor to PS_FD_BASE or above, close-on-exec. The old one is closed in any case; -1 on failure. */
static inline int ps_fd_lift(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PS_FD_BASE);

    ps_close_fd_p(&fd);
    return high;
}

#endif
