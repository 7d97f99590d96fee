/* tests/unit/engine_manifest.c: reading manifests, and judging what programs write by them. */
#include "unit.h"

#include "engines/manifest/judge.h"

#define HEAD "[engine]\nkind = evilness\n[run]\ncommand = /bin/x {sample}\n"
#define ENDS "[exit]\nclean = 0\nmalicious = 1\n"

static int read_text(struct ps_manifest *manifest, const char *text, char err[256])
{
    err[0] = '\0';
    return ps_manifest_read(manifest, text, strlen(text), err, 256);
}

/* What is not understood is an error that names its line; nothing is a default by mistake. */
static void bad_manifests_name_their_line(void **state)
{
    static const struct {
        const char *text, *err;
    } cases[] = {
        {"", "[engine] kind is missing"},
        {"kind = evilness\n", "line 1: there is no key \"kind\" in section []"},
        {"[engine]\nkind = evil\n", "line 2: \"evil\" is none of evilness, metadata"},
        {"[engine]\nkind = evilness\nkind = metadata\n", "line 3: kind is there twice"},
        {"[engines]\n", "line 1: there is no section [engines]"},
        {"[engine\n", "line 1: a section is a line like [run]"},
        {"[engine]\ncolour = red\n", "line 2: there is no key \"colour\" in section [engine]"},
        {"[engine]\nkind =\n", "line 2: kind has no value"},
        {"[engine]\nkind\n", "line 2: a line is [section], key = value or # comment"},
        {"[engine]\ndeadline = 30\n", "line 2: \"30\" is no time like 30s, 500ms or 2m"},
        {"[engine]\ndeadline = 61m\n", "line 2: a deadline is from 1ms to 60m"},
        {"[engine]\ndeadline = 0s\n", "line 2: a deadline is from 1ms to 60m"},
        {"[engine]\nserial = maybe\n", "line 2: \"maybe\" is none of yes, no"},
        {"[engine]\nlicence-ends = 31.12.2031\n", "line 2: \"31.12.2031\" is no date like 2027-03-31"},
        {"[engine]\nlicence-scans = -1\n", "line 2: \"-1\" is no number"},
        {"[run]\ncommand = x {sample}\n", "line 2: the program x has to be a path that begins with /"},
        {"[run]\ncommand = /bin/x 'a\n", "line 2: a quote does not end"},
        {"[run]\nsample = pipe\n", "line 2: \"pipe\" is none of fd, file, stream"},
        {"[exit]\nclean = 0, 256\n", "line 2: exit statuses are numbers from 0 to 255, like 1, 40-63"},
        {"[exit]\nclean = 5-2\n", "line 2: exit statuses are numbers from 0 to 255, like 1, 40-63"},
        {"[exit]\nclean = 0 1\n", "line 2: exit statuses are separated by commas"},
        {"[exit]\nclean = 0\nerror = 0-3\n", "line 3: exit status 0 is there twice"},
        {"[match]\nclean = (\n",
         "line 2: the pattern is wrong at its character 2: missing closing parenthesis"},
        {"[match]\nlabel = x\n", "line 2: a pattern for labels has a group (?<label>...)"},
        {"[match]\ntrait = (x)\n", "line 2: a pattern for traits has a named group (?<key>...)"},
        {"[engine]\nkind = evilness\n" ENDS, "[run] command is missing"},
        {HEAD "[exit]\nclean = 0\n", "nothing in [exit] or [match] says malicious or suspicious"},
        {HEAD "[exit]\nmalicious = 1\n", "nothing in [exit] or [match] says clean"},
        {"[engine]\nkind = metadata\n[run]\ncommand = /bin/x\n" ENDS,
         "an engine of kind metadata finds nothing malicious or suspicious"},
        {HEAD ENDS "[grants]\nexchange = /x\n", "[grants] exchange is for sample = file"},
    };
    struct ps_manifest manifest;
    char err[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_text(&manifest, cases[i].text, err), -1);
        assert_string_equal(err, cases[i].err);
        ps_manifest_fini(&manifest);
    }
}

static void limits_hold(void **state)
{
    struct ps_manifest manifest;
    char err[256], *text = calloc(1, PS_MANIFEST_MAX + 2);
    size_t len = 0;

    (void)state;
    assert_non_null(text);
    memset(text, '#', PS_MANIFEST_MAX + 1);
    assert_int_equal(ps_manifest_read(&manifest, text, PS_MANIFEST_MAX + 1, err, sizeof(err)), -1);
    assert_string_equal(err, "a manifest has at most 65536 bytes");
    ps_manifest_fini(&manifest);
    assert_int_equal(ps_manifest_read(&manifest, text, PS_MANIFEST_LINE_MAX + 1, err, sizeof(err)), -1);
    assert_string_equal(err, "line 1: the line has more than 4096 bytes, or a zero byte");
    ps_manifest_fini(&manifest);
    assert_int_equal(ps_manifest_read(&manifest, "a\0b", 3, err, sizeof(err)), -1);
    ps_manifest_fini(&manifest);
    len = (size_t)sprintf(text, "[match]\n");
    for (unsigned i = 0; i <= PS_PATTERNS_MAX; i++)
        len += (size_t)sprintf(text + len, "clean = x\n");
    assert_int_equal(ps_manifest_read(&manifest, text, len, err, sizeof(err)), -1);
    assert_string_equal(err, "line 66: more than 64 patterns");
    ps_manifest_fini(&manifest);
    free(text);
}

