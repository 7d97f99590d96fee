/* proto/codec.c: the expansions of messages.def that write and read.
 *
 * msgpack-c packs, because our own values are trusted; peers' bytes are read by the strict cursor of wire.h,
 * because msgpack-c's unpacker believes counts before it sees the items. A record is decoded into a local
 * struct of its own size and copied at the end, so that a refused one leaves no half-filled message behind.
 */
#include "proto/codec.h"

#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/wire.h"

/* ---- how many fields: fields_JOB, fields_lease ---- */

#define PS_PART(name, prose)                          enum { fields_##name = 0
#define PS_MESSAGE(name, id, flags, direction, prose) enum { fields_##name = 0
#define PS_END(name) \
    }                \
    ;
#define PS_U64(f, prose)             +1
#define PS_U32(f, prose)             +1
#define PS_BOOL(f, prose)            +1
#define PS_STR(f, max, prose)        +1
#define PS_BIN(f, max, prose)        +1
#define PS_SHA(f, prose)             +1
#define PS_LIST(f, part, max, prose) +1
#include "proto/expand.h"

/* ---- writing ---- */

struct pen {
    struct ps_buf *out;
    int error; /* first failure; later values are ignored */
};

/* Room that is there already is used without a call into base. Always inline: most values are one to nine bytes, and
 * then this is a compare and a store. */
static inline __attribute__((always_inline)) int pen_write(struct pen *pen, const void *data, size_t len)
{
    struct ps_buf *out = pen->out;

    if (out->error == 0 && out->cap - out->len >= len && len > 0) {
        memcpy(out->data + out->len, data, len);
        out->len += len;
        return 0;
    }
    ps_buf_put(out, data, len);
    return ps_buf_error(out) == 0 ? 0 : -1;
}

/* msgpack-c's packer with our pen instead of its callback: its template is made for that. */
#define msgpack_pack_inline_func(name)              static inline int pen_pack##name
#define msgpack_pack_inline_func_cint(name)         static inline __attribute__((unused)) int pen_pack##name
#define msgpack_pack_inline_func_fixint(name)       static inline __attribute__((unused)) int pen_pack_fix##name
#define msgpack_pack_user                           struct pen *
#define msgpack_pack_append_buffer(user, data, len) return pen_write(user, data, len)
#include <msgpack/pack_template.h>

/* The return values of pen_pack_* are those of pen_write; the buffer keeps that failure, ps_msg_put asks it. */
static void put_u64(struct pen *pen, uint64_t n)
{
    (void)pen_pack_uint64(pen, n);
}

static void put_bool(struct pen *pen, bool yes)
{
    (void)(yes ? pen_pack_true(pen) : pen_pack_false(pen));
}

static void put_bin(struct pen *pen, struct ps_bytes bytes, size_t max)
{
    if (bytes.len > max) {
        pen->error = PS_ERR_LIMIT;
        return;
    }
    (void)pen_pack_bin(pen, bytes.len);
    if (bytes.len > 0)
        (void)pen_pack_bin_body(pen, bytes.at, bytes.len);
}

/* Text that the other side would refuse is refused here: there it would cost the whole frame. */
static void put_str(struct pen *pen, struct ps_bytes text, size_t max)
{
    if (text.len > max)
        pen->error = PS_ERR_LIMIT;
    else if (!wire_text_valid(text))
        pen->error = PS_ERR_INVALID;
    if (pen->error != 0)
        return;

    (void)pen_pack_str(pen, text.len);
    if (text.len > 0)
        (void)pen_pack_str_body(pen, text.at, text.len);
}

/* A failed pen stops the longest lists early. */
static bool pen_failed(const struct pen *pen)
{
    return pen->error != 0 || pen->out->error != 0;
}

#define PS_PART(name, prose) \
    static void put_list_##name(struct pen *pen, const struct ps_list_##name *list, size_t max);
#include "proto/expand.h"

