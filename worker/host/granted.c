/* Libraries: the system's directories of libraries are granted whole, for reading. To find out which of them a program
 * loads would mean to run it, or to repeat the loader's search and miss what is loaded later by name (docs/why/tools.md).
 * What may be executed is named one by one. */
#include "worker/host/granted.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define HEADERS_MAX 64 /* program headers of an executable that are looked at */

/* Where they are missing on a system, they are not needed there. */
static const struct {
    const char *path;
    uint32_t use;
} everywhere[] = {
    {"/usr/lib", PS_GRANTED_READ},
    {"/usr/lib64", PS_GRANTED_READ},
    {"/usr/local/lib", PS_GRANTED_READ},
    {"/lib", PS_GRANTED_READ},
    {"/lib64", PS_GRANTED_READ},
    {"/etc/ld.so.cache", PS_GRANTED_READ},
    {"/dev/null", PS_GRANTED_READ | PS_GRANTED_WRITE | PS_GRANTED_DEVICE},
    {"/dev/zero", PS_GRANTED_READ | PS_GRANTED_DEVICE},
    {"/dev/urandom", PS_GRANTED_READ | PS_GRANTED_DEVICE},
    {"/dev/random", PS_GRANTED_READ | PS_GRANTED_DEVICE},
};

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A plain absolute path that hides nothing of the jail's own. Whole file systems of the kernel are not granted: they
 * show other processes. */
static bool is_grantable(const char *path)
{
    static const char *const never[] = {"/proc", "/sys", "/dev"};
    size_t len = strlen(path);

    if (path[0] != '/' || len < 2 || len >= PATH_MAX || strstr(path, "//") || strstr(path, "/../") ||
        strstr(path, "/./") || path[len - 1] == '/' || path[len - 1] == '.' || strcmp(path, "/tmp") == 0)
        return false;
    for (size_t i = 0; i < PS_ARRAY_N(never); i++)
        if (is_below(path, never[i]))
            return false;
    return true;
}

static int put(struct ps_granted *self, const char *path, uint32_t use, struct ps_error *reterr)
{
    struct ps_granted_path *at = &self->at[self->n];
    struct stat st;

    if (self->n >= PS_GRANTED_MAX)
        return ps_error_set(reterr, PS_ERR_LIMIT, "more than %d granted paths", PS_GRANTED_MAX);
    if (stat(path, &st) < 0)
        return ps_error_set(reterr, PS_ERR_NOTFOUND, "%s can't be reached: %s", path, strerror(errno));
    if (((use & PS_GRANTED_SOCKET) && !S_ISSOCK(st.st_mode)) ||
        ((use & PS_GRANTED_EXECUTE) && !S_ISREG(st.st_mode)))
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is no %s", path,
                            use & PS_GRANTED_SOCKET ? "socket" : "program");
    *at = (struct ps_granted_path){ps_strf("%s", path), use, S_ISDIR(st.st_mode)};
    if (!at->path)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    self->below_tmp = self->below_tmp || is_below(path, "/tmp");
    self->n++;
    return 0;
}

/* The loader that the program at path asks for: its PT_INTERP. 1 with its path, 0 when it needs none (a script, a static
 * program, one for another machine). */
static int find_loader(const char *path, char ret_loader[PATH_MAX])
{
    PS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ElfW(Ehdr) head;
    ElfW(Phdr) part;

    if (fd < 0 || ps_file_pread_all(fd, &head, sizeof(head), 0) ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(part))
        return 0;
    for (unsigned i = 0; i < head.e_phnum && i < HEADERS_MAX; i++) {
        if (ps_file_pread_all(fd, &part, sizeof(part), head.e_phoff + (uint64_t)i * sizeof(part)))
            return 0;
        if (part.p_type != PT_INTERP)
            continue;
        if (part.p_filesz < 2 || part.p_filesz >= PATH_MAX ||
            ps_file_pread_all(fd, ret_loader, part.p_filesz, part.p_offset))
            return 0;
        ret_loader[part.p_filesz - 1] = '\0';
        return ret_loader[0] == '/';
    }
    return 0;
}

static bool has(const struct ps_granted *self, const char *path, uint32_t use)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->at[i].use == use && strcmp(self->at[i].path, path) == 0)
            return true;
    return false;
}

static int put_all(struct ps_granted *self, const char *const *paths, uint32_t use, struct ps_error *reterr)
{
    char loader[PATH_MAX];
    int rc = 0;

    for (size_t i = 0; paths && paths[i] && !rc; i++) {
        if (!is_grantable(paths[i]))
            return ps_error_set(reterr, PS_ERR_INVALID, "\"%.200s\" can't be granted", paths[i]);
        rc = put(self, paths[i], use, reterr);
        if (!rc && (use & PS_GRANTED_EXECUTE) && find_loader(paths[i], loader) && !has(self, loader, use))
            rc = put(self, loader, use, reterr);
    }
    return rc;
}

int ps_granted_read(struct ps_granted *ret_self, const struct ps_engine_grants *grants, bool update,
                    struct ps_error *reterr)
{
    const char *const sockets[] = {grants->socket, NULL}, *const exchanges[] = {grants->exchange, NULL};
    int rc = 0;

    *ret_self =
        (struct ps_granted){.socket = grants->socket, .network = update && grants->hosts && grants->hosts[0]};
    for (size_t i = 0; i < PS_ARRAY_N(everywhere) && !rc; i++)
        if (access(everywhere[i].path, F_OK) == 0)
            rc = put(ret_self, everywhere[i].path, everywhere[i].use, reterr);
    rc = rc ? rc : put_all(ret_self, grants->programs, PS_GRANTED_READ | PS_GRANTED_EXECUTE, reterr);
    rc = rc ? rc : put_all(ret_self, grants->readable, PS_GRANTED_READ, reterr);
    rc = rc ? rc : put_all(ret_self, sockets, PS_GRANTED_SOCKET, reterr);
    rc = rc ? rc : put_all(ret_self, exchanges, PS_GRANTED_READ | PS_GRANTED_WRITE, reterr);
    if (!rc && update)
        rc = put_all(ret_self, grants->writable, PS_GRANTED_READ | PS_GRANTED_WRITE, reterr);
    return rc;
}

void ps_granted_fini(struct ps_granted *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->at[i].path);
    self->n = 0;
}
