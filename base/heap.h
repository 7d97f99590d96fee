/* base/heap.h: an intrusive binary min-heap of 64-bit keys. Removal and re-keying are O(log n) because every
 * item knows its position. No allocation but the array's growth. One thread at a time. */
#ifndef PS_BASE_HEAP_H
#define PS_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define PS_HEAP_NONE SIZE_MAX

/* Lives inside the caller's item; PS_CONTAINER_OF leads back. Set pos to PS_HEAP_NONE before the first use.
 */
struct ps_heap_node {
    uint64_t key; /* smallest comes first; set through put and move only */
    uint64_t tie; /* among equal keys, smallest first (an arrival counter makes it FIFO) */
    size_t pos;   /* place in the heap, PS_HEAP_NONE outside */
};

struct ps_heap {
    struct ps_heap_node **at; /* owned array */
    size_t n, cap;            /* items */
};

void ps_heap_init(struct ps_heap *self);
void ps_heap_fini(struct ps_heap *self); /* does not touch the items */
/* 0 or PS_ERR_NOMEM. The node must be outside. */
int ps_heap_put(struct ps_heap *self, struct ps_heap_node *node, uint64_t key, uint64_t tie);
struct ps_heap_node *ps_heap_first(const struct ps_heap *self);       /* NULL when empty */
void ps_heap_remove(struct ps_heap *self, struct ps_heap_node *node); /* outside already: does nothing */
void ps_heap_move(struct ps_heap *self, struct ps_heap_node *node, uint64_t key); /* inside: new key */

#endif
