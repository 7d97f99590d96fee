#include "master/web/sessions.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"

struct token {
    uint8_t hash[PS_SHA256_BYTES];
    uint64_t until_ms; /* monotonic; 0: free place */
};

struct session {
    uint8_t hash[PS_SHA256_BYTES]; /* key */
    int64_t account_id;
    uint64_t until_ms; /* monotonic */
    UT_hash_handle hh; /* in the order of last use */
};

struct ps_sessions {
    struct token tokens[PS_SESSION_TOKENS_MAX];
    struct session *cache;
};

int ps_sessions_new(struct ps_sessions **ret_self)
{
    if (sodium_init() < 0)
        return PS_ERR_UNSUPPORTED;
    *ret_self = PS_NEW(struct ps_sessions);
    return *ret_self ? 0 : PS_ERR_NOMEM;
}

static void drop(struct ps_sessions *self, struct session *session)
{
    HASH_DEL(self->cache, session);
    free(session);
}

void ps_sessions_free(struct ps_sessions **self_p)
{
    struct ps_sessions *self = PS_TAKE(*self_p);

    if (!self)
        return;
    while (self->cache)
        drop(self, self->cache);
    free(self);
}

void ps_session_secret(char ret_secret[PS_SESSION_SECRET_HEX])
{
    uint8_t bytes[32];

    randombytes_buf(bytes, sizeof(bytes));
    ps_hex_encode(ret_secret, bytes, sizeof(bytes));
    sodium_memzero(bytes, sizeof(bytes));
}

int ps_session_hash(struct ps_bytes secret, uint8_t ret_hash[PS_SHA256_BYTES])
{
    return ps_sha256(ret_hash, secret.at, secret.len);
}

/* ---- one-time tokens ---- */

static struct token *place_for(struct ps_sessions *self)
{
    struct token *oldest = &self->tokens[0];

    for (size_t i = 0; i < PS_SESSION_TOKENS_MAX; i++)
        if (self->tokens[i].until_ms < oldest->until_ms)
            oldest = &self->tokens[i]; /* free ones are oldest of all */
    return oldest;
}

int ps_sessions_token_new(struct ps_sessions *self, uint64_t until_ms, char ret_token[PS_SESSION_SECRET_HEX])
{
    struct token *token = place_for(self);

    ps_session_secret(ret_token);
    if (ps_session_hash(ps_bytes_of(ret_token), token->hash) != 0) {
        token->until_ms = 0;
        return PS_ERR_NOMEM;
    }
    token->until_ms = until_ms;
    return 0;
}

bool ps_sessions_token_take(struct ps_sessions *self, struct ps_bytes text, uint64_t now_ms,
                            uint64_t *ret_until_ms)
{
    uint8_t hash[PS_SHA256_BYTES];

    if (text.len != PS_SESSION_SECRET_HEX - 1 || ps_session_hash(text, hash) != 0)
        return false;
    for (size_t i = 0; i < PS_SESSION_TOKENS_MAX; i++) {
        struct token *token = &self->tokens[i];

        if (token->until_ms <= now_ms || sodium_memcmp(token->hash, hash, sizeof(hash)) != 0)
            continue;
        *ret_until_ms = token->until_ms;
        token->until_ms = 0;
        return true;
    }
    return false;
}

void ps_sessions_token_back(struct ps_sessions *self, struct ps_bytes text, uint64_t until_ms)
{
    struct token *token = place_for(self);

    token->until_ms = ps_session_hash(text, token->hash) == 0 ? until_ms : 0;
}

/* ---- sessions ---- */

bool ps_sessions_find(struct ps_sessions *self, const uint8_t hash[PS_SHA256_BYTES], uint64_t now_ms,
                      int64_t *ret_account_id)
{
    struct session *session;

    HASH_FIND(hh, self->cache, hash, PS_SHA256_BYTES, session);
    if (!session)
        return false;
    if (session->until_ms <= now_ms) {
        drop(self, session);
        return false;
    }
    HASH_DEL(self->cache, session); /* to the end: used last */
    HASH_ADD(hh, self->cache, hash, PS_SHA256_BYTES, session);
    *ret_account_id = session->account_id;
    return true;
}

void ps_sessions_put(struct ps_sessions *self, const uint8_t hash[PS_SHA256_BYTES], int64_t account_id,
                     uint64_t now_ms, uint64_t until_ms)
{
    struct session *session;

    HASH_FIND(hh, self->cache, hash, PS_SHA256_BYTES, session);
    if (session)
        drop(self, session);
    if (HASH_COUNT(self->cache) >= PS_SESSION_CACHE_MAX)
        drop(self, self->cache);
    session = PS_NEW(struct session);
    if (!session)
        return;
    memcpy(session->hash, hash, PS_SHA256_BYTES);
    session->account_id = account_id;
    session->until_ms = PS_MIN(until_ms, now_ms + PS_SESSION_CACHE_MS);
    HASH_ADD(hh, self->cache, hash, PS_SHA256_BYTES, session);
}
