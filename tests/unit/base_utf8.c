#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/utf8.h"

#define VALID(s) ps_utf8_valid(s, sizeof(s) - 1)

static void well_formed_text_is_valid(void **state)
{
    assert_true(VALID(""));
    assert_true(VALID("plain"));
    assert_true(VALID("\xc2\x80\xdf\xbf"));
    assert_true(VALID("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
    assert_true(VALID("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

static void ill_formed_text_is_not(void **state)
{
    assert_false(VALID("a\0b"));
    assert_false(VALID("\x80"));
    assert_false(VALID("\xc0\xaf"));         /* overlong */
    assert_false(VALID("\xc1\xbf"));         /* overlong */
    assert_false(VALID("\xe0\x9f\xbf"));     /* overlong */
    assert_false(VALID("\xf0\x8f\xbf\xbf")); /* overlong */
    assert_false(VALID("\xed\xa0\x80"));     /* surrogate */
    assert_false(VALID("\xf4\x90\x80\x80")); /* above U+10FFFF */
    assert_false(VALID("\xf5\x80\x80\x80"));
    assert_false(VALID("\xe2\x82")); /* cut */
    assert_false(VALID("\xe2\x28\xa1"));
}

static void next_tells_length_and_code_point(void **state)
{
    uint32_t cp;

    assert_int_equal(ps_utf8_next("\xf0\x9f\x90\x9bx", 5, &cp), 4);
    assert_int_equal(cp, 0x1f41b);
    assert_int_equal(ps_utf8_next("\0", 1, &cp), 1);
    assert_int_equal(cp, 0);
    assert_int_equal(ps_utf8_next("\xf0\x9f\x90\x9b", 3, &cp), 0);
    assert_int_equal(ps_utf8_next("", 0, NULL), 0);
}

static void assert_put(void (*put)(struct ps_buf *, const char *, size_t), const char *text, size_t len,
                       const char *expected)
{
    PS_BUF struct ps_buf buf;

    ps_buf_init(&buf, 1000);
    put(&buf, text, len);
    assert_int_equal(ps_buf_error(&buf), 0);
    assert_string_equal(ps_buf_text(&buf), expected);
}

#define PUT(how, text, expected) assert_put(ps_utf8_put_##how, text, sizeof(text) - 1, expected)

static void clean_text_keeps_all_but_bad_bytes_and_nul(void **state)
{
    PUT(clean, "", "");
    PUT(clean, "a\nb\x1b", "a\nb\x1b");
    PUT(clean, "a\0\xff\xc3\xa9\xe2\x82", "a\\x00\\xff\xc3\xa9\\xe2\\x82");
    PUT(clean, "\xed\xa0\x80", "\\xed\\xa0\\x80");
    assert_put(ps_utf8_put_clean, NULL, 0, "");
}

static void visible_text_shows_controls_and_bidi_marks(void **state)
{
    PUT(visible, "a\tb\nc\rd", "a\\tb\\nc\\rd");
    PUT(visible, "\x1b[31m\x7f", "\\x1b[31m\\x7f");
    PUT(visible,
        "\xc2\x9b"
        "31m",
        "\\x9b31m");
    PUT(visible,
        "exe.\xe2\x80\xae"
        "fdp",
        "exe.\\u{202E}fdp");
    PUT(visible, "\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8", "\\u{2066}\\u{061C}\\u{2028}");
    PUT(visible, "\xc3\xa9\0\xff", "\xc3\xa9\\x00\\xff");
}

static void cut_never_splits_a_code_point(void **state)
{
    const char text[] = "a\xc3\xa9\xf0\x9f\x90\x9b"; /* 1 + 2 + 4 bytes */
    const size_t expected[] = {0, 1, 1, 3, 3, 3, 3, 7, 7};

    for (size_t max = 0; max < PS_ARRAY_N(expected); max++)
        assert_int_equal(ps_utf8_cut(text, 7, max), expected[max]);
}

static void cut_of_ill_formed_text_still_ends(void **state)
{
    assert_int_equal(ps_utf8_cut("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
    assert_int_equal(ps_utf8_cut("\xff\xff\xff", 3, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_is_valid),
        cmocka_unit_test(ill_formed_text_is_not),
        cmocka_unit_test(next_tells_length_and_code_point),
        cmocka_unit_test(clean_text_keeps_all_but_bad_bytes_and_nul),
        cmocka_unit_test(visible_text_shows_controls_and_bidi_marks),
        cmocka_unit_test(cut_never_splits_a_code_point),
        cmocka_unit_test(cut_of_ill_formed_text_still_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
