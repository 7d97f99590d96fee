#include "tests/unit/unit.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "master/web/text.h"

static bool reads(const char *text, uint64_t *ret_value)
{
    return ps_web_u64(ps_bytes_of(text), ret_value) == 0;
}

static void numbers_are_digits_that_fit(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "99999999999999999999"};
    uint64_t value = 7;

    assert_true(reads("0", &value) && value == 0);
    assert_true(reads("18446744073709551615", &value) && value == UINT64_MAX);
    assert_true(reads("007", &value) && value == 7);
    for (size_t i = 0; i < PS_ARRAY_N(bad); i++)
        assert_false(reads(bad[i], &value));
    assert_int_equal(value, 7); /* written on success only */
}

static void decodes(const char *in, const char *expected, size_t len)
{
    uint8_t out[64];

    assert_int_equal(ps_web_percent_decode(ps_bytes_of(in), out), len);
    assert_memory_equal(out, expected, len + 1);
}

static void percent_decoding_is_whole_and_leaves_the_rest(void **state)
{
    decodes("a%20b+c", "a b c", 5);
    decodes("%e2%82%AC", "\xe2\x82\xac", 3);
    decodes("%00x", "\0x", 2);
    decodes("%zz%4", "%zz%4", 5);
    decodes("100%", "100%", 4);
    decodes("%%41", "%A", 2);
    decodes("", "", 0);
}

static void is(struct ps_bytes got, const char *expected)
{
    if (!expected) {
        assert_null(got.at);
        return;
    }
    assert_non_null(got.at);
    assert_true(ps_bytes_is(got, expected));
}

static void query_values_are_found_by_their_whole_name(void **state)
{
    struct ps_bytes query = ps_bytes_of("a=1&bb=2&b=&a=3&c&=x&&d=e=f");

    is(ps_web_query_value(query, "a"), "1"); /* the first */
    is(ps_web_query_value(query, "bb"), "2");
    is(ps_web_query_value(query, "b"), "");
    is(ps_web_query_value(query, "c"), NULL);
    is(ps_web_query_value(query, "d"), "e=f");
    is(ps_web_query_value(query, "x"), NULL);
    is(ps_web_query_value((struct ps_bytes){0}, "a"), NULL);
}

static void cookies_are_found_among_others(void **state)
{
    struct ps_bytes header = ps_bytes_of("xphagescan=no; phagescan=yes;phagescan2=no ; other=a b");

    is(ps_web_cookie(header, "phagescan"), "yes");
    is(ps_web_cookie(header, "other"), "a b");
    is(ps_web_cookie(ps_bytes_of("phagescan"), "phagescan"), NULL);
    is(ps_web_cookie(ps_bytes_of("phagescan="), "phagescan"), "");
    is(ps_web_cookie(ps_bytes_of(";;;"), "phagescan"), NULL);
    is(ps_web_cookie((struct ps_bytes){0}, "phagescan"), NULL);
}

static void lists_leave_out_blanks_and_nothings(void **state)
{
    struct ps_bytes list = ps_bytes_of(" a , ,b,,c d ,"), part;

    assert_true(ps_web_list_next(&list, &part));
    is(part, "a");
    assert_true(ps_web_list_next(&list, &part));
    is(part, "b");
    assert_true(ps_web_list_next(&list, &part));
    is(part, "c d");
    assert_false(ps_web_list_next(&list, &part));
}

static bool host(const char *text, uint16_t port)
{
    return ps_web_host_ok(ps_bytes_of(text), port, "10.0.0.5");
}

