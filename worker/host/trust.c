#include "worker/host/trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/layout.h"

static int check_one(const char *path, uid_t owner, struct ps_error *reterr)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return ps_error_set(reterr, PS_ERR_DENIED, "%s is a link: an engine must lie there itself", path);
    if (st.st_uid != owner && st.st_uid != 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "%s belongs to account number %u: it must be %s", path,
                            (unsigned)st.st_uid, owner == 0 ? "root's" : "the worker's or root's");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return ps_error_set(reterr, PS_ERR_DENIED, "%s can be written by others: chmod go-w", path);
    return 0;
}

int ps_trust_path(const char *dir, const char *path, uid_t owner, struct ps_error *reterr)
{
    size_t dir_len = strlen(dir), len = strlen(path);
    char part[PS_PATH_MAX];
    int error;

    if (len >= sizeof(part) || strncmp(path, dir, dir_len) != 0 || path[dir_len] != '/' ||
        strstr(path + dir_len, "/../"))
        return ps_error_set(reterr, PS_ERR_INVALID, "%s does not lie below %s", path, dir);
    error = check_one(dir, owner, reterr);
    for (size_t i = dir_len + 1; !error && i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        error = check_one(part, owner, reterr);
    }
    return error;
}
