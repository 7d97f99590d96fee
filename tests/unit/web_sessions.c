#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "master/web/sessions.h"

static int setup(void **state)
{
    struct ps_sessions *sessions;

    if (ps_sessions_new(&sessions) != 0)
        return -1;
    *state = sessions;
    return 0;
}

static int teardown(void **state)
{
    struct ps_sessions *sessions = *state;

    ps_sessions_free(&sessions);
    assert_null(sessions);
    return 0;
}

static bool take(struct ps_sessions *sessions, const char *token, uint64_t now_ms)
{
    uint64_t until_ms = 0;
    bool good = ps_sessions_token_take(sessions, ps_bytes_of(token), now_ms, &until_ms);

    assert_true(!good || until_ms > now_ms);
    return good;
}

static void a_token_is_good_once_and_in_its_time(void **state)
{
    struct ps_sessions *sessions = *state;
    char a[PS_SESSION_SECRET_HEX], b[PS_SESSION_SECRET_HEX];

    assert_int_equal(ps_sessions_token_new(sessions, 1000, a), 0);
    assert_int_equal(ps_sessions_token_new(sessions, 1000, b), 0);
    assert_int_equal(strlen(a), PS_SESSION_SECRET_HEX - 1);
    assert_string_not_equal(a, b);
    assert_false(take(sessions, "", 10));
    assert_false(take(sessions, "short", 10));
    assert_true(take(sessions, a, 10));
    assert_false(take(sessions, a, 10));
    assert_false(take(sessions, b, 1000)); /* too late */
}

static void a_token_that_did_not_serve_is_good_again(void **state)
{
    struct ps_sessions *sessions = *state;
    char token[PS_SESSION_SECRET_HEX];

    assert_int_equal(ps_sessions_token_new(sessions, 1000, token), 0);
    assert_true(take(sessions, token, 10));
    ps_sessions_token_back(sessions, ps_bytes_of(token), 1000);
    assert_true(take(sessions, token, 20));
    assert_false(take(sessions, token, 20));
}

static void the_oldest_token_goes_for_a_new_one(void **state)
{
    struct ps_sessions *sessions = *state;
    char tokens[PS_SESSION_TOKENS_MAX + 1][PS_SESSION_SECRET_HEX];

    for (size_t i = 0; i < PS_ARRAY_N(tokens); i++)
        assert_int_equal(ps_sessions_token_new(sessions, 1000 + i, tokens[i]), 0);
    assert_false(take(sessions, tokens[0], 10));
    for (size_t i = 1; i < PS_ARRAY_N(tokens); i++)
        assert_true(take(sessions, tokens[i], 10));
}

static void hash_of(uint8_t hash[PS_SHA256_BYTES], unsigned i)
{
    memset(hash, 0, PS_SHA256_BYTES);
    memcpy(hash, &i, sizeof(i));
}

static bool found(struct ps_sessions *sessions, unsigned i, uint64_t now_ms)
{
    uint8_t hash[PS_SHA256_BYTES];
    int64_t account_id = 0;

    hash_of(hash, i);
    if (!ps_sessions_find(sessions, hash, now_ms, &account_id))
        return false;
    assert_int_equal(account_id, i + 1);
    return true;
}

static void put(struct ps_sessions *sessions, unsigned i, uint64_t now_ms, uint64_t until_ms)
{
    uint8_t hash[PS_SHA256_BYTES];

    hash_of(hash, i);
    ps_sessions_put(sessions, hash, i + 1, now_ms, until_ms);
}

static void sessions_are_remembered_for_a_while(void **state)
{
    struct ps_sessions *sessions = *state;

    put(sessions, 1, 0, 100);
    put(sessions, 2, 0, UINT64_MAX);
    put(sessions, 2, 0, UINT64_MAX); /* again: no second one */
    assert_false(found(sessions, 3, 50));
    assert_true(found(sessions, 1, 99));
    assert_false(found(sessions, 1, 100)); /* over */
    assert_true(found(sessions, 2, PS_SESSION_CACHE_MS - 1));
    assert_false(found(sessions, 2, PS_SESSION_CACHE_MS)); /* the database is to be asked again */
}

static void the_longest_unused_session_goes_for_a_new_one(void **state)
{
    struct ps_sessions *sessions = *state;

    for (unsigned i = 0; i < PS_SESSION_CACHE_MAX; i++)
        put(sessions, i, 0, 1000);
    assert_true(found(sessions, 0, 1)); /* used last now */
    put(sessions, PS_SESSION_CACHE_MAX, 0, 1000);
    assert_true(found(sessions, 0, 1));
    assert_false(found(sessions, 1, 1));
    assert_true(found(sessions, 2, 1));
    assert_true(found(sessions, PS_SESSION_CACHE_MAX, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_good_once_and_in_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_that_did_not_serve_is_good_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_token_goes_for_a_new_one, setup, teardown),
        cmocka_unit_test_setup_teardown(sessions_are_remembered_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(the_longest_unused_session_goes_for_a_new_one, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