static void only_our_names_with_our_port_are_ours(void **state)
{
    static const char *const ours[] = {"127.0.0.1:8480", "localhost:8480", "LocalHost:8480", "[::1]:8480",
                                       "10.0.0.5:8480"};
    static const char *const others[] = {"",
                                         "127.0.0.1",
                                         "127.0.0.1:80",
                                         "127.0.0.1:",
                                         ":8480",
                                         "::1:8480",
                                         "[::1]",
                                         "[::1]x:8480",
                                         "evil:8480",
                                         "127.0.0.1:8480x",
                                         "localhost.:8480",
                                         "127.0.0.1:08481",
                                         "localhost:99999999999999999999",
                                         "a@127.0.0.1:8480",
                                         "127.0.0.2:8480"};

    for (size_t i = 0; i < PS_ARRAY_N(ours); i++)
        assert_true(host(ours[i], 8480));
    for (size_t i = 0; i < PS_ARRAY_N(others); i++)
        assert_false(host(others[i], 8480));
    assert_true(host("localhost", 80));
    assert_true(host("[::1]", 80));
    assert_false(ps_web_host_ok(ps_bytes_of("10.0.0.5:8480"), 8480, NULL));
}

static void an_origin_is_the_same_host_over_http(void **state)
{
    struct ps_bytes here = ps_bytes_of("127.0.0.1:8480");

    assert_true(ps_web_origin_ok(ps_bytes_of("http://127.0.0.1:8480"), here));
    assert_false(ps_web_origin_ok(ps_bytes_of("https://127.0.0.1:8480"), here));
    assert_false(ps_web_origin_ok(ps_bytes_of("http://127.0.0.1:84801"), here));
    assert_false(ps_web_origin_ok(ps_bytes_of("http://localhost:8480"), here));
    assert_false(ps_web_origin_ok(ps_bytes_of("null"), here));
    assert_false(ps_web_origin_ok(ps_bytes_of(""), here));
}

static const char *fault(const char *head)
{
    struct ps_web_framing framing = ps_web_framing(ps_bytes_of(head));

    return ps_web_framing_fault(&framing);
}

static void ambiguous_heads_are_seen(void **state)
{
    assert_null(fault("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nContent-Length: 2\r\n"));
    assert_null(fault("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    assert_null(fault("GET / HTTP/1.1\nHost: a\n\n"));
    assert_null(fault(""));
    assert_non_null(fault("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\ncontent-length: 1\r\nCONTENT-LENGTH: 1\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\nContent-Length : 1\r\nContent-Length: 1\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"));
    assert_non_null(fault("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n"));
}

static bool path(const char *pattern, const char *text, const char *a, const char *b)
{
    struct ps_bytes args[2] = {{0}, {0}};

    if (!ps_web_path_match(pattern, ps_bytes_of(text), args, 2))
        return false;
    is(args[0], a);
    is(args[1], b);
    return true;
}

static void paths_match_segment_by_segment(void **state)
{
    assert_true(path("/a/b", "/a/b", NULL, NULL));
    assert_true(path("/a/{}", "/a/x", "x", NULL));
    assert_true(path("/a/{}/c/{}", "/a/x/c/y", "x", "y"));
    assert_false(path("/a/{}", "/a/", NULL, NULL));
    assert_false(path("/a/{}", "/a", NULL, NULL));
    assert_false(path("/a/{}", "/a/x/", NULL, NULL));
    assert_false(path("/a/{}", "/a/x/y", NULL, NULL));
    assert_false(path("/a", "/ab", NULL, NULL));
    assert_false(path("/a", "a", NULL, NULL));
    assert_false(path("/a", "", NULL, NULL));
    assert_false(path("/{}/{}/{}", "/a/b/c", NULL, NULL)); /* more than there is room for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_that_fit),
        cmocka_unit_test(percent_decoding_is_whole_and_leaves_the_rest),
        cmocka_unit_test(query_values_are_found_by_their_whole_name),
        cmocka_unit_test(cookies_are_found_among_others),
        cmocka_unit_test(lists_leave_out_blanks_and_nothings),
        cmocka_unit_test(only_our_names_with_our_port_are_ours),
        cmocka_unit_test(an_origin_is_the_same_host_over_http),
        cmocka_unit_test(ambiguous_heads_are_seen),
        cmocka_unit_test(paths_match_segment_by_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
