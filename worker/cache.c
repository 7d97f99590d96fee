#include "worker/cache.h"

#include <stdio.h>
#include <uthash.h>
#include <utlist.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "worker/blob.h"

#define PAGE_BYTES 4096ULL

/* Which list a sample is in follows from its state and its pins; see list_of. */
enum list { LIST_NONE, LIST_WAITING, LIST_FETCHING, LIST_IDLE, LIST_FAILED, LISTS_N };

struct ps_sample {
    uint8_t sha256[PS_SHA256_BYTES];
    uint64_t size; /* bytes */
    enum ps_sample_state state;
    struct ps_blob blob;
    uint64_t charge;            /* bytes that it counts against its budget; 0 while waiting or failed */
    uint64_t asked;             /* bytes asked for, from the start */
    uint64_t gap;               /* blob.have for which a lost piece was noticed; UINT64_MAX: none */
    uint64_t heard_ms;          /* last time a piece came or was asked for */
    unsigned attempts;          /* times that it was fetched from the start */
    size_t pins;                /* jobs that need it */
    char type[PS_NAME_MAX + 1]; /* its answer; "" for none */
    char *reason;               /* owned; why it failed; NULL for nothing */
    enum list list;             /* where prev and next lead */
    struct ps_sample *prev, *next;
    UT_hash_handle hh; /* by sha256 */
};

struct ps_cache {
    uint64_t budget[2]; /* bytes, [in memory] */
    uint64_t used[2];   /* bytes, [in memory] */
    uint64_t pinned[2]; /* bytes, [in memory], of samples with pins */
    size_t samples_n;   /* limit */
    char *dir;          /* owned */
    struct ps_sample *by_sha;
    struct ps_sample *lists[LISTS_N]; /* waiting: oldest first; idle: least recently used first */
    size_t in_list[LISTS_N];
    struct ps_cache_stats counted; /* the counters among the stats */
};

static void leave_list(struct ps_cache *self, struct ps_sample *sample)
{
    if (sample->list == LIST_NONE)
        return;

    DL_DELETE(self->lists[sample->list], sample);
    self->in_list[sample->list]--;
    sample->list = LIST_NONE;
}

static void enter_list(struct ps_cache *self, struct ps_sample *sample, enum list list)
{
    leave_list(self, sample);
    DL_APPEND(self->lists[list], sample);
    self->in_list[list]++;
    sample->list = list;
}

static uint64_t charge_of(uint64_t size)
{
    return (size / PAGE_BYTES + 1) * PAGE_BYTES;
}

static void release(struct ps_cache *self, struct ps_sample *sample)
{
    bool memory = ps_blob_in_memory(sample->size);

    self->used[memory] -= sample->charge;
    if (sample->pins > 0)
        self->pinned[memory] -= sample->charge;
    sample->charge = 0;
    ps_blob_fini(&sample->blob);
}

static void charge(struct ps_cache *self, struct ps_sample *sample)
{
    bool memory = ps_blob_in_memory(sample->size);

    sample->charge = charge_of(sample->size);
    self->used[memory] += sample->charge;
    if (sample->pins > 0)
        self->pinned[memory] += sample->charge;
}

static void forget(struct ps_cache *self, struct ps_sample *sample)
{
    release(self, sample);
    leave_list(self, sample);
    HASH_DEL(self->by_sha, sample); // NOLINT(clang-analyzer-core.NullDereference): it is in there
    free(sample->reason);
    free(sample);
}

/* Nobody waits for an idle sample, so none of them is anybody's pointer. */
static bool evict_one(struct ps_cache *self, bool any_kind, bool memory)
{
    struct ps_sample *sample;

    DL_FOREACH (self->lists[LIST_IDLE], sample) {
        if (!any_kind && ps_blob_in_memory(sample->size) != memory)
            continue;
        forget(self, sample);
        self->counted.evicted++;
        return true;
    }
    return false;
}

static bool make_room(struct ps_cache *self, const struct ps_sample *sample)
{
    bool memory = ps_blob_in_memory(sample->size);
    uint64_t wanted = charge_of(sample->size);

    while (self->used[memory] + wanted > self->budget[memory])
        if (!evict_one(self, false, memory))
            return false;
    return true;
}

static void fail(struct ps_cache *self, struct ps_sample *sample, const char *reason)
{
    release(self, sample);
    leave_list(self, sample);
    sample->state = PS_SAMPLE_FAILED;
    free(sample->reason);
    sample->reason = ps_strndup(reason, ps_utf8_cut(reason, strlen(reason), PS_TEXT_MAX));
}

static void succeed(struct ps_cache *self, struct ps_sample *sample)
{
    leave_list(self, sample);
    sample->state = PS_SAMPLE_READY;
}

