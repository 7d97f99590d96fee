#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_CAP 64 /* bytes; smaller buffers are not worth a second allocation */

struct ps_bytes ps_bytes_of(const char *text)
{
    return (struct ps_bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}

bool ps_bytes_equal(struct ps_bytes a, struct ps_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool ps_bytes_is(struct ps_bytes a, const char *text)
{
    return ps_bytes_equal(a, ps_bytes_of(text));
}

void ps_buf_init(struct ps_buf *self, size_t max_bytes)
{
    *self = (struct ps_buf){.max = max_bytes};
}

void ps_buf_fini(struct ps_buf *self)
{
    free(self->data);
    *self = (struct ps_buf){.max = self->max};
}

void ps_buf_clear(struct ps_buf *self)
{
    self->len = 0;
    self->error = 0;
}

/* Doubles until need fits, but never above max. One byte more than cap is allocated, for ps_buf_text's NUL.
 */
static int grow(struct ps_buf *self, size_t need)
{
    size_t cap = self->cap > 0 ? self->cap : FIRST_CAP;

    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    cap = PS_MIN(cap, self->max);
    if (cap == SIZE_MAX || ps_realloc(&self->data, cap + 1, 1))
        return PS_ERR_NOMEM;
    self->cap = cap;
    return 0;
}

uint8_t *ps_buf_reserve(struct ps_buf *self, size_t len)
{
    if (self->error)
        return NULL;
    if (len > self->max || self->len > self->max - len) {
        self->error = PS_ERR_LIMIT;
        return NULL;
    }
    if (!self->data || self->cap - self->len < len) {
        self->error = grow(self, self->len + len);
        if (self->error)
            return NULL;
    }
    return self->data + self->len;
}

void ps_buf_put(struct ps_buf *self, const void *data, size_t len)
{
    uint8_t *to = ps_buf_reserve(self, len);

    if (!to || len == 0)
        return;
    memcpy(to, data, len);
    self->len += len;
}

void ps_buf_put_text(struct ps_buf *self, const char *text)
{
    ps_buf_put(self, text, strlen(text));
}

void ps_buf_putf(struct ps_buf *self, const char *fmt, ...)
{
    va_list args, again;
    uint8_t *to;
    int n;

    if (self->error)
        return;
    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    to = n < 0 ? NULL : ps_buf_reserve(self, (size_t)n);
    if (to) {
        (void)vsnprintf((char *)to, (size_t)n + 1, fmt,
                        again); /* measured above; the NUL has its byte beyond cap */
        self->len += (size_t)n;
    } else if (n < 0) {
        self->error = PS_ERR_LIMIT; /* longer than INT_MAX */
    }
    va_end(again);
    va_end(args);
}

void ps_buf_shift(struct ps_buf *self, size_t n)
{
    assert(n <= self->len);
    if (n == 0)
        return;
    memmove(self->data, self->data + n, self->len - n);
    self->len -= n;
}

int ps_buf_error(const struct ps_buf *self)
{
    return self->error;
}

const char *ps_buf_text(struct ps_buf *self)
{
    if (self->error || !self->data)
        return "";
    self->data[self->len] = '\0';
    return (const char *)self->data;
}

void ps_hex_encode(char *hex, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int ps_hex_decode(uint8_t *ret_bytes, size_t len, const char *hex, size_t hex_len)
{
    if (len > SIZE_MAX / 2 || hex_len != 2 * len)
        return PS_ERR_INVALID;
    for (size_t i = 0; i < hex_len; i++)
        if (hex_value(hex[i]) < 0)
            return PS_ERR_INVALID;
    /* Checked first and written after, so that outputs are set only on success. */
    for (size_t i = 0; i < len; i++)
        ret_bytes[i] = (uint8_t)((unsigned)hex_value(hex[2 * i]) << 4 | (unsigned)hex_value(hex[2 * i + 1]));
    return 0;
}
