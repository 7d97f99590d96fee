#include "cli/submit/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

#define MAGIC "phagescan-sweep 1 "

struct key {
    uint8_t at[PS_SEEN_KEY];
};

struct ps_seen {
    FILE *file;
    char *path;
    char batch[PS_SEEN_BATCH_MAX + 1];
    struct key *keys; /* of earlier runs; sorted when asked */
    size_t n, cap;
    bool sorted;
    struct ps_seen_plan *plans; /* left open by earlier runs */
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

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, PS_SEEN_KEY);
}

static int remember(struct ps_seen *self, const struct key *key)
{
    if (self->n == self->cap) {
        size_t cap = self->cap ? 2 * self->cap : 1024;
        int r = ps_realloc(&self->keys, cap, sizeof(*self->keys));

        if (r)
            return r;
        self->cap = cap;
    }
    self->keys[self->n++] = *key;
    return 0;
}

static int open_plan(struct ps_seen *self, const char *key, size_t len)
{
    struct ps_seen_plan *plan = PS_NEW(struct ps_seen_plan);

    if (!plan)
        return PS_ERR_NOMEM;
    (void)snprintf(plan->key, sizeof(plan->key), "%.*s", (int)len, key);
    plan->next = self->plans;
    self->plans = plan;
    return 0;
}

static void close_plan(struct ps_seen *self, const char *key, size_t len)
{
    for (struct ps_seen_plan **at = &self->plans; *at; at = &(*at)->next)
        if (strlen((*at)->key) == len && !memcmp((*at)->key, key, len)) {
            struct ps_seen_plan *plan = *at;

            *at = plan->next;
            ps_seen_plan_free(&plan);
            return;
        }
}

/* A path with its %HH. */
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

/* Paths follow their key's line, so they belong to the plan opened last. */
static int add_path(struct ps_seen *self, const char *text, size_t len)
{
    struct ps_seen_plan *plan = self->plans;

    if (!plan)
        return 0; /* its key's line was cut off: then nothing was sent */
    int r = ps_realloc(&plan->paths, plan->n + 1, sizeof(*plan->paths));
    if (r)
        return r;
    plan->paths[plan->n] = unescape(text, len);
    return plan->paths[plan->n] ? (plan->n++, 0) : PS_ERR_NOMEM;
}

static int read_line(struct ps_seen *self, const char *line, size_t len)
{
    switch (line[0]) {
    case '+':
        return open_plan(self, line + 1, len - 1);
    case '=':
        return add_path(self, line + 1, len - 1);
    case '-':
        close_plan(self, line + 1, len - 1);
        return 0;
    default:
        break;
    }
    struct key key;
    if (ps_hex_decode(key.at, sizeof(key.at), line, len) != 0)
        return 0; /* cut off by a crash */
    return remember(self, &key);
}

static int load(struct ps_seen *self, struct ps_error *reterr)
{
    PS_FREE char *line = NULL;
    size_t cap = 0;
    ssize_t len = getline(&line, &cap, self->file);
    const size_t magic = sizeof(MAGIC) - 1;

    if (len <= 0)
        return 0; /* new */
    if (strncmp(line, MAGIC, magic) != 0 || line[len - 1] != '\n' ||
        (size_t)len - 1 - magic > PS_SEEN_BATCH_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is not a state file of `phagescan submit --resume`",
                            self->path);
    (void)snprintf(self->batch, sizeof(self->batch), "%.*s", (int)((size_t)len - 1 - magic), line + magic);

    while ((len = getline(&line, &cap, self->file)) > 0) {
        int r = line[len - 1] == '\n' ? read_line(self, line, (size_t)len - 1) : 0;

        if (r)
            return ps_error_set(reterr, r, "%s: out of memory", self->path);
    }
    return 0;
}

