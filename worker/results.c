#include "worker/results.h"

#include <uthash.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"

struct kept {
    uint64_t job; /* key */
    UT_hash_handle hh;
    struct kept *prev, *next; /* among the unsent */
    bool sent;                /* in this session */
    size_t bytes;             /* of this block */
    struct ps_msg_RESULT msg; /* its files and texts lie behind */
    _Alignas(struct ps_part_file) uint8_t texts[];
};

struct ps_results {
    struct kept *by_job; /* a uthash table keeps the order of arrival */
    struct kept *unsent; /* oldest first */
    size_t limit_n;
    size_t bytes; /* of all blocks */
};

/* The fields of a RESULT that borrow. */
static const size_t borrowed[] = {
    offsetof(struct ps_msg_RESULT, engine),      offsetof(struct ps_msg_RESULT, label),
    offsetof(struct ps_msg_RESULT, reason),      offsetof(struct ps_msg_RESULT, type),
    offsetof(struct ps_msg_RESULT, traits),      offsetof(struct ps_msg_RESULT, version),
    offsetof(struct ps_msg_RESULT, definitions), offsetof(struct ps_msg_RESULT, origin),
    offsetof(struct ps_msg_RESULT, worker),
};

static struct ps_bytes *field(struct ps_msg_RESULT *msg, size_t i)
{
    return (struct ps_bytes *)(void *)((char *)msg + borrowed[i]);
}

static uint8_t *copy_bytes(struct ps_bytes *bytes, uint8_t *at)
{
    if (bytes->len > 0)
        memcpy(at, bytes->at, bytes->len);
    bytes->at = at;
    return at + bytes->len;
}

/* Bytes that the copy of its texts and files takes. */
static size_t texts_bytes(struct ps_msg_RESULT *msg)
{
    size_t total = msg->files.n * sizeof(struct ps_part_file);

    for (size_t i = 0; i < PS_ARRAY_N(borrowed); i++)
        total += field(msg, i)->len;
    for (size_t i = 0; i < msg->files.n; i++)
        total += msg->files.items[i].name.len + msg->files.items[i].mime.len;
    return total;
}

static uint8_t *copy_files(struct ps_msg_RESULT *msg, uint8_t *at)
{
    struct ps_part_file *files = (struct ps_part_file *)(void *)at; /* first, so aligned */

    at += msg->files.n * sizeof(*files);
    for (size_t i = 0; i < msg->files.n; i++) {
        files[i] = msg->files.items[i];
        at = copy_bytes(&files[i].name, at);
        at = copy_bytes(&files[i].mime, at);
    }
    msg->files = (struct ps_list_file){.items = files, .n = msg->files.n};
    return at;
}

static struct kept *copy_of(const struct ps_msg_RESULT *result)
{
    struct ps_msg_RESULT msg = *result;
    size_t total = texts_bytes(&msg);
    struct kept *kept = ps_alloc(1, sizeof(*kept) + total);

    if (!kept)
        return NULL;

    uint8_t *at = copy_files(&msg, kept->texts);
    for (size_t i = 0; i < PS_ARRAY_N(borrowed); i++)
        at = copy_bytes(field(&msg, i), at);
    kept->job = msg.job;
    kept->bytes = sizeof(*kept) + total;
    kept->msg = msg;
    return kept;
}

static void remove_kept(struct ps_results *self, struct kept *kept)
{
    HASH_DEL(self->by_job, kept);
    if (!kept->sent)
        DL_DELETE(self->unsent, kept);
    self->bytes -= kept->bytes;
    free(kept);
}

static void unsend(struct ps_results *self, struct kept *kept)
{
    if (!kept->sent)
        return;
    kept->sent = false;
    DL_APPEND(self->unsent, kept);
}

static struct kept *find(const struct ps_results *self, uint64_t job)
{
    struct kept *kept;

    HASH_FIND(hh, self->by_job, &job, sizeof(job), kept);
    return kept;
}

int ps_results_keep(struct ps_results *self, const struct ps_msg_RESULT *result)
{
    bool known = find(self, result->job) != NULL;

    if (!known && HASH_COUNT(self->by_job) >= self->limit_n)
        return PS_ERR_LIMIT;

    struct kept *kept = copy_of(result);
    if (!kept)
        return PS_ERR_NOMEM;

    (void)ps_results_forget(self, result->job); /* mostly none is there */
    HASH_ADD(hh, self->by_job, job, sizeof(kept->job), kept);
    DL_APPEND(self->unsent, kept);
    self->bytes += kept->bytes;
    return 0;
}

const struct ps_msg_RESULT *ps_results_find(const struct ps_results *self, uint64_t job)
{
    const struct kept *kept = find(self, job);

    return kept ? &kept->msg : NULL;
}

bool ps_results_rebind(struct ps_results *self, uint64_t job, uint64_t boot, uint64_t seq)
{
    struct kept *kept = find(self, job);

    if (!kept)
        return false;
    kept->msg.boot = boot;
    kept->msg.seq = seq;
    unsend(self, kept);
    return true;
}

bool ps_results_forget(struct ps_results *self, uint64_t job)
{
    struct kept *kept = find(self, job);

    if (!kept)
        return false;
    remove_kept(self, kept);
    return true;
}

const struct ps_msg_RESULT *ps_results_unsent(const struct ps_results *self)
{
    return self->unsent ? &self->unsent->msg : NULL;
}

void ps_results_sent(struct ps_results *self, uint64_t job)
{
    struct kept *kept = find(self, job);

    if (!kept || kept->sent)
        return;
    DL_DELETE(self->unsent, kept);
    kept->sent = true;
}

void ps_results_unsend(struct ps_results *self)
{
    struct kept *kept, *next;

    HASH_ITER (hh, self->by_job, kept, next)
        unsend(self, kept);
}

size_t ps_results_bytes(const struct ps_results *self)
{
    return self->bytes;
}

size_t ps_results_n(const struct ps_results *self)
{
    return HASH_COUNT(self->by_job);
}

const struct ps_msg_RESULT *ps_results_next(const struct ps_results *self, const struct ps_msg_RESULT *last)
{
    const struct kept *kept = self->by_job;

    if (last)
        kept =
            ((const struct kept *)(const void *)((const char *)last - offsetof(struct kept, msg)))->hh.next;
    return kept ? &kept->msg : NULL;
}

int ps_results_new(struct ps_results **ret_self, size_t limit_n)
{
    struct ps_results *self = PS_NEW(struct ps_results);

    if (!self)
        return PS_ERR_NOMEM;
    self->limit_n = limit_n;
    *ret_self = self;
    return 0;
}

void ps_results_free(struct ps_results **self_p)
{
    struct ps_results *self = PS_TAKE(*self_p);
    struct kept *kept, *next;

    if (!self)
        return;
    HASH_ITER (hh, self->by_job, kept, next)
        remove_kept(self, kept);
    free(self);
}
