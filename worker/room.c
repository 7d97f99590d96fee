#include "worker/room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define PREFIX "worker-"

/* A lock on a directory goes with its last descriptor, whatever became of the process. */
static int lock_dir(const char *path)
{
    PS_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    return PS_TAKE_FD(fd);
}

static void sweep(const char *dir)
{
    char path[PS_PATH_MAX];
    DIR *list = opendir(dir);

    if (!list)
        return;
    for (const struct dirent *entry; (entry = readdir(list));) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 || n < 0 || (size_t)n >= sizeof(path))
            continue;
        PS_CLOSE int fd = lock_dir(path);
        if (fd >= 0)
            (void)ps_file_remove_tree(path, true); /* what we may not remove is somebody else's to clear */
    }
    (void)closedir(list); /* it was only read */
}

/* Between its mkdir and its lock another worker's sweep may remove the new room: then one more. */
static int make(struct ps_room *self, const char *dir)
{
    for (int attempt = 0; attempt < 8; attempt++) {
        int n = snprintf(self->path, sizeof(self->path), "%s/" PREFIX "XXXXXX", dir);
        if (n < 0 || (size_t)n >= sizeof(self->path))
            return PS_ERR_LIMIT;
        if (!mkdtemp(self->path) || chmod(self->path, 0711) < 0)
            return ps_err_from_errno(errno);
        self->lock_fd = lock_dir(self->path);
        if (self->lock_fd >= 0 && access(self->path, F_OK) == 0)
            return 0;
        ps_close_fd_p(&self->lock_fd);
    }
    return PS_ERR_CONFLICT;
}

int ps_room_enter(struct ps_room *ret_self, const char *dir, struct ps_error *reterr)
{
    struct ps_room self = PS_ROOM_NONE;
    int error = ps_file_mkdirs(dir, 0711);

    if (error)
        return ps_error_set(reterr, error, "%s: %s", dir, ps_err_text(error));
    sweep(dir);
    error = make(&self, dir);
    if (error)
        return ps_error_set(reterr, error, "no directory below %s: %s", dir, ps_err_text(error));
    *ret_self = self;
    return 0;
}

void ps_room_leave(struct ps_room *self)
{
    if (self->path[0])
        (void)ps_file_remove_tree(self->path, true); /* see the header */
    ps_close_fd_p(&self->lock_fd);
    *self = PS_ROOM_NONE;
}
