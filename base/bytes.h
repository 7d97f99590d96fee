/* base/bytes.h: bytes with a length, a bounded growable buffer, and hex. Any thread. */
#ifndef PS_BASE_BYTES_H
#define PS_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes; not NUL-terminated; at may be NULL when len is 0. */
struct ps_bytes {
    const uint8_t *at; /* lent by whoever filled it: see there for how long */
    size_t len;        /* bytes */
};

#define PS_BYTES_LIT(s) ((struct ps_bytes){(const uint8_t *)(s), sizeof(s) - 1})
struct ps_bytes ps_bytes_of(const char *text); /* NULL gives empty */
bool ps_bytes_equal(struct ps_bytes a, struct ps_bytes b);
bool ps_bytes_is(struct ps_bytes a, const char *text);

/* A growable buffer with a hard limit. Once it failed (limit or memory), it stays failed and later puts are
 * ignored: check once at the end with ps_buf_error. */
struct ps_buf {
    uint8_t *data; /* owned; NULL while empty */
    size_t len;    /* bytes used */
    size_t cap;    /* bytes allocated */
    size_t max;    /* limit in bytes */
    int error;     /* 0, PS_ERR_NOMEM or PS_ERR_LIMIT */
};

void ps_buf_init(struct ps_buf *self, size_t max_bytes);
void ps_buf_fini(struct ps_buf *self);
/* Forgets content and error, keeps the memory. */
void ps_buf_clear(struct ps_buf *self);
void ps_buf_put(struct ps_buf *self, const void *data, size_t len);
void ps_buf_put_text(struct ps_buf *self, const char *text);
void ps_buf_putf(struct ps_buf *self, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for len further bytes and returns where they go, NULL on failure; commit with self->len += n. */
uint8_t *ps_buf_reserve(struct ps_buf *self, size_t len);
/* Drops the first n bytes (n <= len). */
void ps_buf_shift(struct ps_buf *self, size_t n);
int ps_buf_error(const struct ps_buf *self);
/* NUL-terminates without counting the NUL and lends the text; "" after a failure. */
const char *ps_buf_text(struct ps_buf *self);
#define PS_BUF PS_CLEANUP(ps_buf_fini)

#define PS_SHA256_BYTES 32
#define PS_SHA256_HEX   (2 * PS_SHA256_BYTES + 1)

/* Writes 2 * len lower-case hex digits and a NUL into hex. */
void ps_hex_encode(char *hex, const uint8_t *bytes, size_t len);
/* Reads exactly len bytes from exactly 2 * len hex digits (either case). 0 or PS_ERR_INVALID. */
int ps_hex_decode(uint8_t *ret_bytes, size_t len, const char *hex, size_t hex_len);

#endif
