#include "db/params.h"

#include <endian.h>

#include "base/err.h"
#include "base/mem.h"
#include "db/wirefmt.h"

/* Dimensions, null flag, element type, length, lower bound: PostgreSQL's array_send. */
#define ARRAY_HEADER_BYTES 20

void ps_pg_array_init(struct ps_pg_array *self, enum ps_pg_type type)
{
    ps_buf_init(&self->buf, PS_PG_VALUES_BYTES);
    self->type = type;
    ps_pg_array_clear(self);
}

void ps_pg_array_fini(struct ps_pg_array *self)
{
    ps_buf_fini(&self->buf);
    self->n = 0;
}

void ps_pg_array_clear(struct ps_pg_array *self)
{
    static const uint8_t header[ARRAY_HEADER_BYTES];

    ps_buf_clear(&self->buf);
    ps_buf_put(&self->buf, header, sizeof(header));
    self->n = 0;
    self->has_null = false;
}

void ps_pg_array_i64(struct ps_pg_array *self, int64_t value)
{
    self->n++;
    ps_wire_i64(&self->buf, value);
}

void ps_pg_array_i32(struct ps_pg_array *self, int32_t value)
{
    self->n++;
    ps_wire_i32(&self->buf, value);
}

void ps_pg_array_i16(struct ps_pg_array *self, int16_t value)
{
    self->n++;
    ps_wire_i16(&self->buf, value);
}

void ps_pg_array_bool(struct ps_pg_array *self, bool value)
{
    uint8_t byte = value;

    self->n++;
    ps_wire_bytes(&self->buf, &byte, 1);
}

void ps_pg_array_bytes(struct ps_pg_array *self, const void *data, size_t len)
{
    self->n++;
    ps_wire_bytes(&self->buf, data, len);
}

void ps_pg_array_null(struct ps_pg_array *self)
{
    self->n++;
    self->has_null = true;
    ps_wire_null(&self->buf);
}

void ps_pg_array_text(struct ps_pg_array *self, const char *text)
{
    if (text)
        ps_pg_array_bytes(self, text, strlen(text));
    else
        ps_pg_array_null(self);
}

size_t ps_wire_array_finish(struct ps_pg_array *self)
{
    uint32_t header[5] = {htobe32(1), htobe32(self->has_null), htobe32((uint32_t)self->type),
                          htobe32(self->n), htobe32(1)};

    if (ps_buf_error(&self->buf))
        return 0;
    if (self->n == 0)
        header[0] = 0;
    memcpy(self->buf.data, header, sizeof(header));
    return self->n == 0 ? 12 : self->buf.len; /* an empty array has no dimension */
}

void ps_pg_params_init(struct ps_pg_params *self)
{
    memset(self, 0, sizeof(*self));
    ps_buf_init(&self->buf, PS_PG_VALUES_BYTES);
}

void ps_pg_params_fini(struct ps_pg_params *self)
{
    ps_buf_fini(&self->buf);
    self->n = 0;
}

void ps_pg_params_clear(struct ps_pg_params *self)
{
    ps_buf_clear(&self->buf);
    self->n = 0;
    self->overflow = false;
}

/* Opens the next parameter and returns its index, -1 when there are too many. */
static int next(struct ps_pg_params *self)
{
    int i = self->n;

    if (i >= PS_PG_PARAMS_MAX) {
        self->overflow = true;
        return -1;
    }
    self->n++;
    self->arrays[i] = NULL;
    self->lent[i] = NULL;
    self->offsets[i] = self->buf.len;
    self->lengths[i] = -1;
    self->text[i] = false;
    return i;
}

/* A text value is NUL-terminated because libpq measures text parameters by strlen. */
static void put_copy(struct ps_pg_params *self, const void *data, size_t len, bool text)
{
    int i = next(self);

    if (i < 0)
        return;
    ps_buf_put(&self->buf, data, len);
    ps_buf_put(&self->buf, "", 1);
    self->lengths[i] = len > PS_PG_VALUES_BYTES ? 0 : (int)len; /* then buf has failed already */
    self->text[i] = text;
}

void ps_pg_put_i64(struct ps_pg_params *self, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);

    put_copy(self, &wire, sizeof(wire), false);
}

void ps_pg_put_i32(struct ps_pg_params *self, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);

    put_copy(self, &wire, sizeof(wire), false);
}

void ps_pg_put_i16(struct ps_pg_params *self, int16_t value)
{
    uint16_t wire = htobe16((uint16_t)value);

    put_copy(self, &wire, sizeof(wire), false);
}

void ps_pg_put_bool(struct ps_pg_params *self, bool value)
{
    uint8_t wire = value;

    put_copy(self, &wire, sizeof(wire), false);
}

void ps_pg_put_text(struct ps_pg_params *self, const char *text)
{
    if (text)
        put_copy(self, text, strlen(text), true);
    else
        ps_pg_put_null(self);
}

void ps_pg_put_text_n(struct ps_pg_params *self, const char *text, size_t len)
{
    put_copy(self, text, len, true);
}

void ps_pg_put_bytea(struct ps_pg_params *self, const void *data, size_t len)
{
    put_copy(self, data, len, false);
}

void ps_pg_put_bytea_lent(struct ps_pg_params *self, const void *data, size_t len)
{
    int i = next(self);

    if (i < 0)
        return;
    if (len > PS_PG_VALUES_BYTES) {
        self->overflow = true;
        return;
    }
    self->lent[i] = len ? data : "";
    self->lengths[i] = (int)len;
}

void ps_pg_put_time_us(struct ps_pg_params *self, int64_t real_us)
{
    ps_pg_put_i64(self, real_us - PS_WIRE_EPOCH_US);
}

void ps_pg_put_array(struct ps_pg_params *self, struct ps_pg_array *array)
{
    int i = next(self);

    if (i >= 0)
        self->arrays[i] = array;
}

void ps_pg_put_null(struct ps_pg_params *self)
{
    (void)next(self); /* too many is noted there */
}

int ps_pg_params_error(const struct ps_pg_params *self)
{
    int code = ps_buf_error(&self->buf);

    if (self->overflow)
        return PS_ERR_LIMIT;
    for (int i = 0; i < self->n && code == 0; i++)
        if (self->arrays[i])
            code = ps_buf_error(&self->arrays[i]->buf);
    return code;
}

void ps_pg_params_fill(const struct ps_pg_params *self, const char **ret_values, int *ret_lengths,
                       int *ret_formats)
{
    for (int i = 0; i < self->n; i++) {
        ret_formats[i] = self->text[i] ? 0 : 1;
        ret_lengths[i] = self->lengths[i];
        if (self->arrays[i]) {
            ret_lengths[i] = (int)ps_wire_array_finish(self->arrays[i]);
            ret_values[i] = (const char *)self->arrays[i]->buf.data;
        } else if (self->lent[i]) {
            ret_values[i] = self->lent[i];
        } else if (self->lengths[i] < 0) {
            ret_values[i] = NULL;
            ret_lengths[i] = 0;
        } else {
            ret_values[i] = (const char *)self->buf.data + self->offsets[i];
        }
    }
}
