/* db/wirefmt.h: PostgreSQL's binary format, the few pieces of it that the files of db/ share. Private to db/. */
#ifndef PS_DB_WIREFMT_H
#define PS_DB_WIREFMT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct ps_pg_array;

/* 2000-01-01 in microseconds since 1970: where timestamptz begins to count. */
#define PS_WIRE_EPOCH_US INT64_C(946684800000000)

/* A value with its 4-byte length in front, as in arrays and COPY rows. */
static inline void ps_wire_bytes(struct ps_buf *buf, const void *data, size_t len)
{
    uint32_t wire = htobe32((uint32_t)len);

    if (len > INT32_MAX) {
        buf->error = buf->error ? buf->error : PS_ERR_LIMIT;
        return;
    }
    ps_buf_put(buf, &wire, sizeof(wire));
    ps_buf_put(buf, data, len);
}

static inline void ps_wire_null(struct ps_buf *buf)
{
    uint32_t wire = UINT32_MAX;

    ps_buf_put(buf, &wire, sizeof(wire));
}

static inline void ps_wire_i64(struct ps_buf *buf, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);

    ps_wire_bytes(buf, &wire, sizeof(wire));
}

static inline void ps_wire_i32(struct ps_buf *buf, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);

    ps_wire_bytes(buf, &wire, sizeof(wire));
}

static inline void ps_wire_i16(struct ps_buf *buf, int16_t value)
{
    uint16_t wire = htobe16((uint16_t)value);

    ps_wire_bytes(buf, &wire, sizeof(wire));
}

/* Fills in the array's header and returns how many bytes of its buffer are the value. */
size_t ps_wire_array_finish(struct ps_pg_array *self);

#endif
