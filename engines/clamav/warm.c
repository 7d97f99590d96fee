/* engines/clamav/warm.c */
#include "engines/clamav/warm.h"

int ps_clamav_warm(int (*scan)(void *arg, const uint8_t *bytes, size_t len), void *arg)
{
    static const uint8_t text[] = "hello, this is plain text\n";

    return scan(arg, text, sizeof(text) - 1);
}
