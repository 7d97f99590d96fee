#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>

#include "base/err.h"
#include "base/mem.h"

static void alloc_is_zeroed_and_checks_the_product(void **state)
{
    PS_FREE uint64_t *numbers = ps_alloc(100, sizeof(*numbers));
    PS_FREE void *nothing = ps_alloc(0, 8);

    assert_non_null(numbers);
    assert_non_null(nothing);
    for (int i = 0; i < 100; i++)
        assert_int_equal(numbers[i], 0);
    assert_null(ps_alloc(SIZE_MAX / 2, 3));
}

static void realloc_keeps_the_old_block_when_it_fails(void **state)
{
    PS_FREE int *numbers = NULL;

    assert_int_equal(ps_realloc(&numbers, 4, sizeof(int)), 0);
    numbers[3] = 7;
    assert_int_equal(ps_realloc(&numbers, SIZE_MAX / 2, sizeof(int)), PS_ERR_NOMEM);
    assert_int_equal(numbers[3], 7);
    assert_int_equal(ps_realloc(&numbers, 4000, sizeof(int)), 0);
    assert_int_equal(numbers[3], 7);
    assert_int_equal(ps_realloc(&numbers, 0, sizeof(int)), 0);
    assert_non_null(numbers);
}

static void strndup_copies_and_ends_the_text(void **state)
{
    PS_FREE char *part = ps_strndup("abcdef", 3), *none = ps_strndup(NULL, 0);

    assert_string_equal(part, "abc");
    assert_string_equal(none, "");
    assert_null(ps_strndup("x", SIZE_MAX));
}

static void strf_formats(void **state)
{
    PS_FREE char *text = ps_strf("%s-%d", "a", 5);

    assert_string_equal(text, "a-5");
}

static void take_leaves_nothing_behind(void **state)
{
    char *owner = ps_strndup("x", 1);
    PS_FREE char *heir = PS_TAKE(owner);
    int fd = 5;

    assert_null(owner);
    assert_string_equal(heir, "x");
    assert_int_equal(PS_TAKE_FD(fd), 5);
    assert_int_equal(fd, -1);
}

static void close_happens_at_the_end_of_the_scope(void **state)
{
    int was;

    {
        PS_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        was = fd;
        assert_true(fcntl(was, F_GETFD) >= 0);
    }
    assert_int_equal(fcntl(was, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alloc_is_zeroed_and_checks_the_product),
        cmocka_unit_test(realloc_keeps_the_old_block_when_it_fails),
        cmocka_unit_test(strndup_copies_and_ends_the_text),
        cmocka_unit_test(strf_formats),
        cmocka_unit_test(take_leaves_nothing_behind),
        cmocka_unit_test(close_happens_at_the_end_of_the_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
