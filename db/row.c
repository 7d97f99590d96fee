#include "db/row.h"

#include <endian.h>
#include <string.h>

#include "base/mem.h"
#include "db/wirefmt.h"

#define OID_JSONB 3802

int ps_row_n(const PGresult *result)
{
    return result ? PQntuples(result) : 0;
}

int64_t ps_row_affected(PGresult *result)
{
    const char *text = result ? PQcmdTuples(result) : "";

    return text[0] ? strtoll(text, NULL, 10) : 0;
}

static bool inside(const PGresult *result, int row, int col)
{
    return result && row >= 0 && row < PQntuples(result) && col >= 0 && col < PQnfields(result);
}

bool ps_row_null(const PGresult *result, int row, int col)
{
    return !inside(result, row, col) || PQgetisnull(result, row, col);
}

struct ps_bytes ps_row_bytes(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = {NULL, 0};

    if (ps_row_null(result, row, col))
        return bytes;
    bytes.at = (const uint8_t *)PQgetvalue(result, row, col);
    bytes.len = (size_t)PQgetlength(result, row, col);
    if (PQftype(result, col) == OID_JSONB && bytes.len > 0) { /* its first byte is a format version */
        bytes.at++;
        bytes.len--;
    }
    return bytes;
}

struct ps_bytes ps_row_json(const PGresult *result, int row, int col)
{
    return ps_row_bytes(result, row, col);
}

const char *ps_row_text(const PGresult *result, int row, int col)
{
    return (const char *)ps_row_bytes(result, row, col).at;
}

int64_t ps_row_int(struct ps_bytes element)
{
    uint64_t value = 0;

    if (element.len != 1 && element.len != 2 && element.len != 4 && element.len != 8)
        return 0;
    for (size_t i = 0; i < element.len; i++)
        value = value << 8 | element.at[i];
    switch (element.len) {
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    default:
        return (int64_t)value;
    }
}

int64_t ps_row_i64(const PGresult *result, int row, int col)
{
    return ps_row_int(ps_row_bytes(result, row, col));
}

bool ps_row_bool(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = ps_row_bytes(result, row, col);

    return bytes.len == 1 && bytes.at[0] != 0;
}

double ps_row_f64(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = ps_row_bytes(result, row, col);
    uint64_t wide = (uint64_t)ps_row_int(bytes);
    double value = 0;

    if (bytes.len == 8) {
        memcpy(&value, &wide, sizeof(value));
    } else if (bytes.len == 4) {
        uint32_t bits = (uint32_t)wide;
        float single;

        memcpy(&single, &bits, sizeof(single));
        value = (double)single;
    }
    return value;
}

int64_t ps_row_time_us(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = ps_row_bytes(result, row, col);

    return bytes.len == 8 ? ps_row_int(bytes) + PS_WIRE_EPOCH_US : 0;
}

static uint32_t be32(const uint8_t *at)
{
    uint32_t wire;

    memcpy(&wire, at, sizeof(wire));
    return be32toh(wire);
}

struct ps_row_array ps_row_array(const PGresult *result, int row, int col)
{
    struct ps_bytes bytes = ps_row_bytes(result, row, col);
    struct ps_row_array array = {NULL, NULL, 0};

    if (bytes.len < 20 || be32(bytes.at) != 1) /* one dimension; an empty array has none */
        return array;
    array.n = be32(bytes.at + 12);
    array.at = bytes.at + 20;
    array.end = bytes.at + bytes.len;
    return array;
}

bool ps_row_array_next(struct ps_row_array *self, struct ps_bytes *ret_element, bool *ret_null)
{
    uint32_t len;

    if (self->n == 0 || self->end - self->at < 4)
        return false;
    len = be32(self->at);
    self->at += 4;
    self->n--;
    if (ret_null)
        *ret_null = len == UINT32_MAX;
    *ret_element = (struct ps_bytes){self->at, 0};
    if (len == UINT32_MAX)
        return true;
    if (len > (size_t)(self->end - self->at)) {
        self->n = 0;
        return false;
    }
    ret_element->len = len;
    self->at += len;
    return true;
}
