#include "master/scan/keep.h"

#include <pthread.h>
#include <stdio.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/pg.h"
#include "db/store/keep.h"
#include "db/store/store.h"

#define WORDS_AT_ONCE 256
#define BUSY_MS       250 /* between two looks at what should have come */
#define REST_MS       1000
#define RETRY_MS      1000 /* after a failure of the database */

enum state { WAITS, ARRIVES, COMPLETE };

struct worker {
    unsigned broker;
    uint64_t peer;
};

struct file {
    uint8_t sha256[PS_SHA256_BYTES]; /* key */
    uint64_t size;
    enum state state;
    struct ps_store_file bytes;
    uint32_t asked;                         /* bytes on their way */
    uint64_t moved_ms;                      /* when it was asked for, or a piece came */
    struct worker workers[PS_KEEP_WORKERS]; /* the first is asked */
    size_t workers_n;
    UT_hash_handle hh; /* in the order of arrival */
};

struct ps_keep {
    struct ps_hub *hub; /* lent */
    struct ps_pg *pg;
    pthread_t thread;
    bool started;
    uint64_t epoch;              /* that store is open for; 0: none */
    struct ps_store_keep *store; /* NULL while this master does not lead */
    struct file *files;
    size_t flight; /* sum of asked */
    size_t complete_n;
    uint64_t swept_ms, retry_ms;
    bool failing; /* logged once */
};

