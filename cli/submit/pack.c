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

#define PS_PACK_GROWTH 65536 /* a file that grows by more while it is read goes up in chunks */
#define TEXT_MAX       16384 /* a cleaned path: four times PATH_MAX when every byte is bad */

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
    free(self->upload);
    free(self);
    *self_p = NULL;
}

static json_t *clean_text(const char *text, size_t len)
{
    PS_BUF struct ps_buf clean;

    ps_buf_init(&clean, TEXT_MAX);
    ps_utf8_put_clean(&clean, text, len);
    return ps_buf_error(&clean) ? NULL : json_stringn((const char *)clean.data, clean.len);
}

/* Where the file lies, for people who read the report elsewhere. */
static json_t *source_path(const char *path)
{
    PS_FREE char *here = *path == '/' ? NULL : getcwd(NULL, 0);
    PS_FREE char *whole = here ? ps_strf("%s/%s", here, !strncmp(path, "./", 2) ? path + 2 : path) : NULL;
    const char *text = whole ? whole : path;

    return clean_text(text, strlen(text));
}

static char *header_text(const struct ps_pack_options *options, uint64_t n, const char *path, uint64_t size)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    json_t *header =
        json_pack("{s:I, s:o, s:I, s:o, s:s}", "n", (json_int_t)n, "name", clean_text(name, strlen(name)),
                  "size", (json_int_t)size, "source_path", source_path(path), "batch", options->batch);
    char *text =
        header && json_object_update(header, options->common) == 0 ? json_dumps(header, JSON_COMPACT) : NULL;

    json_decref(header);
    return text;
}

/* Opens without waiting for the far end of a fifo that took the file's place, and only files. */
static int open_file(const char *path, struct stat *ret_st, struct ps_error *reterr)
{
    PS_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, ret_st) < 0) {
        int err = errno;

        return ps_error_set(reterr, ps_err_from_errno(err), "%s: %s", path,
                            err == ENOENT ? "it has vanished" : strerror(err));
    }
    if (!S_ISREG(ret_st->st_mode))
        return ps_error_set(reterr, PS_ERR_INVALID, "%s: not a regular file", path);
    return PS_TAKE_FD(fd);
}

/* seen holds the file's key. */
static int note_file(struct ps_pack *self, const char *path, uint64_t size, const struct ps_pack_file *seen)
{
    struct ps_pack_file *file = &self->files[self->n];

    file->path = ps_strf("%s", path);
    if (!file->path)
        return PS_ERR_NOMEM;
    file->size = size;
    memcpy(file->key, seen->key, sizeof(file->key));
    self->n++;
    self->bytes += size;
    return 0;
}

/* Reads what is there now, to the end: a file that grows or shrinks meanwhile is taken as it was read. */
static int read_whole(int fd, const char *path, uint8_t *to, size_t max, size_t *ret_len,
                      struct ps_error *reterr)
{
    size_t len = 0;

