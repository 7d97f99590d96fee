/* worker/room.h: a directory of this worker's own below a directory that workers share, gone when it ends. */
#ifndef PS_WORKER_ROOM_H
#define PS_WORKER_ROOM_H

#include "base/err.h"
#include "base/layout.h"

struct ps_room {
    char path[PS_PATH_MAX]; /* "" when there is none */
    int lock_fd;            /* says that we live; -1 when there is none */
};

#define PS_ROOM_NONE ((struct ps_room){.lock_fd = -1})

/* Makes dir when it is missing, removes the rooms of workers that died without doing so, and makes ours (mode 0711: an
 * engine's account passes through, and reads nothing). 0, or a ps_err with a sentence. */
int ps_room_enter(struct ps_room *ret_self, const char *dir, struct ps_error *reterr);
/* Removes it, as far as the rights go: the next worker's enter removes the rest. Twice is fine. */
void ps_room_leave(struct ps_room *self);

#endif
