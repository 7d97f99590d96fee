#include "cli/submit/seen.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

#define MAGIC      "phagescan-sweep 1 "
#define LINE_BYTES (PS_SEEN_PATH_MAX + 2 * PS_SEEN_KEY + 8) /* bytes; a longer line is none of ours */

struct key {
    uint8_t at[PS_SEEN_KEY];
};

struct ps_seen {
    FILE *file;
    char *path;
    char batch[PS_SEEN_BATCH_MAX + 1];
    struct key *keys; /* seen; sorted when asked */
    size_t n, cap;
    bool sorted;
    struct ps_seen_plan *plans; /* left open by earlier runs; newest first */
};

void ps_seen_close(struct ps_seen **self_p)
{
    struct ps_seen *self = *self_p;

    if (!self)
        return;
    if (self->file)
        (void)fclose(self->file); /* synced after every acknowledgement; nothing new is in its buffer */
    while (self->plans) {
        struct ps_seen_plan *plan = ps_seen_take_plan(self);

        ps_seen_plan_free(&plan);
    }
    free(self->path);
    free(self->keys);
    free(self);
    *self_p = NULL;
}

/* ---- keys ---- */

void ps_seen_key(uint8_t ret_key[PS_SEEN_KEY], const char *path, uint64_t size, int64_t mtime_ns)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, PS_SEEN_KEY); /* none of these can fail with good sizes */
    (void)crypto_generichash_update(&state, (const unsigned char *)path, strlen(path) + 1);
    (void)crypto_generichash_update(&state, (const unsigned char *)&size, sizeof(size));
    (void)crypto_generichash_update(&state, (const unsigned char *)&mtime_ns, sizeof(mtime_ns));
    (void)crypto_generichash_final(&state, ret_key, PS_SEEN_KEY);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, PS_SEEN_KEY);
}

bool ps_seen_has(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    if (!self->sorted && self->n)
        qsort(self->keys, self->n, sizeof(*self->keys), compare);
    self->sorted = true;
    return self->n && bsearch(key, self->keys, self->n, sizeof(*self->keys), compare) != NULL;
}

int ps_seen_note(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    if (self->n == self->cap) {
        size_t cap = self->cap ? 2 * self->cap : 1024;
        int r = ps_realloc(&self->keys, cap, sizeof(*self->keys));

        if (r)
            return r;
        self->cap = cap;
    }
    memcpy(self->keys[self->n++].at, key, PS_SEEN_KEY);
    self->sorted = false;
    return 0;
}

/* ---- reading ---- */

static struct ps_seen_plan *find_plan(struct ps_seen *self, const char *key, size_t len)
{
    for (struct ps_seen_plan *plan = self->plans; plan; plan = plan->next)
        if (strlen(plan->key) == len && !memcmp(plan->key, key, len))
            return plan;
    return NULL;
}

static int open_plan(struct ps_seen *self, const char *key, size_t len)
{
    struct ps_seen_plan *plan;

    if (len == 0 || len > PS_SEEN_PACK_KEY_MAX || find_plan(self, key, len))
        return 0; /* none of ours; or planned once more by a run that repeats it */
    plan = PS_NEW(struct ps_seen_plan);
    if (!plan)
        return PS_ERR_NOMEM;
    memcpy(plan->key, key, len);
    plan->next = self->plans;
    self->plans = plan;
    return 0;
}

static void close_plan(struct ps_seen *self, const char *key, size_t len)
{
    struct ps_seen_plan *plan = find_plan(self, key, len);

    for (struct ps_seen_plan **at = &self->plans; plan && *at; at = &(*at)->next)
        if (*at == plan) {
            *at = plan->next;
            ps_seen_plan_free(&plan);
            return;
        }
}

/* A path with its %HH; NULL when out of memory. */
static char *unescape(const char *text, size_t len)
{
    char *path = ps_alloc(len + 1, 1);
    size_t n = 0;

    for (size_t i = 0; path && i < len; i++) {
        uint8_t byte;

        if (text[i] == '%' && i + 2 < len && ps_hex_decode(&byte, 1, text + i + 1, 2) == 0) {
            path[n++] = (char)byte;
            i += 2;
        } else {
            path[n++] = text[i];
        }
    }
    return path;
}

