/* Samples read for workers: each in order, all in turn. */
#include "unit.h"

#include "base/hash.h"
#include "base/mem.h"
#include "db/store/store.h"
#include "master/scan/feed.h"

static const char *const broker = "ipc:///broker.sock";

#define SAMPLE_BYTES (8 * PS_CHUNK_MAX)
#define WAIT_MS      20000 /* only a failure waits so long */

struct fixture {
    struct ps_hub *hub;
    struct ps_feed *feed;
    char *dir;
    uint8_t *bytes;
    uint8_t sha256[2][PS_SHA256_BYTES]; /* of two samples, filled with 'a' and 'b' */
};

static void store_samples(struct fixture *f)
{
    struct ps_store_batch *batch = NULL;

    assert_int_equal(ps_store_batch_new(f->hub->store, &batch, NULL), 0);
    for (int i = 0; i < 2; i++) {
        memset(f->bytes, 'a' + i, SAMPLE_BYTES);
        assert_int_equal(ps_sha256(f->sha256[i], f->bytes, SAMPLE_BYTES), 0);
        assert_int_equal(ps_store_batch_put(batch, f->sha256[i], f->bytes, SAMPLE_BYTES, NULL), 0);
    }
    assert_int_equal(ps_store_batch_sync(batch, NULL), 0);
    ps_store_batch_keep(batch);
    ps_store_batch_free(&batch);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[UNIT_PATH_MAX];

    f->dir = unit_dir_make();
    f->bytes = malloc(SAMPLE_BYTES);
    assert_int_equal(ps_hub_new(&f->hub, &broker, 1), 0);
    assert_int_equal(
        ps_store_open(&f->hub->store, unit_path(path, f->dir, "store"), PS_STORE_SYNC_AUTO, NULL, NULL), 0);
    assert_int_equal(ps_store_set_epoch(f->hub->store, 1, NULL), 0);
    store_samples(f);
    assert_int_equal(ps_feed_new(&f->feed, f->hub, 0), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_hub_stop(f->hub);
    ps_feed_free(&f->feed);
    ps_store_close(&f->hub->store);
    ps_hub_free(&f->hub);
    unit_dir_remove(f->dir);
    free(f->bytes);
    free(f);
    return 0;
}

static void wish(struct fixture *f, int sample, uint64_t peer, uint64_t offset, uint32_t bytes)
{
    struct ps_wish *wish = PS_NEW(struct ps_wish);

    *wish = (struct ps_wish){.peer = peer, .offset = offset, .bytes = bytes, .fd = -1};
    memcpy(wish->sha256, f->sha256[sample], PS_SHA256_BYTES);
    assert_int_equal(ps_mailbox_send(f->hub->lines[0].wishes, wish), 0);
}

/* As link would: the next piece. Free it. */
static struct ps_piece *next_piece(struct fixture *f)
{
    void *piece = NULL;

    while (ps_mailbox_take(f->hub->lines[0].pieces, &piece, 1) == 0)
        assert_false(ps_hub_wait(f->hub, ps_mailbox_fd(f->hub->lines[0].pieces), WAIT_MS));
    if (atomic_exchange(&f->hub->lines[0].pieces_full, false))
        ps_hub_signal(f->hub->lines[0].feed_fd);
    return piece;
}

/* Two samples, each asked for in pieces of different length while others are under way, by two workers. */
static void pieces_of_a_sample_keep_their_order(void **state)
{
    struct fixture *f = *state;
    uint64_t expected[2][2] = {{0}};
    unsigned pieces_n = 2 * 2 * (SAMPLE_BYTES / PS_CHUNK_MAX), switches_n = 0, last = 0;

    for (uint64_t peer = 1; peer <= 2; peer++)
        for (int sample = 0; sample < 2; sample++)
            for (uint64_t at = 0, n = 4 * PS_CHUNK_MAX; at < SAMPLE_BYTES; at += n, n = PS_CHUNK_MAX)
                wish(f, sample, peer, at, (uint32_t)n);
    assert_int_equal(ps_feed_start(f->feed), 0);

    for (unsigned i = 0; i < pieces_n; i++) {
        PS_FREE struct ps_piece *piece = next_piece(f);
        unsigned sample = memcmp(piece->sha256, f->sha256[1], PS_SHA256_BYTES) == 0,
                 stream = (unsigned)(piece->peer * 2 + sample);

        assert_string_equal(piece->reason, "");
        assert_int_equal(piece->offset, expected[piece->peer - 1][sample]);
        assert_int_equal(piece->data[0], 'a' + sample);
        assert_int_equal(piece->data[piece->len - 1], 'a' + sample);
        expected[piece->peer - 1][sample] += piece->len;
        switches_n += stream != last;
        last = stream;
    }
    assert_true(switches_n > pieces_n / 2); /* and none of them holds up the others */
}

static void what_is_not_there_is_gone(void **state)
{
    struct fixture *f = *state;
    PS_FREE struct ps_piece *piece = NULL;

    wish(f, 0, 1, SAMPLE_BYTES, 1);
    assert_int_equal(ps_feed_start(f->feed), 0);
    piece = next_piece(f);
    assert_string_equal(piece->reason, "there are no such bytes in the sample");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(pieces_of_a_sample_keep_their_order),
        T(what_is_not_there_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
