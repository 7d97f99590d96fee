#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *ps_err_text(int code)
{
    switch (code) {
    case 0:
        return "ok";
#define X(name, number, text) \
    case number:              \
        return text;
        PS_ERRORS(X)
#undef X
    default:
        return "unknown error";
    }
}

int ps_err_from_errno(int errnum)
{
    switch (errnum) {
    case ENOMEM:
        return PS_ERR_NOMEM;
    case EINVAL:
    case EBADF:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
        return PS_ERR_INVALID;
    case ENAMETOOLONG:
    case EMSGSIZE:
    case E2BIG:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return PS_ERR_LIMIT;
    case EBUSY:
        return PS_ERR_BUSY;
    case ENOENT:
    case ESRCH:
        return PS_ERR_NOTFOUND;
    case EEXIST:
    case EADDRINUSE:
    case ENOTEMPTY:
        return PS_ERR_CONFLICT;
    case ENOSPC:
    case EDQUOT:
        return PS_ERR_NOSPACE;
    case ETIMEDOUT:
        return PS_ERR_TIMEOUT;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return PS_ERR_CLOSED;
    case EACCES:
    case EPERM:
    case EROFS:
        return PS_ERR_DENIED;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return PS_ERR_UNSUPPORTED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
        return PS_ERR_UNAVAILABLE;
    case ECANCELED:
        return PS_ERR_CANCELLED;
    case EAGAIN:
        return PS_ERR_AGAIN;
    default:
        return PS_ERR_IO;
    }
}

/* Formatted aside, because an argument may be the old text of e itself. */
static size_t format(char text[PS_ERROR_TEXT_MAX], const char *fmt, va_list args)
{
    int n = vsnprintf(text, PS_ERROR_TEXT_MAX, fmt, args);

    if (n < 0)
        text[0] = '\0';
    return strlen(text);
}

int ps_error_set(struct ps_error *e, int code, const char *fmt, ...)
{
    char text[PS_ERROR_TEXT_MAX];
    size_t len;
    va_list args;

    if (!e)
        return code;
    va_start(args, fmt);
    len = format(text, fmt, args);
    va_end(args);
    e->code = code;
    memcpy(e->text, text, len + 1);
    return code;
}

int ps_error_wrap(struct ps_error *e, int code, const char *fmt, ...)
{
    char text[PS_ERROR_TEXT_MAX];
    size_t len;
    va_list args;

    if (!e)
        return code;
    va_start(args, fmt);
    len = format(text, fmt, args);
    va_end(args);
    for (const char *at = ": "; *at && len < sizeof(text) - 1; at++)
        text[len++] = *at;
    for (const char *at = e->text; *at && len < sizeof(text) - 1; at++)
        text[len++] = *at;
    text[len] = '\0';
    e->code = code;
    memcpy(e->text, text, len + 1);
    return code;
}