static void start_over(struct ps_sample *sample)
{
    sample->asked = sample->blob.have;
    sample->gap = UINT64_MAX;
}

/* Puts the blob in place. A worker that is out of descriptors or memory for the moment lets the sample wait, as
 * for room; the first wait ends when a pin is dropped. */
static int begin(struct ps_cache *self, struct ps_sample *sample)
{
    int error = ps_blob_begin(&sample->blob, sample->size, self->dir);

    if (error == PS_ERR_LIMIT && evict_one(self, true, false))
        error = ps_blob_begin(&sample->blob, sample->size, self->dir);
    if (error)
        return error;

    charge(self, sample);
    start_over(sample);
    return 0;
}

/* Bytes that came inside the JOB. False when they can't be used: the sample goes the way of a large one. */
static bool fill(struct ps_cache *self, struct ps_sample *sample, struct ps_bytes bytes)
{
    if (bytes.len != sample->size)
        return false;

    (void)make_room(self, sample); /* beyond the budget all the same: see the header */
    if (begin(self, sample))
        return false;
    if (ps_blob_put(&sample->blob, bytes.at, bytes.len) || ps_blob_finish(&sample->blob, sample->sha256)) {
        release(self, sample);
        return false;
    }

    succeed(self, sample);
    return true;
}

static bool never_fits(const struct ps_cache *self, uint64_t size)
{
    /* In pages: the size is the broker's word, and its charge in bytes may overflow. */
    return size / PAGE_BYTES + 1 > self->budget[ps_blob_in_memory(size)] / PAGE_BYTES;
}

static void queue(struct ps_cache *self, struct ps_sample *sample)
{
    char reason[PS_TEXT_MAX];

    if (sample->size > 0 && !never_fits(self, sample->size)) {
        sample->state = PS_SAMPLE_WAITING;
        enter_list(self, sample, LIST_WAITING);
        return;
    }

    if (sample->size == 0)
        (void)snprintf(reason, sizeof(reason), "a sample of no bytes has another SHA-256 than this");
    else
        (void)snprintf(reason, sizeof(reason), "%llu bytes are over this worker's cache of %llu",
                       (unsigned long long)sample->size,
                       (unsigned long long)self->budget[ps_blob_in_memory(sample->size)]);
    fail(self, sample, reason);
}

static int add(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], uint64_t size,
               struct ps_sample **ret_sample)
{
    while (HASH_COUNT(self->by_sha) >= self->samples_n)
        if (!evict_one(self, true, false))
            return PS_ERR_LIMIT;

    struct ps_sample *sample = PS_NEW(struct ps_sample);
    if (!sample)
        return PS_ERR_NOMEM;

    memcpy(sample->sha256, sha256, PS_SHA256_BYTES);
    sample->size = size;
    sample->blob = PS_BLOB_EMPTY;
    HASH_ADD(hh, self->by_sha, sha256, PS_SHA256_BYTES, sample);
    *ret_sample = sample;
    return 0;
}

static struct ps_sample *find(const struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES])
{
    struct ps_sample *sample;

    HASH_FIND(hh, self->by_sha, sha256, PS_SHA256_BYTES, sample);
    return sample;
}

/* The first pin turns a cached sample into one in use. */
static void take(struct ps_cache *self, struct ps_sample *sample)
{
    if (sample->pins++ > 0)
        return;

    self->pinned[ps_blob_in_memory(sample->size)] += sample->charge;
    if (sample->list == LIST_IDLE)
        leave_list(self, sample);
}

int ps_cache_pin(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], uint64_t size,
                 struct ps_bytes bytes, struct ps_sample **ret_sample)
{
    struct ps_sample *sample = find(self, sha256);
    bool fresh = !sample;
    int error;

    if (sample && sample->size != size)
        return PS_ERR_CONFLICT;
    if (!sample && (error = add(self, sha256, size, &sample)) != 0)
        return error;

    take(self, sample);
    if (sample->state == PS_SAMPLE_READY)
        self->counted.hits++;
    else
        self->counted.misses++;

    /* Also a sample that waits is served by bytes that come along; one on its way goes on. */
    if ((fresh || sample->state == PS_SAMPLE_WAITING) && !fill(self, sample, bytes) && fresh)
        queue(self, sample);
    *ret_sample = sample;
    return 0;
}

void ps_cache_unpin(struct ps_cache *self, struct ps_sample **sample_p)
{
    struct ps_sample *sample = PS_TAKE(*sample_p);

    if (!sample)
        return;
    assert(sample->pins > 0);
    if (--sample->pins > 0)
        return;

    self->pinned[ps_blob_in_memory(sample->size)] -= sample->charge;
    if (sample->state == PS_SAMPLE_READY)
        enter_list(self, sample, LIST_IDLE);
    else
        forget(self, sample);
}

