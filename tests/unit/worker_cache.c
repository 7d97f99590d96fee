#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "worker/blob.h"
#include "worker/cache.h"

#define KIB 1024U
#define MIB (1024U * KIB)

struct fixture {
    char *dir;
    struct ps_cache *cache;
};

static const struct ps_bytes nothing = {NULL, 0};

static struct ps_cache *make(const char *dir, uint64_t memory, uint64_t disk, size_t samples)
{
    struct ps_cache_conf conf = {
        .memory_bytes = memory, .disk_bytes = disk, .samples_n = samples, .dir = dir};
    struct ps_cache *cache = NULL;

    assert_int_equal(ps_cache_new(&cache, &conf), 0);
    return cache;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = unit_dir_make();
    f->cache = make(f->dir, 8 * MIB, 256ULL * MIB, 100);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    ps_cache_free(&f->cache);
    unit_dir_remove(f->dir);
    free(f);
    return 0;
}

/* A sample of len bytes that differ from those of another seed. */
struct bytes {
    uint8_t *at;
    size_t len;
    uint8_t sha[PS_SHA256_BYTES];
};

static struct bytes content(size_t len, unsigned seed)
{
    struct bytes b = {.at = malloc(len + 1), .len = len};

    assert_non_null(b.at);
    for (size_t i = 0; i < len; i++)
        b.at[i] = (uint8_t)(i * 31 + i / 251 + seed * 97);
    if (len >= sizeof(seed))
        memcpy(b.at, &seed, sizeof(seed));
    assert_int_equal(ps_sha256(b.sha, b.at, len), 0);
    return b;
}

static struct ps_sample *pin(struct ps_cache *cache, const struct bytes *b, bool with_bytes)
{
    struct ps_sample *sample = NULL;

    assert_int_equal(
        ps_cache_pin(cache, b->sha, b->len, with_bytes ? (struct ps_bytes){b->at, b->len} : nothing, &sample),
        0);
    return sample;
}

static struct ps_sample *chunk(struct ps_cache *cache, const struct bytes *b, size_t offset, size_t len)
{
    struct ps_sample *settled = NULL;

    ps_cache_chunk(cache, b->sha, offset, b->len, (struct ps_bytes){b->at + offset, len}, 1000, &settled);
    return settled;
}

/* Answers fetches, in pieces of the wire's size, until nothing more is asked for. Returns what settled last. */
static struct ps_sample *serve(struct ps_cache *cache, const struct bytes *b, uint64_t now_ms)
{
    struct ps_fetch fetch;
    struct ps_sample *settled = NULL;

    while (!settled && ps_cache_next_fetch(cache, now_ms, &fetch)) {
        assert_memory_equal(fetch.sha256, b->sha, PS_SHA256_BYTES);
        assert_true(fetch.bytes <= PS_CACHE_WINDOW);
        for (uint64_t at = fetch.offset; !settled && at < fetch.offset + fetch.bytes; at += PS_CHUNK_MAX)
            settled =
                chunk(cache, b, at, PS_MIN((size_t)PS_CHUNK_MAX, (size_t)(fetch.offset + fetch.bytes - at)));
    }
    return settled;
}

static void assert_content(const struct ps_sample *sample, const struct bytes *b)
{
    PS_FREE uint8_t *got = malloc(b->len + 1);

    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_READY);
    assert_non_null(got);
    assert_int_equal(pread(ps_sample_fd(sample), got, b->len + 1, 0), (ssize_t)b->len);
    assert_memory_equal(got, b->at, b->len);
}

static void inline_bytes_are_there_at_once(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(5000, 1);
    struct ps_sample *sample = pin(f->cache, &b, true);

    assert_content(sample, &b);
    assert_memory_equal(ps_sample_sha256(sample), b.sha, PS_SHA256_BYTES);
    assert_int_equal(ps_sample_size(sample), 5000);
    ps_cache_unpin(f->cache, &sample);
    assert_null(sample);
    free(b.at);
}