static void words_have_quotes_and_names(void **state)
{
    static const char *const names[] = {"sample", "/s", "signatures", NULL, NULL};
    struct ps_manifest manifest;
    char err[256], *text;

    (void)state;
    assert_int_equal(read_text(&manifest,
                               "[engine]\r\nkind = evilness\n\n# words\n[run]\n"
                               "  command = /bin/x \"a b\" 'c \"d'  e\"f\"g {sample}=1 {{x} \"\"\n" ENDS,
                               err),
                     0);
    assert_int_equal(manifest.command.n, 7);
    assert_string_equal(manifest.command.at[1], "a b");
    assert_string_equal(manifest.command.at[2], "c \"d");
    assert_string_equal(manifest.command.at[3], "efg");
    assert_string_equal(manifest.command.at[6], "");
    assert_null(manifest.command.at[7]);
    text = ps_manifest_expand(manifest.command.at[4], names, err, sizeof(err));
    assert_string_equal(text, "/s=1");
    free(text);
    text = ps_manifest_expand(manifest.command.at[5], names, err, sizeof(err));
    assert_string_equal(text, "{x}");
    free(text);
    assert_null(ps_manifest_expand("{signatures}", names, err, sizeof(err)));
    assert_string_equal(err, "there is no {signatures} here");
    assert_null(ps_manifest_expand("{sample", names, err, sizeof(err)));
    assert_string_equal(err, "{sample} is not known; {{ stands for one brace");
    ps_manifest_fini(&manifest);
}

static const char lines[] =
    HEAD "[exit]\nclean = 0\nmalicious = 1\nincomplete = 7\n[match]\n"
         "malicious = ^FOUND (?<label>\\S+)\nsuspicious = ^MAYBE (?<label>\\S+)\n"
         "clean = ^OK$\nerror = ^E: \nunsupported = ^what is it$\nincomplete = ^locked$\n"
         "trait = ^(?<size>\\d+) bytes, (?<name>.*)$\nlabel = ^called (?<label>.*)$\n"
         "error = ^(b+)+$\n";

static void expect(const char *manifest_text, int status, const char *out, enum ps_found found,
                   const char *label, const char *reason)
{
    const struct ps_ending ending = {.status = status, .out = out, .len = strlen(out)};
    struct ps_manifest manifest;
    struct ps_judgement judgement;
    char err[256];

    assert_int_equal(read_text(&manifest, manifest_text, err), 0);
    ps_judge(&manifest, &ending, true, &judgement);
    if (judgement.found != found || !strstr(judgement.reason, reason) || (!*reason && judgement.reason[0]))
        fail_msg("\"%s\", status %x: found %d (%d), reason \"%s\" (%s)", out, (unsigned)status,
                 judgement.found, found, judgement.reason, reason);
    assert_string_equal(judgement.labels_n ? judgement.labels[0].text : "", label);
    ps_judgement_fini(&judgement);
    ps_manifest_fini(&manifest);
}

#define EXIT(n) ((n) << 8)

/* The worst word wins; clean needs all who can say it, and nobody against it. */
static void the_worst_word_decides(void **state)
{
    (void)state;
    expect(lines, EXIT(0), "OK\n", PS_FOUND_UNDETECTED, "", "");
    expect(lines, EXIT(0), "OK", PS_FOUND_UNDETECTED, "", "");
    expect(lines, EXIT(0), "OK\r\n", PS_FOUND_UNDETECTED, "", "");
    expect(lines, EXIT(0), "", PS_FOUND_FAILURE, "", "exit status 0 and this output: it wrote nothing");
    expect(lines, EXIT(3), "OK\n", PS_FOUND_FAILURE, "", "exit status 3");
    expect(lines, EXIT(1), "FOUND A\nFOUND B\n", PS_FOUND_MALICIOUS, "A", "");
    expect(lines, EXIT(0), "FOUND A\nOK\n", PS_FOUND_MALICIOUS, "A",
           "contradiction: the exit status says clean");
    expect(lines, EXIT(1), "OK\n", PS_FOUND_MALICIOUS, "unnamed", "says malicious, no line does");
    expect(lines, EXIT(1), "called Z\nOK\n", PS_FOUND_MALICIOUS, "Z", "no line does");
    expect(lines, EXIT(5), "MAYBE S\n", PS_FOUND_SUSPICIOUS, "S", "");
    expect(lines, EXIT(1), "MAYBE S\nFOUND A\nE: oh\n", PS_FOUND_MALICIOUS, "S",
           "found, with an error: E: oh");
    expect(lines, EXIT(0), "OK\nE: no database\n", PS_FOUND_FAILURE, "", "E: no database");
    expect(lines, EXIT(0), "OK\nlocked\n", PS_FOUND_INCOMPLETE, "", "locked");
    expect(lines, EXIT(7), "OK\n", PS_FOUND_INCOMPLETE, "", "exit status 7 says incomplete: OK");
    expect(lines, EXIT(0), "what is it\n", PS_FOUND_TYPE_UNSUPPORTED, "", "what is it");
    expect(lines, 11, "OK\n", PS_FOUND_FAILURE, "", "killed by signal 11");
    expect(lines, 11, "FOUND A\n", PS_FOUND_MALICIOUS, "A", "found, but it was killed by signal 11");
}

