#include "tests/unit/unit.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/mem.h"

#define ITEMS_N 500

struct item {
    struct ps_heap_node node; /* place in the heap */
    bool in;                  /* expected to be there */
};

static uint64_t seed = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* The smallest (key, tie) of those that are in, found the slow way. */
static struct item *smallest(struct item *items)
{
    struct item *best = NULL;

    for (size_t i = 0; i < ITEMS_N; i++) {
        const struct ps_heap_node *a = &items[i].node;

        if (items[i].in &&
            (!best || a->key < best->node.key || (a->key == best->node.key && a->tie < best->node.tie)))
            best = &items[i];
    }
    return best;
}

static void assert_invariant(const struct ps_heap *heap)
{
    for (size_t i = 0; i < heap->n; i++) {
        const struct ps_heap_node *parent = heap->at[(i - (i > 0)) / 2];

        assert_int_equal(heap->at[i]->pos, i);
        assert_true(parent->key <= heap->at[i]->key);
    }
}

static void smallest_key_comes_first_and_ties_in_order(void **state)
{
    struct ps_heap_node nodes[6];
    const uint64_t keys[] = {5, 1, 5, 9, 1, 0};
    const size_t order[] = {5, 1, 4, 0, 2, 3};
    struct ps_heap heap;

    ps_heap_init(&heap);
    assert_null(ps_heap_first(&heap));
    for (size_t i = 0; i < PS_ARRAY_N(nodes); i++) {
        nodes[i].pos = PS_HEAP_NONE;
        assert_int_equal(ps_heap_put(&heap, &nodes[i], keys[i], i), 0);
    }
    for (size_t i = 0; i < PS_ARRAY_N(nodes); i++) {
        assert_ptr_equal(ps_heap_first(&heap), &nodes[order[i]]);
        ps_heap_remove(&heap, ps_heap_first(&heap));
        assert_true(nodes[order[i]].pos == PS_HEAP_NONE);
    }
    assert_null(ps_heap_first(&heap));
    ps_heap_fini(&heap);
}

static void removing_what_is_outside_does_nothing(void **state)
{
    struct ps_heap_node in = {.pos = PS_HEAP_NONE}, out = {.pos = PS_HEAP_NONE};
    struct ps_heap heap;

    ps_heap_init(&heap);
    ps_heap_remove(&heap, &out);
    assert_int_equal(ps_heap_put(&heap, &in, 1, 1), 0);
    ps_heap_remove(&heap, &out);
    assert_ptr_equal(ps_heap_first(&heap), &in);
    ps_heap_fini(&heap);
    ps_heap_fini(&heap);
}

static void random_puts_moves_and_removals_keep_the_order(void **state)
{
    PS_FREE struct item *items = ps_alloc(ITEMS_N, sizeof(*items));
    struct ps_heap heap;

    ps_heap_init(&heap);
    for (size_t i = 0; i < ITEMS_N; i++)
        items[i].node.pos = PS_HEAP_NONE;
    for (uint64_t round = 0; round < 5000; round++) {
        struct item *item = &items[draw(ITEMS_N)], *first;

        if (!item->in) {
            assert_int_equal(ps_heap_put(&heap, &item->node, draw(100), round), 0);
            item->in = true;
        } else if (draw(2)) {
            ps_heap_move(&heap, &item->node, draw(100));
        } else {
            ps_heap_remove(&heap, &item->node);
            item->in = false;
        }
        first = smallest(items);
        assert_ptr_equal(ps_heap_first(&heap), first ? &first->node : NULL);
        if (round % 100 == 0)
            assert_invariant(&heap);
    }
    ps_heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_key_comes_first_and_ties_in_order),
        cmocka_unit_test(removing_what_is_outside_does_nothing),
        cmocka_unit_test(random_puts_moves_and_removals_keep_the_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