static void an_empty_sample_needs_no_bytes(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(0, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);

    assert_content(sample, &b);
    ps_cache_unpin(f->cache, &sample);
    b.sha[0] ^= 1;
    sample = pin(f->cache, &b, false);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    assert_string_not_equal(ps_sample_reason(sample), "");
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

/* Nobody who has the descriptor, and no engine that opens it anew, can change the bytes. */
static void whole_bytes_cannot_be_changed(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100, 1);
    struct ps_sample *sample = pin(f->cache, &b, true);
    int seals = fcntl(ps_sample_fd(sample), F_GET_SEALS);

    assert_true(seals & F_SEAL_WRITE && seals & F_SEAL_SHRINK && seals & F_SEAL_GROW && seals & F_SEAL_SEAL);
    assert_int_equal(pwrite(ps_sample_fd(sample), "x", 1, 0), -1);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void a_larger_one_comes_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(1 * MIB + 17, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);

    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_WAITING);
    assert_ptr_equal(serve(f->cache, &b, 1000), sample);
    assert_content(sample, &b);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void one_over_64_mib_is_a_nameless_file(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(PS_BLOB_MEMORY_MAX + 1, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct stat st;

    assert_ptr_equal(serve(f->cache, &b, 1000), sample);
    assert_content(sample, &b);
    assert_int_equal(fstat(ps_sample_fd(sample), &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void a_second_pin_needs_no_fetch(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct ps_cache_stats stats;
    struct ps_fetch fetch;

    (void)serve(f->cache, &b, 1000);
    ps_cache_unpin(f->cache, &sample);
    sample = pin(f->cache, &b, false);
    assert_content(sample, &b);
    assert_false(ps_cache_next_fetch(f->cache, 2000, &fetch));
    ps_cache_stats(f->cache, &stats);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.fetched_bytes, 100 * KIB);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void only_a_window_is_on_its_way(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content((size_t)4 * PS_CACHE_WINDOW, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct ps_fetch fetch;

    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_int_equal(fetch.offset, 0);
    assert_int_equal(fetch.bytes, PS_CACHE_WINDOW);
    for (size_t at = 0; at < PS_CACHE_WINDOW / 2; at += PS_CHUNK_MAX) {
        assert_false(ps_cache_next_fetch(f->cache, 1000, &fetch));
        assert_null(chunk(f->cache, &b, at, PS_CHUNK_MAX));
    }
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_int_equal(fetch.offset, PS_CACHE_WINDOW);
    assert_int_equal(fetch.bytes, PS_CACHE_WINDOW / 2);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

/* The more samples come at once, the less is on its way of each. */
static void samples_share_the_window(void **state)
{
    struct fixture *f = *state;
    struct bytes b[PS_CACHE_FETCHES_MAX];
    struct ps_sample *samples[PS_CACHE_FETCHES_MAX];
    struct ps_fetch fetch;

    ps_cache_free(&f->cache);
    f->cache = make(f->dir, 16 * MIB, 256ULL * MIB, 100); /* room for all of them at once */
    for (unsigned i = 0; i < PS_ARRAY_N(b); i++) {
        b[i] = content((size_t)PS_CACHE_WINDOW, i);
        samples[i] = pin(f->cache, &b[i], false);
    }
    for (unsigned i = 0; i < PS_ARRAY_N(b); i++) {
        assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
        assert_memory_equal(fetch.sha256, b[i].sha, PS_SHA256_BYTES);
        assert_int_equal(fetch.bytes, PS_CACHE_PART);
    }
    assert_false(ps_cache_next_fetch(f->cache, 1000, &fetch));
    for (unsigned i = 1; i < PS_ARRAY_N(b); i++)
        ps_cache_unpin(f->cache, &samples[i]);
    assert_null(chunk(f->cache, &b[0], 0, PS_CHUNK_MAX));
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch)); /* alone again: all the rest fits */
    assert_int_equal(fetch.bytes, PS_CACHE_WINDOW - PS_CACHE_PART);
    ps_cache_unpin(f->cache, &samples[0]);
    for (unsigned i = 0; i < PS_ARRAY_N(b); i++)
        free(b[i].at);
}

static void only_so_many_samples_are_fetched_at_once(void **state)
{
    struct fixture *f = *state;
    struct bytes b[PS_CACHE_FETCHES_MAX + 1];
    struct ps_sample *samples[PS_CACHE_FETCHES_MAX + 1];
    struct ps_fetch fetch;
    int asked = 0;

    for (unsigned i = 0; i < PS_ARRAY_N(b); i++) {
        b[i] = content(300 * KIB, i);
        samples[i] = pin(f->cache, &b[i], false);
    }
    while (ps_cache_next_fetch(f->cache, 1000, &fetch))
        asked++;
    assert_int_equal(asked, PS_CACHE_FETCHES_MAX);
    assert_false(ps_cache_pressed(f->cache)); /* it waits for its turn, not for room */

    ps_cache_unpin(f->cache, &samples[0]);
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_memory_equal(fetch.sha256, b[PS_CACHE_FETCHES_MAX].sha, PS_SHA256_BYTES);
    for (unsigned i = 0; i < PS_ARRAY_N(b); i++) {
        ps_cache_unpin(f->cache, &samples[i]);
        free(b[i].at);
    }
}

static void silence_asks_again_from_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(300 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct ps_fetch fetch;

    assert_int_equal(ps_cache_due_ms(f->cache), UINT64_MAX);
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &b, 0, PS_CHUNK_MAX)); /* at 1000 ms */
    assert_int_equal(ps_cache_due_ms(f->cache), 1000 + PS_CACHE_RETRY_MS);
    assert_false(ps_cache_next_fetch(f->cache, 1000 + PS_CACHE_RETRY_MS - 1, &fetch));
    assert_true(ps_cache_next_fetch(f->cache, 1000 + PS_CACHE_RETRY_MS, &fetch));
    assert_int_equal(fetch.offset, PS_CHUNK_MAX);
    assert_false(ps_cache_next_fetch(f->cache, 1000 + PS_CACHE_RETRY_MS, &fetch));
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void a_new_session_asks_again(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(300 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct ps_fetch fetch;

    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &b, 0, PS_CHUNK_MAX));
    ps_cache_rewind(f->cache);
    assert_ptr_equal(serve(f->cache, &b, 1001), sample);
    assert_content(sample, &b);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

/* A lost piece is asked for at once, once, and what comes behind it is not taken for it. */
static void a_hole_is_asked_for_once(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(300 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false);
    struct ps_fetch fetch;

    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &b, PS_CHUNK_MAX, PS_CHUNK_MAX));
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_int_equal(fetch.offset, 0);
    assert_null(chunk(f->cache, &b, 2 * PS_CHUNK_MAX, PS_CHUNK_MAX));
    assert_false(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &b, 0, PS_CHUNK_MAX));
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void repeated_and_overlapping_pieces_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false), *settled = NULL;
    struct ps_fetch fetch;

    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &b, 0, 50 * KIB));
    assert_null(chunk(f->cache, &b, 0, 50 * KIB));
    assert_null(chunk(f->cache, &b, 10 * KIB, 20 * KIB));
    assert_null(chunk(f->cache, &b, 40 * KIB, 20 * KIB));
    ps_cache_chunk(f->cache, b.sha, 60 * KIB, b.len, (struct ps_bytes){b.at, 41 * KIB}, 1000,
                   &settled); /* too long */
    assert_null(settled);
    ps_cache_chunk(f->cache, b.sha, UINT64_MAX, b.len, (struct ps_bytes){b.at, 1}, 1000, &settled);
    assert_null(settled);
    assert_ptr_equal(chunk(f->cache, &b, 60 * KIB, 40 * KIB), sample);
    assert_content(sample, &b);
    assert_null(chunk(f->cache, &b, 0, 50 * KIB));
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void wrong_bytes_are_fetched_once_more_and_then_named(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100 * KIB, 1);
    struct ps_sample *sample;

    b.sha[5] ^= 1;
    sample = pin(f->cache, &b, false);
    assert_ptr_equal(serve(f->cache, &b, 1000), sample);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    assert_non_null(strstr(ps_sample_reason(sample), "SHA-256"));
    assert_int_equal(ps_sample_fd(sample), -1);
    ps_cache_unpin(f->cache, &sample);

    sample = pin(f->cache, &b, false); /* a failure is not remembered */
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_WAITING);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void wrong_bytes_then_right_ones_are_fine(void **state)
{
    struct fixture *f = *state;
    struct bytes right = content(100 * KIB, 1), wrong = content(100 * KIB, 2);
    struct ps_sample *sample = pin(f->cache, &right, false);
    struct ps_fetch fetch;

    memcpy(wrong.sha, right.sha, sizeof(wrong.sha));
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_null(chunk(f->cache, &wrong, 0, 64 * KIB));
    assert_null(chunk(f->cache, &wrong, 64 * KIB, 36 * KIB));
    assert_ptr_equal(serve(f->cache, &right, 1000), sample);
    assert_content(sample, &right);
    ps_cache_unpin(f->cache, &sample);
    free(right.at);
    free(wrong.at);
}

