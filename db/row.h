/* db/row.h: reads values out of a result in binary format. Any thread, the result must live as long as what
 * it lends.
 *
 * A null reads as 0, false or empty: ask ps_row_null where that matters. A value whose width does not fit the
 * accessor also reads as 0: the statement's author casts in SQL. Column numbers from 0. */
#ifndef PS_DB_ROW_H
#define PS_DB_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/bytes.h"

int ps_row_n(const PGresult *result); /* rows; 0 for NULL */
/* Rows that the command touched (INSERT, UPDATE, DELETE, COPY). */
int64_t ps_row_affected(PGresult *result);
bool ps_row_null(const PGresult *result, int row, int col);
int64_t ps_row_i64(const PGresult *result, int row, int col); /* smallint, integer, bigint */
bool ps_row_bool(const PGresult *result, int row, int col);
double ps_row_f64(const PGresult *result, int row, int col); /* real, double precision */
struct ps_bytes ps_row_bytes(const PGresult *result, int row,
                             int col); /* bytea, text; also jsonb as its text */
const char *ps_row_text(const PGresult *result, int row,
                        int col); /* text, NUL-terminated by libpq; NULL when null */
struct ps_bytes ps_row_json(const PGresult *result, int row, int col); /* jsonb or json: the text */
int64_t ps_row_time_us(const PGresult *result, int row, int col); /* timestamptz, microseconds since 1970 */

/* Walks a one-dimensional array. A malformed one is empty. */
struct ps_row_array {
    const uint8_t *at, *end; /* what is left, lent by the result */
    uint32_t n;              /* elements left */
};
struct ps_row_array ps_row_array(const PGresult *result, int row, int col);
/* The next element's bytes (*ret_null may be NULL); false at the end. */
bool ps_row_array_next(struct ps_row_array *self, struct ps_bytes *ret_element, bool *ret_null);
/* A big-endian integer element of 1, 2, 4 or 8 bytes (bool, smallint, integer, bigint). */
int64_t ps_row_int(struct ps_bytes element);

#endif