/* In order of arrival: a large sample that does not fit holds the ones behind it, so that it gets its turn. */
static void admit(struct ps_cache *self, uint64_t now_ms)
{
    struct ps_sample *sample;

    while ((sample = self->lists[LIST_WAITING]) && self->in_list[LIST_FETCHING] < PS_CACHE_FETCHES_MAX) {
        if (!make_room(self, sample))
            return;

        int error = begin(self, sample);
        if (error == PS_ERR_LIMIT || error == PS_ERR_NOMEM)
            return;
        if (error) {
            char reason[PS_TEXT_MAX];
            (void)snprintf(reason, sizeof(reason), "no place for %llu bytes at this worker: %s",
                           (unsigned long long)sample->size, ps_err_text(error));
            fail(self, sample, reason);
            enter_list(self, sample, LIST_FAILED);
            continue;
        }
        sample->state = PS_SAMPLE_FETCHING;
        sample->heard_ms = now_ms;
        sample->attempts = 1;
        enter_list(self, sample, LIST_FETCHING);
    }
}

/* Half a window at a time, so that the next piece is on its way while this one comes. */
static bool ask(struct ps_sample *sample, uint64_t window, uint64_t now_ms, struct ps_fetch *ret_fetch)
{
    uint64_t on_way = sample->asked - sample->blob.have;

    if (on_way > 0 && now_ms >= sample->heard_ms + PS_CACHE_RETRY_MS) {
        start_over(sample);
        on_way = 0;
    }
    if (on_way > window / 2 || sample->asked == sample->size)
        return false;

    uint64_t bytes = PS_MIN(window - on_way, sample->size - sample->asked);
    memcpy(ret_fetch->sha256, sample->sha256, PS_SHA256_BYTES);
    ret_fetch->offset = sample->asked;
    ret_fetch->bytes = (uint32_t)bytes;
    sample->asked += bytes;
    if (on_way == 0)
        sample->heard_ms = now_ms;
    return true;
}

bool ps_cache_next_fetch(struct ps_cache *self, uint64_t now_ms, struct ps_fetch *ret_fetch)
{
    struct ps_sample *sample;
    uint64_t window;

    admit(self, now_ms);
    window = PS_CACHE_WINDOW / PS_MAX(self->in_list[LIST_FETCHING], 1);
    window = PS_MAX(window, (uint64_t)PS_CACHE_PART);
    DL_FOREACH (self->lists[LIST_FETCHING], sample) {
        if (ask(sample, window, now_ms, ret_fetch))
            return true;
    }
    return false;
}

/* The bytes are of no use: once more from the start, then the sample is bad. */
static void again(struct ps_cache *self, struct ps_sample *sample, const char *what)
{
    char reason[PS_TEXT_MAX];
    int error = 0;

    release(self, sample);
    if (sample->attempts++ < PS_CACHE_ATTEMPTS && (error = begin(self, sample)) == 0)
        return;

    (void)snprintf(reason, sizeof(reason), "the sample did not arrive whole in %d attempts: %s%s%s",
                   PS_CACHE_ATTEMPTS, what, error ? ", then: " : "", error ? ps_err_text(error) : "");
    fail(self, sample, reason);
}

static void arrived(struct ps_cache *self, struct ps_sample *sample, struct ps_bytes bytes)
{
    int error = ps_blob_put(&sample->blob, bytes.at, bytes.len);

    if (!error && sample->blob.have < sample->size)
        return;
    if (!error)
        error = ps_blob_finish(&sample->blob, sample->sha256);

    if (error == PS_ERR_CORRUPT)
        again(self, sample, "its SHA-256 is another one");
    else if (error)
        again(self, sample, ps_err_text(error));
    else
        succeed(self, sample);
}

void ps_cache_chunk(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], uint64_t offset,
                    uint64_t size, struct ps_bytes bytes, uint64_t now_ms, struct ps_sample **ret_settled)
{
    struct ps_sample *sample = find(self, sha256);

    *ret_settled = NULL;
    if (!sample || sample->state != PS_SAMPLE_FETCHING)
        return;
    if (size != sample->size) {
        fail(self, sample, "its size is another one than the job says");
        *ret_settled = sample;
        return;
    }
    uint64_t have = sample->blob.have;
    /* A hole: what comes behind it was asked for in vain. Once per hole, or each further piece would ask again. */
    if (offset > have && sample->gap != have) {
        start_over(sample);
        sample->gap = have;
    }
    if (offset > have || bytes.len > sample->size - offset || offset + bytes.len <= have)
        return;

    size_t known = (size_t)(have - offset);
    sample->heard_ms = now_ms;
    self->counted.fetched_bytes += bytes.len - known;
    arrived(self, sample, (struct ps_bytes){bytes.at + known, bytes.len - known});
    if (sample->state != PS_SAMPLE_FETCHING)
        *ret_settled = sample;
}

