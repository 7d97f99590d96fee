#include "broker/core/index.h"

#include "base/err.h"
#include "base/mem.h"

#define LOW_FIRST PS_POOL_CHUNK /* buckets at birth: one segment */

void ps_index_init(struct ps_index *self, const struct ps_pool *pool, size_t key_at, size_t next_at,
                   uint64_t secret)
{
    *self = (struct ps_index){
        .pool = pool, .key_at = key_at, .next_at = next_at, .low = LOW_FIRST, .secret = secret | 1};
}

void ps_index_fini(struct ps_index *self)
{
    for (uint32_t i = 0; i < self->segments_n; i++)
        free(self->segments[i]);
    free(self->segments);
    *self = (struct ps_index){0};
}

static uint64_t key_of(const struct ps_index *self, uint32_t number)
{
    uint64_t key;

    memcpy(&key, (const uint8_t *)ps_pool_at(self->pool, number) + self->key_at, sizeof(key));
    return key;
}

static uint32_t *next_of(const struct ps_index *self, uint32_t number)
{
    return (uint32_t *)(void *)((uint8_t *)ps_pool_at(self->pool, number) + self->next_at);
}

/* Multiply-shift with a secret odd factor: keys made to collide for one secret don't for another. */
static uint32_t bucket_of(const struct ps_index *self, uint64_t key)
{
    uint64_t mixed = (key ^ self->secret >> 7) * self->secret;
    uint32_t hash = (uint32_t)(mixed >> 32), bucket = hash & (self->low - 1);

    return bucket < self->split ? hash & (2 * self->low - 1) : bucket;
}

static uint32_t *head_at(const struct ps_index *self, uint32_t bucket)
{
    return &self->segments[bucket >> PS_POOL_SHIFT][bucket & (PS_POOL_CHUNK - 1)];
}

static int add_segment(struct ps_index *self)
{
    uint32_t *segment;

    if (ps_realloc(&self->segments, (size_t)self->segments_n + 1, sizeof(*self->segments)))
        return PS_ERR_NOMEM;
    segment = ps_alloc(PS_POOL_CHUNK, sizeof(*segment));
    if (!segment)
        return PS_ERR_NOMEM;
    self->segments[self->segments_n++] = segment;
    return 0;
}

/* Moves about half of the next bucket's items to a new one. Without memory for it chains grow, and that is all. */
static void split_one(struct ps_index *self)
{
    uint32_t from = self->split, to = self->low + self->split, number;

    if (to >> PS_POOL_SHIFT >= self->segments_n && add_segment(self))
        return;
    self->split++;
    number = *head_at(self, from);
    *head_at(self, from) = 0;
    while (number) {
        uint32_t next = *next_of(self, number), *head = head_at(self, bucket_of(self, key_of(self, number)));

        *next_of(self, number) = *head;
        *head = number;
        number = next;
    }
    if (self->split == self->low) {
        self->low *= 2;
        self->split = 0;
    }
}

int ps_index_put(struct ps_index *self, uint32_t number)
{
    uint32_t *head;

    if (!self->segments_n && add_segment(self))
        return PS_ERR_NOMEM;
    if (self->items_n >= self->low + self->split)
        split_one(self);
    head = head_at(self, bucket_of(self, key_of(self, number)));
    *next_of(self, number) = *head;
    *head = number;
    self->items_n++;
    return 0;
}

void ps_index_remove(struct ps_index *self, uint32_t number)
{
    uint32_t *at = head_at(self, bucket_of(self, key_of(self, number)));

    while (*at != number) {
        assert(*at);
        at = next_of(self, *at);
    }
    *at = *next_of(self, number);
    *next_of(self, number) = 0;
    self->items_n--;
}

static uint32_t with_key(const struct ps_index *self, uint32_t number, uint64_t key)
{
    while (number && key_of(self, number) != key)
        number = *next_of(self, number);
    return number;
}

uint32_t ps_index_first(const struct ps_index *self, uint64_t key)
{
    return self->segments_n ? with_key(self, *head_at(self, bucket_of(self, key)), key) : 0;
}

uint32_t ps_index_next(const struct ps_index *self, uint32_t number)
{
    return with_key(self, *next_of(self, number), key_of(self, number));
}
