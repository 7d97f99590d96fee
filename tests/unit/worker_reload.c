/* New definitions, licences, probes, engines that come and go. */
#include "tests/unit/worker_roster_kit.h"

/* ---- reload ---- */

static void say_result(unsigned host, unsigned slot, struct ps_host_result *result)
{
    say(&hosts[host], (struct ps_host_event){.kind = PS_HOST_RESULT, .slot = slot, .result = result});
}

static void run_in(struct fixture *f, unsigned slot)
{
    struct ps_host_job job = {.job = slot};

    assert_int_equal(ps_roster_run(f->roster, 0, slot, &job, f->now_ms), 0);
}

/* Jobs of the old crew end in peace, with the old definitions; new ones go to the new crew at once. */
static void a_second_host_takes_over(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};
    struct ps_roster_event event;

    start_one(f);
    run_in(f, 0);
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), 0);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    run_in(f, 1); /* while it loads */
    assert_int_equal(hosts[0].runs, 2);

    load(&hosts[1]);
    hosts[1].info.definitions = "78";
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_string_equal(ps_roster_facts(f->roster, 0)->definitions, "78");
    say_result(0, 0, &fine);
    event = step(f);
    assert_int_equal(event.kind, PS_ROSTER_RESULT);
    assert_string_equal(event.facts->definitions, "77");
    run_in(f, 0);
    assert_int_equal(hosts[1].runs, 1);
    assert_false(hosts[0].freed);
    say_result(0, 1, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    say_result(1, 0, &fine);
    event = step(f);
    assert_string_equal(event.facts->definitions, "78");
}

static void a_reload_that_fails_changes_nothing_but_the_note(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];

    start_one(f);
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), 0);
    assert_int_equal(step(f).kind, 0);
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_FAILED, .text = "line 3 is wrong"});
    say(&hosts[1], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "exit status 2"});
    assert_int_equal(step(f).kind, PS_ROSTER_STAYS);
    assert_true(ps_roster_is_up(f->roster, 0));
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "not taken: line 3 is wrong"));
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 1);
    assert_int_equal(offers[0].problem.len, 0);
    assert_true(offers[0].note.len > 0);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[1].freed);

    f->now_ms += PS_ROSTER_RELOAD_MS - 1;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    f->now_ms++;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    come_up(f);
    assert_string_equal(ps_roster_note(f->roster, 0, f->now_ms), "");
}

/* yara leaves a broken file out, says so, and would find less. */
static void new_definitions_with_a_complaint_are_not_taken(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    load(&hosts[1]);
    hosts[1].info.note = "1 of 2 files left out";
    hosts[1].info.left_out = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_STAYS);
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "1 of 2 files left out"));
    run_in(f, 0);
    assert_int_equal(hosts[0].runs, 1);
}

static void the_old_host_may_die_while_the_new_one_loads(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_GONE, .text = "killed"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2); /* the one that is coming will do */
    come_up(f);
}

/* A self-test is a scan: an engine that may run once at a time is loaded anew while it rests. */
static void a_serial_engine_rests_while_it_is_reloaded(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};

    start_one(f);
    hosts[0].info.at_once = 1;
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)step(f);
    load(&hosts[1]);
    hosts[1].info.at_once = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_has_room(f->roster, 0));
    run_in(f, 0);
    assert_false(ps_roster_has_room(f->roster, 0));
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    say_result(1, 0, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_false(ps_roster_has_room(f->roster, 0));
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    load(&hosts[2]);
    hosts[2].info.at_once = 1;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_true(ps_roster_has_room(f->roster, 0));
}

