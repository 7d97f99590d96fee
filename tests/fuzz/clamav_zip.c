/* Whatever the bytes are, looking through them as a ZIP stays inside them and ends. */
#include "engines/clamav/zip.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* In memory of its own: a byte too far is noticed. */
    uint8_t *bytes = malloc(size ? size : 1);

    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    (void)ps_clamav_zip_unread(bytes, size, 1000);
    (void)ps_clamav_zip_unread(bytes, size, 0);
    free(bytes);
    return 0;
}
