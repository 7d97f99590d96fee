#include "master/scan/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static bool judges(const struct ps_verdict_answer *a)
{
    return a->kind == PS_KIND_EVILNESS;
}

static bool has_label(const struct ps_verdict_answer *a)
{
    return a->label && a->label[0];
}

/* Definite and counted: part of M. What was found counts whoever's set found it. */
static bool counts(const struct ps_verdict_answer *a)
{
    return ps_outcome_definite(a->outcome) && (a->outcome != PS_OUTCOME_UNDETECTED || a->counted);
}

/* A required engine has done what it was required for. */
static bool satisfied(const struct ps_verdict_answer *a)
{
    if (a->outcome == PS_OUTCOME_TYPE_UNSUPPORTED)
        return true;
    return judges(a) ? counts(a) : a->outcome == PS_OUTCOME_DESCRIBED;
}

static size_t characters_n(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Among labels that tell something the shortest, else the longest of the rest: "EICAR" before
 * "Win.Test.EICAR_HDB-1", but anything before "X". */
static bool tells_more(const char *label, const char *than)
{
    size_t a = characters_n(label), b = characters_n(than);
    bool a_tells = a >= PS_VERDICT_LABEL_MIN, b_tells = b >= PS_VERDICT_LABEL_MIN;

    if (a_tells != b_tells)
        return a_tells;
    return a_tells ? a < b : a > b;
}

static const char *most_telling(const struct ps_verdict_answer *answers, size_t n, unsigned outcome)
{
    const char *best = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct ps_verdict_answer *a = &answers[i];
        if (judges(a) && a->outcome == outcome && has_label(a) && (!best || tells_more(a->label, best)))
            best = a->label;
    }
    return best;
}

__attribute__((format(printf, 2, 3))) static void give_reason(struct ps_verdict_sum *sum, const char *fmt,
                                                              ...)
{
    char text[2 * PS_VERDICT_REASON_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a long one is cut, here or below */
    va_end(args);
    text[ps_utf8_cut(text, strlen(text), PS_VERDICT_REASON_MAX - 1)] = '\0';

    for (size_t i = 0; i < sum->reasons_n; i++)
        if (strcmp(sum->reasons[i], text) == 0)
            return;
    if (sum->reasons_n == PS_VERDICT_REASONS_MAX) {
        (void)snprintf(sum->reasons[PS_VERDICT_REASONS_MAX - 1], PS_VERDICT_REASON_MAX, "and more");
        return;
    }
    memcpy(sum->reasons[sum->reasons_n++], text, strlen(text) + 1);
}

static void count(struct ps_verdict_sum *sum, const struct ps_verdict_answer *a)
{
    if (!judges(a))
        return;

    sum->total += counts(a);
    switch (a->outcome) {
    case PS_OUTCOME_MALICIOUS:
    case PS_OUTCOME_SUSPICIOUS:
        sum->positives++;
        break;
    case PS_OUTCOME_FAILURE:
    case PS_OUTCOME_TIMEOUT:
    case PS_OUTCOME_QUARANTINED:
    case PS_OUTCOME_UNAVAILABLE:
        sum->failed++;
        break;
    case PS_OUTCOME_INCOMPLETE:
        sum->incomplete++;
        break;
    default:
        break;
    }
}

/* True when a judging engine said outcome; then each such engine is a reason, with what it calls it. */
static bool was_said(struct ps_verdict_sum *sum, const struct ps_verdict_answer *answers, size_t n,
                     unsigned outcome)
{
    bool said = false;

    for (size_t i = 0; i < n; i++) {
        const struct ps_verdict_answer *a = &answers[i];
        if (!judges(a) || a->outcome != outcome)
            continue;
        said = true;
        give_reason(sum, "%s: %s", a->engine, has_label(a) ? a->label : ps_outcome_word(outcome));
    }
    return said;
}

static void say_unsatisfied(struct ps_verdict_sum *sum, const struct ps_verdict_answer *a)
{
    if (a->outcome != PS_OUTCOME_UNDETECTED)
        give_reason(sum, "%s: %s", a->engine, ps_outcome_word(a->outcome));
    else if (a->origin && strcmp(a->origin, "test") == 0)
        give_reason(sum, "bundled test signatures");
    else
        give_reason(sum, "%s: no signatures that count", a->engine);
}

static bool is_unsatisfied(struct ps_verdict_sum *sum, const struct ps_verdict_answer *answers, size_t n)
{
    bool unsatisfied = false;

    for (size_t i = 0; i < n; i++)
        if (answers[i].required && !satisfied(&answers[i])) {
            unsatisfied = true;
            say_unsatisfied(sum, &answers[i]);
        }
    return unsatisfied;
}

void ps_verdict_sum_up(const struct ps_verdict_answer *answers, size_t n, struct ps_verdict_sum *ret_sum)
{
    size_t all_n = n;

    n = PS_MIN(n, (size_t)PS_VERDICT_ENGINES_MAX);
    memset(ret_sum, 0, sizeof(*ret_sum));
    for (size_t i = 0; i < n; i++)
        count(ret_sum, &answers[i]);

    ret_sum->label = most_telling(answers, n, PS_OUTCOME_MALICIOUS);
    if (!ret_sum->label)
        ret_sum->label = most_telling(answers, n, PS_OUTCOME_SUSPICIOUS);

    if (was_said(ret_sum, answers, n, PS_OUTCOME_MALICIOUS)) {
        ret_sum->verdict = PS_VERDICT_MALICIOUS;
    } else if (was_said(ret_sum, answers, n, PS_OUTCOME_SUSPICIOUS)) {
        ret_sum->verdict = PS_VERDICT_SUSPICIOUS;
    } else if (is_unsatisfied(ret_sum, answers, n)) {
        ret_sum->verdict = PS_VERDICT_INCONCLUSIVE;
    } else if (all_n > n) {
        give_reason(ret_sum, "more than %d engines", PS_VERDICT_ENGINES_MAX);
        ret_sum->verdict = PS_VERDICT_INCONCLUSIVE;
    } else if (was_said(ret_sum, answers, n, PS_OUTCOME_HARMLESS)) {
        ret_sum->verdict = PS_VERDICT_KNOWN_GOOD;
    } else {
        ret_sum->verdict = PS_VERDICT_NOTHING_FOUND;
        if (ret_sum->total ==
            0) /* nobody was required, or all were not for this type: say that nobody looked */
            give_reason(ret_sum, "no engine judged it");
    }
}
