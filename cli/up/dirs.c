#include "cli/up/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* owner NULL: root's, or the user's. */
static int make(const char *path, mode_t mode, const struct ps_account *owner, bool root,
                struct ps_error *reterr)
{
    int r = ps_file_mkdirs(path, mode);

    if (r)
        return ps_error_set(reterr, r, "the directory %s could not be made: %s", path, ps_err_text(r));
    PS_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    uid_t uid = owner ? owner->uid : geteuid();
    gid_t gid = owner ? owner->gid : getegid();
    if (fd < 0 || (root && fchown(fd, uid, gid) < 0) || fchmod(fd, mode) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "the directory %s: %s", path, strerror(errno));
    return 0;
}

int ps_dirs_make(const struct ps_layout *layout, const struct ps_accounts *accounts, struct ps_error *reterr)
{
    PS_FREE char *log = ps_strf("%s/" PS_DIRS_LOG, layout->state), *run_pg = ps_strf("%s/pg", layout->run);
    /* As root three accounts pass through state and run; what is below belongs to one each. */
    mode_t shared = accounts->root ? 0755 : 0700;
    const struct {
        const char *path;
        mode_t mode;
        const struct ps_account *owner;
    } dirs[] = {
        {layout->state, shared, NULL},
        {layout->run, shared, &accounts->services},
        {log, 0750, NULL},
        {layout->pg, 0700, &accounts->database},
        {layout->store, 0700, &accounts->services},
        {layout->cache, 0700, &accounts->services},
        {run_pg, shared, &accounts->database},
    };
    int r = 0;

    if (!log || !run_pg)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    for (size_t i = 0; !r && i < PS_ARRAY_N(dirs); i++)
        r = make(dirs[i].path, dirs[i].mode, dirs[i].owner, accounts->root, reterr);
    return r;
}
