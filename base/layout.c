#include "base/layout.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"

#define PASSWD_BYTES 4096 /* of a line in the user database */

/* An environment variable that is empty counts as unset. */
static const char *setting(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static int put_path(char to[PS_PATH_MAX], const char *base, const char *rest, struct ps_error *reterr)
{
    int n = snprintf(to, PS_PATH_MAX, "%s%s", base, rest);

    if (n < 0 || n >= PS_PATH_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "path %.100s...%s is longer than %d bytes", base, rest,
                            PS_PATH_MAX - 1);
    return 0;
}

static int check_absolute(const char *name, const char *value, struct ps_error *reterr)
{
    if (value && value[0] != '/')
        return ps_error_set(reterr, PS_ERR_INVALID, "%s must be an absolute path, not %.200s", name, value);
    return 0;
}

static int find_home(char ret_home[PS_PATH_MAX], struct ps_error *reterr)
{
    char line[PASSWD_BYTES];
    struct passwd entry, *found = NULL;
    const char *home = setting("HOME");

    if (!home && getpwuid_r(getuid(), &entry, line, sizeof(line), &found) == 0 && found)
        home = found->pw_dir;
    if (!home || home[0] != '/')
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "no home directory: set HOME");
    return put_path(ret_home, home, "", reterr);
}

/* /x/bin/phagescan-broker -> /x. Any other place (a build directory) tells nothing. */
static bool lib_of_program(char ret_lib[PS_PATH_MAX])
{
    static const char bin[] = "/bin";
    char exe[PS_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    char *slash;
    size_t len;

    if (n <= 0 || (size_t)n >= sizeof(exe) - 1)
        return false;
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    if (!slash)
        return false;
    *slash = '\0';
    len = strlen(exe);
    if (len <= sizeof(bin) - 1 || strcmp(exe + len - (sizeof(bin) - 1), bin) != 0)
        return false;
    memcpy(ret_lib, exe, len - (sizeof(bin) - 1));
    ret_lib[len - (sizeof(bin) - 1)] = '\0';
    return true;
}

static int find_lib(char ret_lib[PS_PATH_MAX], const char *home, struct ps_error *reterr)
{
    const char *given = setting("PHAGESCAN_LIB");
    int rc = check_absolute("PHAGESCAN_LIB", given, reterr);

    if (rc)
        return rc;
    if (given)
        return put_path(ret_lib, given, "", reterr);
    if (lib_of_program(ret_lib))
        return 0;
    return home ? put_path(ret_lib, home, "/.local/lib/phagescan", reterr)
                : put_path(ret_lib, "/opt/phagescan", "", reterr);
}

/* The places that the rest hangs from: conf with keys, state, run. home is NULL for root. */
static int find_roots(struct ps_layout *l, const char *home, struct ps_error *reterr)
{
    const char *given = setting("PHAGESCAN_STATE");
    int rc = check_absolute("PHAGESCAN_STATE", given, reterr);

    if (rc)
        return rc;
    if (given) {
        (void)((rc = put_path(l->conf, given, "/phagescan.conf", reterr)) ||
               (rc = put_path(l->keys, given, "/keys", reterr)) ||
               (rc = put_path(l->engines, given, "/own-engines", reterr)) ||
               (rc = put_path(l->state, given, "", reterr)) ||
               (rc = put_path(l->run, given, "/run", reterr)));
    } else if (home) {
        (void)((rc = put_path(l->conf, home, "/.config/phagescan/phagescan.conf", reterr)) ||
               (rc = put_path(l->keys, home, "/.config/phagescan/keys", reterr)) ||
               (rc = put_path(l->engines, home, "/.config/phagescan/engines", reterr)) ||
               (rc = put_path(l->state, home, "/.local/state/phagescan", reterr)) ||
               (rc = put_path(l->run, l->state, "/run", reterr)));
    } else {
        (void)((rc = put_path(l->conf, "/etc/phagescan/phagescan.conf", "", reterr)) ||
               (rc = put_path(l->keys, "/etc/phagescan/keys", "", reterr)) ||
               (rc = put_path(l->engines, "/etc/phagescan/engines", "", reterr)) ||
               (rc = put_path(l->state, "/var/lib/phagescan", "", reterr)) ||
               (rc = put_path(l->run, "/run/phagescan", "", reterr)));
    }
    return rc;
}

int ps_layout_find(struct ps_layout *ret_self, struct ps_error *reterr)
{
    bool root = geteuid() == 0 || setting("PHAGESCAN_SYSTEM");
    char home_path[PS_PATH_MAX];
    const char *home = root ? NULL : home_path;
    struct ps_layout l;
    int rc;

    if (!root && (rc = find_home(home_path, reterr)))
        return rc;
    if ((rc = find_lib(l.lib, home, reterr)) || (rc = find_roots(&l, home, reterr)) ||
        (rc = put_path(l.pg, l.state, "/pg", reterr)) ||
        (rc = put_path(l.store, l.state, "/store", reterr)) ||
        (rc = put_path(l.cache, l.state, "/cache", reterr)) ||
        (rc = put_path(l.api_sock, l.run, "/api.sock", reterr)) ||
        (rc = put_path(l.broker_sock, l.run, "/broker.sock", reterr)) ||
        (rc = put_path(l.mdp_sock, l.run, "/mdp.sock", reterr)))
        return rc;
    *ret_self = l;
    return 0;
}
