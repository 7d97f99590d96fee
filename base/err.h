/* base/err.h: the error codes of this house, once.
 *
 * A function that can fail returns 0 or a negative enum ps_err (never errno). The text of a code is for
 * people; details (which file, which field) go with it in a struct ps_error where a caller can use them. */
#ifndef PS_BASE_ERR_H
#define PS_BASE_ERR_H

#include <stddef.h>

/* clang-format off */
#define PS_ERRORS(X)                                                                   \
    X(NOMEM,       -1, "out of memory")                                                \
    X(INVALID,     -2, "not valid")                                                    \
    X(LIMIT,       -3, "over a limit")                                                 \
    X(BUSY,        -4, "busy, try again later")                                        \
    X(NOTFOUND,    -5, "not found")                                                    \
    X(CONFLICT,    -6, "conflicts with what is there")                                 \
    X(IO,          -7, "input or output failed")                                       \
    X(NOSPACE,     -8, "no space left")                                                \
    X(TIMEOUT,     -9, "timed out")                                                    \
    X(CLOSED,     -10, "closed")                                                       \
    X(PROTO,      -11, "the peer broke the protocol")                                  \
    X(DENIED,     -12, "not permitted")                                                \
    X(UNSUPPORTED,-13, "not supported here")                                           \
    X(UNAVAILABLE,-14, "not available")                                                \
    X(CORRUPT,    -15, "stored data is damaged")                                       \
    X(CANCELLED,  -16, "cancelled")                                                    \
    X(STALE,      -17, "superseded by a newer owner")                                  \
    X(AGAIN,      -18, "nothing there yet")
/* clang-format on */

enum ps_err {
#define X(name, code, text) PS_ERR_##name = code,
    PS_ERRORS(X)
#undef X
};

/* The text of a code; "ok" for 0, "unknown error" for a stranger. Static, never NULL. */
const char *ps_err_text(int code);

/* Maps an errno to the nearest code (ENOSPC and EDQUOT to NOSPACE, ENOENT to NOTFOUND, ...; IO otherwise). */
int ps_err_from_errno(int errnum);

#define PS_ERROR_TEXT_MAX 512

/* An error with its story, filled by functions that take a `struct ps_error *reterr` as their last parameter
 * (NULL allowed). Set only on failure. */
struct ps_error {
    int code;                     /* enum ps_err */
    char text[PS_ERROR_TEXT_MAX]; /* one sentence: what, where, what to do; NUL-terminated, cut if too long */
};

/* Sets *e (when not NULL) and returns code, so that callers write `return ps_error_set(e, ...)`. */
int ps_error_set(struct ps_error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text (when e is not NULL), and returns the code. */
int ps_error_wrap(struct ps_error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
