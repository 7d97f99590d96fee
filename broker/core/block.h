/* broker/core/block.h: bytes that the core keeps (samples' inline bytes, results, reasons), counted and recycled.
 *
 * Blocks are named by 32-bit numbers, and small ones have no header: a million queued jobs are mostly their bytes. They lie
 * in slabs, each with blocks of one size; a slab of which all were given back serves the next size that needs one,
 * so that a broker in steady state allocates nothing. What waits like this is bounded. After Bonwick, The Slab
 * Allocator (USENIX 1994), without its caches of constructed objects. One thread at a time.
 *
 * Invariant: a slab is in its size's list exactly while it has room; a block is in use or in its slab's list, never
 * both. 0 names nothing. */
#ifndef PS_BROKER_CORE_BLOCK_H
#define PS_BROKER_CORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#define PS_BLOCK_STEP     8    /* sizes are rounded up to this */
#define PS_BLOCK_SMALL    4096 /* a larger one has memory of its own */
#define PS_BLOCK_CLASSES  (PS_BLOCK_SMALL / PS_BLOCK_STEP + 1)
#define PS_BLOCK_KEEP_MAX (16u * 1024 * 1024) /* bytes of empty slabs that wait at most */

struct ps_slab {
    uint8_t *memory;     /* owned; NULL: this number names nothing now */
    uint32_t prev, next; /* of its size with room; of the empty ones; of the numbers without memory */
    uint16_t units;      /* size of a block in it, in PS_BLOCK_STEP; 0: one large block */
    uint16_t used_n;     /* blocks in use */
    uint16_t top;        /* blocks that were in use at some time */
    uint16_t free; /* first of those given back, counted from 1; each begins with the next one's; 0: none */
};

struct ps_blocks {
    struct ps_slab *slabs;           /* owned; place 0 is not used */
    uint32_t slabs_n, slabs_max;     /* places in use or once used, and there */
    uint32_t room[PS_BLOCK_CLASSES]; /* by size: first slab with room */
    uint32_t empty, unnamed;         /* slabs without blocks; numbers without memory */
    uint64_t kept_bytes;             /* in empty slabs */
    uint64_t used_bytes;             /* in callers' hands, rounded up */
    uint64_t large_bytes;            /* of these, in large blocks */
};

void ps_blocks_init(struct ps_blocks *self);
void ps_blocks_fini(struct ps_blocks *self); /* frees all blocks */
/* The number of a copy of len bytes (0 < len < 4 GiB); 0 without memory. */
uint32_t ps_block_copy(struct ps_blocks *self, const void *data, size_t len);
/* A block's bytes, good until the next call that takes or gives. NULL for 0. */
uint8_t *ps_block_at(const struct ps_blocks *self, uint32_t block);
/* Gives it back; len as when it was taken. 0 is fine. */
void ps_block_give(struct ps_blocks *self, uint32_t block, size_t len);
size_t ps_block_rounded(size_t len);                    /* what a block of len bytes counts for */
uint64_t ps_blocks_bytes(const struct ps_blocks *self); /* memory held, for reports and tests */

#endif
