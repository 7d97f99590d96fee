/* Whatever the bytes: a frame is read to its end or refused; what is read can be walked and written, and what is
 * written reads the same again. Seeds: proto-seeds. */
#include <stdlib.h>

#include "base/mem.h"
#include "proto/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* what was read counts, so that nothing of it is left out */

static void touch(struct ps_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        sink += bytes.at[i];
}

#define PS_PART(name, prose) static void walk_list_##name(struct ps_list_##name list);
#include "proto/expand.h"

/* clang-format off */
#define PS_PART(name, prose) static void walk_part_##name(const struct ps_part_##name *v) {
#define PS_MESSAGE(name, id, flags, direction, prose) static void walk_msg_##name(const struct ps_msg_##name *v) {
#define PS_END(name) }
/* clang-format on */
#define PS_U64(f, prose)             sink += v->f;
#define PS_U32(f, prose)             sink += v->f;
#define PS_BOOL(f, prose)            sink += v->f;
#define PS_STR(f, max, prose)        touch(v->f);
#define PS_BIN(f, max, prose)        touch(v->f);
#define PS_SHA(f, prose)             touch((struct ps_bytes){v->f, sizeof(v->f)});
#define PS_LIST(f, part, max, prose) walk_list_##part(v->f);
#include "proto/expand.h"

#define PS_PART(name, prose)                                 \
    static void walk_list_##name(struct ps_list_##name list) \
    {                                                        \
        struct ps_part_##name item;                          \
                                                             \
        while (ps_##name##_next(&list, &item))               \
            walk_part_##name(&item);                         \
        if (list.raw.len > 0)                                \
            abort();                                         \
    }
#include "proto/expand.h"

static void walk(const struct ps_msg *msg)
{
    switch (msg->id) {
#define PS_MESSAGE(name, number, flags, direction, prose) \
    case PS_MSG_##name:                                   \
        walk_msg_##name(&msg->name);                      \
        break;
#include "proto/expand.h"
    }
}

/* Lists are copied as they came, so only the second writing has to be like the first. */
static void write_and_read(const struct ps_msg *msg)
{
    PS_BUF struct ps_buf first, second;
    struct ps_msg again;
    struct ps_bytes frame;

    ps_buf_init(&first, PS_FRAME_MAX);
    ps_buf_init(&second, PS_FRAME_MAX);
    if (ps_msg_put(&first, msg))
        abort();
    frame = (struct ps_bytes){first.data, first.len};
    if (ps_msg_next(&frame, &again) != 1 || frame.len > 0 || again.id != msg->id)
        abort();
    if (ps_msg_put(&second, &again) || second.len != first.len ||
        memcmp(first.data, second.data, first.len) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_bytes frame = {data, size};
    struct ps_msg msg;
    size_t left = size;

    if (size > PS_FRAME_MAX)
        return 0;
    while (ps_msg_next(&frame, &msg) == 1) {
        if (frame.len >= left || frame.at + frame.len != data + size)
            abort();
        left = frame.len;
        walk(&msg);
        write_and_read(&msg);
    }
    return 0;
}
