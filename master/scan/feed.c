#include "master/scan/feed.h"

#include <pthread.h>
#include <stdio.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/store/store.h"

#define REST_MS 1000

struct ps_feed {
    struct ps_hub *hub;       /* lent */
    struct ps_hub_line *line; /* of its broker; lent */
    pthread_t thread;
    bool started;
    struct ps_wish *active[PS_FEED_OPEN_N]; /* samples open, in order of arrival */
    size_t active_n;
    size_t turn;             /* whose turn it is: index into active */
    struct ps_piece *unsent; /* link had no room for it; NULL: none */
};

int ps_feed_new(struct ps_feed **ret_self, struct ps_hub *hub, unsigned broker)
{
    struct ps_feed *self = PS_NEW(struct ps_feed);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    self->line = &hub->lines[broker];
    *ret_self = self;
    return 0;
}

static void drop(struct ps_feed *self, size_t at)
{
    struct ps_wish *wish = self->active[at];

    self->active_n--;
    memmove(&self->active[at], &self->active[at + 1], (self->active_n - at) * sizeof(struct ps_wish *));
    ps_close_fd_p(&wish->fd);
    free(wish);
}

void ps_feed_free(struct ps_feed **self_p)
{
    struct ps_feed *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_feed_join(self);
    while (self->active_n > 0)
        drop(self, self->active_n - 1);
    free(self->unsent);
    free(self);
}

/* True when link has taken it, or the broken piece is gone. */
static bool flush(struct ps_feed *self)
{
    if (!self->unsent)
        return true;
    /* Said before it is tried: otherwise link could empty its box in between and never call. */
    atomic_store(&self->line->pieces_full, true);
    if (ps_mailbox_send(self->line->pieces, self->unsent) < 0)
        return false;
    atomic_store(&self->line->pieces_full, false);
    self->unsent = NULL;
    return true;
}

static struct ps_piece *piece_of(const struct ps_wish *wish, size_t len)
{
    struct ps_piece *piece = ps_alloc(1, sizeof(*piece) + len);

    if (!piece)
        return NULL;
    piece->peer = wish->peer;
    piece->offset = wish->offset;
    piece->size = wish->size;
    piece->len = len;
    memcpy(piece->sha256, wish->sha256, sizeof(piece->sha256));
    return piece;
}

static void give_up(struct ps_feed *self, size_t at, const char *reason)
{
    const struct ps_wish *wish = self->active[at];
    char hex[PS_SHA256_HEX];

    ps_hex_encode(hex, wish->sha256, PS_SHA256_BYTES);
    ps_log(PS_LOG_WARN, "sample-unreadable", "sha256=%s detail=%s", hex, PS_LOGQ(reason));
    self->unsent = piece_of(wish, 0);
    if (self->unsent) /* without memory the worker asks again */
        (void)snprintf(self->unsent->reason, sizeof(self->unsent->reason), "%s", reason);
    drop(self, at);
}

/* The oldest wish of the same worker for the same sample. */
static size_t first_like(const struct ps_feed *self, size_t at)
{
    const struct ps_wish *wish = self->active[at];
    size_t i = 0;

    while (self->active[i]->peer != wish->peer ||
           memcmp(self->active[i]->sha256, wish->sha256, PS_SHA256_BYTES) != 0)
        i++;
    return i;
}

/* The next piece of the wish whose turn it is; then it is the next one's. */
static void serve(struct ps_feed *self)
{
    size_t at = first_like(self, self->turn++ % self->active_n);
    struct ps_wish *wish = self->active[at];
    size_t len =
        (size_t)PS_MIN(PS_MIN((uint64_t)wish->bytes, wish->size - wish->offset), (uint64_t)PS_CHUNK_MAX);
    PS_FREE struct ps_piece *piece = piece_of(wish, len);

    if (!piece || ps_file_pread_all(wish->fd, piece->data, len, wish->offset) < 0) {
        give_up(self, at, piece ? "the sample's file can't be read" : "the master is out of memory");
        return;
    }
    self->unsent = PS_TAKE(piece);
    wish->offset += len;
    wish->bytes -= (uint32_t)len;
    if (wish->bytes == 0 || wish->offset >= wish->size)
        drop(self, at);
}

static void open_wish(struct ps_feed *self, struct ps_wish *wish)
{
    size_t at = self->active_n++; /* step looked for room */

    wish->fd = -1;
    self->active[at] = wish;
    int r = self->hub->store ? ps_store_open_sample(self->hub->store, wish->sha256, &wish->fd, &wish->size)
                             : PS_ERR_NOTFOUND;
    if (r < 0)
        give_up(self, at, r == PS_ERR_NOTFOUND ? "the sample's file is not in the store" : ps_err_text(r));
    else if (wish->offset >= wish->size || wish->bytes == 0)
        give_up(self, at, "there are no such bytes in the sample");
}

/* One step, of which at most one piece comes. False when there is nothing to do until link wakes us. */
static bool step(struct ps_feed *self)
{
    void *wish;

    if (!flush(self))
        return false;
    if (self->active_n < PS_FEED_OPEN_N && ps_mailbox_take(self->line->wishes, &wish, 1) == 1) {
        open_wish(self, wish);
        return true;
    }
    if (self->active_n == 0)
        return false;
    serve(self);
    return true;
}

static void *run(void *arg)
{
    struct ps_feed *self = arg;

    while (!ps_hub_stopping(self->hub))
        if (!step(self)) {
            (void)ps_hub_wait(self->hub, self->line->feed_fd, REST_MS); /* whatever woke us, step looks */
            ps_hub_clear(self->line->feed_fd);
        }
    return NULL;
}

int ps_feed_start(struct ps_feed *self)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_feed_join(struct ps_feed *self)
{
    if (self->started)
        (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