void ps_cache_gone(struct ps_cache *self, const uint8_t sha256[PS_SHA256_BYTES], struct ps_bytes reason,
                   struct ps_sample **ret_settled)
{
    struct ps_sample *sample = find(self, sha256);
    char text[PS_TEXT_MAX + 1];

    *ret_settled = NULL;
    if (!sample || (sample->state != PS_SAMPLE_FETCHING && sample->state != PS_SAMPLE_WAITING))
        return;

    (void)snprintf(text, sizeof(text), "%.*s", (int)PS_MIN(reason.len, PS_TEXT_MAX), (const char *)reason.at);
    fail(self, sample, text[0] ? text : "the sample can't be had");
    *ret_settled = sample;
}

struct ps_sample *ps_cache_next_failed(struct ps_cache *self)
{
    struct ps_sample *sample = self->lists[LIST_FAILED];

    if (sample)
        leave_list(self, sample);
    return sample;
}

void ps_cache_rewind(struct ps_cache *self)
{
    struct ps_sample *sample;

    DL_FOREACH (self->lists[LIST_FETCHING], sample)
        start_over(sample);
}

uint64_t ps_cache_due_ms(const struct ps_cache *self)
{
    uint64_t due_ms = UINT64_MAX;
    const struct ps_sample *sample;

    DL_FOREACH (self->lists[LIST_FETCHING], sample)
        due_ms = PS_MIN(due_ms, sample->heard_ms + PS_CACHE_RETRY_MS);
    return due_ms;
}

bool ps_cache_pressed(const struct ps_cache *self)
{
    return self->in_list[LIST_WAITING] > 0 && self->in_list[LIST_FETCHING] < PS_CACHE_FETCHES_MAX;
}

void ps_cache_stats(const struct ps_cache *self, struct ps_cache_stats *ret_stats)
{
    *ret_stats = self->counted;
    ret_stats->memory_bytes = self->used[true];
    ret_stats->disk_bytes = self->used[false];
    ret_stats->pinned_memory_bytes = self->pinned[true];
    ret_stats->pinned_disk_bytes = self->pinned[false];
    ret_stats->samples_n = HASH_COUNT(self->by_sha);
    ret_stats->waiting_n = self->in_list[LIST_WAITING];
}

int ps_cache_new(struct ps_cache **ret_self, const struct ps_cache_conf *conf)
{
    if (conf->memory_bytes == 0 || conf->disk_bytes == 0 || conf->samples_n == 0)
        return PS_ERR_INVALID;

    PS_CLEANUP(ps_cache_free) struct ps_cache *self = PS_NEW(struct ps_cache);
    if (!self)
        return PS_ERR_NOMEM;

    self->budget[true] = conf->memory_bytes;
    self->budget[false] = conf->disk_bytes;
    self->samples_n = PS_MIN(conf->samples_n, PS_CACHE_SAMPLES_MAX);
    self->dir = ps_strndup(conf->dir, strlen(conf->dir));
    if (!self->dir)
        return PS_ERR_NOMEM;

    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_cache_free(struct ps_cache **self_p)
{
    struct ps_cache *self = PS_TAKE(*self_p);
    struct ps_sample *sample, *next;

    if (!self)
        return;
    HASH_ITER (hh, self->by_sha, sample, next)
        forget(self, sample);
    free(self->dir);
    free(self);
}

/* ---- one sample ---- */

enum ps_sample_state ps_sample_state(const struct ps_sample *sample)
{
    return sample->state;
}

const char *ps_sample_reason(const struct ps_sample *sample)
{
    return sample->reason ? sample->reason : "";
}

const uint8_t *ps_sample_sha256(const struct ps_sample *sample)
{
    return sample->sha256;
}

uint64_t ps_sample_size(const struct ps_sample *sample)
{
    return sample->size;
}

int ps_sample_fd(const struct ps_sample *sample)
{
    return sample->state == PS_SAMPLE_READY ? sample->blob.fd : -1;
}

const char *ps_sample_type(const struct ps_sample *sample)
{
    return sample->type;
}

void ps_sample_set_type(struct ps_sample *sample, const char *mime)
{
    (void)snprintf(sample->type, sizeof(sample->type), "%s", mime); /* the wire's limit is the same */
}
