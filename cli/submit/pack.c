#include "cli/submit/pack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

#define GROWTH_MAX 65536 /* a file that grows by more while it is read goes up in chunks */
#define CLEAN_MAX  65536 /* a cleaned path before it is cut: more than four times PATH_MAX */

struct ps_pack *ps_pack_new(const char *key)
{
    struct ps_pack *self = PS_NEW(struct ps_pack);

    if (!self)
        return NULL;
    self->fd = -1;
    ps_buf_init(&self->body, PS_PACK_BYTES);
    (void)snprintf(self->key, sizeof(self->key), "%s", key);
    return self;
}

void ps_pack_free(struct ps_pack **self_p)
{
    struct ps_pack *self = *self_p;

    if (!self)
        return;
    for (size_t i = 0; i < self->n; i++)
        free(self->files[i].path);
    ps_buf_fini(&self->body);
    ps_close_fd_p(&self->fd);
    ps_seen_plan_free(&self->plan);
    free(self->upload);
    free(self);
    *self_p = NULL;
}

/* ---- headers ---- */

static json_t *clean_text(const char *text)
{
    PS_BUF struct ps_buf clean;

    ps_buf_init(&clean, CLEAN_MAX);
    ps_utf8_put_clean(&clean, text, strlen(text));
    if (ps_buf_error(&clean))
        return NULL;
    return json_stringn((const char *)clean.data,
                        ps_utf8_cut((const char *)clean.data, clean.len, PS_PACK_PATH_BYTES));
}

/* n < 0: without. */
static char *header_text(const struct ps_pack *self, const struct ps_pack_options *options, int n,
                         const char *path, uint64_t size)
{
    const char *slash = strrchr(path, '/');
    json_t *header = json_pack("{s:o, s:I, s:s}", "name", clean_text(slash ? slash + 1 : path), "size",
                               (json_int_t)size, "batch", options->batch);
    bool ok = header && json_object_update(header, options->common) == 0;

    if (ok && n >= 0)
        ok = json_object_set_new(header, "n", json_integer(n)) == 0;
    if (ok && !self->spooled)
        ok = json_object_set_new(header, "source_path", clean_text(path)) == 0;
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

/* ---- small files ---- */

/* Opens without waiting for the far end of a fifo that took the file's place, and only files. */
static int open_file(const char *path, int *ret_fd, struct stat *ret_st, struct ps_error *reterr)
{
    PS_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, ret_st) < 0) {
        int err = errno;

        return ps_error_set(reterr, ps_err_from_errno(err), "%s",
                            err == ENOENT ? "it has vanished" : strerror(err));
    }
    if (!S_ISREG(ret_st->st_mode))
        return ps_error_set(reterr, PS_ERR_INVALID, "it is not a regular file any more");
    *ret_fd = PS_TAKE_FD(fd);
    return 0;
}

static int note_file(struct ps_pack *self, const struct ps_walk_file *from, uint64_t size)
{
    struct ps_pack_file *file = &self->files[self->n];

    file->path = ps_strf("%s", from->path);
    if (!file->path)
        return PS_ERR_NOMEM;
    file->size = size;
    ps_seen_key(file->key, from->path, from->size, from->mtime_ns);
    self->n++;
    self->bytes += size;
    return 0;
}

