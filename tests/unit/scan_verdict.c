/* The verdict rules, as a table: what the engines said, and what the scan says then. */
#include "tests/unit/unit.h"

#include "master/scan/verdict.h"

#define JUDGE(e, o, ...)                                                                                 \
    {                                                                                                    \
        .engine = (e), .kind = PS_KIND_EVILNESS, .outcome = PS_OUTCOME_##o, .counted = true, __VA_ARGS__ \
    }
#define DESCRIBE(e, o, ...)                                                             \
    {                                                                                   \
        .engine = (e), .kind = PS_KIND_METADATA, .outcome = PS_OUTCOME_##o, __VA_ARGS__ \
    }
#define REQUIRED    .required = true
#define LABEL(text) .label = (text)
#define TEST_SET    .counted = false, .origin = "test"
#define NO_RULES    .counted = false, .origin = ""

struct story {
    const char *name;
    struct ps_verdict_answer answers[5]; /* until engine is NULL */
    enum ps_verdict verdict;
    unsigned positives, total, failed, incomplete;
    const char *label;
    const char *reasons; /* joined by "; " */
};

/* Later initialisers in an answer win over JUDGE's own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct story stories[] = {
    {"all clean",
     {JUDGE("clamav", UNDETECTED, REQUIRED), JUDGE("yara", UNDETECTED), DESCRIBE("type", DESCRIBED)},
     PS_VERDICT_NOTHING_FOUND,
     0,
     2,
     0,
     0,
     NULL,
     ""},
    {"one hit",
     {JUDGE("clamav", MALICIOUS, REQUIRED, LABEL("Win.Test.EICAR_HDB-1")), JUDGE("yara", UNDETECTED)},
     PS_VERDICT_MALICIOUS,
     1,
     2,
     0,
     0,
     "Win.Test.EICAR_HDB-1",
     "clamav: Win.Test.EICAR_HDB-1"},
    {"a hit of a test set counts",
     {JUDGE("clamav", MALICIOUS, REQUIRED, TEST_SET, LABEL("Eicar"))},
     PS_VERDICT_MALICIOUS,
     1,
     1,
     0,
     0,
     "Eicar",
     "clamav: Eicar"},
    {"silence of a test set does not",
     {JUDGE("clamav", UNDETECTED, REQUIRED, TEST_SET)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     0,
     NULL,
     "bundled test signatures"},
    {"said once for two engines",
     {JUDGE("clamav", UNDETECTED, REQUIRED, TEST_SET), JUDGE("yara", UNDETECTED, REQUIRED, TEST_SET)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     0,
     NULL,
     "bundled test signatures"},
    {"no rules",
     {JUDGE("yara", UNDETECTED, REQUIRED, NO_RULES)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     0,
     NULL,
     "yara: no signatures that count"},
    {"malicious wins over a required failure",
     {JUDGE("clamav", FAILURE, REQUIRED), JUDGE("yara", MALICIOUS, LABEL("rule_x"))},
     PS_VERDICT_MALICIOUS,
     1,
     1,
     1,
     0,
     "rule_x",
     "yara: rule_x"},
    {"malicious wins over suspicious",
     {JUDGE("clamav", SUSPICIOUS, REQUIRED, LABEL("Pua.X")), JUDGE("yara", MALICIOUS, LABEL("longer_rule"))},
     PS_VERDICT_MALICIOUS,
     2,
     2,
     0,
     0,
     "longer_rule",
     "yara: longer_rule"},
    {"suspicious wins over inconclusive",
     {JUDGE("clamav", TIMEOUT, REQUIRED), JUDGE("yara", SUSPICIOUS, LABEL("odd_macro"))},
     PS_VERDICT_SUSPICIOUS,
     1,
     1,
     1,
     0,
     "odd_macro",
     "yara: odd_macro"},
    {"a required engine that timed out",
     {JUDGE("clamav", TIMEOUT, REQUIRED), JUDGE("yara", UNDETECTED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     1,
     1,
     0,
     NULL,
     "clamav: timeout"},
    {"a required engine that failed",
     {JUDGE("clamav", FAILURE, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     1,
     0,
     NULL,
     "clamav: failure"},
    {"a required engine that did not look at all of it",
     {JUDGE("clamav", INCOMPLETE, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     1,
     NULL,
     "clamav: incomplete"},
    {"a required engine that is not there",
     {JUDGE("clamav", UNAVAILABLE, REQUIRED), JUDGE("yara", UNDETECTED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     1,
     1,
     0,
     NULL,
     "clamav: unavailable"},
    {"a required engine in quarantine",
     {JUDGE("clamav", QUARANTINED, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     1,
     0,
     NULL,
     "clamav: quarantined"},
    {"a cancelled one",
     {JUDGE("clamav", CANCELLED, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     0,
     NULL,
     "clamav: cancelled"},
    {"inconclusive wins over known-good",
     {JUDGE("clamav", FAILURE, REQUIRED), JUDGE("nsrl", HARMLESS)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     1,
     1,
     0,
     NULL,
     "clamav: failure"},
    {"known-good",
     {JUDGE("clamav", UNDETECTED, REQUIRED), JUDGE("nsrl", HARMLESS, LABEL("Windows 11"))},
     PS_VERDICT_KNOWN_GOOD,
     0,
     2,
     0,
     0,
     NULL,
     "nsrl: Windows 11"},
    {"type-unsupported satisfies",
     {JUDGE("clamav", UNDETECTED, REQUIRED), JUDGE("dex", TYPE_UNSUPPORTED, REQUIRED)},
     PS_VERDICT_NOTHING_FOUND,
     0,
     1,
     0,
     0,
     NULL,
     ""},
    {"failures of others stand beside it",
     {JUDGE("clamav", UNDETECTED, REQUIRED), JUDGE("yara", FAILURE), JUDGE("x", INCOMPLETE),
      JUDGE("y", UNAVAILABLE)},
     PS_VERDICT_NOTHING_FOUND,
     0,
     1,
     2,
     1,
     NULL,
     ""},
    {"metadata engines don't judge",
     {JUDGE("clamav", UNDETECTED, REQUIRED), DESCRIBE("type", MALICIOUS, LABEL("never")),
      DESCRIBE("hashes", FAILURE)},
     PS_VERDICT_NOTHING_FOUND,
     0,
     1,
     0,
     0,
     NULL,
     ""},
    {"a required metadata engine that failed",
     {JUDGE("clamav", UNDETECTED), DESCRIBE("type", FAILURE, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     1,
     0,
     0,
     NULL,
     "type: failure"},
    {"a judge that only describes",
     {JUDGE("clamav", DESCRIBED, REQUIRED)},
     PS_VERDICT_INCONCLUSIVE,
     0,
     0,
     0,
     0,
     NULL,
     "clamav: described"},
    {"nobody judged",
     {DESCRIBE("hashes", DESCRIBED)},
     PS_VERDICT_NOTHING_FOUND,
     0,
     0,
     0,
     0,
     NULL,
     "no engine judged it"},
    {"the shortest label that tells",
     {JUDGE("a", MALICIOUS, LABEL("Win.Trojan.Agent-1")), JUDGE("b", MALICIOUS, LABEL("Emotet")),
      JUDGE("c", MALICIOUS, LABEL("X97M"))},
     PS_VERDICT_MALICIOUS,
     3,
     3,
     0,
     0,
     "Emotet",
     "a: Win.Trojan.Agent-1; b: Emotet; c: X97M"},
    {"characters, not bytes",
     {JUDGE("a", MALICIOUS, LABEL("\xc3\xa4\xc3\xb6\xc3\xbc")), JUDGE("b", MALICIOUS, LABEL("abcde"))},
     PS_VERDICT_MALICIOUS,
     2,
     2,
     0,
     0,
     "abcde",
     "a: \xc3\xa4\xc3\xb6\xc3\xbc; b: abcde"},
    {"better a short label than none",
     {JUDGE("a", MALICIOUS, LABEL("X")), JUDGE("b", MALICIOUS, LABEL("AB"))},
     PS_VERDICT_MALICIOUS,
     2,
     2,
     0,
     0,
     "AB",
     "a: X; b: AB"},
    {"malicious without a label takes the suspicious one",
     {JUDGE("a", MALICIOUS), JUDGE("b", SUSPICIOUS, LABEL("packed"))},
     PS_VERDICT_MALICIOUS,
     2,
     2,
     0,
     0,
     "packed",
     "a: malicious"},
    {"the word undetected is counted by default",
     {JUDGE("clamav", UNDETECTED, REQUIRED, .origin = "site")},
     PS_VERDICT_NOTHING_FOUND,
     0,
     1,
     0,
     0,
     NULL,
     ""},
};
#pragma GCC diagnostic pop

static void check(const struct story *s)
{
    struct ps_verdict_sum sum;
    char reasons[4096] = "";
    size_t n = 0;

    while (n < 5 && s->answers[n].engine)
        n++;
    ps_verdict_sum_up(s->answers, n, &sum);
    for (size_t i = 0; i < sum.reasons_n; i++) {
        strcat(reasons, i > 0 ? "; " : "");
        strcat(reasons, sum.reasons[i]);
    }
    if (sum.verdict != s->verdict)
        print_error("story: %s\n", s->name);
    assert_string_equal(ps_verdict_word(sum.verdict), ps_verdict_word(s->verdict));
    assert_string_equal(reasons, s->reasons);
    assert_int_equal(sum.positives, s->positives);
    assert_int_equal(sum.total, s->total);
    assert_int_equal(sum.failed, s->failed);
    assert_int_equal(sum.incomplete, s->incomplete);
    if (s->label)
        assert_string_equal(sum.label, s->label);
    else
        assert_null(sum.label);
}

static void every_story_ends_as_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++)
        check(&stories[i]);
}

/* More reasons than there is room for: the last one says so. */
static void reasons_are_bounded(void **state)
{
    struct ps_verdict_answer answers[PS_VERDICT_REASONS_MAX + 3];
    struct ps_verdict_sum sum;
    char names[PS_VERDICT_REASONS_MAX + 3][8];

    (void)state;
    for (size_t i = 0; i < PS_VERDICT_REASONS_MAX + 3; i++) {
        snprintf(names[i], sizeof(names[i]), "e%zu", i);
        answers[i] = (struct ps_verdict_answer){
            .engine = names[i], .kind = PS_KIND_EVILNESS, .outcome = PS_OUTCOME_FAILURE, .required = true};
    }
    ps_verdict_sum_up(answers, PS_VERDICT_REASONS_MAX + 3, &sum);
    assert_int_equal(sum.reasons_n, PS_VERDICT_REASONS_MAX);
    assert_string_equal(sum.reasons[PS_VERDICT_REASONS_MAX - 1], "and more");
    assert_int_equal(sum.failed, PS_VERDICT_REASONS_MAX + 3);
}

