/* A certificate is refused with a reason, or all that it says is valid. */
#include <string.h>

#include "base/mem.h"
#include "proto/peer/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PS_FREE char *text = ps_strndup((const char *)data, strnlen((const char *)data, size));
    struct ps_cert cert;

    if (!text || ps_cert_parse(&cert, text))
        return 0;
    if (!ps_cert_key_valid(cert.public_key) || (cert.secret_key[0] && !ps_cert_key_valid(cert.secret_key)) ||
        (cert.name[0] && !ps_cert_name_valid(cert.name)) || cert.roles >= PS_CERT_ROLE(PS_ROLE_WORKER) << 1)
        abort();
    return 0;
}
