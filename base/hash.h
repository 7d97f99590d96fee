/* base/hash.h: SHA-256 (FIPS 180-4), whole or in pieces, by libcrypto (which uses the CPU's instructions). */
#ifndef PS_BASE_HASH_H
#define PS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct ps_sha256; /* one running hash; one thread at a time */

/* 0 or PS_ERR_NOMEM. */
int ps_sha256_new(struct ps_sha256 **ret_self);
void ps_sha256_free(struct ps_sha256 **self_p);
void ps_sha256_update(struct ps_sha256 *self, const void *data, size_t len);
/* Writes the digest and starts afresh. */
void ps_sha256_final(struct ps_sha256 *self, uint8_t ret_digest[32]);

/* One shot. 0 or PS_ERR_NOMEM. */
int ps_sha256(uint8_t ret_digest[32], const void *data, size_t len);
/* Hashes an open file from offset 0 with pread; its offset is not moved. ret_size may be NULL.
 * 0, PS_ERR_NOMEM or PS_ERR_IO. */
int ps_sha256_fd(uint8_t ret_digest[32], uint64_t *ret_size, int fd);

/* A fast keyed hash for tables of hostile keys (SipHash-2-4 of libsodium, key drawn once per process). */
uint64_t ps_hash64(const void *data, size_t len);

#endif