static void wrong_inline_bytes_are_fetched(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(5000, 1);
    struct ps_sample *sample;

    b.at[7] ^= 1;
    sample = pin(f->cache, &b, true);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_WAITING);
    b.at[7] ^= 1;
    assert_ptr_equal(serve(f->cache, &b, 1000), sample);
    assert_content(sample, &b);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void a_gone_sample_says_why(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100 * KIB, 1);
    struct ps_sample *sample = pin(f->cache, &b, false), *settled = NULL;
    struct ps_fetch fetch;

    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    ps_cache_gone(f->cache, b.sha, PS_BYTES_LIT("the store lost it"), &settled);
    assert_ptr_equal(settled, sample);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    assert_string_equal(ps_sample_reason(sample), "the store lost it");
    ps_cache_gone(f->cache, b.sha, PS_BYTES_LIT("again"), &settled);
    assert_null(settled);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void another_size_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(5000, 1);
    struct ps_sample *sample = pin(f->cache, &b, true), *other = NULL, *settled = NULL;

    assert_int_equal(ps_cache_pin(f->cache, b.sha, 5001, nothing, &other), PS_ERR_CONFLICT);
    ps_cache_unpin(f->cache, &sample);

    struct bytes c = content(100 * KIB, 2);
    struct ps_fetch fetch;
    sample = pin(f->cache, &c, false);
    assert_true(ps_cache_next_fetch(f->cache, 1000, &fetch));
    ps_cache_chunk(f->cache, c.sha, 0, c.len + 1, (struct ps_bytes){c.at, 10}, 1000, &settled);
    assert_ptr_equal(settled, sample);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
    free(c.at);
}

