/* base/utf8.h: text from strangers. Any thread. */
#ifndef PS_BASE_UTF8_H
#define PS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ps_buf;

/* True for well-formed UTF-8 (RFC 3629) without NUL. */
bool ps_utf8_valid(const char *text, size_t len);
/* The length in bytes (1 to 4) of the well-formed code point that text begins with, and the code point in
 * *ret_cp (may be NULL); 0 when the first byte begins none, or len is 0. NUL is a code point here. */
size_t ps_utf8_next(const char *text, size_t len, uint32_t *ret_cp);
/* True for what hides or turns text on a screen: C0, DEL, C1, line and paragraph separators, bidi controls.
 */
bool ps_utf8_is_control(uint32_t cp);
/* Appends text as valid UTF-8 without NUL: each bad byte and NUL becomes \xHH. For names that go into rows:
 * reversible by eye, never refused. */
void ps_utf8_put_clean(struct ps_buf *out, const char *text, size_t len);
/* Appends text for a terminal or a log: also control characters (C0, C1, DEL) as \xHH or \n \t \r, bidi
 * controls and line separators as \u{XXXX}. */
void ps_utf8_put_visible(struct ps_buf *out, const char *text, size_t len);
/* The longest prefix of at most max bytes that ends between two code points. */
size_t ps_utf8_cut(const char *text, size_t len, size_t max);

#endif