/* A label of 512 bytes is cut between two characters. */
static void long_labels_are_cut_whole(void **state)
{
    char label[513] = "";
    struct ps_verdict_sum sum;

    (void)state;
    for (size_t i = 0; i < 256; i++)
        memcpy(label + 2 * i, "\xc3\xa4", 2);
    label[512] = '\0';
    const struct ps_verdict_answer answer = {
        .engine = "x", .kind = PS_KIND_EVILNESS, .outcome = PS_OUTCOME_MALICIOUS, .label = label};
    ps_verdict_sum_up(&answer, 1, &sum);
    size_t len = strlen(sum.reasons[0]);
    assert_true(len < PS_VERDICT_REASON_MAX);
    assert_int_equal((unsigned char)sum.reasons[0][len - 1], 0xa4);
    assert_ptr_equal(sum.label, label);
}

static void too_many_engines_are_never_clean(void **state)
{
    struct ps_verdict_answer *answers = calloc(PS_VERDICT_ENGINES_MAX + 1, sizeof(*answers));
    struct ps_verdict_sum sum;

    (void)state;
    for (size_t i = 0; i <= PS_VERDICT_ENGINES_MAX; i++)
        answers[i] = (struct ps_verdict_answer){
            .engine = "e", .kind = PS_KIND_EVILNESS, .outcome = PS_OUTCOME_UNDETECTED, .counted = true};
    ps_verdict_sum_up(answers, PS_VERDICT_ENGINES_MAX, &sum);
    assert_int_equal(sum.verdict, PS_VERDICT_NOTHING_FOUND);
    ps_verdict_sum_up(answers, PS_VERDICT_ENGINES_MAX + 1, &sum);
    assert_int_equal(sum.verdict, PS_VERDICT_INCONCLUSIVE);
    free(answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_story_ends_as_told),
        cmocka_unit_test(reasons_are_bounded),
        cmocka_unit_test(long_labels_are_cut_whole),
        cmocka_unit_test(too_many_engines_are_never_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
