/* proto/wire.h: reads MessagePack values off bytes that a stranger sent. Used by codec.c alone.
 *
 * Each wire_ function takes one value off the front and says whether it was there, of the right type and
 * within its limit. After false the cursor is worthless. Lengths are compared with the bytes that are left,
 * never added to pointers first. Everything is inline: this is the broker's hot path. */
#ifndef PS_PROTO_WIRE_H
#define PS_PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"

struct wire {
    const uint8_t *at;  /* next byte */
    const uint8_t *end; /* behind the last one */
    bool checked;       /* these bytes were walked before: texts need no second look */
};

static inline size_t wire_left(const struct wire *w)
{
    return (size_t)(w->end - w->at);
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static inline bool wire_be(struct wire *w, size_t bytes, uint64_t *ret)
{
    uint64_t n = 0;

    if (wire_left(w) < bytes)
        return false;

    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | w->at[i];
    w->at += bytes;
    *ret = n;
    return true;
}

/* What follows a type byte 0xcc..0xcf (unsigned) or 0xd0..0xd3 (signed: a set sign bit is refused). */
static inline bool wire_long_uint(struct wire *w, uint8_t type, uint64_t *ret)
{
    if (type < 0xcc || type > 0xd3)
        return false;
    if (type >= 0xd0 && w->at != w->end && *w->at >= 0x80)
        return false;
    return wire_be(w, (size_t)1 << (type & 3), ret);
}

static inline bool wire_u64(struct wire *w, uint64_t *ret)
{
    if (w->at == w->end)
        return false;

    uint8_t type = *w->at++;
    if (type < 0x80) {
        *ret = type;
        return true;
    }
    return wire_long_uint(w, type, ret);
}

static inline bool wire_u32(struct wire *w, uint32_t *ret)
{
    uint64_t n;

    if (!wire_u64(w, &n) || n > UINT32_MAX)
        return false;

    *ret = (uint32_t)n;
    return true;
}

static inline bool wire_bool(struct wire *w, bool *ret)
{
    if (w->at == w->end || (*w->at | 1) != 0xc3)
        return false;

    *ret = *w->at++ & 1;
    return true;
}

static inline bool wire_take(struct wire *w, uint64_t len, size_t max, struct ps_bytes *ret)
{
    if (len > max || len > wire_left(w))
        return false;

    *ret = (struct ps_bytes){w->at, (size_t)len};
    w->at += len;
    return true;
}

/* UTF-8 without NUL. Nearly all texts are ASCII: eight bytes at a time are enough for them; what has a high
 * bit or may have a NUL is left to base. */
static inline bool wire_text_valid(struct ps_bytes text)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t i = 0;

    for (uint64_t eight; text.len - i >= sizeof(eight); i += sizeof(eight)) {
        memcpy(&eight, text.at + i, sizeof(eight));
        if ((eight | (eight - ones)) & tops)
            return ps_utf8_valid((const char *)text.at + i, text.len - i);
    }
    for (; i < text.len; i++)
        if (text.at[i] == 0 || text.at[i] >= 0x80)
            return ps_utf8_valid((const char *)text.at + i, text.len - i);
    return true;
}

static inline bool wire_str(struct wire *w, size_t max, struct ps_bytes *ret)
{
    uint64_t len;

    if (w->at == w->end)
        return false;

    uint8_t type = *w->at++;
    if ((type & 0xe0) == 0xa0)
        len = type & 0x1f;
    else if (type < 0xd9 || type > 0xdb || !wire_be(w, (size_t)1 << (type - 0xd9), &len))
        return false;

    return wire_take(w, len, max, ret) && (w->checked || wire_text_valid(*ret));
}

static inline bool wire_bin(struct wire *w, size_t max, struct ps_bytes *ret)
{
    uint64_t len;

    if (w->at == w->end)
        return false;

    uint8_t type = *w->at++;
    return type >= 0xc4 && type <= 0xc6 && wire_be(w, (size_t)1 << (type - 0xc4), &len) &&
           wire_take(w, len, max, ret);
}

static inline bool wire_sha(struct wire *w, uint8_t ret[PS_SHA256_BYTES])
{
    struct ps_bytes sha;

    if (!wire_bin(w, PS_SHA256_BYTES, &sha) || sha.len != PS_SHA256_BYTES)
        return false;

    memcpy(ret, sha.at, PS_SHA256_BYTES);
    return true;
}

/* The head of an array: how many values it says will follow. */
static inline bool wire_array(struct wire *w, uint64_t *ret_n)
{
    if (w->at == w->end)
        return false;

    uint8_t type = *w->at++;
    if ((type & 0xf0) == 0x90) {
        *ret_n = type & 0x0f;
        return true;
    }
    return type >= 0xdc && type <= 0xdd && wire_be(w, (size_t)2 << (type - 0xdc), ret_n);
}

static inline bool wire_array_of(struct wire *w, uint64_t n)
{
    uint64_t got;

    return wire_array(w, &got) && got == n;
}

#endif
