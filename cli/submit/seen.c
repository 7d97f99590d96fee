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
    struct key *keys; /* of earlier runs, sorted */
    size_t n, cap;
};

void ps_seen_close(struct ps_seen **self_p)
{
    struct ps_seen *self = *self_p;

    if (!self)
        return;
    if (self->file)
        (void)fclose(self->file); /* synced after every acknowledgement; nothing new is in its buffer */
    free(self->path);
    free(self->keys);
    free(self);
    *self_p = NULL;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, PS_SEEN_KEY);
}

static int remember(struct ps_seen *self, const char *line, size_t len)
{
    struct key key;

    if (ps_hex_decode(key.at, sizeof(key.at), line, len) != 0)
        return 0; /* cut off by a crash */
    if (self->n == self->cap) {
        size_t cap = self->cap ? 2 * self->cap : 1024;
        int r = ps_realloc(&self->keys, cap, sizeof(*self->keys));

        if (r)
            return r;
        self->cap = cap;
    }
    self->keys[self->n++] = key;
    return 0;
}

static int load(struct ps_seen *self, struct ps_error *reterr)
{
    char line[256];
    size_t len;

    if (!fgets(line, sizeof(line), self->file))
        return 0; /* new */
    len = strcspn(line, "\n");
    if (strncmp(line, MAGIC, sizeof(MAGIC) - 1) != 0 || line[len] != '\n' ||
        len - (sizeof(MAGIC) - 1) > PS_SEEN_BATCH_MAX)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is not a state file of `phagescan submit --resume`",
                            self->path);
    (void)snprintf(self->batch, sizeof(self->batch), "%.*s", (int)(len - (sizeof(MAGIC) - 1)),
                   line + sizeof(MAGIC) - 1);

    while (fgets(line, sizeof(line), self->file)) {
        int r = remember(self, line, strcspn(line, "\n"));

        if (r)
            return ps_error_set(reterr, r, "%s: out of memory", self->path);
    }
    if (self->n)
        qsort(self->keys, self->n, sizeof(*self->keys), compare);
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

bool ps_seen_has(const struct ps_seen *self, const uint8_t key[PS_SEEN_KEY])
{
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
