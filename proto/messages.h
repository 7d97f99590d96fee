/* proto/messages.h: the messages as C structs, one per PS_MESSAGE and PS_PART of messages.def.
 *
 * Decoded text, bytes and lists are borrowed from the frame they came in: keep the frame as long as the
 * struct. A list is read with its cursor (ps_lease_next (&msg.leases, &item)), nothing is allocated; to
 * encode, point items at an array of n structs. */
#ifndef PS_PROTO_MESSAGES_H
#define PS_PROTO_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "proto/limits.h"

#define PS_CARRIES 1 /* flag of a message that owns one further frame of bytes */

/* Roles in a HELLO. */
enum ps_role { PS_ROLE_MASTER = 1, PS_ROLE_WORKER = 2 };

/* What an ORDER wants done with an engine. */
enum ps_order_verb { PS_ORDER_RELOAD = 1, PS_ORDER_ON = 2, PS_ORDER_OFF = 3, PS_ORDER_UPDATE = 4 };

/* Message ids: PS_MSG_HELLO ... */
enum ps_msg_id {
#define PS_PART(name, prose)
#define PS_MESSAGE(name, id, flags, direction, prose) PS_MSG_##name = (id),
#define PS_END(name)
#define PS_U64(f, prose)
#define PS_U32(f, prose)
#define PS_BOOL(f, prose)
#define PS_STR(f, max, prose)
#define PS_BIN(f, max, prose)
#define PS_SHA(f, prose)
#define PS_LIST(f, part, max, prose)
#include "proto/messages.def"
#undef PS_MESSAGE
#undef PS_PART
#undef PS_LIST
};

/* A list field. Encode: items and n. Decode: n and raw (items NULL); the whole list has been checked already.
 */
#define PS_PART(name, prose)                                                               \
    struct ps_part_##name;                                                                 \
    struct ps_list_##name {                                                                \
        const struct ps_part_##name *items; /* encode from here; NULL after decoding */    \
        size_t n;                           /* items (left, while a cursor walks) */       \
        struct ps_bytes raw;                /* decoded: the encoded items that are left */ \
    };
#define PS_MESSAGE(name, id, flags, direction, prose)
#define PS_LIST(f, part, max, prose)
#include "proto/messages.def"
#undef PS_PART
#undef PS_MESSAGE
#undef PS_END
#undef PS_U64
#undef PS_U32
#undef PS_BOOL
#undef PS_STR
#undef PS_BIN
#undef PS_SHA
#undef PS_LIST

#define PS_PART(name, prose)                          struct ps_part_##name {
#define PS_MESSAGE(name, id, flags, direction, prose) struct ps_msg_##name {
#define PS_END(name) \
    }                \
    ;
#define PS_U64(f, prose)             uint64_t f;
#define PS_U32(f, prose)             uint32_t f;
#define PS_BOOL(f, prose)            bool f;
#define PS_STR(f, max, prose)        struct ps_bytes f;
#define PS_BIN(f, max, prose)        struct ps_bytes f;
#define PS_SHA(f, prose)             uint8_t f[32];
#define PS_LIST(f, part, max, prose) struct ps_list_##part f;
#include "proto/messages.def"
#undef PS_PART
#undef PS_MESSAGE
#undef PS_END
#undef PS_U64
#undef PS_U32
#undef PS_BOOL
#undef PS_STR
#undef PS_BIN
#undef PS_SHA
#undef PS_LIST

/* Any message. */
struct ps_msg {
    enum ps_msg_id id;
    union {
#define PS_PART(name, prose)
#define PS_MESSAGE(name, id, flags, direction, prose) struct ps_msg_##name name;
#define PS_END(name)
#define PS_U64(f, prose)
#define PS_U32(f, prose)
#define PS_BOOL(f, prose)
#define PS_STR(f, max, prose)
#define PS_BIN(f, max, prose)
#define PS_SHA(f, prose)
#define PS_LIST(f, part, max, prose)
#include "proto/messages.def"
#undef PS_PART
#undef PS_MESSAGE
#undef PS_END
#undef PS_U64
#undef PS_U32
#undef PS_BOOL
#undef PS_STR
#undef PS_BIN
#undef PS_SHA
#undef PS_LIST
    };
};

#endif