int ps_keep_new(struct ps_keep **ret_self, struct ps_hub *hub, const char *conninfo, const char *app)
{
    PS_CLEANUP(ps_keep_free) struct ps_keep *self = PS_NEW(struct ps_keep);

    if (!self)
        return PS_ERR_NOMEM;
    self->hub = hub;
    if (ps_pg_new(&self->pg, conninfo, app) < 0)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

/* ---- files ---- */

static void unask(struct ps_keep *self, struct file *file)
{
    self->flight -= file->asked;
    file->asked = 0;
}

/* Its bytes go, it stays. */
static void begin_anew(struct ps_keep *self, struct file *file)
{
    unask(self, file);
    self->complete_n -= file->state == COMPLETE;
    if (file->state != WAITS)
        ps_store_keep_drop(self->store, &file->bytes);
    file->state = WAITS;
}

static void drop(struct ps_keep *self, struct file *file)
{
    begin_anew(self, file);
    HASH_DEL(self->files, file);
    free(file);
}

static void drop_all(struct ps_keep *self)
{
    struct file *file, *next;

    HASH_ITER (hh, self->files, file, next)
        drop(self, file);
}

void ps_keep_free(struct ps_keep **self_p)
{
    struct ps_keep *self = PS_TAKE(*self_p);

    if (!self)
        return;
    ps_keep_join(self);
    drop_all(self);
    ps_store_keep_free(&self->store);
    ps_pg_free(&self->pg);
    free(self);
}

/* ---- what is said ---- */

/* Without memory or room it is not said, and the worker asks again. */
static void say(struct ps_keep *self, const struct worker *to, const struct ps_reply *reply)
{
    struct ps_reply *copy = PS_NEW(struct ps_reply);

    if (!copy)
        return;
    *copy = *reply;
    copy->peer = to->peer;
    copy->epoch = self->epoch;
    if (ps_mailbox_send(self->hub->lines[to->broker].replies, copy) < 0)
        free(copy);
}

static void say_kept(struct ps_keep *self, const struct worker *to, const uint8_t sha256[PS_SHA256_BYTES],
                     const char *reason)
{
    struct ps_reply reply = {.kept = true};

    memcpy(reply.sha256, sha256, PS_SHA256_BYTES);
    (void)snprintf(reply.reason, sizeof(reply.reason), "%s", reason); /* cut is readable */
    say(self, to, &reply);
}

static void settle_file(struct ps_keep *self, struct file *file, const char *reason)
{
    for (size_t i = 0; i < file->workers_n; i++)
        say_kept(self, &file->workers[i], file->sha256, reason);
    if (reason[0])
        ps_log(PS_LOG_WARN, "file-refused", "size=%llu why=%s", (unsigned long long)file->size,
               PS_LOGQ(reason));
    drop(self, file);
}

/* The worker that was asked does not have it, or not it: the next one is. */
static void forget_worker(struct ps_keep *self, struct file *file)
{
    begin_anew(self, file);
    file->workers_n--;
    memmove(&file->workers[0], &file->workers[1], file->workers_n * sizeof(file->workers[0]));
    if (file->workers_n == 0)
        drop(self, file);
}

static void refuse_write(struct ps_keep *self, struct file *file, int code)
{
    if (code == PS_ERR_NOSPACE)
        settle_file(self, file, "the store is full");
    else
        settle_file(self, file, "the store could not be written");
}

static void complete(struct ps_keep *self, struct file *file)
{
    int code = ps_store_keep_end(self->store, &file->bytes);

    if (code) {
        refuse_write(self, file, code);
        return;
    }
    if (memcmp(file->bytes.sha256, file->sha256, PS_SHA256_BYTES) != 0) {
        say_kept(self, &file->workers[0], file->sha256, "its bytes are not those of its hash");
        forget_worker(self, file);
        return;
    }
    file->state = COMPLETE;
    self->complete_n++;
}

/* Asks for the next part of it, if there is room. False: there is none. */
static bool ask(struct ps_keep *self, struct file *file, uint64_t now_ms)
{
    uint64_t left = file->size - file->bytes.have;
    struct ps_reply reply = {.offset = file->bytes.have,
                             .bytes = (uint32_t)PS_MIN(left, (uint64_t)PS_KEEP_PART)};

    if (self->flight + reply.bytes > PS_KEEP_FLIGHT)
        return false;
    memcpy(reply.sha256, file->sha256, PS_SHA256_BYTES);
    file->asked = reply.bytes;
    file->moved_ms = now_ms;
    self->flight += reply.bytes;
    say(self, &file->workers[0], &reply);
    return true;
}

static void begin(struct ps_keep *self, struct file *file)
{
    struct ps_error error = {0};
    int code = ps_store_room(self->hub->store, file->size, &error);

    file->bytes = (struct ps_store_file){.fd = -1};
    if (!code)
        code = ps_store_keep_begin(self->store, &file->bytes, &error);
    if (code) {
        refuse_write(self, file, code);
        return;
    }
    file->state = ARRIVES;
    if (file->size == 0)
        complete(self, file);
}

/* In order of arrival, as far as there is room. */
static void ask_all(struct ps_keep *self, uint64_t now_ms)
{
    struct file *file, *next;

    HASH_ITER (hh, self->files, file, next) {
        if (self->flight + PS_CHUNK_MAX > PS_KEEP_FLIGHT)
            return;
        bool arrives = file->state == ARRIVES;
        if (file->state == WAITS) {
            uint8_t sha256[PS_SHA256_BYTES];
            memcpy(sha256, file->sha256, sizeof(sha256));
            begin(self, file); /* it may be gone then */
            HASH_FIND(hh, self->files, sha256, PS_SHA256_BYTES, file);
            arrives = file && file->state == ARRIVES;
        }
        if (arrives && file->asked == 0 && !ask(self, file, now_ms))
            return;
    }
}

/* ---- what is heard ---- */

static struct file *find(struct ps_keep *self, const uint8_t sha256[PS_SHA256_BYTES])
{
    struct file *file;

    HASH_FIND(hh, self->files, sha256, PS_SHA256_BYTES, file);
    return file;
}

static void take_piece(struct ps_keep *self, const struct ps_word *word, uint64_t now_ms)
{
    struct file *file = find(self, word->sha256);
    int code;

    if (!file || file->state != ARRIVES || file->workers[0].peer != word->peer ||
        file->workers[0].broker != word->broker || word->offset != file->bytes.have ||
        word->len > file->asked)
        return; /* of an older question */
    file->asked -= (uint32_t)word->len;
    self->flight -= word->len;
    file->moved_ms = now_ms;
    code = ps_store_keep_put(self->store, &file->bytes, word->data, word->len);
    if (code)
        refuse_write(self, file, code);
    else if (file->bytes.have == file->size)
        complete(self, file);
}

static void add_worker(struct ps_keep *self, struct file *file, const struct ps_word *word)
{
    for (size_t i = 0; i < file->workers_n; i++) {
        if (file->workers[i].peer != word->peer || file->workers[i].broker != word->broker)
            continue;
        if (i == 0) /* it says so again: what was asked of it is lost */
            unask(self, file);
        return;
    }
    if (file->workers_n < PS_KEEP_WORKERS)
        file->workers[file->workers_n++] = (struct worker){word->broker, word->peer};
}

/* A file that is not in the store. */
static void admit(struct ps_keep *self, const struct ps_word *word)
{
    const struct worker worker = {word->broker, word->peer};
    struct file *file = find(self, word->sha256);

    if (file) {
        if (file->size == word->size)
            add_worker(self, file, word);
        return;
    }
    if (word->size > PS_FILE_MAX) {
        say_kept(self, &worker, word->sha256, "it is larger than any that is kept");
        return;
    }
    if (HASH_COUNT(self->files) >= PS_KEEP_FILES_N || !(file = PS_NEW(struct file)))
        return;
    memcpy(file->sha256, word->sha256, PS_SHA256_BYTES);
    file->size = word->size;
    file->bytes.fd = -1;
    file->workers[file->workers_n++] = worker;
    HASH_ADD(hh, self->files, sha256, PS_SHA256_BYTES, file);
}

static void database_failed(struct ps_keep *self, const struct ps_error *error)
{
    if (!self->failing)
        ps_log(PS_LOG_ERROR, "keep-stopped", "files=%u detail=%s", HASH_COUNT(self->files),
               PS_LOGQ(error->text));
    self->failing = true;
    self->retry_ms = ps_clock_mono_ms() + RETRY_MS;
}

static bool is_among(const PGresult *rows, const uint8_t sha256[PS_SHA256_BYTES])
{
    for (int row = 0; row < ps_row_n(rows); row++) {
        struct ps_bytes known = ps_row_bytes(rows, row, 0);
        if (known.len == PS_SHA256_BYTES && memcmp(known.at, sha256, PS_SHA256_BYTES) == 0)
            return true;
    }
    return false;
}

/* KEEPs: what is there is kept, the rest will be asked for. Without the database they are not heard. */
static void take_keeps(struct ps_keep *self, struct ps_word *const *words, size_t n)
{
    PS_CLEANUP(ps_pg_clear) PGresult *rows = NULL;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_PG_ARRAY struct ps_pg_array names;
    struct ps_error error = {0};

    ps_pg_params_init(&params);
    ps_pg_array_init(&names, PS_PG_BYTEA);
    for (size_t i = 0; i < n; i++)
        ps_pg_array_bytes(&names, words[i]->sha256, PS_SHA256_BYTES);
    ps_pg_put_array(&params, &names);
    if (ps_pg_exec(self->pg, PS_Q_KEEP_KNOWN, &params, &rows, &error) < 0) {
        database_failed(self, &error);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct worker worker = {words[i]->broker, words[i]->peer};
        if (is_among(rows, words[i]->sha256))
            say_kept(self, &worker, words[i]->sha256, "");
        else
            admit(self, words[i]);
    }
}

static void take_words(struct ps_keep *self, struct ps_word **words, size_t n, uint64_t now_ms)
{
    struct ps_word *keeps[WORDS_AT_ONCE];
    size_t keeps_n = 0;

    for (size_t i = 0; i < n; i++) {
        if (words[i]->epoch != self->epoch || self->epoch == 0)
            continue;
        if (words[i]->piece)
            take_piece(self, words[i], now_ms);
        else
            keeps[keeps_n++] = words[i];
    }
    if (keeps_n > 0)
        take_keeps(self, keeps, keeps_n);
}

/* ---- durable ---- */

/* In our epoch or not at all, as collect does. */
static int write_rows(struct ps_keep *self, struct file *const *files, size_t n, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params epoch, params;
    PS_PG_ARRAY struct ps_pg_array names, sizes;
    struct ps_pg_step steps[] = {
        {.query = PS_Q_COLLECT_EPOCH, .params = &epoch},
        {.query = PS_Q_KEEP_ADD, .params = &params},
    };
    int r;

    ps_pg_params_init(&epoch);
    ps_pg_params_init(&params);
    ps_pg_array_init(&names, PS_PG_BYTEA);
    ps_pg_array_init(&sizes, PS_PG_INT8);
    ps_pg_put_i64(&epoch, (int64_t)self->epoch);
    for (size_t i = 0; i < n; i++) {
        ps_pg_array_bytes(&names, files[i]->sha256, PS_SHA256_BYTES);
        ps_pg_array_i64(&sizes, (int64_t)files[i]->size);
    }
    ps_pg_put_array(&params, &names);
    ps_pg_put_array(&params, &sizes);
    if ((r = ps_pg_begin(self->pg, reterr)) < 0)
        return r;
    r = ps_pg_run(self->pg, steps, PS_ARRAY_N(steps), false, NULL, reterr);
    if (r == 0 && ps_row_n(steps[0].result) == 0)
        r = ps_error_set(reterr, PS_ERR_STALE, "another master leads");
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    if (r < 0) {
        ps_pg_rollback(self->pg);
        return r;
    }
    return ps_pg_commit(self->pg, reterr);
}

static size_t list_complete(struct ps_keep *self, struct file **ret_files)
{
    struct file *file, *next;
    size_t n = 0;

    HASH_ITER (hh, self->files, file, next)
        if (file->state == COMPLETE && n < PS_KEEP_TOGETHER)
            ret_files[n++] = file;
    return n;
}

/* After a failure of the disk nothing that was written since the last success can be believed. */
static void disk_failed(struct ps_keep *self, int code, const struct ps_error *error)
{
    struct file *file, *next;

    ps_log(PS_LOG_ERROR, "files-not-stored", "files=%u detail=%s", HASH_COUNT(self->files),
           PS_LOGQ(error->text));
    HASH_ITER (hh, self->files, file, next)
        if (file->state != WAITS)
            refuse_write(self, file, code);
}

/* What is complete becomes durable, and then its workers hear of it. */
static void settle(struct ps_keep *self)
{
    struct file *files[PS_KEEP_TOGETHER];
    struct ps_store_file *bytes[PS_KEEP_TOGETHER];
    struct ps_error error = {0};
    size_t n = list_complete(self, files), new_n = 0;
    int r;

    if (n == 0 || ps_clock_mono_ms() < self->retry_ms)
        return;
    for (size_t i = 0; i < n; i++)
        if (files[i]->bytes.serial) /* else it is in place, and waits for the database */
            bytes[new_n++] = &files[i]->bytes;
    if ((r = ps_store_keep_sync(self->store, bytes, new_n, &error))) {
        disk_failed(self, r, &error);
        return;
    }
    for (size_t i = 0; i < new_n; i++)
        bytes[i]->serial = 0;
    if ((r = write_rows(self, files, n, &error))) {
        database_failed(self, &error);
        if (r == PS_ERR_STALE)
            ps_hub_suspect(self->hub, self->epoch);
        return;
    }
    self->failing = false;
    for (size_t i = 0; i < n; i++)
        settle_file(self, files[i], "");
}

/* ---- the sweep ---- */

static int remove_rows_and_files(struct ps_keep *self, int *ret_n, struct ps_error *reterr)
{
    PS_PG_PARAMS struct ps_pg_params epoch;
    struct ps_pg_step steps[] = {
        {.query = PS_Q_COLLECT_EPOCH, .params = &epoch},
        {.query = PS_Q_KEEP_SWEEP},
    };
    int r;

    ps_pg_params_init(&epoch);
    ps_pg_put_i64(&epoch, (int64_t)self->epoch);
    if ((r = ps_pg_begin(self->pg, reterr)) < 0)
        return r;
    r = ps_pg_run(self->pg, steps, PS_ARRAY_N(steps), false, NULL, reterr);
    if (r == 0 && ps_row_n(steps[0].result) == 0)
        r = ps_error_set(reterr, PS_ERR_STALE, "another master leads");
    *ret_n = r == 0 ? ps_row_n(steps[1].result) : 0;
    /* Before COMMIT: a file without a row would be stored anew; a row that came back has none only after a crash in
     * between, and then its download says so. */
    for (int row = 0; row < *ret_n; row++) {
        struct ps_bytes sha256 = ps_row_bytes(steps[1].result, row, 0);
        if (sha256.len == PS_SHA256_BYTES)
            (void)ps_store_keep_remove(self->store, sha256.at); /* gone already, or stays as a leftover */
    }
    ps_pg_steps_clear(steps, PS_ARRAY_N(steps));
    if (r < 0) {
        ps_pg_rollback(self->pg);
        return r;
    }
    return ps_pg_commit(self->pg, reterr);
}

static void sweep(struct ps_keep *self, uint64_t now_ms)
{
    struct ps_error error = {0};
    int n = 0;

    if (now_ms < self->swept_ms + PS_KEEP_SWEEP_MS && self->swept_ms > 0)
        return;
    self->swept_ms = now_ms;
    if (remove_rows_and_files(self, &n, &error) < 0)
        database_failed(self, &error);
    else if (n > 0)
        ps_log(PS_LOG_INFO, "files-swept", "n=%d", n);
}

/* ---- the thread ---- */

static void follow_epoch(struct ps_keep *self)
{
    uint64_t epoch = ps_hub_epoch(self->hub);
    struct ps_error error = {0};

    if (epoch == self->epoch && (epoch == 0 || self->store))
        return;
    drop_all(self);
    ps_store_keep_free(&self->store);
    self->epoch = 0;
    if (epoch == 0 || !self->hub->store)
        return;
    if (ps_store_keep_new(self->hub->store, epoch, &self->store, &error) < 0) {
        if (!self->failing)
            ps_log(PS_LOG_ERROR, "keep-stopped", "detail=%s", PS_LOGQ(error.text));
        self->failing = true;
        return;
    }
    self->epoch = epoch;
}

static void look_for_stale(struct ps_keep *self, uint64_t now_ms)
{
    struct file *file, *next;

    HASH_ITER (hh, self->files, file, next)
        if (file->state == ARRIVES && file->asked > 0 && now_ms >= file->moved_ms + PS_KEEP_STALE_MS)
            forget_worker(self, file);
}

static void turn(struct ps_keep *self)
{
    struct ps_word *words[WORDS_AT_ONCE];
    size_t n;
    uint64_t now_ms = ps_clock_mono_ms();

    follow_epoch(self);
    n = ps_mailbox_take(self->hub->words, (void **)words, WORDS_AT_ONCE);
    take_words(self, words, n, now_ms);
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    if (self->epoch == 0)
        return;
    ask_all(self, now_ms);
    if (self->complete_n >= PS_KEEP_TOGETHER || ps_mailbox_n(self->hub->words) == 0)
        settle(self);
    look_for_stale(self, now_ms);
    sweep(self, now_ms);
}

/* What is complete is settled at once, unless the database has just failed. */
static int rest_ms(const struct ps_keep *self)
{
    if (self->complete_n > 0 && ps_clock_mono_ms() >= self->retry_ms)
        return 0;
    return self->files ? BUSY_MS : REST_MS;
}

static void *run(void *arg)
{
    struct ps_keep *self = arg;

    while (!ps_hub_stopping(self->hub)) {
        turn(self);
        (void)ps_hub_wait(self->hub, ps_mailbox_fd(self->hub->words), rest_ms(self));
    }
    return NULL;
}

int ps_keep_start(struct ps_keep *self)
{
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        return PS_ERR_NOMEM;
    self->started = true;
    return 0;
}

void ps_keep_join(struct ps_keep *self)
{
    if (self->started)
        (void)pthread_join(self->thread, NULL); /* fails only for a thread that is not ours */
    self->started = false;
}
