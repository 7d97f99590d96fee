#include "base/heap.h"

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_CAP 16 /* items */

void ps_heap_init(struct ps_heap *self)
{
    *self = (struct ps_heap){0};
}

void ps_heap_fini(struct ps_heap *self)
{
    free(self->at);
    *self = (struct ps_heap){0};
}

static bool before(const struct ps_heap_node *a, const struct ps_heap_node *b)
{
    return a->key < b->key || (a->key == b->key && a->tie < b->tie);
}

static void place(struct ps_heap *self, struct ps_heap_node *node, size_t pos)
{
    self->at[pos] = node;
    node->pos = pos;
}

static void sift_up(struct ps_heap *self, struct ps_heap_node *node, size_t pos)
{
    while (pos > 0) {
        size_t parent = (pos - 1) / 2;

        if (!before(node, self->at[parent]))
            break;
        place(self, self->at[parent], pos);
        pos = parent;
    }
    place(self, node, pos);
}

static void sift_down(struct ps_heap *self, struct ps_heap_node *node, size_t pos)
{
    for (;;) {
        size_t child = 2 * pos + 1;

        if (child >= self->n)
            break;
        if (child + 1 < self->n && before(self->at[child + 1], self->at[child]))
            child++;
        if (!before(self->at[child], node))
            break;
        place(self, self->at[child], pos);
        pos = child;
    }
    place(self, node, pos);
}

static void settle(struct ps_heap *self, struct ps_heap_node *node, size_t pos)
{
    sift_up(self, node, pos);
    sift_down(self, node, node->pos);
}

int ps_heap_put(struct ps_heap *self, struct ps_heap_node *node, uint64_t key, uint64_t tie)
{
    assert(node->pos == PS_HEAP_NONE);
    if (self->n == self->cap) {
        size_t cap = self->cap > 0 ? self->cap : FIRST_CAP / 2;

        if (cap > SIZE_MAX / 2 || ps_realloc(&self->at, cap * 2, sizeof(struct ps_heap_node *)))
            return PS_ERR_NOMEM;
        self->cap = cap * 2;
    }
    node->key = key;
    node->tie = tie;
    sift_up(self, node, self->n++);
    return 0;
}

struct ps_heap_node *ps_heap_first(const struct ps_heap *self)
{
    return self->n > 0 ? self->at[0] : NULL;
}

void ps_heap_remove(struct ps_heap *self, struct ps_heap_node *node)
{
    size_t pos = node->pos;
    struct ps_heap_node *last;

    if (pos == PS_HEAP_NONE)
        return;
    assert(pos < self->n && self->at[pos] == node);
    last = self->at[--self->n];
    node->pos = PS_HEAP_NONE;
    if (last != node)
        settle(self, last, pos);
}

void ps_heap_move(struct ps_heap *self, struct ps_heap_node *node, uint64_t key)
{
    assert(node->pos < self->n && self->at[node->pos] == node);
    node->key = key;
    settle(self, node, node->pos);
}
