#include "worker/watch.h"

#include <fnmatch.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#define EVENTS_BYTES 4096 /* read from the kernel at once */
#define EVENTS                                                                                      \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | \
     IN_DELETE_SELF | IN_MOVE_SELF)

struct ps_watch {
    int fd;              /* inotify */
    bool touched;        /* something has happened since the last look */
    uint64_t touched_ms; /* monotonic: the last event */
    uint64_t look_ms;    /* monotonic: the last look */
};

int ps_watch_new(struct ps_watch **ret_self, uint64_t now_ms)
{
    PS_CLEANUP(ps_watch_free) struct ps_watch *self = PS_NEW(struct ps_watch);

    if (!self)
        return PS_ERR_NOMEM;
    self->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (self->fd < 0)
        return PS_ERR_IO;
    self->look_ms = now_ms;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_watch_free(struct ps_watch **self_p)
{
    struct ps_watch *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_close_fd_p(&self->fd);
    free(self);
}

int ps_watch_fd(const struct ps_watch *self)
{
    return self->fd;
}

uint64_t ps_watch_due_ms(const struct ps_watch *self)
{
    uint64_t poll_ms = self->look_ms + PS_WATCH_POLL_MS;

    return self->touched ? PS_MIN(poll_ms, self->touched_ms + PS_WATCH_QUIET_MS) : poll_ms;
}

static bool is_noise(const char *name)
{
    static const char *const noise[] = {".*", "tmp.*",       "*.tmp",         "*.log",
                                        "*~", "__pycache__", "freshclam.dat", "mirrors.dat"};

    for (size_t i = 0; i < PS_ARRAY_N(noise); i++)
        if (fnmatch(noise[i], name, 0) == 0)
            return true;
    return false;
}

void ps_watch_read(struct ps_watch *self, uint64_t now_ms)
{
    _Alignas(struct inotify_event) char bytes[EVENTS_BYTES];
    ssize_t n;

    while ((n = read(self->fd, bytes, sizeof(bytes))) > 0)
        for (const char *at = bytes; at < bytes + n;) {
            const struct inotify_event *event = (const void *)at;
            at += sizeof(*event) + event->len;
            if (event->len > 0 && is_noise(event->name))
                continue;
            self->touched = true; /* the kernel's queue overflowed: likewise */
            self->touched_ms = now_ms;
        }
}

bool ps_watch_due(struct ps_watch *self, uint64_t now_ms)
{
    if (now_ms < ps_watch_due_ms(self))
        return false;
    self->touched = false;
    self->look_ms = now_ms;
    return true;
}

/* ---- prints ---- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static uint64_t mix(uint64_t print, const FTSENT *entry)
{
    const struct stat *st = entry->fts_statp;
    const bool known = entry->fts_info == FTS_F || entry->fts_info == FTS_D;
    const uint64_t words[] = {
        print,
        ps_hash64(entry->fts_path, entry->fts_pathlen),
        entry->fts_info,
        known ? (uint64_t)st->st_ino : 0,
        entry->fts_info == FTS_F ? (uint64_t)st->st_size : 0,
        entry->fts_info == FTS_F ? (uint64_t)st->st_mtim.tv_sec : 0,
        entry->fts_info == FTS_F ? (uint64_t)st->st_mtim.tv_nsec : 0,
        known ? (uint64_t)st->st_mode : 0,
    };

    return ps_hash64(words, sizeof(words));
}

/* Without a watch (too many for this account) the poll finds what changes. */
static void watch(const struct ps_watch *self, const FTSENT *entry)
{
    if (self && entry->fts_info == FTS_D)
        (void)inotify_add_watch(self->fd, entry->fts_path, EVENTS);
}

uint64_t ps_watch_print(struct ps_watch *self, const char *path, uint64_t print)
{
    PS_FREE char *top = strdup(path);
    char *const roots[] = {top, NULL};
    FTS *walk = top ? fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
    size_t n = 0;

    for (FTSENT *entry; walk && n < PS_WATCH_FILES_MAX && (entry = fts_read(walk)); n++) {
        bool noise = entry->fts_level > 0 && is_noise(entry->fts_name);

        if (entry->fts_info == FTS_D && (noise || entry->fts_level > PS_WATCH_DEPTH_MAX))
            (void)fts_set(walk, entry, FTS_SKIP); /* fails only for an unknown instruction */
        if (noise || entry->fts_info == FTS_DP)
            continue;
        watch(self, entry);
        print = mix(print, entry);
    }
    if (walk)
        (void)fts_close(walk); /* it was only read */
    return print;
}

void ps_watch_parent(struct ps_watch *self, const char *path)
{
    PS_FREE char *parent = strdup(path);
    char *slash = parent ? strrchr(parent, '/') : NULL;

    if (!slash || slash == parent)
        return;
    *slash = '\0';
    (void)inotify_add_watch(self->fd, parent, IN_CREATE | IN_MOVED_TO); /* else the poll finds it */
}
