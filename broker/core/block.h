/* broker/core/block.h: bytes that the core keeps (samples' inline bytes, results, reasons), counted and recycled.
 *
 * Small blocks that were given back wait for the next of their size, so that a broker in steady state allocates
 * nothing; what waits is bounded. One thread at a time. */
#ifndef PS_BROKER_CORE_BLOCK_H
#define PS_BROKER_CORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#define PS_BLOCK_STEP     16   /* sizes are rounded up to this */
#define PS_BLOCK_SMALL    4096 /* larger ones are not recycled */
#define PS_BLOCK_CLASSES  (PS_BLOCK_SMALL / PS_BLOCK_STEP + 1)
#define PS_BLOCK_KEEP_MAX (16u * 1024 * 1024) /* bytes of given back blocks that wait at most */

struct ps_blocks {
    void *free[PS_BLOCK_CLASSES]; /* by size; each begins with a pointer to the next */
    size_t kept_bytes;            /* in those lists */
    uint64_t used_bytes;          /* in callers' hands, rounded up */
};

void ps_blocks_init(struct ps_blocks *self);
void ps_blocks_fini(struct ps_blocks *self); /* what callers still have stays theirs to give back before */
/* A copy of len bytes (len > 0); NULL without memory. */
void *ps_block_copy(struct ps_blocks *self, const void *data, size_t len);
/* Gives it back; len as when it was taken. NULL is fine. */
void ps_block_give(struct ps_blocks *self, void *block, size_t len);
size_t ps_block_rounded(size_t len); /* what a block of len bytes counts for */

#endif