/* Budget 8 MiB, samples of 3: the third waits until a pin goes, then the oldest idle one makes room. */
static void without_room_a_sample_waits(void **state)
{
    struct fixture *f = *state;
    struct bytes b[3];
    struct ps_sample *samples[3];
    struct ps_fetch fetch;
    struct ps_cache_stats stats;

    for (unsigned i = 0; i < 3; i++)
        b[i] = content(3 * MIB, i);
    for (unsigned i = 0; i < 2; i++) {
        samples[i] = pin(f->cache, &b[i], false);
        assert_ptr_equal(serve(f->cache, &b[i], 1000), samples[i]);
    }
    samples[2] = pin(f->cache, &b[2], false);
    assert_false(ps_cache_next_fetch(f->cache, 1000, &fetch));
    assert_true(ps_cache_pressed(f->cache));
    ps_cache_stats(f->cache, &stats);
    assert_int_equal(stats.waiting_n, 1);
    assert_true(stats.pinned_memory_bytes >= 6 * MIB && stats.pinned_memory_bytes <= 8 * MIB);

    ps_cache_unpin(f->cache, &samples[0]);
    assert_ptr_equal(serve(f->cache, &b[2], 1000), samples[2]);
    assert_content(samples[2], &b[2]);
    assert_false(ps_cache_pressed(f->cache));
    ps_cache_stats(f->cache, &stats);
    assert_int_equal(stats.evicted, 1);
    assert_true(stats.memory_bytes <= 8 * MIB);
    samples[0] = pin(f->cache, &b[0], false);
    assert_int_equal(ps_sample_state(samples[0]), PS_SAMPLE_WAITING);
    for (unsigned i = 0; i < 3; i++) {
        ps_cache_unpin(f->cache, &samples[i]);
        free(b[i].at);
    }
    ps_cache_stats(f->cache, &stats);
    assert_int_equal(stats.pinned_memory_bytes, 0);
}

/* Bytes that came along are taken all the same, and serve those who wait for them. */
static void inline_bytes_go_beyond_the_budget(void **state)
{
    struct fixture *f = *state;
    struct ps_cache *cache = make(f->dir, 8 * KIB, MIB, 10);
    struct bytes a = content(6000, 1), b = content(6000, 2);
    struct ps_sample *first = pin(cache, &a, true), *second = pin(cache, &b, false);
    struct ps_fetch fetch;

    assert_false(ps_cache_next_fetch(cache, 1000, &fetch));
    struct ps_sample *third = pin(cache, &b, true);
    assert_ptr_equal(second, third);
    assert_content(second, &b);
    assert_false(ps_cache_pressed(cache));
    ps_cache_unpin(cache, &first);
    ps_cache_unpin(cache, &second);
    ps_cache_unpin(cache, &third);
    ps_cache_free(&cache);
    free(a.at);
    free(b.at);
}

