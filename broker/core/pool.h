/* broker/core/pool.h: items of one size, named by 32-bit numbers instead of pointers.
 *
 * A number is half a pointer, and a million queued jobs are mostly links. Memory comes in chunks and is kept for the
 * next item until fini, so that nothing is allocated in steady state; items never move. One thread at a time.
 *
 * Invariant: a number is either in use or in the free list, never both. 0 names nothing. */
#ifndef PS_BROKER_CORE_POOL_H
#define PS_BROKER_CORE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define PS_POOL_SHIFT 10 /* a chunk holds 1024 items */
#define PS_POOL_CHUNK (1u << PS_POOL_SHIFT)

struct ps_pool {
    uint8_t **chunks;    /* owned */
    uint32_t chunks_n;   /* chunks there are */
    uint32_t item_bytes; /* sizeof an item, at least 4 */
    uint32_t limit_n;    /* so many items at most */
    uint32_t top;        /* numbers 1..top were in use at some time */
    uint32_t free;       /* first of those given back; each begins with the number of the next */
    uint32_t used_n;     /* items in use */
};

void ps_pool_init(struct ps_pool *self, size_t item_bytes, uint32_t limit_n);
void ps_pool_fini(struct ps_pool *self);
/* A zeroed item's number; 0 at the limit or without memory. */
uint32_t ps_pool_take(struct ps_pool *self);
/* Gives a number in use back. */
void ps_pool_give(struct ps_pool *self, uint32_t number);
size_t ps_pool_bytes(const struct ps_pool *self); /* memory held, for reports and tests */

/* The item of a number in use. */
static inline void *ps_pool_at(const struct ps_pool *self, uint32_t number)
{
    return self->chunks[number >> PS_POOL_SHIFT] + (size_t)(number & (PS_POOL_CHUNK - 1)) * self->item_bytes;
}

#endif
