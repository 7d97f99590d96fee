#include "broker/core/names.h"

#include "base/err.h"
#include "base/mem.h"

int ps_names_init(struct ps_names *self, uint16_t limit_n, uint64_t secret)
{
    uint16_t slots_n = 16;

    assert(limit_n <= 8192);
    while (slots_n < 2 * limit_n)
        slots_n = (uint16_t)(slots_n * 2);
    *self = (struct ps_names){.limit_n = limit_n, .mask = (uint16_t)(slots_n - 1), .secret = secret};
    self->texts = ps_alloc((size_t)limit_n + 1, sizeof(*self->texts));
    self->slots = ps_alloc(slots_n, sizeof(*self->slots));
    if (self->texts && self->slots)
        return 0;
    ps_names_fini(self);
    return PS_ERR_NOMEM;
}

void ps_names_fini(struct ps_names *self)
{
    for (uint16_t i = 1; self->texts && i <= self->top; i++)
        free((void *)(uintptr_t)self->texts[i].at);
    free(self->texts);
    free(self->slots);
    *self = (struct ps_names){0};
}

/* FNV-1a from a secret start: the table is small and bounded, so a bad draw costs little. */
static uint16_t home_of(const struct ps_names *self, struct ps_bytes text)
{
    uint64_t hash = self->secret ^ 0xcbf29ce484222325u;

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.at[i]) * 0x100000001b3u;
    return (uint16_t)((hash ^ hash >> 32) & self->mask);
}

/* Where it is, or where it would go. */
static uint16_t slot_of(const struct ps_names *self, struct ps_bytes text)
{
    uint16_t slot = home_of(self, text);

    while (self->slots[slot] && !ps_bytes_equal(self->texts[self->slots[slot]], text))
        slot = (uint16_t)((slot + 1) & self->mask);
    return slot;
}

uint16_t ps_names_find(const struct ps_names *self, struct ps_bytes text)
{
    return self->slots[slot_of(self, text)];
}

static uint16_t free_number(const struct ps_names *self)
{
    if (self->top < self->limit_n)
        return (uint16_t)(self->top + 1);
    for (uint16_t i = 1; i <= self->top; i++)
        if (!self->texts[i].at)
            return i;
    return 0;
}

uint16_t ps_names_put(struct ps_names *self, struct ps_bytes text)
{
    uint16_t slot = slot_of(self, text), number = self->slots[slot];
    char *copy;

    if (number)
        return number;
    number = free_number(self);
    if (!number)
        return 0;
    copy = ps_strndup(text.len ? (const char *)text.at : "", text.len);
    if (!copy)
        return 0;
    self->top = PS_MAX(self->top, number);
    self->texts[number] = (struct ps_bytes){(const uint8_t *)copy, text.len};
    self->slots[slot] = number;
    return number;
}

void ps_names_remove(struct ps_names *self, uint16_t number)
{
    free((void *)(uintptr_t)self->texts[number].at);
    self->texts[number] = (struct ps_bytes){NULL, 0};
    /* Rare: all anew is simpler than mending a probe sequence. */
    memset(self->slots, 0, ((size_t)self->mask + 1) * sizeof(*self->slots));
    for (uint16_t i = 1; i <= self->top; i++)
        if (self->texts[i].at)
            self->slots[slot_of(self, self->texts[i])] = i;
}

struct ps_bytes ps_names_text(const struct ps_names *self, uint16_t number)
{
    return number ? self->texts[number] : (struct ps_bytes){NULL, 0};
}