/* A line that costs a pattern too much is no "no match". */
static void a_pattern_that_gives_up_is_a_failure(void **state)
{
    char out[128];

    (void)state;
    memset(out, 'b', sizeof(out));
    (void)snprintf(out + 100, 20, "!\nOK\n");
    expect(lines, EXIT(0), out, PS_FOUND_FAILURE, "", "a pattern took more than it may");
}

static void a_cut_output_is_never_clean(void **state)
{
    struct ps_ending ending = {.status = EXIT(0), .out = "OK\n", .len = 3, .cut = true};
    struct ps_manifest manifest;
    struct ps_judgement judgement;
    char err[256], *line = malloc(PS_JUDGE_LINE_MAX + 8);

    (void)state;
    assert_non_null(line);
    assert_int_equal(read_text(&manifest, lines, err), 0);
    ps_judge(&manifest, &ending, false, &judgement);
    assert_int_equal(judgement.found, PS_FOUND_FAILURE);
    assert_non_null(strstr(judgement.reason, "it wrote too much"));
    ps_judgement_fini(&judgement);
    memset(line, 'x', PS_JUDGE_LINE_MAX + 1);
    memcpy(line + PS_JUDGE_LINE_MAX + 1, "\nOK\n", 4);
    ending = (struct ps_ending){.status = EXIT(0), .out = line, .len = PS_JUDGE_LINE_MAX + 5};
    ps_judge(&manifest, &ending, false, &judgement);
    assert_int_equal(judgement.found, PS_FOUND_FAILURE);
    assert_non_null(strstr(judgement.reason, "a line of more than"));
    ps_judgement_fini(&judgement);
    ps_manifest_fini(&manifest);
    free(line);
}

static void captures_become_traits(void **state)
{
    static const char out[] = "12 bytes, one\n007 bytes, two\nOK\n";
    const struct ps_ending ending = {.status = EXIT(0), .out = out, .len = sizeof(out) - 1};
    struct ps_manifest manifest;
    struct ps_judgement judgement;
    char err[256], *text;

    (void)state;
    assert_int_equal(read_text(&manifest, lines, err), 0);
    ps_judge(&manifest, &ending, true, &judgement);
    assert_int_equal(judgement.found, PS_FOUND_UNDETECTED);
    text = json_dumps(judgement.traits, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"name\":[\"one\",\"two\"],\"size\":[12,\"007\"]}");
    assert_int_equal(json_array_size(judgement.matches), 3);
    free(text);
    ps_judgement_fini(&judgement);
    ps_manifest_fini(&manifest);
}

static void json_becomes_traits(void **state)
{
    static const char json[] =
        "[engine]\nkind = metadata\n[run]\ncommand = /bin/x {sample}\noutput = json\n[exit]\n"
        "clean = 0\n";
    (void)state;
    expect(json, EXIT(0), "[{\"a\": {\"b\": 1}}]", PS_FOUND_DESCRIBED, "", "");
    expect(json, EXIT(0), "{}", PS_FOUND_DESCRIBED, "", "");
    expect(json, EXIT(0), "{} x", PS_FOUND_FAILURE, "", "no JSON object");
    expect(json, EXIT(0), "[{}, {}]", PS_FOUND_FAILURE, "", "no JSON object");
    expect(json, EXIT(1), "{}", PS_FOUND_FAILURE, "", "exit status 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_manifests_name_their_line),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(words_have_quotes_and_names),
        cmocka_unit_test(the_worst_word_decides),
        cmocka_unit_test(a_pattern_that_gives_up_is_a_failure),
        cmocka_unit_test(a_cut_output_is_never_clean),
        cmocka_unit_test(captures_become_traits),
        cmocka_unit_test(json_becomes_traits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
