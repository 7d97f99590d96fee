#include "tests/unit/unit.h"

#include <errno.h>

#include "base/err.h"

static void every_code_has_its_text(void **state)
{
    assert_string_equal(ps_err_text(0), "ok");
    assert_string_equal(ps_err_text(PS_ERR_NOMEM), "out of memory");
    assert_string_equal(ps_err_text(PS_ERR_AGAIN), "nothing there yet");
    assert_string_equal(ps_err_text(-999), "unknown error");
    assert_string_equal(ps_err_text(1), "unknown error");
}

static void errno_maps_to_the_nearest_code(void **state)
{
    assert_int_equal(ps_err_from_errno(ENOSPC), PS_ERR_NOSPACE);
    assert_int_equal(ps_err_from_errno(EDQUOT), PS_ERR_NOSPACE);
    assert_int_equal(ps_err_from_errno(ENOENT), PS_ERR_NOTFOUND);
    assert_int_equal(ps_err_from_errno(EPIPE), PS_ERR_CLOSED);
    assert_int_equal(ps_err_from_errno(EAGAIN), PS_ERR_AGAIN);
    assert_int_equal(ps_err_from_errno(EADDRINUSE), PS_ERR_CONFLICT);
    assert_int_equal(ps_err_from_errno(0), PS_ERR_IO);
    assert_int_equal(ps_err_from_errno(123456), PS_ERR_IO);
}

static void set_returns_the_code_and_keeps_the_story(void **state)
{
    struct ps_error e = {0};

    assert_int_equal(ps_error_set(&e, PS_ERR_INVALID, "bad %s", "name"), PS_ERR_INVALID);
    assert_int_equal(e.code, PS_ERR_INVALID);
    assert_string_equal(e.text, "bad name");
    assert_int_equal(ps_error_set(NULL, PS_ERR_IO, "%d", 1), PS_ERR_IO);
    assert_int_equal(ps_error_wrap(NULL, PS_ERR_IO, "%d", 1), PS_ERR_IO);
}

static void set_may_quote_its_own_old_text(void **state)
{
    struct ps_error e = {.text = "inner"};

    (void)ps_error_set(&e, PS_ERR_IO, "outer (%s)", e.text);
    assert_string_equal(e.text, "outer (inner)");
}

static void wrap_puts_context_in_front(void **state)
{
    struct ps_error e = {.code = PS_ERR_IO, .text = "no such key"};

    assert_int_equal(ps_error_wrap(&e, PS_ERR_INVALID, "%s line %d", "conf", 3), PS_ERR_INVALID);
    assert_int_equal(e.code, PS_ERR_INVALID);
    assert_string_equal(e.text, "conf line 3: no such key");
}

static void long_stories_are_cut_not_overrun(void **state)
{
    char text[2 * PS_ERROR_TEXT_MAX];
    struct ps_error e;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)ps_error_set(&e, PS_ERR_LIMIT, "%s", text);
    assert_int_equal(strlen(e.text), PS_ERROR_TEXT_MAX - 1);
    (void)ps_error_wrap(&e, PS_ERR_LIMIT, "context");
    assert_int_equal(strlen(e.text), PS_ERROR_TEXT_MAX - 1);
    assert_memory_equal(e.text, "context: xxx", 12);
    (void)ps_error_wrap(&e, PS_ERR_LIMIT, "%s", text);
    assert_int_equal(strlen(e.text), PS_ERROR_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_text),
        cmocka_unit_test(errno_maps_to_the_nearest_code),
        cmocka_unit_test(set_returns_the_code_and_keeps_the_story),
        cmocka_unit_test(set_may_quote_its_own_old_text),
        cmocka_unit_test(wrap_puts_context_in_front),
        cmocka_unit_test(long_stories_are_cut_not_overrun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
