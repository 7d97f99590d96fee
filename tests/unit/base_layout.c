#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/layout.h"
#include "base/mem.h"

static struct ps_layout found;
static struct ps_error error;

static int setup(void **state)
{
    error = (struct ps_error){0};
    return unsetenv("PHAGESCAN_STATE") || unsetenv("PHAGESCAN_LIB") || setenv("HOME", "/home/someone", 1);
}

static void state_moves_as_a_whole(void **state)
{
    assert_int_equal(setenv("PHAGESCAN_STATE", "/tmp/x", 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), 0);
    assert_string_equal(found.state, "/tmp/x");
    assert_string_equal(found.conf, "/tmp/x/phagescan.conf");
    assert_string_equal(found.pg, "/tmp/x/pg");
    assert_string_equal(found.store, "/tmp/x/store");
    assert_string_equal(found.cache, "/tmp/x/cache");
    assert_string_equal(found.run, "/tmp/x/run");
    assert_string_equal(found.api_sock, "/tmp/x/run/api.sock");
    assert_string_equal(found.broker_sock, "/tmp/x/run/broker.sock");
    assert_string_equal(found.mdp_sock, "/tmp/x/run/mdp.sock");
}

static void places_without_settings_follow_the_user(void **state)
{
    bool root = geteuid() == 0;

    assert_int_equal(setenv("PHAGESCAN_STATE", "", 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), 0);
    assert_string_equal(found.state, root ? "/var/lib/phagescan" : "/home/someone/.local/state/phagescan");
    assert_string_equal(found.run, root ? "/run/phagescan" : "/home/someone/.local/state/phagescan/run");
    assert_string_equal(found.conf, root ? "/etc/phagescan/phagescan.conf"
                                         : "/home/someone/.config/phagescan/phagescan.conf");
    assert_string_equal(found.lib, root ? "/opt/phagescan" : "/home/someone/.local/lib/phagescan");
}

/* Only root can look at both: a child becomes somebody else and looks. */
static void a_user_gets_places_below_home(void **state)
{
    int status;
    pid_t pid;

    if (geteuid() != 0)
        skip();
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool good = setuid(65534) == 0 && ps_layout_find(&found, &error) == 0 &&
                    strcmp(found.state, "/home/someone/.local/state/phagescan") == 0 &&
                    strcmp(found.run, "/home/someone/.local/state/phagescan/run") == 0 &&
                    strcmp(found.conf, "/home/someone/.config/phagescan/phagescan.conf") == 0 &&
                    strcmp(found.lib, "/home/someone/.local/lib/phagescan") == 0;

        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void lib_can_be_given(void **state)
{
    assert_int_equal(setenv("PHAGESCAN_LIB", "/srv/lib", 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), 0);
    assert_string_equal(found.lib, "/srv/lib");
}

static void relative_places_are_refused_by_name(void **state)
{
    assert_int_equal(setenv("PHAGESCAN_STATE", "here", 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), PS_ERR_INVALID);
    assert_non_null(strstr(error.text, "PHAGESCAN_STATE"));
    assert_int_equal(setenv("PHAGESCAN_LIB", "there", 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), PS_ERR_INVALID);
    assert_non_null(strstr(error.text, "PHAGESCAN_LIB"));
}

static void long_places_are_refused_and_nothing_is_set(void **state)
{
    char path[PS_PATH_MAX + 10];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    found.lib[0] = '!';
    assert_int_equal(setenv("PHAGESCAN_STATE", path, 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), PS_ERR_LIMIT);
    path[PS_PATH_MAX - 8] = '\0'; /* fits, but not with what hangs from it */
    assert_int_equal(setenv("PHAGESCAN_STATE", path, 1), 0);
    assert_int_equal(ps_layout_find(&found, &error), PS_ERR_LIMIT);
    assert_int_equal(found.lib[0], '!');
}

/* Runs a copy of this test under another name; it prints the lib directory that it finds. */
static void lib_is_beside_the_programs_bin(void **state)
{
    char bin[UNIT_PATH_MAX], line[PS_PATH_MAX] = "";
    PS_FREE char *command = NULL;
    FILE *p;

    assert_int_equal(ps_file_mkdirs(unit_path(bin, *state, "bin"), 0700), 0);
    command = ps_strf("cp /proc/%d/exe '%s/prog' && '%s/prog' print-lib", (int)getpid(), bin, bin);
    p = popen(command, "re");
    assert_non_null(p);
    assert_non_null(fgets(line, sizeof(line), p));
    assert_int_equal(pclose(p), 0);
    assert_string_equal(line, *state);
}

static int setup_dir(void **state)
{
    return setup(state) || unit_setup_dir(state);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        T(state_moves_as_a_whole),
        T(places_without_settings_follow_the_user),
        T(a_user_gets_places_below_home),
        T(lib_can_be_given),
        T(relative_places_are_refused_by_name),
        T(long_places_are_refused_and_nothing_is_set),
        cmocka_unit_test_setup_teardown(lib_is_beside_the_programs_bin, setup_dir, unit_teardown_dir),
    };

    if (argc > 1 && strcmp(argv[1], "print-lib") == 0) {
        if (ps_layout_find(&found, &error))
            return 1;
        return fputs(found.lib, stdout) < 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
