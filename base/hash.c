#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"

#define READ_BYTES (64 * 1024) /* on the stack; more makes hashing no faster */

struct ps_sha256 {
    EVP_MD_CTX *ctx; /* owned; always in a state that takes update */
};

/* Fetched once: an implicit fetch on every hash takes a lock and longer than hashing a small sample. */
static EVP_MD *sha256_md;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *sha256_of_process(void)
{
    (void)pthread_once(&sha256_once, fetch_sha256); /* fails only for a bad argument */
    return sha256_md;
}

int ps_sha256_new(struct ps_sha256 **ret_self)
{
    PS_CLEANUP(ps_sha256_free) struct ps_sha256 *self = PS_NEW(struct ps_sha256);
    const EVP_MD *md = sha256_of_process();

    if (!self || !md)
        return PS_ERR_NOMEM;
    self->ctx = EVP_MD_CTX_new();
    if (!self->ctx || EVP_DigestInit_ex2(self->ctx, md, NULL) != 1)
        return PS_ERR_NOMEM;
    *ret_self = PS_TAKE(self);
    return 0;
}

void ps_sha256_free(struct ps_sha256 **self_p)
{
    if (!*self_p)
        return;
    EVP_MD_CTX_free((*self_p)->ctx);
    free(*self_p);
    *self_p = NULL;
}

/* A hash that went wrong must never pass for a digest. libcrypto's SHA-256 fails only when it is misused. */
static void must(int one)
{
    if (one != 1)
        abort();
}

void ps_sha256_update(struct ps_sha256 *self, const void *data, size_t len)
{
    must(EVP_DigestUpdate(self->ctx, data, len));
}

void ps_sha256_final(struct ps_sha256 *self, uint8_t ret_digest[32])
{
    must(EVP_DigestFinal_ex(self->ctx, ret_digest, NULL));
    must(EVP_DigestInit_ex2(self->ctx, NULL, NULL));
}

int ps_sha256(uint8_t ret_digest[32], const void *data, size_t len)
{
    const EVP_MD *md = sha256_of_process();

    if (!md || EVP_Digest(data, len, ret_digest, NULL, md, NULL) != 1)
        return PS_ERR_NOMEM;
    return 0;
}

int ps_sha256_fd(uint8_t ret_digest[32], uint64_t *ret_size, int fd)
{
    PS_CLEANUP(ps_sha256_free) struct ps_sha256 *hash = NULL;
    uint8_t block[READ_BYTES];
    uint64_t at = 0;
    ssize_t n;

    if (ps_sha256_new(&hash))
        return PS_ERR_NOMEM;
    while ((n = pread(fd, block, sizeof(block), (off_t)at)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return PS_ERR_IO;
        ps_sha256_update(hash, block, (size_t)n);
        at += (uint64_t)n;
    }
    ps_sha256_final(hash, ret_digest);
    if (ret_size)
        *ret_size = at;
    return 0;
}

static uint8_t table_key[crypto_shorthash_KEYBYTES];
static pthread_once_t table_key_once = PTHREAD_ONCE_INIT;

static void draw_table_key(void)
{
    if (sodium_init() < 0)
        abort(); /* no random numbers: a table without a secret key is a door for collisions */
    randombytes_buf(table_key, sizeof(table_key));
}

uint64_t ps_hash64(const void *data, size_t len)
{
    uint64_t hash;

    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "SipHash-2-4 gives 64 bits");
    (void)pthread_once(&table_key_once, draw_table_key);            /* fails only for a bad argument */
    (void)crypto_shorthash((uint8_t *)&hash, data, len, table_key); /* always 0 */
    return hash;
}
