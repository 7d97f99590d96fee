/* ps_file_remove_tree, apart from file.c because it has an idea of its own.
 *
 * A scanner that unpacked a hostile archive leaves trees of any depth and any names. Recursion would need a
 * stack and a descriptor per level; paths would overrun PATH_MAX and could be turned into links between two
 * calls. So the tree is flattened: whatever lies two levels down is removed or, when it is a directory that
 * is not empty, renamed up into the top directory under a number. Two descriptors are open at any time, and
 * nothing is named by a path. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define LIFT_MAX \
    (8 * 1024 * 1024) /* directories moved up; above it somebody fills the tree while we empty it */

struct removal {
    int top;       /* descriptor of the directory that is being emptied */
    uint64_t lift; /* number to give to the next directory that is moved up */
};

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir); /* only read from */
    *dir = NULL;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* NULL with errno set on failure. */
static DIR *open_dir(int parent, const char *name)
{
    PS_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir)
        fd = -1; /* closedir closes it */
    return dir;
}

/* A directory that its maker closed against us, or whose parent is closed, can be opened up again by its
 * owner. */
static void unlock_dir(int parent, const char *name)
{
    (void)fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW); /* the retry tells whether it helped */
}

static int move_up(struct removal *self, int sub, const char *name)
{
    char number[32];

    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)self->lift); /* 20 digits at most */
    return renameat2(sub, name, self->top, number, RENAME_NOREPLACE);
}

/* Moves a directory that is not empty from sub to the top, under the next number that is free there. */
static int lift(struct removal *self, int sub, const char *name)
{
    for (; self->lift < LIFT_MAX; self->lift++) {
        int rc = move_up(self, sub, name);

        if (rc < 0 && errno == EACCES) { /* a move rewrites the ".." inside */
            unlock_dir(sub, name);
            rc = move_up(self, sub, name);
        }
        if (rc == 0 || errno == ENOENT)
            return 0;
        if (errno != EEXIST)
            return ps_err_from_errno(errno);
    }
    return PS_ERR_LIMIT;
}

/* Removes name from parent: 0, 1 when it is a directory that is not empty, or an error. */
static int remove_one(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return ps_err_from_errno(errno);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return 1;
    return errno == ENOTDIR ? PS_ERR_DENIED : ps_err_from_errno(errno); /* a file, then, and EPERM meant it */
}

/* Empties and removes a directory right below the top. */
static int remove_sub(struct removal *self, const char *name)
{
    PS_CLEANUP(close_dir) DIR *dir = NULL;
    const struct dirent *entry;
    int rc = 0;

    unlock_dir(self->top, name);
    dir = open_dir(self->top, name);
    if (!dir)
        return errno == ENOENT ? 0 : ps_err_from_errno(errno);
    while (!rc && (errno = 0, entry = readdir(dir))) {
        if (is_dot(entry->d_name))
            continue;
        rc = remove_one(dirfd(dir), entry->d_name);
        if (rc == 1)
            rc = lift(self, dirfd(dir), entry->d_name);
    }
    if (rc || errno)
        return rc ? rc : PS_ERR_IO;
    rc = remove_one(self->top, name);
    return rc == 1 ? 0 : rc; /* refilled meanwhile: the next pass sees it again */
}

/* One pass over the top directory; *ret_left says whether something may still be there. */
static int remove_pass(struct removal *self, DIR *top, bool *ret_left)
{
    const struct dirent *entry;

    *ret_left = false;
    rewinddir(top);
    while ((errno = 0, entry = readdir(top))) {
        int rc;

        if (is_dot(entry->d_name))
            continue;
        *ret_left = true;
        rc = remove_one(self->top, entry->d_name);
        if (rc == 1)
            rc = remove_sub(self, entry->d_name);
        if (rc)
            return rc;
    }
    return errno ? PS_ERR_IO : 0;
}

int ps_file_remove_tree(const char *dir, bool self)
{
    PS_CLEANUP(close_dir) DIR *top = NULL;
    struct removal removal = {0};
    bool left = true;
    int rc;

    top = open_dir(AT_FDCWD, dir);
    if (!top)
        return ps_err_from_errno(errno);
    removal.top = dirfd(top);
    for (uint64_t pass = 0; left; pass++) {
        if (pass > LIFT_MAX)
            return PS_ERR_LIMIT;
        rc = remove_pass(&removal, top, &left);
        if (rc)
            return rc;
    }
    return self && rmdir(dir) < 0 ? ps_err_from_errno(errno) : 0;
}