    while (len < max) {
        ssize_t got = read(fd, to + len, max - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ps_error_set(reterr, PS_ERR_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *ret_len = len;
    return 0;
}

/* Appends header and bytes of an open file of size bytes. PS_ERR_LIMIT when it has grown past a batch's size. */
static int add_open(struct ps_pack *self, const struct ps_pack_options *options, int fd, const char *path,
                    uint64_t size, const struct ps_pack_file *seen, struct ps_error *reterr)
{
    size_t before = self->body.len, len = 0, max = (size_t)size + PS_PACK_GROWTH;
    PS_FREE uint8_t *data = ps_alloc(max, 1);
    int r = data ? read_whole(fd, path, data, max, &len, reterr) : PS_ERR_NOMEM;

    if (r)
        return data ? r : ps_error_set(reterr, r, "out of memory");
    if (len == max)
        return PS_ERR_LIMIT;

    PS_FREE char *header = header_text(options, self->n, path, len);
    uint32_t header_len = htonl(header ? (uint32_t)strlen(header) : 0);
    ps_buf_put(&self->body, &header_len, sizeof(header_len));
    ps_buf_put_text(&self->body, header ? header : "");
    ps_buf_put(&self->body, data, len);
    if (!header || ps_buf_error(&self->body) || note_file(self, path, len, seen)) {
        self->body.len = before;
        return ps_error_set(reterr, PS_ERR_NOMEM, "%s: out of memory", path);
    }
    return 0;
}

int ps_pack_add(struct ps_pack *self, const struct ps_pack_options *options, const char *path,
                uint64_t size_seen, int64_t mtime_ns, struct ps_error *reterr)
{
    struct ps_pack_file seen;
    struct stat st;
    PS_CLOSE int fd = -1;

    if (self->n == PS_PACK_FILES)
        return PS_ERR_AGAIN;
    if ((fd = open_file(path, &st, reterr)) < 0)
        return PS_TAKE_FD(fd);
    if (st.st_size > PS_PACK_SMALL)
        return PS_ERR_LIMIT;
    if (self->n && self->body.len + (size_t)st.st_size > PS_PACK_TARGET)
        return PS_ERR_AGAIN;
    ps_seen_key(seen.key, path, size_seen, mtime_ns);
    return add_open(self, options, fd, path, (uint64_t)st.st_size, &seen, reterr);
}

int ps_pack_large(struct ps_pack *self, const char *path, uint64_t size_seen, int64_t mtime_ns,
                  struct ps_error *reterr)
{
    struct ps_pack_file seen;
    struct stat st;

    self->fd = open_file(path, &st, reterr);
    if (self->fd < 0)
        return PS_TAKE_FD(self->fd);
    if (st.st_size == 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT, "%s: it changed while it was read", path);
    self->large = true;
    ps_seen_key(seen.key, path, size_seen, mtime_ns);
    return note_file(self, path, (uint64_t)st.st_size, &seen)
               ? ps_error_set(reterr, PS_ERR_NOMEM, "out of memory")
               : 0;
}

int ps_pack_announce(struct ps_pack *self, const struct ps_pack_options *options)
{
    PS_FREE char *text = header_text(options, 0, self->files[0].path, self->files[0].size);
    json_t *header = text ? json_loads(text, 0, NULL) : NULL;

    (void)json_object_del(header, "n");
    PS_FREE char *body = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    ps_buf_clear(&self->body);
    ps_buf_put_text(&self->body, body ? body : "");
    return body ? ps_buf_error(&self->body) : PS_ERR_NOMEM;
}

int ps_pack_read_chunk(struct ps_pack *self, size_t chunk_bytes, struct ps_error *reterr)
{
    uint64_t left = self->files[0].size - self->offset;
    size_t want = (size_t)PS_MIN(left, (uint64_t)chunk_bytes);

    ps_buf_clear(&self->body);
    uint8_t *to = ps_buf_reserve(&self->body, want);
    if (!to)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    int r = ps_file_pread_all(self->fd, to, want, self->offset);
    if (r)
        return ps_error_set(reterr, r == PS_ERR_CORRUPT ? PS_ERR_CONFLICT : r,
                            "%s: it changed while it was read", self->files[0].path);
    self->body.len += want;
    return 0;
}

bool ps_pack_changed(const struct ps_pack *self)
{
    struct stat st;

    return fstat(self->fd, &st) < 0 || (uint64_t)st.st_size != self->files[0].size;
}

static int spool_stdin(int to, uint64_t *ret_size, struct ps_error *reterr)
{
    char part[65536];
    ssize_t got;

    *ret_size = 0;
    while ((got = read(STDIN_FILENO, part, sizeof(part))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        int r = got < 0 ? PS_ERR_IO : ps_file_write_all(to, part, (size_t)got);
        if (r)
            return ps_error_set(reterr, r, "standard input can't be spooled: %s", ps_err_text(r));
        *ret_size += (uint64_t)got;
    }
    return lseek(to, 0, SEEK_SET) == 0 ? 0 : ps_error_set(reterr, PS_ERR_IO, "lseek: %s", strerror(errno));
}

int ps_pack_stdin(struct ps_pack *self, const struct ps_pack_options *options, const char *name,
                  struct ps_error *reterr)
{
    const char *dir = getenv("TMPDIR");
    struct ps_pack_file seen;
    uint64_t size;

    self->fd = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (self->fd < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "standard input can't be spooled: %s",
                            strerror(errno));
    int r = spool_stdin(self->fd, &size, reterr);
    if (r)
        return r;
    ps_seen_key(seen.key, name, size, 0);
    if (size <= PS_PACK_SMALL)
        return add_open(self, options, self->fd, name, size, &seen, reterr);
    self->large = true;
    return note_file(self, name, size, &seen) ? ps_error_set(reterr, PS_ERR_NOMEM, "out of memory") : 0;
}
