#include "worker/types.h"

#include <fnmatch.h>
#include <string.h>

#include "proto/limits.h"

bool ps_types_match(const char *globs, const char *mime)
{
    char glob[PS_NAME_MAX + 1];

    if (globs[0] == '\0')
        return true;

    for (const char *at = globs; *at;) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", ");
        if (len > PS_NAME_MAX)
            return true;
        memcpy(glob, at, len);
        glob[len] = '\0';
        if (len > 0 && fnmatch(glob, mime, FNM_NOESCAPE) == 0)
            return true;
        at += len;
    }
    return false;
}
