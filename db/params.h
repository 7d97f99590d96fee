/* db/params.h: parameters of a prepared statement, arrays and COPY rows, all in PostgreSQL's binary format.
 *
 * Builders fail softly like ps_buf: put everything, ask once (ps_pg_params_error; ps_pg_exec asks by itself
 * and answers PS_ERR_NOMEM or PS_ERR_LIMIT). Types must be those that the statement's parameters have in the
 * server: put a cast in the SQL ($1::bigint) and the put function of the same width here. Any thread, one at
 * a time. */
#ifndef PS_DB_PARAMS_H
#define PS_DB_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define PS_PG_PARAMS_MAX   32
#define PS_PG_VALUES_BYTES (64u << 20) /* limit of all values of one statement, of one array, of one COPY */

/* Elements of arrays: the server's type oids. */
enum ps_pg_type {
    PS_PG_BOOL = 16,
    PS_PG_BYTEA = 17,
    PS_PG_INT8 = 20,
    PS_PG_INT2 = 21,
    PS_PG_INT4 = 23,
    PS_PG_TEXT = 25,
};

/* An array parameter (one dimension), built element by element. */
struct ps_pg_array {
    struct ps_buf buf;    /* header and elements as sent */
    enum ps_pg_type type; /* of the elements */
    uint32_t n;           /* elements */
    bool has_null;
};

void ps_pg_array_init(struct ps_pg_array *self, enum ps_pg_type type);
void ps_pg_array_fini(struct ps_pg_array *self);
void ps_pg_array_clear(struct ps_pg_array *self); /* empty again, keeps the memory */
void ps_pg_array_i64(struct ps_pg_array *self, int64_t value);
void ps_pg_array_i32(struct ps_pg_array *self, int32_t value);
void ps_pg_array_i16(struct ps_pg_array *self, int16_t value);
void ps_pg_array_bool(struct ps_pg_array *self, bool value);
void ps_pg_array_bytes(struct ps_pg_array *self, const void *data, size_t len); /* bytea and text alike */
void ps_pg_array_text(struct ps_pg_array *self, const char *text);              /* NULL: a null element */
void ps_pg_array_null(struct ps_pg_array *self);
#define PS_PG_ARRAY PS_CLEANUP(ps_pg_array_fini)

/* The parameters of one statement, in order $1, $2, ... Values are copied, but put_array and put_lent only
 * point: those must live until the statement was sent. */
struct ps_pg_params {
    int n;
    struct ps_buf buf; /* copied values */
    struct ps_pg_array *arrays[PS_PG_PARAMS_MAX];
    const void *lent[PS_PG_PARAMS_MAX]; /* values that are not in buf */
    size_t offsets[PS_PG_PARAMS_MAX];   /* of the value in buf */
    int lengths[PS_PG_PARAMS_MAX];      /* bytes; -1: null */
    bool text[PS_PG_PARAMS_MAX];        /* sent in text format */
    bool overflow;                      /* more than PS_PG_PARAMS_MAX: PS_ERR_LIMIT */
};

void ps_pg_params_init(struct ps_pg_params *self);
void ps_pg_params_fini(struct ps_pg_params *self);
void ps_pg_params_clear(struct ps_pg_params *self);
#define PS_PG_PARAMS PS_CLEANUP(ps_pg_params_fini)

void ps_pg_put_i64(struct ps_pg_params *self, int64_t value);
void ps_pg_put_i32(struct ps_pg_params *self, int32_t value);
void ps_pg_put_i16(struct ps_pg_params *self, int16_t value);
void ps_pg_put_bool(struct ps_pg_params *self, bool value);
void ps_pg_put_text(struct ps_pg_params *self,
                    const char *text); /* text (also jsonb, by the text format); NULL: null */
void ps_pg_put_text_n(struct ps_pg_params *self, const char *text, size_t len);
void ps_pg_put_bytea(struct ps_pg_params *self, const void *data, size_t len);
void ps_pg_put_bytea_lent(struct ps_pg_params *self, const void *data, size_t len);
void ps_pg_put_time_us(struct ps_pg_params *self, int64_t real_us); /* timestamptz, microseconds since 1970 */
void ps_pg_put_array(struct ps_pg_params *self, struct ps_pg_array *array);
void ps_pg_put_null(struct ps_pg_params *self);

/* 0, PS_ERR_NOMEM or PS_ERR_LIMIT, over all values and arrays. */
int ps_pg_params_error(const struct ps_pg_params *self);
/* For senders: fills the three arrays that libpq wants (each of PS_PG_PARAMS_MAX). Pointers are lent from
 * self. */
void ps_pg_params_fill(const struct ps_pg_params *self, const char **ret_values, int *ret_lengths,
                       int *ret_formats);

/* Rows of a COPY ... (FORMAT binary): row(n fields), then n puts. */
struct ps_pg_copy {
    struct ps_buf buf; /* header, rows; the trailer is added when sent */
    uint32_t rows;
};

void ps_pg_copy_init(struct ps_pg_copy *self);
void ps_pg_copy_fini(struct ps_pg_copy *self);
void ps_pg_copy_clear(struct ps_pg_copy *self);
void ps_pg_copy_row(struct ps_pg_copy *self, int16_t fields_n);
void ps_pg_copy_i64(struct ps_pg_copy *self, int64_t value);
void ps_pg_copy_i32(struct ps_pg_copy *self, int32_t value);
void ps_pg_copy_i16(struct ps_pg_copy *self, int16_t value);
void ps_pg_copy_bool(struct ps_pg_copy *self, bool value);
void ps_pg_copy_bytes(struct ps_pg_copy *self, const void *data, size_t len); /* bytea, text */
void ps_pg_copy_text(struct ps_pg_copy *self, const char *text);              /* NULL: null */
void ps_pg_copy_jsonb(struct ps_pg_copy *self, const char *json, size_t len);
void ps_pg_copy_time_us(struct ps_pg_copy *self, int64_t real_us);
void ps_pg_copy_array(struct ps_pg_copy *self, struct ps_pg_array *array);
void ps_pg_copy_null(struct ps_pg_copy *self);

#endif
