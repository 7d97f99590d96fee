#include "base/utf8.h"

#include <string.h>

#include "base/bytes.h"

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
size_t ps_utf8_next(const char *text, size_t len, uint32_t *ret_cp)
{
    const uint8_t *at = (const uint8_t *)text;
    uint8_t low = 0x80, high = 0xbf; /* what the second byte may be */
    uint32_t cp;
    size_t n;

    if (len == 0)
        return 0;
    if (at[0] < 0x80) {
        n = 1;
        cp = at[0];
    } else if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        n = 2;
        cp = at[0] & 0x1f;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        n = 3;
        cp = at[0] & 0x0f;
        low = at[0] == 0xe0 ? 0xa0 : low;
        high = at[0] == 0xed ? 0x9f : high;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        n = 4;
        cp = at[0] & 0x07;
        low = at[0] == 0xf0 ? 0x90 : low;
        high = at[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (len < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (at[i] < low || at[i] > high)
            return 0;
        cp = cp << 6 | (at[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    if (ret_cp)
        *ret_cp = cp;
    return n;
}

bool ps_utf8_is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

bool ps_utf8_valid(const char *text, size_t len)
{
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        n = ps_utf8_next(text + at, len - at, NULL);
        if (n == 0 || text[at] == '\0')
            return false;
    }
    return true;
}

static void put_byte(struct ps_buf *out, char byte)
{
    ps_buf_putf(out, "\\x%02x", (unsigned)(uint8_t)byte);
}

void ps_utf8_put_clean(struct ps_buf *out, const char *text, size_t len)
{
    size_t at = 0, good = 0; /* text[good..at) is well-formed and not put yet */

    while (at < len) {
        size_t n = text[at] == '\0' ? 0 : ps_utf8_next(text + at, len - at, NULL);

        if (n > 0) {
            at += n;
            continue;
        }
        ps_buf_put(out, text + good, at - good);
        put_byte(out, text[at++]);
        good = at;
    }
    if (len > 0)
        ps_buf_put(out, text + good, at - good);
}

static void put_control(struct ps_buf *out, uint32_t cp)
{
    if (cp == '\n')
        ps_buf_put_text(out, "\\n");
    else if (cp == '\t')
        ps_buf_put_text(out, "\\t");
    else if (cp == '\r')
        ps_buf_put_text(out, "\\r");
    else if (cp < 0x100)
        put_byte(out, (char)cp);
    else
        ps_buf_putf(out, "\\u{%04X}", (unsigned)cp);
}

void ps_utf8_put_visible(struct ps_buf *out, const char *text, size_t len)
{
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        uint32_t cp;

        n = ps_utf8_next(text + at, len - at, &cp);
        if (n == 0) {
            put_byte(out, text[at]);
            n = 1;
        } else if (ps_utf8_is_control(cp)) {
            put_control(out, cp);
        } else {
            ps_buf_put(out, text + at, n);
        }
    }
}

size_t ps_utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    /* A code point that spans the cut begins at most three bytes before it. */
    for (size_t back = 1; back <= 3 && back <= max; back++) {
        size_t n = ps_utf8_next(text + max - back, len - (max - back), NULL);

        if (n > 0)
            return n > back ? max - back : max;
    }
    return max; /* not UTF-8 here: any place is as good */
}