/* Reads what is there now, to the end: a file that grows or shrinks meanwhile is taken as it was read. */
static int read_whole(int fd, uint8_t *to, size_t max, size_t *ret_len, struct ps_error *reterr)
{
    size_t len = 0;

    while (len < max) {
        ssize_t got = read(fd, to + len, max - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ps_error_set(reterr, PS_ERR_IO, "%s", strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *ret_len = len;
    return 0;
}

/* Appends header and bytes of an open file of size bytes. PS_ERR_LIMIT when it has grown past a batch's size. */
static int add_open(struct ps_pack *self, const struct ps_pack_options *options, int fd, uint64_t size,
                    const struct ps_walk_file *file, struct ps_error *reterr)
{
    size_t before = self->body.len, len = 0, max = (size_t)size + GROWTH_MAX;
    PS_FREE uint8_t *data = NULL;

    if (ps_realloc(&data, max, 1) != 0)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = read_whole(fd, data, max, &len, reterr);
    if (r)
        return r;
    if (len == max)
        return PS_ERR_LIMIT;

    PS_FREE char *header = header_text(self, options, (int)self->n, file->path, len);
    uint32_t header_len = htonl(header ? (uint32_t)strlen(header) : 0);
    ps_buf_put(&self->body, &header_len, sizeof(header_len));
    ps_buf_put_text(&self->body, header ? header : "");
    ps_buf_put(&self->body, data, len);
    if (!header || ps_buf_error(&self->body) || note_file(self, file, len)) {
        self->body.len = before;
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    return 0;
}

int ps_pack_add(struct ps_pack *self, const struct ps_pack_options *options, const struct ps_walk_file *file,
                struct ps_error *reterr)
{
    struct stat st = {0};
    PS_CLOSE int fd = -1;

    if (self->n == PS_PACK_FILES)
        return PS_ERR_AGAIN;
    int r = open_file(file->path, &fd, &st, reterr);
    if (r)
        return r;
    if (st.st_size > PS_PACK_SMALL)
        return PS_ERR_LIMIT;
    if (self->n && self->body.len + (size_t)st.st_size > PS_PACK_TARGET)
        return PS_ERR_AGAIN;
    return add_open(self, options, fd, (uint64_t)st.st_size, file, reterr);
}

/* ---- large files ---- */

int ps_pack_large(struct ps_pack *self, const struct ps_walk_file *file, struct ps_error *reterr)
{
    struct stat st = {0};
    int r = open_file(file->path, &self->fd, &st, reterr);

    if (r)
        return r;
    if (st.st_size == 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT, "it changed while it was read");
    self->large = true;
    self->mtime_ns = ps_walk_mtime_ns(&st);
    return note_file(self, file, (uint64_t)st.st_size) ? ps_error_set(reterr, PS_ERR_NOMEM, "out of memory")
                                                       : 0;
}

int ps_pack_announce(struct ps_pack *self, const struct ps_pack_options *options)
{
    PS_FREE char *header = header_text(self, options, -1, self->files[0].path, self->files[0].size);

    ps_buf_clear(&self->body);
    ps_buf_put_text(&self->body, header ? header : "");
    return header ? ps_buf_error(&self->body) : PS_ERR_NOMEM;
}

int ps_pack_read_chunk(struct ps_pack *self, size_t chunk_bytes, struct ps_error *reterr)
{
    uint64_t size = self->files[0].size, left = size - PS_MIN(size, self->offset);
    size_t want = (size_t)PS_MIN(left, (uint64_t)chunk_bytes);

    ps_buf_clear(&self->body);
    uint8_t *to = ps_buf_reserve(&self->body, PS_MAX(want, (size_t)1));
    if (!to)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = ps_file_pread_all(self->fd, to, want, self->offset);
    if (r)
        return ps_error_set(reterr, r == PS_ERR_CORRUPT ? PS_ERR_CONFLICT : r, "%s",
                            r == PS_ERR_CORRUPT ? "it changed while it was read" : ps_err_text(r));
    self->body.len += want;
    return 0;
}

bool ps_pack_changed(const struct ps_pack *self)
{
    struct stat st;

    if (self->spooled)
        return false;
    return fstat(self->fd, &st) < 0 || (uint64_t)st.st_size != self->files[0].size ||
           ps_walk_mtime_ns(&st) != self->mtime_ns;
}

/* ---- standard input ---- */

static int copy_all(int from, int to, uint64_t max_bytes, uint64_t *ret_size, struct ps_error *reterr)
{
    char part[65536];
    ssize_t got;

    *ret_size = 0;
    while ((got = read(from, part, sizeof(part))) != 0) {
        if (got < 0 && errno == EINTR) /* handlers are set without SA_RESTART: somebody wants to stop */
            return ps_error_set(reterr, PS_ERR_CANCELLED, "interrupted");
        int r = got < 0 ? ps_err_from_errno(errno) : ps_file_write_all(to, part, (size_t)got);
        if (r)
            return ps_error_set(reterr, r, "standard input can't be spooled: %s", ps_err_text(r));
        *ret_size += (uint64_t)got;
        if (*ret_size > max_bytes)
            return ps_error_set(reterr, PS_ERR_LIMIT, "standard input is longer than the limit of %llu bytes",
                                (unsigned long long)max_bytes);
    }
    return lseek(to, 0, SEEK_SET) == 0 ? 0 : ps_error_set(reterr, PS_ERR_IO, "lseek: %s", strerror(errno));
}

/* Not every file system makes files without a name. */
static int open_spool(void)
{
    const char *dir = getenv("TMPDIR");
    PS_FREE char *path = ps_strf("%s/phagescan-stdin-XXXXXX", dir && *dir ? dir : "/tmp");
    int fd = path ? mkostemp(path, O_CLOEXEC) : -1;

    if (fd >= 0)
        (void)unlink(path); /* when it fails an empty name stays behind, in a directory for such things */
    return fd;
}

int ps_pack_spool(struct ps_pack *self, const struct ps_pack_options *options, const char *name, int fd,
                  uint64_t max_bytes, struct ps_error *reterr)
{
    struct ps_walk_file file = {.path = name};

    self->spooled = true;
    self->fd = open_spool();
    if (self->fd < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "standard input can't be spooled: %s",
                            strerror(errno));
    int r = copy_all(fd, self->fd, max_bytes, &file.size, reterr);
    if (r)
        return r;
    if (file.size <= PS_PACK_SMALL)
        return add_open(self, options, self->fd, file.size, &file, reterr);
    self->large = true;
    return note_file(self, &file, file.size) ? ps_error_set(reterr, PS_ERR_NOMEM, "out of memory") : 0;
}
