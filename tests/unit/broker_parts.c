/* Pools, indexes, blocks and names of the broker's core. */
#include "unit.h"

#include "broker/core/block.h"
#include "broker/core/index.h"
#include "broker/core/names.h"
#include "broker/core/pool.h"

struct item {
    uint64_t link; /* the pool's when free */
    uint64_t key;
    uint32_t chain;
};

static void pool_gives_numbers_up_to_its_limit(void **state)
{
    struct ps_pool pool;
    uint32_t numbers[3000];

    ps_pool_init(&pool, sizeof(struct item), 3000);
    for (uint32_t i = 0; i < 3000; i++) {
        numbers[i] = ps_pool_take(&pool);
        assert_true(numbers[i]);
        ((struct item *)ps_pool_at(&pool, numbers[i]))->key = i;
    }
    assert_int_equal(ps_pool_take(&pool), 0);
    for (uint32_t i = 0; i < 3000; i++)
        assert_int_equal(((struct item *)ps_pool_at(&pool, numbers[i]))->key, i);
    ps_pool_give(&pool, numbers[7]);
    assert_int_equal(pool.used_n, 2999);
    assert_int_equal(ps_pool_take(&pool), numbers[7]);
    assert_int_equal(((struct item *)ps_pool_at(&pool, numbers[7]))->key, 0);
    ps_pool_fini(&pool);
}

static void pool_keeps_its_memory_for_the_next(void **state)
{
    struct ps_pool pool;
    size_t bytes;

    ps_pool_init(&pool, 64, 100000);
    for (int round = 0; round < 3; round++) {
        uint32_t numbers[5000];

        for (int i = 0; i < 5000; i++)
            numbers[i] = ps_pool_take(&pool);
        bytes = ps_pool_bytes(&pool);
        for (int i = 0; i < 5000; i++)
            ps_pool_give(&pool, numbers[i]);
        assert_int_equal(ps_pool_bytes(&pool), bytes);
    }
    assert_true(bytes < 5000u * 64 + 70000);
    ps_pool_fini(&pool);
}

static uint32_t put(struct ps_pool *pool, struct ps_index *index, uint64_t key)
{
    uint32_t number = ps_pool_take(pool);

    ((struct item *)ps_pool_at(pool, number))->key = key;
    assert_int_equal(ps_index_put(index, number), 0);
    return number;
}

static void index_finds_what_is_in_it(void **state)
{
    struct ps_pool pool;
    struct ps_index index;
    enum { N = 20000 };

    ps_pool_init(&pool, sizeof(struct item), N);
    ps_index_init(&index, &pool, offsetof(struct item, key), offsetof(struct item, chain), 0x1234567);
    assert_int_equal(ps_index_first(&index, 1), 0);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(put(&pool, &index, i << 20), i + 1);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(ps_index_first(&index, i << 20), i + 1);
    assert_int_equal(ps_index_first(&index, 1), 0);
    for (uint32_t i = 2; i <= N; i += 2)
        ps_index_remove(&index, i);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(ps_index_first(&index, i << 20), (i + 1) % 2 ? i + 1 : 0);
    ps_index_fini(&index);
    ps_pool_fini(&pool);
}

static void index_holds_equal_keys(void **state)
{
    struct ps_pool pool;
    struct ps_index index;
    uint32_t a, b, first, second;

    ps_pool_init(&pool, sizeof(struct item), 10);
    ps_index_init(&index, &pool, offsetof(struct item, key), offsetof(struct item, chain), 99);
    a = put(&pool, &index, 5);
    b = put(&pool, &index, 5);
    first = ps_index_first(&index, 5);
    second = ps_index_next(&index, first);
    assert_true((first == a && second == b) || (first == b && second == a));
    assert_int_equal(ps_index_next(&index, second), 0);
    ps_index_remove(&index, first);
    assert_int_equal(ps_index_first(&index, 5), second);
    ps_index_fini(&index);
    ps_pool_fini(&pool);
}

/* Chains stay short as it grows: nobody waits for a rebuild, and nobody walks far. */
static void index_grows_evenly(void **state)
{
    struct ps_pool pool;
    struct ps_index index;
    uint32_t longest = 0;

    ps_pool_init(&pool, sizeof(struct item), 200000);
    ps_index_init(&index, &pool, offsetof(struct item, key), offsetof(struct item, chain), 0xfeedface12345);
    for (uint64_t i = 1; i <= 200000; i++)
        (void)put(&pool, &index, i);
    for (uint32_t bucket = 0; bucket < index.low + index.split; bucket++) {
        uint32_t n = 0;

        for (uint32_t at = index.segments[bucket >> PS_POOL_SHIFT][bucket & (PS_POOL_CHUNK - 1)]; at; n++)
            at = ((struct item *)ps_pool_at(&pool, at))->chain;
        longest = n > longest ? n : longest;
    }
    assert_true(longest < 16);
    ps_index_fini(&index);
    ps_pool_fini(&pool);
}

