#include "worker/keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "worker/host/files.h"
#include "worker/results.h"

enum state {
    FILE_NEW,  /* to be named */
    FILE_TOLD, /* named, by told_ms */
    FILE_KEPT,
    FILE_REFUSED,
};

struct file {
    struct ps_host_file is;
    enum state state;
    uint64_t moved_ms;   /* TOLD: when it was named, or asked for */
    uint64_t want_at;    /* next byte that is asked for */
    uint64_t want_bytes; /* so many are */
};

struct held {
    struct held *prev, *next;
    int fd; /* owned: bytes of all files */
    uint64_t bytes;
    size_t n;
    struct ps_msg_RESULT result;  /* texts lent by own, files by parts */
    struct ps_results *own;       /* a table of one: the copy of the result */
    struct ps_part_file *parts;   /* owned; those that are kept, once all are settled */
    char reason[PS_TEXT_MAX + 1]; /* of a refusal; "" for none */
    struct file files[];
};

struct ps_keeper {
    struct held *first; /* oldest first */
    size_t n, limit_n;
    uint64_t bytes;
};

int ps_keeper_new(struct ps_keeper **ret_self, size_t limit_n)
{
    struct ps_keeper *self = PS_NEW(struct ps_keeper);

    if (!self)
        return PS_ERR_NOMEM;
    self->limit_n = limit_n;
    *ret_self = self;
    return 0;
}

static void held_free(struct held **held_p)
{
    struct held *held = PS_TAKE(*held_p);

    if (!held)
        return;
    ps_close_fd_p(&held->fd);
    ps_results_free(&held->own);
    free(held->parts);
    free(held);
}

static void drop(struct ps_keeper *self, struct held *held)
{
    DL_DELETE(self->first, held);
    self->n--;
    self->bytes -= held->bytes;
    held_free(&held);
}

void ps_keeper_free(struct ps_keeper **self_p)
{
    struct ps_keeper *self = PS_TAKE(*self_p);

    if (!self)
        return;
    while (self->first)
        drop(self, self->first);
    free(self);
}

static struct held *find(const struct ps_keeper *self, uint64_t job)
{
    struct held *held;

    DL_FOREACH (self->first, held)
        if (held->result.job == job)
            return held;
    return NULL;
}

