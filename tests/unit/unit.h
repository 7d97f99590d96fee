/* tests/unit/unit.h: what a unit test includes first: cmocka with what it needs, and a directory of one's
 * own. */
#ifndef PS_TESTS_UNIT_H
#define PS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

#define UNIT_PATH_MAX 256

/* Makes a fresh directory under TMPDIR (or /tmp) and returns its path; free with unit_dir_remove. */
static inline char *unit_dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = calloc(1, UNIT_PATH_MAX);

    assert_non_null(path);
    assert_true(snprintf(path, UNIT_PATH_MAX, "%s/ps-unit-XXXXXX", tmp && tmp[0] ? tmp : "/tmp") <
                UNIT_PATH_MAX);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void unit_dir_remove(char *path)
{
    assert_int_equal(ps_file_remove_tree(path, true), 0);
    free(path);
}

/* dir/name in a buffer that the next call with the same buffer overwrites. */
static inline const char *unit_path(char buf[UNIT_PATH_MAX], const char *dir, const char *name)
{
    assert_true(snprintf(buf, UNIT_PATH_MAX, "%s/%s", dir, name) < UNIT_PATH_MAX);
    return buf;
}

/* cmocka setup and teardown: *state is the path of a fresh directory. */
static inline int unit_setup_dir(void **state)
{
    *state = unit_dir_make();
    return 0;
}

static inline int unit_teardown_dir(void **state)
{
    unit_dir_remove(*state);
    return 0;
}

#endif
