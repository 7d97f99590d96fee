/* engines/hashes/tlsh_shim.cc */
#include "engines/hashes/tlsh_shim.h"

#include <cstdio>
#include <new>
#include <tlsh.h>

struct ps_tlsh {
    Tlsh hash;
};

/* An exception must not reach the C callers. */
struct ps_tlsh *ps_tlsh_new(void)
{
    try {
        return new ps_tlsh;
    } catch (const std::bad_alloc &) {
        return NULL;
    }
}

void ps_tlsh_update(struct ps_tlsh *self, const unsigned char *bytes, size_t len)
{
    self->hash.update(bytes, static_cast<unsigned int>(len));
}

void ps_tlsh_final(struct ps_tlsh *self, char ret_text[PS_TLSH_MAX])
{
    char digits[TLSH_STRING_BUFFER_LEN] = "";
    const char *text;

    self->hash.final();
    text = self->hash.getHash(digits, sizeof(digits));
    ret_text[0] = '\0';
    /* Debian's library leaves out the version that newer ones put in front. */
    if (text && *text)
        (void)std::snprintf(ret_text, PS_TLSH_MAX, "%s%s", *text == 'T' ? "" : "T1", text);
}

void ps_tlsh_free(struct ps_tlsh *self)
{
    delete self;
}
