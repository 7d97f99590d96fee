#include "broker/core/pool.h"

#include "base/mem.h"

void ps_pool_init(struct ps_pool *self, size_t item_bytes, uint32_t limit_n)
{
    *self = (struct ps_pool){.item_bytes = (uint32_t)item_bytes, .limit_n = limit_n};
    assert(limit_n < UINT32_MAX - PS_POOL_CHUNK);
}

void ps_pool_fini(struct ps_pool *self)
{
    for (uint32_t i = 0; i < self->chunks_n; i++)
        free(self->chunks[i]);
    free(self->chunks);
    *self = (struct ps_pool){0};
}

static int add_chunk(struct ps_pool *self)
{
    uint8_t *chunk;

    /* The array of chunks grows one by one: a thousand items a step is rare enough. */
    if (ps_realloc(&self->chunks, (size_t)self->chunks_n + 1, sizeof(*self->chunks)))
        return -1;
    chunk = ps_alloc(PS_POOL_CHUNK, self->item_bytes);
    if (!chunk)
        return -1;
    self->chunks[self->chunks_n++] = chunk;
    return 0;
}

uint32_t ps_pool_take(struct ps_pool *self)
{
    uint32_t number = self->free;

    if (number) {
        uint32_t *item = ps_pool_at(self, number);

        self->free = *item;
        memset(item, 0, self->item_bytes);
    } else {
        if (self->top >= self->limit_n)
            return 0;
        if ((self->top + 1) >> PS_POOL_SHIFT >= self->chunks_n && add_chunk(self))
            return 0;
        number = ++self->top; /* fresh chunks are zeroed */
    }
    self->used_n++;
    return number;
}

void ps_pool_give(struct ps_pool *self, uint32_t number)
{
    uint32_t *item = ps_pool_at(self, number);

    assert(number && number <= self->top && self->used_n);
    *item = self->free;
    self->free = number;
    self->used_n--;
}

size_t ps_pool_bytes(const struct ps_pool *self)
{
    return (size_t)self->chunks_n * (PS_POOL_CHUNK * (size_t)self->item_bytes + sizeof(*self->chunks));
}
