#include "broker/core/block.h"

#include "base/mem.h"

void ps_blocks_init(struct ps_blocks *self)
{
    *self = (struct ps_blocks){0};
}

void ps_blocks_fini(struct ps_blocks *self)
{
    for (size_t i = 0; i < PS_BLOCK_CLASSES; i++) {
        while (self->free[i]) {
            void *next = *(void **)self->free[i];

            free(self->free[i]);
            self->free[i] = next;
        }
    }
    *self = (struct ps_blocks){0};
}

size_t ps_block_rounded(size_t len)
{
    return (len + PS_BLOCK_STEP - 1) & ~(size_t)(PS_BLOCK_STEP - 1);
}

void *ps_block_copy(struct ps_blocks *self, const void *data, size_t len)
{
    size_t bytes = ps_block_rounded(len), i = bytes / PS_BLOCK_STEP;
    void *block;

    if (i < PS_BLOCK_CLASSES && self->free[i]) {
        block = self->free[i];
        self->free[i] = *(void **)block;
        self->kept_bytes -= bytes;
    } else {
        block = malloc(bytes);
    }
    if (!block)
        return NULL;
    memcpy(block, data, len);
    self->used_bytes += bytes;
    return block;
}

void ps_block_give(struct ps_blocks *self, void *block, size_t len)
{
    size_t bytes = ps_block_rounded(len), i = bytes / PS_BLOCK_STEP;

    if (!block)
        return;
    assert(self->used_bytes >= bytes);
    self->used_bytes -= bytes;
    if (i >= PS_BLOCK_CLASSES || self->kept_bytes + bytes > PS_BLOCK_KEEP_MAX) {
        free(block);
        return;
    }
    *(void **)block = self->free[i];
    self->free[i] = block;
    self->kept_bytes += bytes;
}