static void one_that_can_never_fit_fails(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(10, 1);
    struct ps_sample *sample = NULL;

    assert_int_equal(ps_cache_pin(f->cache, b.sha, 300ULL * MIB, nothing, &sample), 0);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    assert_non_null(strstr(ps_sample_reason(sample), "cache"));
    ps_cache_unpin(f->cache, &sample);
    assert_int_equal(ps_cache_pin(f->cache, b.sha, UINT64_MAX, nothing, &sample), 0);
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    char path[UNIT_PATH_MAX];
    struct ps_cache *cache = make(unit_path(path, f->dir, "none"), MIB, 256ULL * MIB, 10);
    struct bytes b = content(10, 1);
    struct ps_sample *sample = NULL;
    struct ps_fetch fetch;

    assert_int_equal(ps_cache_pin(cache, b.sha, 65ULL * MIB, nothing, &sample), 0);
    assert_false(ps_cache_next_fetch(cache, 1000, &fetch));
    assert_ptr_equal(ps_cache_next_failed(cache), sample);
    assert_null(ps_cache_next_failed(cache));
    assert_int_equal(ps_sample_state(sample), PS_SAMPLE_FAILED);
    ps_cache_unpin(cache, &sample);
    ps_cache_free(&cache);
    free(b.at);
}

static void idle_samples_go_when_there_are_too_many(void **state)
{
    struct fixture *f = *state;
    struct ps_cache *cache = make(f->dir, MIB, MIB, 3);
    struct ps_sample *samples[4] = {NULL};
    struct bytes b[4];
    struct ps_cache_stats stats;

    for (unsigned i = 0; i < 4; i++)
        b[i] = content(100, i);
    for (unsigned i = 0; i < 3; i++)
        samples[i] = pin(cache, &b[i], true);
    assert_int_equal(ps_cache_pin(cache, b[3].sha, 100, nothing, &samples[3]), PS_ERR_LIMIT);
    ps_cache_unpin(cache, &samples[1]);
    samples[3] = pin(cache, &b[3], true);
    ps_cache_stats(cache, &stats);
    assert_int_equal(stats.samples_n, 3);
    for (unsigned i = 0; i < 4; i++) {
        ps_cache_unpin(cache, &samples[i]);
        free(b[i].at);
    }
    ps_cache_free(&cache);
}

static void the_type_stays_with_the_sample(void **state)
{
    struct fixture *f = *state;
    struct bytes b = content(100, 1);
    struct ps_sample *sample = pin(f->cache, &b, true);

    assert_string_equal(ps_sample_type(sample), "");
    ps_sample_set_type(sample, "application/pdf");
    ps_cache_unpin(f->cache, &sample);
    sample = pin(f->cache, &b, false);
    assert_string_equal(ps_sample_type(sample), "application/pdf");
    ps_cache_unpin(f->cache, &sample);
    free(b.at);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(inline_bytes_are_there_at_once),
        T(an_empty_sample_needs_no_bytes),
        T(whole_bytes_cannot_be_changed),
        T(a_larger_one_comes_in_pieces),
        T(one_over_64_mib_is_a_nameless_file),
        T(a_second_pin_needs_no_fetch),
        T(only_a_window_is_on_its_way),
        T(samples_share_the_window),
        T(only_so_many_samples_are_fetched_at_once),
        T(silence_asks_again_from_what_is_missing),
        T(a_new_session_asks_again),
        T(a_hole_is_asked_for_once),
        T(repeated_and_overlapping_pieces_do_no_harm),
        T(wrong_bytes_are_fetched_once_more_and_then_named),
        T(wrong_bytes_then_right_ones_are_fine),
        T(wrong_inline_bytes_are_fetched),
        T(a_gone_sample_says_why),
        T(another_size_is_a_conflict),
        T(without_room_a_sample_waits),
        T(inline_bytes_go_beyond_the_budget),
        T(one_that_can_never_fit_fails),
        T(a_directory_that_is_not_there_is_named),
        T(idle_samples_go_when_there_are_too_many),
        T(the_type_stays_with_the_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