/* "32HEX PATH". Follows its plan's line, so it belongs to the one opened last. */
static int add_file(struct ps_seen *self, const char *text, size_t len)
{
    const size_t hex = 2 * (size_t)PS_SEEN_KEY;
    struct ps_seen_plan *plan = self->plans;
    struct ps_seen_file file;

    if (!plan || len < hex + 2 || text[hex] != ' ' || ps_hex_decode(file.key, PS_SEEN_KEY, text, hex) != 0)
        return 0; /* cut off: then nothing was sent */
    int r = ps_realloc(&plan->files, plan->n + 1, sizeof(*plan->files));
    if (r)
        return r;
    file.path = unescape(text + hex + 1, len - hex - 1);
    if (!file.path)
        return PS_ERR_NOMEM;
    plan->files[plan->n++] = file;
    return 0;
}

/* "UPLOAD KEY" */
static void set_upload(struct ps_seen *self, const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);
    size_t id_len = space ? (size_t)(space - text) : 0;
    struct ps_seen_plan *plan = space ? find_plan(self, space + 1, len - id_len - 1) : NULL;

    if (!plan || id_len > PS_SEEN_UPLOAD_MAX)
        return;
    for (size_t i = 0; i < id_len; i++)
        if (!isalnum((unsigned char)text[i])) /* it becomes part of an address */
            return;
    (void)snprintf(plan->upload, sizeof(plan->upload), "%.*s", (int)id_len, text);
}

static int read_line(struct ps_seen *self, const char *line, size_t len)
{
    uint8_t key[PS_SEEN_KEY];

    switch (line[0]) {
    case '+':
        return open_plan(self, line + 1, len - 1);
    case '=':
        return add_file(self, line + 1, len - 1);
    case '@':
        set_upload(self, line + 1, len - 1);
        return 0;
    case '-':
        close_plan(self, line + 1, len - 1);
        return 0;
    default: /* else cut off by a crash */
        return ps_hex_decode(key, sizeof(key), line, len) == 0 ? ps_seen_note(self, key) : 0;
    }
}

/* The first line. A batch is what submit makes up: it becomes part of addresses and keys. */
static int read_magic(struct ps_seen *self, const char *line, size_t len, struct ps_error *reterr)
{
    const size_t magic = sizeof(MAGIC) - 1;
    size_t n = len > magic ? len - magic : 0;
    bool ok = n > 0 && n <= PS_SEEN_BATCH_MAX && !memcmp(line, MAGIC, magic);

    for (size_t i = 0; ok && i < n; i++)
        ok = isalnum((unsigned char)line[magic + i]) || line[magic + i] == '-';
    if (!ok)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is not a state file of `phagescan submit --resume`",
                            self->path);
    (void)snprintf(self->batch, sizeof(self->batch), "%.*s", (int)n, line + magic);
    return 0;
}

/* One line without its end. Its length; 0 at the end of the file, and for half a line there; -1 when it is too long. */
static ssize_t next_line(FILE *file, char *line)
{
    size_t len = 0;
    int c;

    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (len == LINE_BYTES)
            return -1;
        line[len++] = (char)c;
    }
    line[len] = '\0';
    return c == EOF ? 0 : (ssize_t)len;
}

static int load(struct ps_seen *self, struct ps_error *reterr)
{
    PS_FREE char *line = ps_alloc(LINE_BYTES + 1, 1);
    ssize_t len = line ? next_line(self->file, line) : 0;
    int r = 0;

    if (!line)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    /* New, or its maker was killed within the first line: then nothing was sent. */
    if (len == 0 && feof(self->file) && !strncmp(line, MAGIC, PS_MIN(strlen(line), sizeof(MAGIC) - 1)))
        return 0;
    if ((r = read_magic(self, line, len > 0 ? (size_t)len : 0, reterr)) != 0)
        return r;
    for (;;) {
        len = next_line(self->file, line);
        if (len == 0 && feof(self->file))
            return ferror(self->file) ? ps_error_set(reterr, PS_ERR_IO, "%s: it can't be read", self->path)
                                      : 0;
        if (len < 0)
            return ps_error_set(reterr, PS_ERR_INVALID, "%s has a line of more than %d bytes: it is damaged",
                                self->path, LINE_BYTES);
        if (len > 0 && (r = read_line(self, line, (size_t)len)) != 0)
            return ps_error_set(reterr, r, "%s: out of memory", self->path);
    }
}

