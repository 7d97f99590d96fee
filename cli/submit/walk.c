#include "cli/submit/walk.h"

#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define NOT_A_FILE "it is neither a file nor a folder"

struct ps_walk {
    FTS *fts;
    bool begun;                        /* it has been read from */
    const struct ps_opt_list *exclude; /* borrowed */
};

int ps_walk_new(struct ps_walk **ret_self, char *const *paths, const struct ps_opt_list *exclude,
                bool one_file_system, struct ps_error *reterr)
{
    PS_CLEANUP(ps_walk_free) struct ps_walk *self = PS_NEW(struct ps_walk);

    if (!self)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->exclude = exclude;
    self->fts =
        fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | (one_file_system ? FTS_XDEV : 0), NULL);
    if (!self->fts)
        return ps_error_set(reterr, ps_err_from_errno(errno), "the paths can't be walked: %s",
                            strerror(errno));
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_walk_free(struct ps_walk **self_p)
{
    if (!*self_p)
        return;
    if ((*self_p)->fts) {
        if (!(*self_p)->begun)
            (void)fts_read((*self_p)->fts); /* glibc forgets to free the paths of one that was never read */
        (void)fts_close((*self_p)->fts);    /* the paths stay open to nobody: nothing to do about a failure */
    }
    free(*self_p);
    *self_p = NULL;
}

static bool excluded(const struct ps_walk *self, const FTSENT *entry)
{
    for (size_t i = 0; i < self->exclude->n; i++)
        if (fnmatch(self->exclude->at[i], entry->fts_name, 0) == 0 ||
            fnmatch(self->exclude->at[i], entry->fts_path, 0) == 0)
            return true;
    return false;
}

int64_t ps_walk_mtime_ns(const struct stat *st)
{
    return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

static int complain(const FTSENT *entry, const char *what, struct ps_walk_file *ret_file,
                    struct ps_error *reterr)
{
    int err = entry->fts_errno ? entry->fts_errno : ENOENT;

    if (!what && err == ENOENT && entry->fts_level > FTS_ROOTLEVEL)
        what = "it has vanished";
    *ret_file = (struct ps_walk_file){.path = entry->fts_path};
    return what ? ps_error_set(reterr, PS_ERR_INVALID, "%s", what)
                : ps_error_set(reterr, ps_err_from_errno(err), "%s", strerror(err));
}

int ps_walk_next(struct ps_walk *self, struct ps_walk_file *ret_file, struct ps_error *reterr)
{
    FTSENT *entry;

    self->begun = true;
    while ((errno = 0, entry = fts_read(self->fts)) != NULL) {
        switch (entry->fts_info) {
        case FTS_D:
            if (excluded(self, entry))
                (void)fts_set(self->fts, entry, FTS_SKIP); /* can't fail with this option */
            break;
        case FTS_F:
            if (excluded(self, entry))
                break;
            *ret_file = (struct ps_walk_file){.path = entry->fts_path,
                                              .size = (uint64_t)entry->fts_statp->st_size,
                                              .mtime_ns = ps_walk_mtime_ns(entry->fts_statp)};
            return 1;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
        case FTS_SLNONE:
            return complain(entry, NULL, ret_file, reterr);
        case FTS_DEFAULT:
            if (entry->fts_level == FTS_ROOTLEVEL)
                return complain(entry, NOT_A_FILE, ret_file, reterr);
            break;
        default:
            break; /* directories left, links, cycles */
        }
    }
    ret_file->path = NULL;
    return errno ? ps_error_set(reterr, ps_err_from_errno(errno), "the walk ended early: %s", strerror(errno))
                 : 0;
}
