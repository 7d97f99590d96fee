#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/room.h"
#include "worker/sigdir.h"
#include "worker/types.h"

static void make_dir(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_mkdirs(unit_path(path, dir, name), 0700), 0);
}

static void make_file(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(ps_file_replace(unit_path(path, dir, name), "x", 1, 0600), 0);
}

/* ---- types ---- */

static void globs_of_types_match(void **state)
{
    assert_true(ps_types_match("", "application/pdf"));
    assert_true(ps_types_match("application/pdf", "application/pdf"));
    assert_true(ps_types_match("text/*,application/pdf", "application/pdf"));
    assert_true(ps_types_match("text/*, application/x-*", "application/x-dosexec"));
    assert_true(ps_types_match("*", "anything"));
    assert_false(ps_types_match("text/*", "application/pdf"));
    assert_false(ps_types_match("application/pd", "application/pdf"));
    assert_false(ps_types_match(",,", "application/pdf"));
}

/* An engine is rather run in vain than left out. */
static void a_glob_that_is_too_long_takes_all(void **state)
{
    char globs[300];

    memset(globs, 'a', sizeof(globs) - 1);
    globs[sizeof(globs) - 1] = '\0';
    assert_true(ps_types_match(globs, "application/pdf"));
}

/* ---- signature directories ---- */

struct places {
    char engines[UNIT_PATH_MAX], over[UNIT_PATH_MAX], system[UNIT_PATH_MAX];
};

static struct places make_places(const char *dir)
{
    struct places p;

    make_dir(dir, "engines/clamav/signatures");
    make_dir(dir, "engines/yara/signatures");
    make_dir(dir, "engines/hashes");
    make_dir(dir, "over");
    make_dir(dir, "system");
    (void)unit_path(p.engines, dir, "engines");
    (void)unit_path(p.over, dir, "over");
    (void)unit_path(p.system, dir, "system");
    return p;
}

static void assert_found(const struct places *p, const char *engine, const char *override, const char *dir,
                         const char *name, const char *origin)
{
    struct ps_sigdir found;
    char path[UNIT_PATH_MAX];

    ps_sigdir_find(&found, engine, p->engines, override, p->system);
    assert_string_equal(found.path, name ? unit_path(path, dir, name) : "");
    assert_string_equal(found.origin, origin);
}

static void bundled_signatures_come_last(void **state)
{
    const char *dir = *state;
    struct places p = make_places(dir);

    assert_found(&p, "clamav", NULL, p.engines, "clamav/signatures", "site");
    assert_found(&p, "yara", NULL, p.engines, "yara/signatures", "site");
    assert_found(&p, "hashes", NULL, p.engines, NULL, "");
    make_file(p.system, "daily.cld");
    assert_found(&p, "clamav", NULL, p.system, ".", "official");
    assert_found(&p, "yara", NULL, p.engines, "yara/signatures", "site");
}

static void plain_files_override_for_clamav(void **state)
{
    const char *dir = *state;
    struct places p = make_places(dir);

    make_file(p.system, "main.cvd");
    make_file(p.over, "site.ndb");
    make_dir(p.over, ".git");
    assert_found(&p, "clamav", p.over, p.over, ".", "site");
    assert_found(&p, "yara", p.over, p.engines, "yara/signatures", "site");
}

static void directories_override_for_their_engines(void **state)
{
    const char *dir = *state;
    struct places p = make_places(dir);

    make_dir(p.over, "yara");
    assert_found(&p, "yara", p.over, p.over, "yara", "site");
    assert_found(&p, "clamav", p.over, p.engines, "clamav/signatures", "site");
    make_dir(p.over, "clamav");
    assert_found(&p, "clamav", p.over, p.over, "clamav", "site");
}

/* ---- rooms ---- */

static unsigned count_rooms(const char *dir)
{
    char command[UNIT_PATH_MAX];
    struct stat st;

    (void)snprintf(command, sizeof(command), "%s", dir);
    assert_int_equal(stat(command, &st), 0);
    return (unsigned)st.st_nlink - 2; /* a directory has a link from each one below it */
}

static void rooms_live_side_by_side_and_go(void **state)
{
    const char *dir = *state;
    struct ps_room a = PS_ROOM_NONE, b = PS_ROOM_NONE;

    assert_int_equal(ps_room_enter(&a, dir, NULL), 0);
    assert_int_equal(ps_room_enter(&b, dir, NULL), 0);
    assert_string_not_equal(a.path, b.path);
    assert_int_equal(access(a.path, W_OK), 0);
    assert_int_equal(access(b.path, W_OK), 0);
    ps_room_leave(&a);
    ps_room_leave(&b);
    ps_room_leave(&b);
    assert_int_equal(count_rooms(dir), 0);
}

/* A worker that was killed leaves its room, unlocked. */
static void the_next_one_sweeps_what_a_dead_one_left(void **state)
{
    const char *dir = *state;
    struct ps_room dead = PS_ROOM_NONE, next = PS_ROOM_NONE;
    char old[PS_PATH_MAX];

    assert_int_equal(ps_room_enter(&dead, dir, NULL), 0);
    make_dir(dead.path, "engines/1");
    memcpy(old, dead.path, sizeof(old));
    ps_close_fd_p(&dead.lock_fd);
    assert_int_equal(ps_room_enter(&next, dir, NULL), 0);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(count_rooms(dir), 1);
    ps_room_leave(&next);
}

#define T(name) cmocka_unit_test_setup_teardown(name, unit_setup_dir, unit_teardown_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(globs_of_types_match),
        T(a_glob_that_is_too_long_takes_all),
        T(bundled_signatures_come_last),
        T(plain_files_override_for_clamav),
        T(directories_override_for_their_engines),
        T(rooms_live_side_by_side_and_go),
        T(the_next_one_sweeps_what_a_dead_one_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