#define PS_PART(name, prose)                                                     \
    static void put_part_##name(struct pen *pen, const struct ps_part_##name *v) \
    {                                                                            \
        (void)pen_pack_array(pen, fields_##name);
#define PS_MESSAGE(name, id, flags, direction, prose)                          \
    static void put_msg_##name(struct pen *pen, const struct ps_msg_##name *v) \
    {                                                                          \
        (void)pen_pack_array(pen, fields_##name + 1);                          \
        put_u64(pen, id);
#define PS_END(name)                 }
#define PS_U64(f, prose)             put_u64(pen, v->f);
#define PS_U32(f, prose)             put_u64(pen, v->f);
#define PS_BOOL(f, prose)            put_bool(pen, v->f);
#define PS_STR(f, max, prose)        put_str(pen, v->f, max);
#define PS_BIN(f, max, prose)        put_bin(pen, v->f, max);
#define PS_SHA(f, prose)             put_bin(pen, (struct ps_bytes){v->f, PS_SHA256_BYTES}, PS_SHA256_BYTES);
#define PS_LIST(f, part, max, prose) put_list_##part(pen, &v->f, max);
#include "proto/expand.h"

#define PS_PART(name, prose)                                                                    \
    static void put_list_##name(struct pen *pen, const struct ps_list_##name *list, size_t max) \
    {                                                                                           \
        if (list->n > max)                                                                      \
            pen->error = PS_ERR_LIMIT;                                                          \
        else if (!list->items && list->raw.len < list->n)                                       \
            pen->error = PS_ERR_INVALID;                                                        \
        if (pen->error != 0)                                                                    \
            return;                                                                             \
        (void)pen_pack_array(pen, list->n);                                                     \
        if (!list->items)                                                                       \
            (void)pen_write(pen, list->raw.at, list->raw.len);                                  \
        else                                                                                    \
            for (size_t i = 0; i < list->n && !pen_failed(pen); i++)                            \
                put_part_##name(pen, &list->items[i]);                                          \
    }
#include "proto/expand.h"

static void put_any(struct pen *pen, const struct ps_msg *msg)
{
    switch (msg->id) {
#define PS_MESSAGE(name, id, flags, direction, prose) \
    case PS_MSG_##name:                               \
        put_msg_##name(pen, &msg->name);              \
        return;
#include "proto/expand.h"
    }
    pen->error = PS_ERR_INVALID;
}

int ps_msg_put(struct ps_buf *out, const struct ps_msg *msg)
{
    struct pen pen = {.out = out};
    size_t before = out->len;
    int error = ps_buf_error(out);

    if (error != 0)
        return error;

    put_any(&pen, msg);
    error = pen.error != 0 ? pen.error : ps_buf_error(out);
    if (error == 0 && out->len - before > PS_FRAME_MAX)
        error = PS_ERR_LIMIT;
    if (error == 0)
        return 0;

    out->len = before;
    out->error = 0;
    return error;
}

/* ---- reading ---- */

#define PS_PART(name, prose) \
    static bool take_list_##name(struct wire *w, size_t max, struct ps_list_##name *ret_list);
#include "proto/expand.h"

#define PS_PART(name, prose)                                               \
    static bool take_part_##name(struct wire *w, struct ps_part_##name *v) \
    {                                                                      \
        return wire_array_of(w, fields_##name)
#define PS_MESSAGE(name, id, flags, direction, prose)                    \
    static bool take_msg_##name(struct wire *w, struct ps_msg_##name *v) \
    {                                                                    \
        return true
/* clang-format off */
#define PS_END(name)                 ; }
/* clang-format on */
#define PS_U64(f, prose)             &&wire_u64(w, &v->f)
#define PS_U32(f, prose)             &&wire_u32(w, &v->f)
#define PS_BOOL(f, prose)            &&wire_bool(w, &v->f)
#define PS_STR(f, max, prose)        &&wire_str(w, max, &v->f)
#define PS_BIN(f, max, prose)        &&wire_bin(w, max, &v->f)
#define PS_SHA(f, prose)             &&wire_sha(w, v->f)
#define PS_LIST(f, part, max, prose) &&take_list_##part(w, max, &v->f)
#include "proto/expand.h"

/* Lists, and their cursors. The cursor trusts what take_list has walked: its items can only be well-formed.
 */
#define PS_PART(name, prose)                                                                    \
    static bool take_list_##name(struct wire *w, size_t max, struct ps_list_##name *ret_list)   \
    {                                                                                           \
        struct ps_part_##name item;                                                             \
        uint64_t n;                                                                             \
                                                                                                \
        if (!wire_array(w, &n) || n > max)                                                      \
            return false;                                                                       \
        const uint8_t *first = w->at;                                                           \
        for (uint64_t i = 0; i < n; i++)                                                        \
            if (!take_part_##name(w, &item))                                                    \
                return false;                                                                   \
        *ret_list = (struct ps_list_##name){NULL, (size_t)n, {first, (size_t)(w->at - first)}}; \
        return true;                                                                            \
    }                                                                                           \
                                                                                                \
    bool ps_##name##_next(struct ps_list_##name *cursor, struct ps_part_##name *ret_item)       \
    {                                                                                           \
        if (cursor->n == 0)                                                                     \
            return false;                                                                       \
        cursor->n--;                                                                            \
        if (cursor->items) {                                                                    \
            *ret_item = *cursor->items++;                                                       \
            return true;                                                                        \
        }                                                                                       \
        struct wire w = {cursor->raw.at, cursor->raw.at + cursor->raw.len, true};               \
        bool whole = take_part_##name(&w, ret_item);                                            \
        assert(whole); /* else the caller changed the frame's bytes, or made the list up */     \
        cursor->raw = (struct ps_bytes){w.at, wire_left(&w)};                                   \
        return whole;                                                                           \
    }
#include "proto/expand.h"

/* n: values in the record by its array head, the id among them. */
static bool take_any(struct wire *w, uint64_t n, uint64_t id, struct ps_msg *ret_msg)
{
    switch (id) {
#define PS_MESSAGE(name, number, flags, direction, prose)      \
    case (number): {                                           \
        struct ps_msg_##name v;                                \
        if (n != fields_##name + 1 || !take_msg_##name(w, &v)) \
            return false;                                      \
        ret_msg->id = PS_MSG_##name;                           \
        ret_msg->name = v;                                     \
        return true;                                           \
    }
#include "proto/expand.h"
    default:
        return false;
    }
}

int ps_msg_next(struct ps_bytes *frame, struct ps_msg *ret_msg)
{
    struct wire w = {frame->at, frame->at + frame->len, false};
    uint64_t n, id;

    if (frame->len == 0)
        return 0;
    if (!wire_array(&w, &n) || n == 0 || !wire_u64(&w, &id) || !take_any(&w, n, id, ret_msg))
        return PS_ERR_PROTO;

    *frame = (struct ps_bytes){w.at, wire_left(&w)};
    return 1;
}

/* ---- what the table says ---- */

bool ps_msg_carries(enum ps_msg_id id)
{
    switch (id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        return ((flags)&PS_CARRIES) != 0;
#include "proto/expand.h"
    }
    return false;
}

const char *ps_msg_name(enum ps_msg_id id)
{
    switch (id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        return #name;
#include "proto/expand.h"
    }
    return "unknown";
}