/* Goes to the end; begins a new line when a crash left half of one. */
static int go_on(struct ps_seen *self, const char *batch, struct ps_error *reterr)
{
    bool ok;

    if (!*self->batch) {
        (void)snprintf(self->batch, sizeof(self->batch), "%s", batch);
        ok = ftruncate(fileno(self->file), 0) == 0 && fseek(self->file, 0, SEEK_SET) == 0 &&
             fprintf(self->file, MAGIC "%s\n", batch) > 0;
    } else {
        ok = fseek(self->file, -1, SEEK_END) == 0;
        bool whole = ok && fgetc(self->file) == '\n';

        ok = ok && fseek(self->file, 0, SEEK_END) == 0 && (whole || fputc('\n', self->file) != EOF);
    }
    return ok ? 0 : ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", self->path, strerror(errno));
}

int ps_seen_open(struct ps_seen **ret_self, const char *path, const char *batch, struct ps_error *reterr)
{
    PS_CLEANUP(ps_seen_close) struct ps_seen *self = PS_NEW(struct ps_seen);
    PS_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!self || !(self->path = ps_strf("%s", path)) || !(self->file = fdopen(fd, "r+")))
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    (void)PS_TAKE_FD(fd);
    if (flock(fileno(self->file), LOCK_EX | LOCK_NB) < 0)
        return ps_error_set(reterr, PS_ERR_CONFLICT, "%s is in use by another `phagescan submit`", path);

    int r = load(self, reterr);
    if (!r)
        r = go_on(self, batch, reterr);
    if (!r)
        r = ps_seen_sync(self, reterr);
    if (r)
        return r;
    *ret_self = PS_TAKE(self);
    return 0;
}

const char *ps_seen_batch(const struct ps_seen *self)
{
    return self->batch;
}

/* ---- writing ---- */

int ps_seen_add(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    char hex[2 * PS_SEEN_KEY + 1];

    ps_hex_encode(hex, key, PS_SEEN_KEY);
    return fprintf(self->file, "%s\n", hex) > 0 ? 0 : PS_ERR_IO;
}

int ps_seen_plan(struct ps_seen *self, const char *key)
{
    return fprintf(self->file, "+%s\n", key) > 0 ? 0 : PS_ERR_IO;
}

/* The escaped path. PS_ERR_LIMIT when it does not fit. */
static int escape(char *to, size_t max, const char *path)
{
    size_t n = 0;

    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;

        if (n + 4 > max)
            return PS_ERR_LIMIT;
        if (c >= 0x20 && c != '%' && c != 0x7f)
            to[n++] = (char)c;
        else
            n += (size_t)snprintf(to + n, max - n, "%%%02x", c);
    }
    to[n] = '\0';
    return 0;
}

int ps_seen_plan_file(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY], const char *path)
{
    char hex[2 * PS_SEEN_KEY + 1], text[PS_SEEN_PATH_MAX + 1];
    int r = escape(text, sizeof(text), path);

    if (r)
        return r;
    ps_hex_encode(hex, key, PS_SEEN_KEY);
    return fprintf(self->file, "=%s %s\n", hex, text) > 0 ? 0 : PS_ERR_IO;
}

int ps_seen_upload(struct ps_seen *self, const char *key, const char *upload)
{
    return fprintf(self->file, "@%s %s\n", upload, key) > 0 ? 0 : PS_ERR_IO;
}

int ps_seen_settled(struct ps_seen *self, const char *key)
{
    return fprintf(self->file, "-%s\n", key) > 0 ? 0 : PS_ERR_IO;
}

int ps_seen_sync(struct ps_seen *self, struct ps_error *reterr)
{
    if (fflush(self->file) != 0 || fdatasync(fileno(self->file)) != 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", self->path, strerror(errno));
    return 0;
}

/* ---- plans ---- */

bool ps_seen_has_plan(const struct ps_seen *self)
{
    return self->plans != NULL;
}

struct ps_seen_plan *ps_seen_take_plan(struct ps_seen *self)
{
    struct ps_seen_plan *plan = self->plans;

    if (plan)
        self->plans = plan->next;
    return plan;
}

void ps_seen_plan_free(struct ps_seen_plan **plan_p)
{
    struct ps_seen_plan *plan = *plan_p;

    if (!plan)
        return;
    for (size_t i = 0; i < plan->n; i++)
        free(plan->files[i].path);
    free(plan->files);
    free(plan);
    *plan_p = NULL;
}
