/* engines/kit/sigset.c */
#include "engines/kit/sigset.h"
#include "engines/kit/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int append(struct ps_sigset *set, const FTSENT *entry, size_t root_len)
{
    struct ps_sigset_file *grown, *file;

    /* The table doubles at every power of two. */
    if (!(set->n & (set->n - 1))) {
        grown = reallocarray(set->files, set->n ? set->n * 2 : 1, sizeof(*set->files));
        if (!grown)
            return -1;
        set->files = grown;
    }
    file = &set->files[set->n];
    file->path = strdup(entry->fts_path);
    file->name = strdup(entry->fts_path + root_len + 1);
    if (!file->path || !file->name) {
        free(file->path);
        free(file->name);
        return -1;
    }
    file->size = (uint64_t)entry->fts_statp->st_size;
    file->mtime = entry->fts_statp->st_mtime;
    if (file->mtime > set->newest)
        set->newest = file->mtime;
    set->n++;
    return 0;
}

static int visit(struct ps_sigset *set, FTS *walk, FTSENT *entry, size_t root_len, bool recursive,
                 bool (*wanted)(const char *name), char *err, size_t err_max)
{
    bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
    bool deep = entry->fts_level > (recursive ? PS_SIGSET_DEPTH_MAX : 0);

    if (entry->fts_info == FTS_D && (hidden || deep))
        (void)fts_set(walk, entry, FTS_SKIP); /* fails only for an unknown instruction */
    if (entry->fts_info == FTS_DNR && entry->fts_level == 0)
        return ps_kit_fail(err, err_max, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
    if (entry->fts_info != FTS_F || entry->fts_level == 0 || hidden || !wanted(entry->fts_name))
        return 0;
    if (set->n == PS_SIGSET_FILES_MAX)
        return ps_kit_fail(err, err_max, "more than %d files of signatures", PS_SIGSET_FILES_MAX);
    if (append(set, entry, root_len))
        return ps_kit_fail(err, err_max, "no memory to list the signatures");
    return 0;
}

int ps_sigset_list(struct ps_sigset *ret_set, const char *root, bool recursive,
                   bool (*wanted)(const char *name), char *err, size_t err_max)
{
    char *top = root ? strdup(root) : NULL;
    char *const roots[] = {top, NULL};
    size_t len = top ? strlen(top) : 0;
    FTSENT *entry;
    FTS *walk;
    int r = 0;

    memset(ret_set, 0, sizeof(*ret_set));
    if (!root)
        return 0;
    if (!top)
        return ps_kit_fail(err, err_max, "no memory to list the signatures");
    while (len > 1 && top[len - 1] == '/')
        top[--len] = '\0';

    walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    while (walk && !r && (entry = fts_read(walk)))
        r = visit(ret_set, walk, entry, len == 1 ? 0 : len, recursive, wanted, err, err_max);
    if (!walk)
        r = ps_kit_fail(err, err_max, "%s: %s", root, strerror(errno));
    else
        (void)fts_close(walk); /* read only */
    free(top);
    return r;
}

static int hash_file(EVP_MD_CTX *hash, const struct ps_sigset_file *file, uint8_t *block)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    uint64_t bytes = 0;
    ssize_t n = -1;
    int ok = 1;

    ok &= EVP_DigestUpdate(hash, file->name, strlen(file->name) + 1);
    while (fd >= 0 && (n = read(fd, block, BLOCK_BYTES)) > 0) {
        ok &= EVP_DigestUpdate(hash, block, (size_t)n);
        bytes += (uint64_t)n;
    }
    ok &= EVP_DigestUpdate(hash, &bytes, sizeof(bytes)); /* ends a file: moved bytes are another set */
    if (fd >= 0)
        (void)close(fd);
    if (!ok)
        errno = ENOMEM;
    return n == 0 && ok ? 0 : -1;
}

int ps_sigset_hash(struct ps_sigset *set, bool (*counts)(const char *name), char *err, size_t err_max)
{
    uint8_t digest[EVP_MAX_MD_SIZE], *block = malloc(BLOCK_BYTES);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    int r = 0;

    if (!block || !hash || !EVP_DigestInit_ex(hash, EVP_sha256(), NULL))
        r = ps_kit_fail(err, err_max, "no memory to hash the signatures");
    for (size_t i = 0; !r && i < set->n; i++)
        if ((!counts || counts(set->files[i].name)) && hash_file(hash, &set->files[i], block))
            r = ps_kit_fail(err, err_max, "%s: %s", set->files[i].path, strerror(errno));
    if (!r && !EVP_DigestFinal_ex(hash, digest, NULL))
        r = ps_kit_fail(err, err_max, "the signatures could not be hashed");
    for (size_t i = 0; !r && i < PS_SIGSET_HASH_LEN / 2; i++)
        (void)snprintf(set->hash + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash);
    free(block);
    return r;
}

void ps_sigset_fini(struct ps_sigset *set)
{
    for (size_t i = 0; i < set->n; i++) {
        free(set->files[i].path);
        free(set->files[i].name);
    }
    free(set->files);
    memset(set, 0, sizeof(*set));
}
