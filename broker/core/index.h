/* broker/core/index.h: finds pool items by a 64-bit key: a hash table by linear hashing, with its links in the items.
 *
 * It grows by one bucket for each item, so there is never a pause to rebuild it, however many jobs wait; four bytes
 * a bucket and four in the item. Keys may come from strangers: they are mixed with a secret. Several items may have
 * the same key. It never shrinks: the pool's limit bounds it. One thread at a time. */
#ifndef PS_BROKER_CORE_INDEX_H
#define PS_BROKER_CORE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "broker/core/pool.h"

struct ps_index {
    const struct ps_pool *pool; /* lent: where the items are */
    size_t key_at, next_at;     /* offsets of a uint64_t and a uint32_t in the item */
    uint32_t **segments;        /* owned; PS_POOL_CHUNK buckets each */
    uint32_t segments_n;
    uint32_t low;     /* buckets at the beginning of this round: a power of two */
    uint32_t split;   /* of these, so many are split already */
    uint32_t items_n; /* items in the table */
    uint64_t secret;  /* mixed into keys; odd */
};

/* secret: unpredictable, any value. */
void ps_index_init(struct ps_index *self, const struct ps_pool *pool, size_t key_at, size_t next_at,
                   uint64_t secret);
void ps_index_fini(struct ps_index *self);
/* Puts an item in; its key must be set and stay. 0 or PS_ERR_NOMEM (only the first time). */
int ps_index_put(struct ps_index *self, uint32_t number);
/* Takes out an item that is in. */
void ps_index_remove(struct ps_index *self, uint32_t number);
/* The first item with this key, and the next after one; 0 when there is none (left). */
uint32_t ps_index_first(const struct ps_index *self, uint64_t key);
uint32_t ps_index_next(const struct ps_index *self, uint32_t number);

#endif
