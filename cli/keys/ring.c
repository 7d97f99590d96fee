#include "cli/keys/ring.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

#define CONF_BYTES_MAX (1024 * 1024) /* as base/conf.c */

/* ---- places ---- */

static int put_path(char path[PS_PATH_MAX], const char *text, const char *what, struct ps_error *reterr)
{
    if (text[0] != '/')
        return ps_error_set(reterr, PS_ERR_INVALID, "the broker's setting %s is %s, not an absolute path",
                            what, text);
    if (snprintf(path, PS_PATH_MAX, "%s", text) >= PS_PATH_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "the broker's setting %s is too long", what);
    return 0;
}

/* The broker itself checks the file as a whole; we want two of its settings. */
static int read_conf(struct ps_ring *self, struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    PS_CLEANUP(zconfig_destroy) zconfig_t *root = NULL;
    const char *key, *allowed;
    int r;

    ps_buf_init(&text, CONF_BYTES_MAX);
    r = ps_file_read(self->layout.conf, &text);
    if (r == PS_ERR_NOTFOUND || (!r && text.len == 0))
        return 0;
    if (r)
        return ps_error_set(reterr, r, "can't read the configuration %s: %s", self->layout.conf,
                            ps_err_text(r));
    if (!memchr(text.data, '\0', text.len))
        root = zconfig_str_load(ps_buf_text(&text));
    if (!root)
        return ps_error_set(reterr, PS_ERR_INVALID, "the configuration %s is not ZPL", self->layout.conf);
    key = zconfig_get(root, "broker/key", NULL);
    allowed = zconfig_get(root, "broker/allowed", NULL);
    if (key)
        r = put_path(self->broker, key, "key", reterr);
    if (!r && allowed)
        r = put_path(self->allowed, allowed, "allowed", reterr);
    return r;
}

/* As root: who reads the files. An installation that never ran has no account yet. */
static int find_account(struct ps_ring *self, bool make, struct ps_error *reterr)
{
    struct ps_accounts accounts;
    const struct passwd *pw;
    int r;

    if (geteuid() != 0)
        return 0;
    if (make && (r = ps_accounts_find(&accounts, reterr)))
        return r;
    pw = getpwnam("phagescan");
    if (!pw)
        return 0;
    self->handed_over = true;
    self->services = (struct ps_account){.name = "phagescan", .uid = pw->pw_uid, .gid = pw->pw_gid};
    return 0;
}

int ps_ring_find(struct ps_ring *ret_self, bool make_accounts, struct ps_error *reterr)
{
    struct ps_ring self = {.handed_over = false};
    int r = ps_layout_find(&self.layout, reterr);

    if (r)
        return r;
    if (snprintf(self.broker, PS_PATH_MAX, "%s/broker" PS_CERT_SUFFIX, self.layout.keys) >= PS_PATH_MAX ||
        snprintf(self.allowed, PS_PATH_MAX, "%s/allowed", self.layout.keys) >= PS_PATH_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "%s is too long", self.layout.keys);
    r = read_conf(&self, reterr);
    if (!r)
        r = find_account(&self, make_accounts, reterr);
    if (!r)
        *ret_self = self;
    return r;
}

/* ---- files ---- */

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return ps_strf(".");
    return slash == path ? ps_strf("/") : ps_strf("%.*s", (int)(slash - path), path);
}

/* What root makes is for an account that passes through, whatever the umask says. Directories that are there keep their
 * mode: their owner has chosen it. */
static int make_dir(const struct ps_ring *self, const char *path, struct ps_error *reterr)
{
    const mode_t mode = geteuid() == 0 ? 0755 : 0700;
    PS_FREE char *above = parent_of(path);
    int r = 0;

    if (!above)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (access(path, F_OK) == 0)
        return 0;
    if (strcmp(above, path) != 0 && (r = make_dir(self, above, reterr)))
        return r;
    if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "the directory %s could not be made: %s", path,
                            strerror(errno));
    return 0;
}

int ps_ring_make_parent(const struct ps_ring *self, const char *path, struct ps_error *reterr)
{
    PS_FREE char *above = parent_of(path);

    return above ? make_dir(self, above, reterr) : ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
}

/* By descriptor, and not through a link: others may own the directory that it is in. */
static int hand_over(const struct ps_ring *self, const char *path, struct ps_error *reterr)
{
    PS_CLOSE int fd = -1;
    struct stat st;

    if (!self->handed_over)
        return 0;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT, "%s is not the file that was written", path);
    if (fchown(fd, self->services.uid, self->services.gid) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s can't be given to the account %s: %s", path,
                            self->services.name, strerror(errno));
    return 0;
}

int ps_ring_write_pair(const struct ps_ring *self, const struct ps_cert *cert, const char *path,
                       struct ps_error *reterr)
{
    PS_FREE char *secret = ps_strf("%s" PS_CERT_SECRET, path);
    int r;

    if (!secret)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_cert_write(cert, path, false, reterr);
    if (!r)
        r = ps_cert_write(cert, secret, true, reterr);
    return r ? r : hand_over(self, secret, reterr);
}

/* The child does nothing but look: 0 it can, else an errno. */
static int look_as(const struct ps_account *account, const char *path)
{
    pid_t pid = fork(); /* no threads here */
    int status;

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(ps_account_become(account) ? EPERM : access(path, R_OK) ? errno : 0);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int ps_ring_check_reach(const struct ps_ring *self, const char *path, struct ps_error *reterr)
{
    int error = self->handed_over ? look_as(&self->services, path) : 0;

    return error ? ps_error_set(reterr, PS_ERR_DENIED,
                                "it is written, but the account %s, which the broker runs under, can't read "
                                "%s: %s; look at the "
                                "modes of the directories above it",
                                self->services.name, path, strerror(error))
                 : 0;
}

int ps_ring_read_allowed(const struct ps_ring *self, struct ps_certdir *ret_dir, struct ps_error *reterr)
{
    if (access(self->allowed, F_OK) < 0 && errno == ENOENT) {
        *ret_dir = (struct ps_certdir){0};
        return 0;
    }
    return ps_certdir_read(ret_dir, self->allowed, reterr);
}
