/* engines/hashes/tlsh_shim.h: libtlsh speaks C++ only; this is what the engine needs of it. */
#ifndef PS_ENGINES_HASHES_TLSH_SHIM_H
#define PS_ENGINES_HASHES_TLSH_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PS_TLSH_MAX 80 /* "T1", 70 digits, NUL, and some */

struct ps_tlsh;

/* A hash under way, or NULL without memory. The caller frees it. */
struct ps_tlsh *ps_tlsh_new(void);
void ps_tlsh_update(struct ps_tlsh *self, const unsigned char *bytes, size_t len);

/* Ends the hash and writes it with its T1 prefix; "" when the bytes are too few (under 256) or too uniform.
 */
void ps_tlsh_final(struct ps_tlsh *self, char ret_text[PS_TLSH_MAX]);
void ps_tlsh_free(struct ps_tlsh *self);

#ifdef __cplusplus
}
#endif

#endif