/* Goes to the end; begins a new line when a crash left half of one. */
static int go_on(struct ps_seen *self, bool fresh, const char *batch, struct ps_error *reterr)
{
    bool ok = fseek(self->file, 0, SEEK_END) == 0;

    if (ok && fresh) {
        (void)snprintf(self->batch, sizeof(self->batch), "%s", batch);
        ok = fprintf(self->file, MAGIC "%s\n", batch) > 0;
    } else if (ok && fseek(self->file, -1, SEEK_END) == 0 && fgetc(self->file) != '\n') {
        ok = fseek(self->file, 0, SEEK_END) == 0 && fputc('\n', self->file) != EOF;
    }
    ok = ok && fseek(self->file, 0, SEEK_END) == 0;
    return ok ? 0 : ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", self->path, strerror(errno));
}

int ps_seen_open(struct ps_seen **ret_self, const char *path, const char *batch, struct ps_error *reterr)
{
    PS_CLEANUP(ps_seen_close) struct ps_seen *self = PS_NEW(struct ps_seen);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (!self || !(self->path = ps_strf("%s", path))) {
        if (fd >= 0)
            (void)close(fd);
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    }
    self->file = fd >= 0 ? fdopen(fd, "r+") : NULL;
    if (!self->file)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", path, strerror(errno));

    int r = load(self, reterr);
    if (!r)
        r = go_on(self, !*self->batch, batch, reterr);
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

void ps_seen_key(uint8_t ret_key[PS_SEEN_KEY], const char *path, uint64_t size, int64_t mtime_ns)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, PS_SEEN_KEY);
    (void)crypto_generichash_update(&state, (const unsigned char *)path, strlen(path) + 1);
    (void)crypto_generichash_update(&state, (const unsigned char *)&size, sizeof(size));
    (void)crypto_generichash_update(&state, (const unsigned char *)&mtime_ns, sizeof(mtime_ns));
    (void)crypto_generichash_final(&state, ret_key, PS_SEEN_KEY);
}

bool ps_seen_has(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    if (!self->sorted && self->n)
        qsort(self->keys, self->n, sizeof(*self->keys), compare);
    self->sorted = true;
    return self->n && bsearch(key, self->keys, self->n, sizeof(*self->keys), compare) != NULL;
}

int ps_seen_add(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    char line[2 * PS_SEEN_KEY + 2];

    ps_hex_encode(line, key, PS_SEEN_KEY);
    line[sizeof(line) - 2] = '\n';
    return fwrite(line, sizeof(line) - 1, 1, self->file) == 1 ? 0 : PS_ERR_IO;
}

int ps_seen_sync(struct ps_seen *self, struct ps_error *reterr)
{
    if (fflush(self->file) != 0 || fdatasync(fileno(self->file)) != 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s: %s", self->path, strerror(errno));
    return 0;
}

int ps_seen_note(struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
    struct key copy;

    memcpy(copy.at, key, sizeof(copy.at));
    self->sorted = false;
    return remember(self, &copy);
}

bool ps_seen_has_plan(const struct ps_seen *self)
{
    return self->plans != NULL;
}

int ps_seen_plan(struct ps_seen *self, const char *key)
{
    return fprintf(self->file, "+%s\n", key) > 0 ? 0 : PS_ERR_IO;
}

int ps_seen_plan_path(struct ps_seen *self, const char *path)
{
    (void)fputc('=', self->file); /* errors stay with the stream; the sync tells */
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;

        if (c < 0x20 || c == '%' || c == 0x7f)
            (void)fprintf(self->file, "%%%02x", c);
        else
            (void)fputc(c, self->file);
    }
    return fputc('\n', self->file) != EOF ? 0 : PS_ERR_IO;
}

int ps_seen_done(struct ps_seen *self, const char *key)
{
    return fprintf(self->file, "-%s\n", key) > 0 ? 0 : PS_ERR_IO;
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
        free(plan->paths[i]);
    free(plan->paths);
    free(plan);
    *plan_p = NULL;
}
