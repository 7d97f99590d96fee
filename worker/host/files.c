#include "worker/host/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

void ps_files_init(struct ps_files *self, const char *dir)
{
    *self = (struct ps_files){.dir = dir, .fd = -1};
}

void ps_files_clear(struct ps_files *self)
{
    ps_close_fd_p(&self->fd);
    self->in_memory = self->skips = false;
    self->bytes = self->left = 0;
    self->n = 0;
    self->cut = NULL;
}

void ps_files_fini(struct ps_files *self)
{
    ps_files_clear(self);
    free(PS_TAKE(self->items));
    ps_sha256_free(&self->hash);
}

/* ---- names ---- */

static bool is_separator(uint32_t cp)
{
    return cp == '/' || cp == '\\';
}

/* What follows the last separator. */
static struct ps_bytes last_component(struct ps_bytes name)
{
    for (size_t i = name.len; i > 0; i--)
        if (is_separator(name.at[i - 1]))
            return (struct ps_bytes){name.at + i, name.len - i};
    return name;
}

void ps_file_name_clean(char ret_name[PS_NAME_MAX + 1], struct ps_bytes name)
{
    struct ps_bytes left = last_component(name);
    size_t len = 0, n;
    uint32_t cp;

    while (left.len > 0) {
        n = ps_utf8_next((const char *)left.at, left.len, &cp);
        bool plain = n > 0 && cp != 0 && !ps_utf8_is_control(cp);
        size_t put = plain ? n : 1;
        if (len + put > PS_NAME_MAX)
            break;
        if (plain)
            memcpy(ret_name + len, left.at, n);
        else
            ret_name[len] = '_';
        len += put;
        n = n > 0 ? n : 1;
        left = (struct ps_bytes){left.at + n, left.len - n};
    }
    ret_name[len] = '\0';
    if (strspn(ret_name, ". ") == len) /* nothing, a dot, two: none that a file system or people can use */
        memcpy(ret_name, "file", sizeof("file"));
}

static size_t token(const uint8_t *at, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-";
    size_t n = 0;

    while (n < len && at[n] != '\0' && strchr(letters, at[n]))
        n++;
    return n;
}

bool ps_file_mime_valid(struct ps_bytes text)
{
    size_t type = token(text.at, text.len), rest;

    if (type == 0 || type >= text.len || text.at[type] != '/' || text.len > PS_NAME_MAX)
        return false;
    rest = text.len - type - 1;
    return rest > 0 && token(text.at + type + 1, rest) == rest;
}

/* ---- where the bytes lie ---- */

static int memory_file(void)
{
    int fd = memfd_create("derived", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 does not know the last flag */
        fd = memfd_create("derived", MFD_CLOEXEC);
    return fd;
}

static int nameless_file(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/derived-XXXXXX", dir), fd;

    if (n < 0 || (size_t)n >= sizeof(path))
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path); /* just made; else it goes when the worker starts the next time */
    return fd;
}

/* From memory to a file: they are many. */
static bool move_out(struct ps_files *self)
{
    PS_CLOSE int fd = nameless_file(self->dir);
    off_t from = 0;

    if (fd < 0)
        return false;
    while ((uint64_t)from < self->bytes) {
        ssize_t n = sendfile(fd, self->fd, &from, self->bytes - (uint64_t)from);

        if (n <= 0 && errno != EINTR)
            return false;
    }
    ps_close_fd_p(&self->fd);
    self->fd = PS_TAKE_FD(fd);
    self->in_memory = false;
    return true;
}

static bool make_room(struct ps_files *self, size_t len)
{
    if (self->fd < 0) {
        self->fd = memory_file();
        self->in_memory = true;
    }
    if (self->fd < 0)
        return false;
    return !self->dir || !self->in_memory || self->bytes + len <= PS_FILES_MEMORY || move_out(self);
}

/* ---- files ---- */

static void drop_begun(struct ps_files *self, const char *why)
{
    if (!self->skips && self->items)
        self->bytes = self->items[self->n].at;
    self->skips = true;
    if (!self->cut)
        self->cut = why;
}

static void end_begun(struct ps_files *self)
{
    if (!self->skips)
        ps_sha256_final(self->hash, self->items[self->n++].sha256);
    self->skips = false;
}

/* Why it is not taken; NULL: it is. */
static const char *refusal(struct ps_files *self, uint64_t size)
{
    if (self->n >= PS_FILES_MAX)
        return "more derived files than are carried: some were dropped";
    if (size > PS_FILE_MAX)
        return "a derived file is larger than any that is carried: it was dropped";
    if (self->bytes + size > PS_FILES_BYTES)
        return "derived files are larger together than is carried: some were dropped";
    if (!self->items)
        self->items = ps_alloc(PS_FILES_MAX, sizeof(*self->items));
    if (!self->items || (!self->hash && ps_sha256_new(&self->hash)))
        return "no memory for derived files: some were dropped";
    return NULL;
}

bool ps_files_begin(struct ps_files *self, bool picture, struct ps_bytes name, struct ps_bytes mime,
                    uint64_t size)
{
    const char *why;
    struct ps_host_file *file;

    if (self->left > 0)
        return false;
    self->left = size;
    self->skips = false;
    why = refusal(self, size);
    if (why) {
        self->skips = true;
        self->cut = self->cut ? self->cut : why;
    } else {
        file = &self->items[self->n];
        *file = (struct ps_host_file){.picture = picture, .size = size, .at = self->bytes};
        ps_file_name_clean(file->name, name);
        if (ps_file_mime_valid(mime))
            memcpy(file->mime, mime.at, mime.len);
    }
    if (size == 0)
        end_begun(self);
    return true;
}

bool ps_files_bytes(struct ps_files *self, struct ps_bytes bytes)
{
    /* Whole chunks: small ones are work that a child can make for us. */
    if (self->left == 0 || bytes.len != PS_MIN(self->left, (uint64_t)PS_CHUNK_MAX))
        return false;
    self->left -= bytes.len;
    if (!self->skips && (!make_room(self, bytes.len) || lseek(self->fd, (off_t)self->bytes, SEEK_SET) < 0 ||
                         ps_file_write_all(self->fd, bytes.at, bytes.len)))
        drop_begun(self, "there was no room for derived files: some were dropped");
    if (!self->skips) {
        ps_sha256_update(self->hash, bytes.at, bytes.len);
        self->bytes += bytes.len;
    }
    if (self->left == 0)
        end_begun(self);
    return true;
}

void ps_files_end(struct ps_files *self)
{
    uint8_t none[PS_SHA256_BYTES];

    if (self->left == 0)
        return;
    if (!self->skips)
        ps_sha256_final(self->hash, none); /* starts afresh */
    drop_begun(self, "a derived file was not sent to its end: it was dropped");
    self->left = 0;
    self->skips = false;
}
