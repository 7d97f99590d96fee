/* What decodes encodes back to the same digits in lower case; every byte string survives the round trip. */
#include "base/bytes.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PS_FREE uint8_t *bytes = ps_alloc(size + 1, 1);
    PS_FREE char *hex = ps_alloc(2 * size + 1, 1);

    if (!bytes || !hex)
        return 0;
    if (ps_hex_decode(bytes, size / 2, (const char *)data, size) == 0) {
        ps_hex_encode(hex, bytes, size / 2);
        for (size_t i = 0; i < size; i++)
            if (hex[i] != (data[i] >= 'A' && data[i] <= 'F' ? data[i] - 'A' + 'a' : data[i]))
                abort();
    }
    ps_hex_encode(hex, data, size);
    if (ps_hex_decode(bytes, size, hex, 2 * size) != 0 || (size > 0 && memcmp(bytes, data, size) != 0))
        abort();
    return 0;
}
