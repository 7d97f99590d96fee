#include "broker/core/block.h"

#include "base/mem.h"

#define SLAB_BYTES (64u * 1024)
#define SLOT_BITS  13 /* SLAB_BYTES / PS_BLOCK_STEP blocks */
#define SLOT_MASK  ((1u << SLOT_BITS) - 1)
#define SLABS_MAX  ((1u << (32 - SLOT_BITS)) - 1)
#define SLABS_STEP 64 /* places for slabs at first; doubled when used up */

static_assert(SLAB_BYTES / PS_BLOCK_STEP <= SLOT_MASK + 1, "a slot's number fits");

void ps_blocks_init(struct ps_blocks *self)
{
    *self = (struct ps_blocks){0};
}

void ps_blocks_fini(struct ps_blocks *self)
{
    for (uint32_t i = 1; i <= self->slabs_n; i++)
        free(self->slabs[i].memory);
    free(self->slabs);
    *self = (struct ps_blocks){0};
}

size_t ps_block_rounded(size_t len)
{
    return (len + PS_BLOCK_STEP - 1) & ~(size_t)(PS_BLOCK_STEP - 1);
}

/* ---- slabs ---- */

static void link_in(struct ps_blocks *self, uint32_t number, uint32_t *list)
{
    struct ps_slab *slab = &self->slabs[number];

    slab->prev = 0;
    slab->next = *list;
    if (*list)
        self->slabs[*list].prev = number;
    *list = number;
}

static void link_out(struct ps_blocks *self, uint32_t number, uint32_t *list)
{
    const struct ps_slab *slab = &self->slabs[number];

    if (slab->prev)
        self->slabs[slab->prev].next = slab->next;
    else
        *list = slab->next;
    if (slab->next)
        self->slabs[slab->next].prev = slab->prev;
}

/* A number for a slab, without memory yet; 0 when there is none. */
static uint32_t name_one(struct ps_blocks *self)
{
    uint32_t number = self->unnamed, max = PS_MAX(self->slabs_max * 2, (uint32_t)SLABS_STEP);

    if (number) {
        link_out(self, number, &self->unnamed);
        return number;
    }
    if (self->slabs_n >= SLABS_MAX)
        return 0;
    if (self->slabs_n + 1 >= self->slabs_max) {
        if (ps_realloc(&self->slabs, max, sizeof(*self->slabs)))
            return 0;
        self->slabs_max = max;
    }
    self->slabs[++self->slabs_n] = (struct ps_slab){0};
    return self->slabs_n;
}

static uint32_t make_slab(struct ps_blocks *self, size_t bytes)
{
    uint32_t number = name_one(self);

    if (!number)
        return 0;
    self->slabs[number] = (struct ps_slab){.memory = malloc(bytes)};
    if (self->slabs[number].memory)
        return number;
    link_in(self, number, &self->unnamed);
    return 0;
}

static void free_slab(struct ps_blocks *self, uint32_t number)
{
    free(self->slabs[number].memory);
    self->slabs[number].memory = NULL;
    link_in(self, number, &self->unnamed);
}

/* One with room for blocks of that size, in their list; 0 without memory. */
static uint32_t slab_with_room(struct ps_blocks *self, size_t units)
{
    uint32_t number = self->room[units];

    if (number)
        return number;
    number = self->empty;
    if (number) {
        link_out(self, number, &self->empty);
        self->kept_bytes -= SLAB_BYTES;
    } else {
        number = make_slab(self, SLAB_BYTES);
    }
    if (!number)
        return 0;
    self->slabs[number].units = (uint16_t)units;
    self->slabs[number].top = self->slabs[number].free = 0;
    link_in(self, number, &self->room[units]);
    return number;
}

/* ---- blocks ---- */

static uint32_t capacity(const struct ps_slab *slab)
{
    return SLAB_BYTES / (slab->units * PS_BLOCK_STEP);
}

static uint8_t *slot_at(const struct ps_slab *slab, uint32_t slot)
{
    return slab->memory + (size_t)slot * slab->units * PS_BLOCK_STEP;
}

uint8_t *ps_block_at(const struct ps_blocks *self, uint32_t block)
{
    return block ? slot_at(&self->slabs[block >> SLOT_BITS], block & SLOT_MASK) : NULL;
}

static uint32_t take_small(struct ps_blocks *self, size_t units)
{
    uint32_t number = slab_with_room(self, units), slot;
    struct ps_slab *slab = &self->slabs[number];

    if (!number)
        return 0;
    if (slab->free) {
        slot = slab->free - 1u;
        memcpy(&slab->free, slot_at(slab, slot), sizeof(slab->free));
    } else {
        slot = slab->top++;
    }
    if (++slab->used_n == capacity(slab))
        link_out(self, number, &self->room[units]);
    return number << SLOT_BITS | slot;
}

uint32_t ps_block_copy(struct ps_blocks *self, const void *data, size_t len)
{
    size_t bytes = ps_block_rounded(len);
    uint32_t block = bytes > PS_BLOCK_SMALL ? make_slab(self, bytes) << SLOT_BITS
                                            : take_small(self, bytes / PS_BLOCK_STEP);

    if (!block)
        return 0;
    memcpy(ps_block_at(self, block), data, len);
    self->used_bytes += bytes;
    self->large_bytes += bytes > PS_BLOCK_SMALL ? bytes : 0;
    return block;
}

static void give_small(struct ps_blocks *self, uint32_t number, uint32_t slot)
{
    struct ps_slab *slab = &self->slabs[number];

    assert(slab->memory && slab->used_n && slot < slab->top);
    if (slab->used_n-- == capacity(slab))
        link_in(self, number, &self->room[slab->units]);
    memcpy(slot_at(slab, slot), &slab->free, sizeof(slab->free));
    slab->free = (uint16_t)(slot + 1);
    if (slab->used_n)
        return;
    link_out(self, number, &self->room[slab->units]);
    if (self->kept_bytes + SLAB_BYTES > PS_BLOCK_KEEP_MAX) {
        free_slab(self, number);
        return;
    }
    self->kept_bytes += SLAB_BYTES;
    link_in(self, number, &self->empty);
}

void ps_block_give(struct ps_blocks *self, uint32_t block, size_t len)
{
    size_t bytes = ps_block_rounded(len);

    if (!block)
        return;
    assert(self->used_bytes >= bytes);
    self->used_bytes -= bytes;
    if (bytes > PS_BLOCK_SMALL) {
        self->large_bytes -= bytes;
        free_slab(self, block >> SLOT_BITS);
    } else {
        give_small(self, block >> SLOT_BITS, block & SLOT_MASK);
    }
}

uint64_t ps_blocks_bytes(const struct ps_blocks *self)
{
    uint64_t bytes = self->slabs_max * sizeof(*self->slabs) + self->large_bytes;

    for (uint32_t i = 1; i <= self->slabs_n; i++)
        bytes += self->slabs[i].memory && self->slabs[i].units ? SLAB_BYTES : 0;
    return bytes;
}