static void blocks_count_and_recycle(void **state)
{
    static const uint8_t data[9000] = "what it says";
    struct ps_blocks blocks;
    uint32_t small, large, again;

    ps_blocks_init(&blocks);
    small = ps_block_copy(&blocks, data, 100);
    large = ps_block_copy(&blocks, data, sizeof(data));
    assert_memory_equal(ps_block_at(&blocks, small), data, 100);
    assert_memory_equal(ps_block_at(&blocks, large), data, sizeof(data));
    assert_int_equal(blocks.used_bytes, ps_block_rounded(100) + ps_block_rounded(sizeof(data)));
    ps_block_give(&blocks, small, 100);
    ps_block_give(&blocks, large, sizeof(data));
    assert_int_equal(blocks.used_bytes, 0);
    assert_true(blocks.kept_bytes > 0); /* one slab, for whatever size comes next */
    again = ps_block_copy(&blocks, data, 2000);
    assert_int_equal(blocks.kept_bytes, 0);
    ps_block_give(&blocks, again, 2000);
    ps_block_give(&blocks, 0, 5);
    ps_blocks_fini(&blocks);
}

/* Thousands of blocks of all sizes, taken and given back at random: each keeps its bytes, and memory is given back. */
static void blocks_of_all_sizes(void **state)
{
    enum { N = 4000 };
    static struct {
        uint32_t block;
        size_t len;
        uint8_t fill;
    } held[N];
    static uint8_t data[70000];
    struct ps_blocks blocks;
    uint64_t rng = 7, used = 0;

    ps_blocks_init(&blocks);
    for (int i = 0; i < 20 * N; i++) {
        size_t at = (rng = rng * 6364136223846793005u + 1442695040888963407u) >> 33 & 0xffff, len;

        at %= N;

        if (held[at].block) {
            const uint8_t *bytes = ps_block_at(&blocks, held[at].block);

            assert_true(bytes[0] == held[at].fill && bytes[held[at].len - 1] == held[at].fill);
            ps_block_give(&blocks, held[at].block, held[at].len);
            used -= ps_block_rounded(held[at].len);
            held[at].block = 0;
            continue;
        }
        len = 1 + (rng >> 40) % ((rng >> 20 & 15) ? 600 : sizeof(data));
        held[at].len = len;
        held[at].fill = (uint8_t)i;
        memset(data, held[at].fill, len);
        held[at].block = ps_block_copy(&blocks, data, len);
        assert_int_not_equal(held[at].block, 0);
        used += ps_block_rounded(len);
        assert_int_equal(blocks.used_bytes, used);
        assert_true(ps_blocks_bytes(&blocks) >= used);
    }
    for (size_t i = 0; i < N; i++)
        ps_block_give(&blocks, held[i].block, held[i].len);
    assert_int_equal(blocks.used_bytes, 0);
    assert_true(blocks.kept_bytes <= PS_BLOCK_KEEP_MAX);
    ps_blocks_fini(&blocks);
}

/* A million small blocks cost little more than their bytes. */
static void small_blocks_have_no_header(void **state)
{
    enum { N = 100000 };
    static const uint8_t data[200] = {0};
    struct ps_blocks blocks;

    ps_blocks_init(&blocks);
    for (int i = 0; i < N; i++)
        assert_int_not_equal(ps_block_copy(&blocks, data, sizeof(data)), 0);
    assert_true(ps_blocks_bytes(&blocks) < (uint64_t)N * (sizeof(data) + 2));
    ps_blocks_fini(&blocks);
}

static void names_are_numbered_and_bounded(void **state)
{
    struct ps_names names;
    char text[16];

    assert_int_equal(ps_names_init(&names, 200, 42), 0);
    for (unsigned i = 1; i <= 200; i++) {
        (void)snprintf(text, sizeof(text), "engine-%u", i);
        assert_int_equal(ps_names_put(&names, ps_bytes_of(text)), i);
        assert_int_equal(ps_names_put(&names, ps_bytes_of(text)), i);
    }
    assert_int_equal(ps_names_put(&names, PS_BYTES_LIT("one more")), 0);
    assert_int_equal(ps_names_find(&names, PS_BYTES_LIT("engine-77")), 77);
    assert_int_equal(ps_names_find(&names, PS_BYTES_LIT("engine-777")), 0);
    ps_names_remove(&names, 77);
    assert_int_equal(ps_names_find(&names, PS_BYTES_LIT("engine-77")), 0);
    assert_int_equal(ps_names_find(&names, PS_BYTES_LIT("engine-78")), 78);
    assert_int_equal(ps_names_put(&names, PS_BYTES_LIT("one more")), 77);
    assert_true(ps_bytes_is(ps_names_text(&names, 77), "one more"));
    assert_int_equal(ps_names_text(&names, 0).len, 0);
    ps_names_fini(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_gives_numbers_up_to_its_limit),
        cmocka_unit_test(pool_keeps_its_memory_for_the_next),
        cmocka_unit_test(index_finds_what_is_in_it),
        cmocka_unit_test(index_holds_equal_keys),
        cmocka_unit_test(index_grows_evenly),
        cmocka_unit_test(blocks_count_and_recycle),
        cmocka_unit_test(blocks_of_all_sizes),
        cmocka_unit_test(small_blocks_have_no_header),
        cmocka_unit_test(names_are_numbered_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
