#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

void *ps_alloc(size_t n, size_t size)
{
    /* One byte at least, so that NULL means out of memory and nothing else. */
    if (n == 0 || size == 0)
        return calloc(1, 1);
    return calloc(n, size); /* which checks the product */
}

int ps_realloc(void *p_of_pointer, size_t n, size_t size)
{
    void *old, *grown;
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return PS_ERR_NOMEM;
    /* The caller's pointer is a foo *, not a void *: copied as bytes, so that no alias rule is broken. */
    memcpy(&old, p_of_pointer, sizeof(old));
    grown = realloc(old, bytes > 0 ? bytes : 1);
    if (!grown)
        return PS_ERR_NOMEM;
    memcpy(p_of_pointer, &grown, sizeof(grown));
    return 0;
}

char *ps_strndup(const char *text, size_t len)
{
    char *copy;

    if (len == SIZE_MAX)
        return NULL;
    copy = malloc(len + 1);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *ps_strf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vasprintf(&text, fmt, args);
    va_end(args);
    return n < 0 ? NULL : text;
}
