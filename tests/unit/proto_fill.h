/* tests/unit/proto_fill.h: makes messages of every kind, by the table: for unit tests and for fuzz seeds. */
#ifndef PS_TESTS_PROTO_FILL_H
#define PS_TESTS_PROTO_FILL_H

#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"

enum fill_mode {
    FILL_EMPTY, /* zeros, empty texts, empty lists */
    FILL_SMALL, /* short values, each different, lists of two */
    FILL_LONG,  /* every number and text at its limit, lists of one */
    FILL_MANY,  /* the outer lists at their limit, of items that are almost empty */
    FILL_MODES
};

#define FILL_BLOCKS 1024

struct fill {
    enum fill_mode mode;
    int depth;                 /* lists around what is filled now */
    uint64_t count;            /* makes values differ */
    void *blocks[FILL_BLOCKS]; /* lists and texts made; fill_fini frees them */
    size_t blocks_n;
};

static void *fill_block(struct fill *self, size_t n, size_t size)
{
    void *block = calloc(n, size);

    if (!block || self->blocks_n == FILL_BLOCKS)
        abort();
    self->blocks[self->blocks_n++] = block;
    return block;
}

static void fill_fini(struct fill *self)
{
    for (size_t i = 0; i < self->blocks_n; i++)
        free(self->blocks[i]);
    self->blocks_n = 0;
}

/* Numbers just below and above each step of the encoding. */
static uint64_t fill_number(struct fill *self, uint64_t max)
{
    static const uint64_t steps[] = {1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX};

    if (self->mode == FILL_LONG)
        return max;
    return self->mode == FILL_SMALL ? steps[self->count++ % 8] : 0;
}

static struct ps_bytes fill_bytes(struct fill *self, size_t max)
{
    size_t len = self->mode == FILL_LONG ? max : self->mode == FILL_SMALL ? 1 + self->count % 7 : 0;
    char *text;

    if (len > max)
        len = max;
    if (len == 0)
        return (struct ps_bytes){NULL, 0};
    text = fill_block(self, len, 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + (self->count + i) % 26);
    if (len > 3)
        memcpy(text + len - 2, "\xc3\xa4", 2); /* not all is ASCII */
    self->count++;
    return (struct ps_bytes){(uint8_t *)text, len};
}

static size_t fill_list_n(const struct fill *self, size_t max)
{
    if (self->mode == FILL_MANY)
        return self->depth == 0 ? max : 0;
    return self->mode == FILL_SMALL ? 2 : self->mode == FILL_LONG ? 1 : 0;
}

#define PS_PART(name, prose) \
    static void fill_list_##name(struct fill *self, size_t max, struct ps_list_##name *list);
#include "proto/expand.h"

/* clang-format off */
#define PS_PART(name, prose) static void fill_part_##name(struct fill *self, struct ps_part_##name *v) {
#define PS_MESSAGE(name, id, flags, direction, prose)                                                          \
    static void fill_msg_##name(struct fill *self, struct ps_msg_##name *v) {
#define PS_END(name) }
/* clang-format on */
#define PS_U64(f, prose)             v->f = fill_number(self, UINT64_MAX);
#define PS_U32(f, prose)             v->f = (uint32_t)fill_number(self, UINT32_MAX);
#define PS_BOOL(f, prose)            v->f = fill_number(self, 1) & 1;
#define PS_STR(f, max, prose)        v->f = fill_bytes(self, max);
#define PS_BIN(f, max, prose)        v->f = fill_bytes(self, max);
#define PS_SHA(f, prose)             memset(v->f, (int)fill_number(self, 255), sizeof(v->f));
#define PS_LIST(f, part, max, prose) fill_list_##part(self, max, &v->f);
#include "proto/expand.h"

#define PS_PART(name, prose)                                                                 \
    static void fill_list_##name(struct fill *self, size_t max, struct ps_list_##name *list) \
    {                                                                                        \
        size_t n = fill_list_n(self, max);                                                   \
        struct ps_part_##name *items = n > 0 ? fill_block(self, n, sizeof(*items)) : NULL;   \
                                                                                             \
        self->depth++;                                                                       \
        for (size_t i = 0; i < n; i++)                                                       \
            fill_part_##name(self, &items[i]);                                               \
        self->depth--;                                                                       \
        *list = (struct ps_list_##name){.items = items, .n = n};                             \
    }
#include "proto/expand.h"

/* Fills a message of that id; lent until fill_fini. */
static void fill_msg(struct fill *self, enum ps_msg_id id, struct ps_msg *msg)
{
    memset(msg, 0, sizeof(*msg));
    msg->id = id;
    switch (id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        fill_msg_##name(self, &msg->name);                \
        break;
#include "proto/expand.h"
    }
}

static const enum ps_msg_id fill_ids[] = {
#define PS_MESSAGE(name, id, flags, direction, prose) PS_MSG_##name,
#include "proto/expand.h"
};
#define FILL_IDS_N (sizeof(fill_ids) / sizeof(fill_ids[0]))

#endif
