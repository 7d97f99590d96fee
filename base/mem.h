/* base/mem.h: ownership by attribute, allocation with overflow checks, magic numbers. Header only but for
 * the allocators. Any thread. */
#ifndef PS_BASE_MEM_H
#define PS_BASE_MEM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* PS_CLEANUP(ps_foo_free) struct ps_foo *foo = NULL; calls ps_foo_free (&foo) at the end of the scope. */
#define PS_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Hands a pointer over: yields the value and leaves NULL behind, so that a cleanup does nothing. */
#define PS_TAKE(p)                    \
    ({                                \
        __typeof__(p) ps_take_ = (p); \
        (p) = NULL;                   \
        ps_take_;                     \
    })

/* Hands a descriptor over: yields it and leaves -1. */
#define PS_TAKE_FD(fd)          \
    ({                          \
        int ps_take_fd_ = (fd); \
        (fd) = -1;              \
        ps_take_fd_;            \
    })

#define PS_ARRAY_N(a)                   (sizeof(a) / sizeof((a)[0]))
#define PS_CONTAINER_OF(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))
#define PS_MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define PS_MAX(a, b)                    ((a) > (b) ? (a) : (b))

/* Zeroed memory for n items of size bytes; NULL when out of memory or when n * size overflows. */
void *ps_alloc(size_t n, size_t size);
/* Grows *p to n items of size bytes (old content kept, new part not zeroed). 0 or PS_ERR_NOMEM, *p kept. */
int ps_realloc(void *p_of_pointer, size_t n, size_t size);
/* A NUL-terminated copy of len bytes; NULL when out of memory. */
char *ps_strndup(const char *text, size_t len);
/* printf into a fresh string; NULL when out of memory. Caller frees. */
char *ps_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define PS_NEW(type) ((type *)ps_alloc(1, sizeof(type)))

/* Cleanup handlers for plain things. */
static inline void ps_free_p(void *p)
{
    free(*(void **)p);
    *(void **)p = NULL;
}
static inline void ps_close_fd_p(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing to do about a failed close of something we give up */
    *fd = -1;
}
#define PS_FREE  PS_CLEANUP(ps_free_p)
#define PS_CLOSE PS_CLEANUP(ps_close_fd_p)

/* A struct that comes back through a void * begins with `uint32_t magic`, set at birth. */
#define PS_CHECK_MAGIC(p, m) assert((p) != NULL && (p)->magic == (m))

#endif
