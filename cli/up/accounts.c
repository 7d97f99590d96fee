#include "cli/up/accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

extern char **environ;

static int run_useradd(const char *name)
{
    const char *argv[] = {"useradd",      "--system",
                          "--user-group", "--no-create-home",
                          "--home-dir",   "/nonexistent",
                          "--shell",      "/usr/sbin/nologin",
                          name,           NULL};
    pid_t pid;
    int status;

    if (posix_spawn(&pid, "/usr/sbin/useradd", NULL, NULL, (char *const *)argv, environ) != 0)
        return PS_ERR_IO;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return PS_ERR_IO;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : PS_ERR_IO;
}

static int find_or_make(struct ps_account *account, const char *name, struct ps_error *reterr)
{
    const struct passwd *pw = getpwnam(name);

    if (!pw) {
        ps_log(PS_LOG_INFO, "account-made", "name=%s", name);
        if (run_useradd(name) != 0)
            return ps_error_set(
                reterr, PS_ERR_DENIED,
                "the account %s is missing and useradd could not make it: make it as a system account", name);
        pw = getpwnam(name);
    }
    if (!pw)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "the account %s is missing", name);
    *account = (struct ps_account){.name = name, .uid = pw->pw_uid, .gid = pw->pw_gid};
    return 0;
}

int ps_accounts_find(struct ps_accounts *ret_self, struct ps_error *reterr)
{
    struct ps_accounts self = {.root = geteuid() == 0};
    struct ps_account me = {.name = "", .uid = geteuid(), .gid = getegid()};
    int r = 0;

    if (!self.root) {
        self.database = self.services = self.engines = me;
        *ret_self = self;
        return 0;
    }
    if (!r)
        r = find_or_make(&self.database, "phagescan-db", reterr);
    if (!r)
        r = find_or_make(&self.services, "phagescan", reterr);
    if (!r)
        r = find_or_make(&self.engines, "phagescan-engine", reterr);
    if (r)
        return r;
    *ret_self = self;
    return 0;
}

int ps_account_become(const struct ps_account *self)
{
    if (geteuid() != 0)
        return 0; /* a user's processes stay the user's */
    if (setgroups(0, NULL) < 0 || setresgid(self->gid, self->gid, self->gid) < 0 ||
        setresuid(self->uid, self->uid, self->uid) < 0)
        return PS_ERR_DENIED;
    return 0;
}
