#include "worker/host/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int ps_account_find(const char *name, struct ps_account *ret_account, struct ps_error *reterr)
{
    const struct passwd *entry = getpwnam(name);

    if (!entry)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "there is no account %.64s", name);
    *ret_account = (struct ps_account){entry->pw_uid, entry->pw_gid};
    return 0;
}

int ps_account_become(struct ps_account account, struct ps_error *reterr)
{
    if (account.uid == 0 || account.gid == 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "root is no account to become");
    if (setgroups(0, NULL) < 0 || setresgid(account.gid, account.gid, account.gid) < 0 ||
        setresuid(account.uid, account.uid, account.uid) < 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "can't become uid %u: %s", (unsigned)account.uid,
                            strerror(errno));
    if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
        return ps_error_set(reterr, PS_ERR_DENIED, "root could be regained from uid %u",
                            (unsigned)account.uid);
    return 0;
}