int ps_keeper_put(struct ps_keeper *self, const struct ps_msg_RESULT *result,
                  const struct ps_host_file *files, size_t n, int fd)
{
    PS_CLEANUP(held_free) struct held *held = NULL;
    int error;

    (void)ps_keeper_forget(self, result->job); /* mostly none is there */
    if (self->n >= self->limit_n)
        return PS_ERR_LIMIT;
    held = ps_alloc(1, sizeof(*held) + n * sizeof(held->files[0]));
    if (!held)
        return PS_ERR_NOMEM;
    held->fd = -1;
    held->parts = ps_alloc(n, sizeof(*held->parts));
    if (!held->parts || (error = ps_results_new(&held->own, 1)) ||
        (error = ps_results_keep(held->own, result)))
        return PS_ERR_NOMEM;
    if (fd >= 0 && (held->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return PS_ERR_IO;
    held->result = *ps_results_find(held->own, result->job);
    held->n = n;
    for (size_t i = 0; i < n; i++) {
        held->files[i].is = files[i];
        held->bytes += files[i].size;
    }
    self->bytes += held->bytes;
    self->n++;
    struct held *given = PS_TAKE(held);
    DL_APPEND(self->first, given);
    return 0;
}

/* ---- what is settled ---- */

static bool is_settled(const struct held *held)
{
    for (size_t i = 0; i < held->n; i++)
        if (held->files[i].state != FILE_KEPT && held->files[i].state != FILE_REFUSED)
            return false;
    return true;
}

/* An answer that sounds complete is not, when something that belongs to it is missing. */
static void mark_missing(struct held *held)
{
    struct ps_msg_RESULT *result = &held->result;

    if (!held->reason[0])
        return;
    if (result->outcome == PS_OUTCOME_UNDETECTED || result->outcome == PS_OUTCOME_HARMLESS ||
        result->outcome == PS_OUTCOME_DESCRIBED) {
        result->outcome = PS_OUTCOME_INCOMPLETE;
        result->counted = true;
    }
    if (result->reason.len == 0)
        result->reason = ps_bytes_of(held->reason);
}

static void list_files(struct held *held)
{
    size_t n = 0;

    for (size_t i = 0; i < held->n; i++) {
        const struct ps_host_file *file = &held->files[i].is;
        if (held->files[i].state != FILE_KEPT)
            continue;
        held->parts[n] = (struct ps_part_file){.name = ps_bytes_of(file->name),
                                               .mime = ps_bytes_of(file->mime),
                                               .picture = file->picture,
                                               .size = file->size};
        memcpy(held->parts[n++].sha256, file->sha256, PS_SHA256_BYTES);
    }
    held->result.files = (struct ps_list_file){.items = held->parts, .n = n};
}

const struct ps_msg_RESULT *ps_keeper_settled(struct ps_keeper *self)
{
    struct held *held;
    unsigned seen = 0;

    DL_FOREACH (self->first, held) {
        if (++seen > PS_KEEPER_RESULTS)
            break; /* those behind were not told of */
        if (!is_settled(held))
            continue;
        list_files(held);
        mark_missing(held);
        return &held->result;
    }
    return NULL;
}

/* ---- what is said ---- */

/* Walks the files of the results that are on their way: NULL first. */
struct walk {
    struct held *held;
    size_t file;
    unsigned seen; /* results */
};

static struct file *next_file(const struct ps_keeper *self, struct walk *walk)
{
    if (!walk->held) {
        walk->held = self->first;
        walk->file = 0;
    } else {
        walk->file++;
    }
    while (walk->held && walk->file >= walk->held->n) {
        walk->held = walk->held->next;
        walk->file = 0;
        walk->seen++;
    }
    return walk->held && walk->seen < PS_KEEPER_RESULTS ? &walk->held->files[walk->file] : NULL;
}

static bool is_due(const struct file *file, uint64_t now_ms)
{
    return file->state == FILE_NEW || (file->state == FILE_TOLD && file->want_bytes == 0 &&
                                       now_ms >= file->moved_ms + PS_KEEPER_RETRY_MS);
}

bool ps_keeper_next_keep(struct ps_keeper *self, uint64_t now_ms, uint8_t ret_sha256[PS_SHA256_BYTES],
                         uint64_t *ret_size)
{
    struct walk walk = {0};
    struct file *file;

    while ((file = next_file(self, &walk))) {
        if (!is_due(file, now_ms))
            continue;
        file->state = FILE_TOLD;
        file->moved_ms = now_ms;
        memcpy(ret_sha256, file->is.sha256, PS_SHA256_BYTES);
        *ret_size = file->is.size;
        return true;
    }
    return false;
}

uint64_t ps_keeper_due_ms(const struct ps_keeper *self, uint64_t now_ms)
{
    struct walk walk = {0};
    const struct file *file;
    uint64_t due_ms = UINT64_MAX;

    while ((file = next_file(self, &walk))) {
        if (file->state == FILE_NEW)
            return now_ms;
        if (file->state == FILE_TOLD && file->want_bytes == 0)
            due_ms = PS_MIN(due_ms, file->moved_ms + PS_KEEPER_RETRY_MS);
    }
    return due_ms;
}

bool ps_keeper_next_piece(struct ps_keeper *self, struct ps_keeper_piece *ret_piece)
{
    struct walk walk = {0};
    struct file *file;

    while ((file = next_file(self, &walk))) {
        if (file->want_bytes == 0)
            continue;
        *ret_piece = (struct ps_keeper_piece){
            .sha256 = file->is.sha256,
            .size = file->is.size,
            .offset = file->want_at,
            .len = (size_t)PS_MIN(file->want_bytes, (uint64_t)PS_CHUNK_MAX),
            .at = file->is.at + file->want_at,
            .fd = walk.held->fd,
        };
        return true;
    }
    return false;
}

/* All of that name are one to the master. */
#define EACH_LIKE(self, walk, file, sha)                               \
    for (struct walk walk = {0}; ((file) = next_file((self), &walk));) \
        if (memcmp((file)->is.sha256, (sha), PS_SHA256_BYTES) == 0)

void ps_keeper_sent(struct ps_keeper *self, const struct ps_keeper_piece *piece)
{
    struct file *file;

    EACH_LIKE(self, walk, file, piece->sha256)
    if (file->want_bytes > 0) {
        file->want_at += piece->len;
        file->want_bytes -= PS_MIN((uint64_t)piece->len, file->want_bytes);
        return;
    }
}

/* ---- what is heard ---- */

void ps_keeper_want(struct ps_keeper *self, const struct ps_msg_WANT *msg, uint64_t now_ms)
{
    struct file *file;

    EACH_LIKE(self, walk, file, msg->sha256)
    if (file->state == FILE_TOLD && msg->offset < file->is.size) {
        file->moved_ms = now_ms;
        file->want_at = msg->offset;
        file->want_bytes = PS_MIN((uint64_t)msg->bytes, file->is.size - msg->offset);
        return; /* of one of them */
    }
}

void ps_keeper_kept(struct ps_keeper *self, const struct ps_msg_KEPT *msg)
{
    struct walk walk = {0};
    struct file *file;

    while ((file = next_file(self, &walk))) {
        if (memcmp(file->is.sha256, msg->sha256, PS_SHA256_BYTES) != 0)
            continue;
        file->state = msg->reason.len > 0 ? FILE_REFUSED : FILE_KEPT;
        file->want_bytes = 0;
        if (msg->reason.len > 0 && !walk.held->reason[0])
            (void)snprintf(walk.held->reason, sizeof(walk.held->reason), /* cut is readable */
                           "a derived file could not be kept: %.*s",
                           (int)PS_MIN(msg->reason.len, (size_t)900), (const char *)msg->reason.at);
    }
}

void ps_keeper_rewind(struct ps_keeper *self)
{
    struct held *held;

    DL_FOREACH (self->first, held)
        for (size_t i = 0; i < held->n; i++) {
            held->files[i].want_bytes = 0;
            if (held->files[i].state == FILE_TOLD)
                held->files[i].state = FILE_NEW;
        }
}

/* ---- as results ---- */

bool ps_keeper_rebind(struct ps_keeper *self, uint64_t job, uint64_t boot, uint64_t seq)
{
    struct held *held = find(self, job);

    if (!held)
        return false;
    held->result.boot = boot;
    held->result.seq = seq;
    return true;
}

bool ps_keeper_forget(struct ps_keeper *self, uint64_t job)
{
    struct held *held = find(self, job);

    if (!held)
        return false;
    drop(self, held);
    return true;
}

const struct ps_msg_RESULT *ps_keeper_find(const struct ps_keeper *self, uint64_t job)
{
    const struct held *held = find(self, job);

    return held ? &held->result : NULL;
}

const struct ps_msg_RESULT *ps_keeper_next(const struct ps_keeper *self, const struct ps_msg_RESULT *last)
{
    const struct held *held = self->first;

    if (last)
        held =
            ((const struct held *)(const void *)((const char *)last - offsetof(struct held, result)))->next;
    return held ? &held->result : NULL;
}

size_t ps_keeper_n(const struct ps_keeper *self)
{
    return self->n;
}

uint64_t ps_keeper_bytes(const struct ps_keeper *self)
{
    return self->bytes;
}
