#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

static void bytes_compare_by_content_and_length(void **state)
{
    struct ps_bytes ab = PS_BYTES_LIT("ab"), ab_nul = {(const uint8_t *)"ab", 3};

    assert_true(ps_bytes_equal(ab, ps_bytes_of("ab")));
    assert_false(ps_bytes_equal(ab, ab_nul));
    assert_true(ps_bytes_equal(ps_bytes_of(NULL), ps_bytes_of("")));
    assert_true(ps_bytes_is(ab, "ab"));
    assert_false(ps_bytes_is(ab, "abc"));
}

static void buf_grows_and_keeps_its_content(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 1000000);
    for (int i = 0; i < 10000; i++)
        ps_buf_putf(&buf, "%d,", i);
    assert_int_equal(ps_buf_error(&buf), 0);
    assert_int_equal(buf.len, 48890);
    assert_memory_equal(buf.data, "0,1,2,3,4,", 10);
    assert_string_equal(ps_buf_text(&buf) + buf.len - 10, "9998,9999,");
}

static void buf_takes_exactly_its_limit(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 8);
    ps_buf_put_text(&buf, "12345678");
    assert_int_equal(ps_buf_error(&buf), 0);
    assert_string_equal(ps_buf_text(&buf), "12345678");
    assert_non_null(ps_buf_reserve(&buf, 0));
    ps_buf_put_text(&buf, "9");
    assert_int_equal(ps_buf_error(&buf), PS_ERR_LIMIT);
}

static void buf_stays_failed_until_cleared(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 4);
    ps_buf_put_text(&buf, "12345");
    ps_buf_put_text(&buf, "1");
    ps_buf_putf(&buf, "%d", 1);
    assert_int_equal(ps_buf_error(&buf), PS_ERR_LIMIT);
    assert_int_equal(buf.len, 0);
    assert_string_equal(ps_buf_text(&buf), "");
    assert_null(ps_buf_reserve(&buf, 1));
    ps_buf_clear(&buf);
    ps_buf_put_text(&buf, "1");
    assert_string_equal(ps_buf_text(&buf), "1");
}

static void buf_refuses_a_length_that_would_wrap(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, SIZE_MAX);
    ps_buf_put_text(&buf, "x");
    assert_null(ps_buf_reserve(&buf, SIZE_MAX));
    assert_int_equal(ps_buf_error(&buf), PS_ERR_LIMIT);
    ps_buf_clear(&buf);
    assert_null(ps_buf_reserve(&buf, SIZE_MAX - 1));
    assert_int_equal(ps_buf_error(&buf), PS_ERR_NOMEM);
}

static void buf_of_no_bytes_is_an_empty_text(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 0);
    assert_string_equal(ps_buf_text(&buf), "");
    ps_buf_put(&buf, NULL, 0);
    ps_buf_putf(&buf, "%s", "");
    assert_int_equal(ps_buf_error(&buf), 0);
    assert_string_equal(ps_buf_text(&buf), "");
    ps_buf_shift(&buf, 0);
}

static void buf_shift_drops_from_the_front(void **state)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 100);
    ps_buf_put_text(&buf, "head tail");
    ps_buf_shift(&buf, 5);
    assert_string_equal(ps_buf_text(&buf), "tail");
    ps_buf_shift(&buf, 4);
    assert_int_equal(buf.len, 0);
}

static void buf_reserve_is_committed_by_the_caller(void **state)
{
    PS_BUF struct ps_buf buf;
    uint8_t *to;

    ps_buf_init(&buf, 1 << 20);
    to = ps_buf_reserve(&buf, 1 << 20);
    assert_non_null(to);
    memset(to, 'x', 1 << 20);
    buf.len += 5;
    assert_string_equal(ps_buf_text(&buf), "xxxxx");
}

static void hex_round_trips(void **state)
{
    uint8_t bytes[256], back[256];
    char hex[513];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    ps_hex_encode(hex, bytes, sizeof(bytes));
    assert_int_equal(strlen(hex), 512);
    assert_memory_equal(hex, "000102", 6);
    assert_string_equal(hex + 508, "feff");
    assert_int_equal(ps_hex_decode(back, sizeof(back), hex, 512), 0);
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_int_equal(ps_hex_decode(back, 2, "aBCd", 4), 0);
    assert_memory_equal(back, "\xab\xcd", 2);
}

static void hex_refuses_what_is_not_hex_and_writes_nothing(void **state)
{
    uint8_t out[2] = {1, 2};

    assert_int_equal(ps_hex_decode(out, 2, "abcg", 4), PS_ERR_INVALID);
    assert_int_equal(ps_hex_decode(out, 2, "abc", 3), PS_ERR_INVALID);
    assert_int_equal(ps_hex_decode(out, 2, "abcde", 5), PS_ERR_INVALID);
    assert_int_equal(ps_hex_decode(out, 2, "ab d", 4), PS_ERR_INVALID);
    assert_int_equal(ps_hex_decode(out, 2, "ab\0d", 4), PS_ERR_INVALID);
    assert_int_equal(ps_hex_decode(out, SIZE_MAX / 2 + 1, "", 0), PS_ERR_INVALID);
    assert_memory_equal(out, "\1\2", 2);
    assert_int_equal(ps_hex_decode(out, 0, "", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_compare_by_content_and_length),
        cmocka_unit_test(buf_grows_and_keeps_its_content),
        cmocka_unit_test(buf_takes_exactly_its_limit),
        cmocka_unit_test(buf_stays_failed_until_cleared),
        cmocka_unit_test(buf_refuses_a_length_that_would_wrap),
        cmocka_unit_test(buf_of_no_bytes_is_an_empty_text),
        cmocka_unit_test(buf_shift_drops_from_the_front),
        cmocka_unit_test(buf_reserve_is_committed_by_the_caller),
        cmocka_unit_test(hex_round_trips),
        cmocka_unit_test(hex_refuses_what_is_not_hex_and_writes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
