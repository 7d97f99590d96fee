/* tests/unit/ingest_kit.h: what ingest's tests share: a database, a store, a running ingest, and requests that one
 * can wait for. */
#ifndef PS_TESTS_INGEST_KIT_H
#define PS_TESTS_INGEST_KIT_H

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "db/store/store.h"
#include "master/ingest/ingest.h"
#include "tests/pg/testpg.h"
#include "tests/unit/unit.h"

#define KIT_WAIT_MS 60000

struct kit {
    struct ps_testpg *pg;
    struct ps_store *store;
    struct ps_ingest *ingest;
    struct ps_mailbox *done; /* requests that have been answered */
    atomic_uint bands;       /* of all news */
    atomic_uint_fast64_t scans, submissions, stale;
};

static inline void kit_done(struct ps_ingest_request *request)
{
    struct kit *kit = request->arg;

    assert(ps_mailbox_send(kit->done, request) == 0);
}

static inline void kit_news(void *arg, const struct ps_ingest_news *news)
{
    struct kit *kit = arg;

    atomic_fetch_or(&kit->bands, news->bands);
    atomic_fetch_add(&kit->scans, news->scans_n);
    atomic_fetch_add(&kit->submissions, news->submissions_n);
}

static inline void kit_stale(void *arg, uint64_t epoch)
{
    struct kit *kit = arg;

    atomic_store(&kit->stale, epoch);
}

/* On a busy machine syncfs waits for what everyone else has written; its place in the order is store_order's. */
static inline int kit_no_syncfs(int fd)
{
    (void)fd;
    return 0;
}

/* io: NULL for the system's, but for syncfs. The database's epoch is 1, and so is ingest's. */
static inline struct kit *kit_new(bool fsync, const struct ps_store_io *io)
{
    static struct ps_store_io quick_io;
    struct kit *kit = PS_NEW(struct kit);
    struct ps_ingest_config config = {.news = kit_news, .stale = kit_stale, .arg = kit};
    char path[UNIT_PATH_MAX];
    struct ps_error error;

    assert_non_null(kit);
    quick_io = ps_store_io_system;
    quick_io.syncfs = kit_no_syncfs;
    kit->pg = ps_testpg_start_migrated(fsync);
    ps_testpg_sql(kit->pg, "update master_epoch set epoch = 1");
    assert_int_equal(ps_store_open(&kit->store, unit_path(path, ps_testpg_dir(kit->pg), "store"),
                                   PS_STORE_SYNC_GROUP, io ? io : &quick_io, &error),
                     0);
    assert_int_equal(ps_mailbox_new(&kit->done, 20000), 0);
    config.conninfo = ps_testpg_conninfo(kit->pg);
    config.store = kit->store;
    assert_int_equal(ps_ingest_start(&kit->ingest, &config, &error), 0);
    ps_ingest_set_epoch(kit->ingest, 1);
    return kit;
}

static inline void kit_free(struct kit *kit)
{
    ps_ingest_stop(&kit->ingest);
    ps_store_close(&kit->store);
    ps_testpg_free(&kit->pg);
    ps_mailbox_free(&kit->done, NULL);
    free(kit);
}

/* The next request that has been answered. */
static inline struct ps_ingest_request *kit_wait(struct kit *kit)
{
    void *msg = NULL;

    assert_int_equal(ps_mailbox_wait(kit->done, &msg, KIT_WAIT_MS), 0);
    return msg;
}

/* Sends a request and waits for its answer, which is returned. */
static inline int kit_ask(struct kit *kit, struct ps_ingest_request *request)
{
    request->arg = kit;
    request->done = kit_done;
    request->owner_id = request->team_id = 1;
    assert_int_equal(ps_ingest_send(kit->ingest, request), 0);
    assert_ptr_equal(kit_wait(kit), request);
    return request->code;
}

/* Appends one file to a batch's body. header: JSON without n and size, like "\"name\":\"a\"". */
static inline void kit_put(struct ps_buf *body, unsigned n, const char *header, const void *data, size_t len)
{
    PS_FREE char *json = ps_strf("{\"n\":%u,\"size\":%zu,%s}", n, len, header);
    uint32_t wire = htobe32((uint32_t)strlen(json));

    ps_buf_put(body, &wire, sizeof(wire));
    ps_buf_put(body, json, strlen(json));
    ps_buf_put(body, data, len);
    assert_int_equal(ps_buf_error(body), 0);
}

static inline struct ps_ingest_request kit_body(const struct ps_buf *body, const char *key)
{
    return (struct ps_ingest_request){
        .kind = PS_INGEST_BODY, .body = {body->data, body->len}, .idempotency_key = key};
}

/* A batch with one file per text; the answer's code. */
static inline int kit_submit(struct kit *kit, const char *const *texts, size_t n, const char *options,
                             struct ps_ingest_request *ret_request)
{
    struct ps_buf body;
    int code;

    ps_buf_init(&body, PS_BATCH_BYTES);
    for (size_t i = 0; i < n; i++) {
        PS_FREE char *header = ps_strf("\"name\":\"file %zu\"%s", i, options);

        kit_put(&body, (unsigned)i, header, texts[i], strlen(texts[i]));
    }
    *ret_request = kit_body(&body, NULL);
    code = kit_ask(kit, ret_request);
    ps_buf_fini(&body);
    return code;
}

static inline long long kit_count(struct kit *kit, const char *table)
{
    PS_FREE char *sql = ps_strf("select count(*) from %s", table);

    return ps_testpg_one(kit->pg, sql);
}

#endif
