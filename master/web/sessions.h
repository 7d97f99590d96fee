/* master/web/sessions.h: who is signed in, as far as memory knows: one-time tokens, and a cache of the sessions that
 * table session holds. Only hashes of tokens and cookies are kept. Loop's thread only; time is the caller's. */
#ifndef PS_MASTER_WEB_SESSIONS_H
#define PS_MASTER_WEB_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"

#define PS_SESSION_TOKENS_MAX 64   /* one-time addresses open at once; the oldest goes for a new one */
#define PS_SESSION_CACHE_MAX  1024 /* sessions remembered; the longest unused goes for a new one */
#define PS_SESSION_CACHE_MS   (5 * 60 * 1000) /* then the database is asked again */
#define PS_SESSION_SECRET_HEX 65              /* a secret: 32 random bytes in hex, and the NUL */

struct ps_sessions;

int ps_sessions_new(struct ps_sessions **ret_self);
void ps_sessions_free(struct ps_sessions **self_p);

/* A fresh secret, for a token or a cookie. */
void ps_session_secret(char ret_secret[PS_SESSION_SECRET_HEX]);
/* What is kept of one: SHA-256 of its text. 0 or PS_ERR_NOMEM. */
int ps_session_hash(struct ps_bytes secret, uint8_t ret_hash[PS_SHA256_BYTES]);

/* Makes a one-time token that is good until until_ms. 0 or PS_ERR_NOMEM. */
int ps_sessions_token_new(struct ps_sessions *self, uint64_t until_ms, char ret_token[PS_SESSION_SECRET_HEX]);
/* Uses a token up: true when it was good; *ret_until_ms is for giving it back, when it did not serve. */
bool ps_sessions_token_take(struct ps_sessions *self, struct ps_bytes token, uint64_t now_ms,
                            uint64_t *ret_until_ms);
void ps_sessions_token_back(struct ps_sessions *self, struct ps_bytes token, uint64_t until_ms);

/* A session that memory knows. */
bool ps_sessions_find(struct ps_sessions *self, const uint8_t hash[PS_SHA256_BYTES], uint64_t now_ms,
                      int64_t *ret_account_id);
/* Remembers one until until_ms, at most PS_SESSION_CACHE_MS. Without memory it is not remembered. */
void ps_sessions_put(struct ps_sessions *self, const uint8_t hash[PS_SHA256_BYTES], int64_t account_id,
                     uint64_t now_ms, uint64_t until_ms);

#endif
