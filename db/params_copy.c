#include "db/params.h"

#include <endian.h>

#include "base/mem.h"
#include "db/wirefmt.h"

/* Signature, flags, length of the header's extension. */
static const uint8_t copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
#define COPY_HEADER_BYTES 19

void ps_pg_copy_init(struct ps_pg_copy *self)
{
    ps_buf_init(&self->buf, PS_PG_VALUES_BYTES);
    ps_pg_copy_clear(self);
}

void ps_pg_copy_fini(struct ps_pg_copy *self)
{
    ps_buf_fini(&self->buf);
    self->rows = 0;
}

void ps_pg_copy_clear(struct ps_pg_copy *self)
{
    ps_buf_clear(&self->buf);
    ps_buf_put(&self->buf, copy_header, COPY_HEADER_BYTES);
    self->rows = 0;
}

void ps_pg_copy_row(struct ps_pg_copy *self, int16_t fields_n)
{
    uint16_t wire = htobe16((uint16_t)fields_n);

    ps_buf_put(&self->buf, &wire, sizeof(wire));
    self->rows++;
}

void ps_pg_copy_i64(struct ps_pg_copy *self, int64_t value)
{
    ps_wire_i64(&self->buf, value);
}

void ps_pg_copy_i32(struct ps_pg_copy *self, int32_t value)
{
    ps_wire_i32(&self->buf, value);
}

void ps_pg_copy_i16(struct ps_pg_copy *self, int16_t value)
{
    ps_wire_i16(&self->buf, value);
}

void ps_pg_copy_bool(struct ps_pg_copy *self, bool value)
{
    uint8_t byte = value;

    ps_wire_bytes(&self->buf, &byte, 1);
}

void ps_pg_copy_bytes(struct ps_pg_copy *self, const void *data, size_t len)
{
    ps_wire_bytes(&self->buf, data, len);
}

void ps_pg_copy_text(struct ps_pg_copy *self, const char *text)
{
    if (text)
        ps_wire_bytes(&self->buf, text, strlen(text));
    else
        ps_wire_null(&self->buf);
}

void ps_pg_copy_jsonb(struct ps_pg_copy *self, const char *json, size_t len)
{
    static const uint8_t version = 1; /* of jsonb's binary format: a byte before the text */
    uint32_t wire = htobe32((uint32_t)(len + 1));

    if (len >= PS_PG_VALUES_BYTES) {
        self->buf.error = self->buf.error ? self->buf.error : PS_ERR_LIMIT;
        return;
    }
    ps_buf_put(&self->buf, &wire, sizeof(wire));
    ps_buf_put(&self->buf, &version, 1);
    ps_buf_put(&self->buf, json, len);
}

void ps_pg_copy_time_us(struct ps_pg_copy *self, int64_t real_us)
{
    ps_wire_i64(&self->buf, real_us - PS_WIRE_EPOCH_US);
}

void ps_pg_copy_array(struct ps_pg_copy *self, struct ps_pg_array *array)
{
    size_t len = ps_wire_array_finish(array);

    if (len == 0 && !self->buf.error)
        self->buf.error = ps_buf_error(&array->buf);
    ps_wire_bytes(&self->buf, array->buf.data, len);
}

void ps_pg_copy_null(struct ps_pg_copy *self)
{
    ps_wire_null(&self->buf);
}