static void one_reload_at_a_time(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    load(&hosts[1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    (void)ps_roster_reload(f->roster, 0, f->now_ms);
    (void)ps_roster_reload(f->roster, 1, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    load(&hosts[2]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 4);
}

static void off_ends_in_peace_and_on_loads_again(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result fine = {.outcome = PS_OUTCOME_UNDETECTED};

    start_one(f);
    run_in(f, 0);
    ps_roster_switch(f->roster, 0, false, f->now_ms);
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_string_equal(ps_roster_problem(f->roster, 0), "it is switched off");
    assert_int_equal(ps_roster_reload(f->roster, 0, f->now_ms), PS_ERR_UNAVAILABLE);
    assert_false(hosts[0].freed);
    say_result(0, 0, &fine);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    assert_int_equal(hosts_n, 1);
    ps_roster_switch(f->roster, 0, true, f->now_ms);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
}

/* ---- watching ---- */

static void one_that_is_up_is_probed_and_goes_down_at_once(void **state)
{
    struct fixture *f = *state;
    struct ps_host_result failure = {.outcome = PS_OUTCOME_FAILURE};

    start_one(f);
    assert_int_equal(ps_roster_due_ms(f->roster), f->now_ms + PS_ROSTER_PROBE_MS);
    f->now_ms += PS_ROSTER_PROBE_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts[0].probes, 1);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_PROBED, .text = ""});
    assert_int_equal(step(f).kind, 0);

    run_in(f, 0);
    f->now_ms += PS_ROSTER_SUSPECT_MS;
    run_in(f, 1);
    say_result(0, 0, &failure);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts[0].probes, 2);
    say(&hosts[0], (struct ps_host_event){.kind = PS_HOST_PROBED, .text = "not installed"});
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_string_equal(ps_roster_problem(f->roster, 0), "not installed");
    assert_false(hosts[0].freed); /* a job is still there */
    say_result(0, 1, &failure);
    assert_int_equal(step(f).kind, PS_ROSTER_RESULT);
    assert_int_equal(step(f).kind, 0);
    assert_true(hosts[0].freed);
    f->now_ms += PS_ROSTER_RETRY_MS;
    assert_int_equal(step(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
}

/* ---- licences ---- */

static void a_licence_is_warned_of_and_ends(void **state)
{
    struct fixture *f = *state;

    start_one(f);
    hosts[0].info.licence_left_s = 3600;
    ps_roster_free(&f->roster);
    hosts_n = 0;
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    hosts[0].info.licence_left_s = 3600;
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_non_null(strstr(ps_roster_note(f->roster, 0, f->now_ms), "licence ends on 20"));
    f->now_ms += 3599000;
    assert_int_equal(step(f).kind, 0);
    f->now_ms += 1000;
    assert_int_equal(step(f).kind, PS_ROSTER_DOWN);
    assert_non_null(strstr(ps_roster_problem(f->roster, 0), "licence ended on 20"));
}

/* ---- files ---- */

/* Looks at the files, as if it were quiet after a change. */
static struct ps_roster_event look(struct fixture *f)
{
    struct ps_roster_event event = {0};

    f->now_ms += 60000;
    for (int i = 0; i < 3 && event.kind == 0; i++)
        event = step(f);
    return event;
}

static void changed_files_are_loaded_anew(void **state)
{
    struct fixture *f = *state;
    char path[UNIT_PATH_MAX];

    f->watched = true;
    start_one(f);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 1);
    (void)snprintf(path, sizeof(path), "%s/alpha/alpha.so", f->engines);
    assert_int_equal(ps_file_replace(path, "yy", 2, 0600), 0);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 2);
    come_up(f);
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 2);
}

static void engines_come_and_go_with_their_directories(void **state)
{
    struct fixture *f = *state;
    struct ps_part_offer offers[PS_ENGINES_MAX];
    char path[UNIT_PATH_MAX];
    struct ps_roster_event event;

    f->watched = true;
    assert_int_equal(make(f, NULL), 0);
    load(&hosts[0]);
    load(&hosts[1]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    make_engine(f, "aaa");
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 3);
    assert_int_equal(ps_roster_find(f->roster, PS_BYTES_LIT("aaa")), 2);
    load(&hosts[2]);
    event = step(f);
    assert_int_equal(event.kind, PS_ROSTER_UP);
    assert_int_equal(event.engine, 2);

    assert_int_equal(ps_file_remove_tree(unit_path(path, f->engines, "alpha"), true), 0);
    event = look(f);
    assert_int_equal(event.kind, PS_ROSTER_DOWN);
    assert_int_equal(event.engine, 0);
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 2);
    make_engine(f, "alpha");
    assert_int_equal(look(f).kind, 0);
    assert_int_equal(hosts_n, 4);
    load(&hosts[3]);
    assert_int_equal(step(f).kind, PS_ROSTER_UP);
    assert_int_equal(ps_roster_offers(f->roster, f->now_ms, offers), 3);
}

static void an_engine_of_ones_own_goes_first_unless_others_could_write_it(void **state)
{
    struct fixture *f = *state;
    char shipped[UNIT_PATH_MAX], path[UNIT_PATH_MAX];

    memcpy(shipped, f->engines, sizeof(shipped));
    (void)unit_path(f->own, f->dir, "own");
    memcpy(f->engines, f->own, sizeof(f->own));
    make_engine(f, "beta");
    make_engine(f, "gamma");
    memcpy(f->engines, shipped, sizeof(shipped));
    (void)snprintf(path, sizeof(path), "%s/gamma/gamma.so", f->own);
    assert_int_equal(chmod(path, 0622), 0);

    assert_int_equal(make(f, NULL), 0);
    assert_int_equal(ps_roster_n(f->roster), 3);
    assert_int_equal(hosts_n, 2);
    assert_non_null(strstr(ps_roster_problem(f->roster, 2), "can be written by others"));
    assert_non_null(strstr(hosts[1].plugin, "/own/beta/beta.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_second_host_takes_over),
        T(a_reload_that_fails_changes_nothing_but_the_note),
        T(new_definitions_with_a_complaint_are_not_taken),
        T(the_old_host_may_die_while_the_new_one_loads),
        T(a_serial_engine_rests_while_it_is_reloaded),
        T(one_reload_at_a_time),
        T(off_ends_in_peace_and_on_loads_again),
        T(one_that_is_up_is_probed_and_goes_down_at_once),
        T(a_licence_is_warned_of_and_ends),
        T(changed_files_are_loaded_anew),
        T(engines_come_and_go_with_their_directories),
        T(an_engine_of_ones_own_goes_first_unless_others_could_write_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
