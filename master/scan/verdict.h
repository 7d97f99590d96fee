/* master/scan/verdict.h: what a scan says as a whole, from what its engines said. A pure function: no clock,
 * no database, no allocation. Any thread.
 *
 * The rule that everything here serves: an engine that erred, timed out, was absent or did not look at the
 * whole sample never counts as clean. First match wins: any evilness engine malicious -> malicious any
 * suspicious                                         -> suspicious any required engine without a definite,
 * counted answer -> inconclusive (type-unsupported satisfies) any harmless -> known-good else ->
 * nothing-found Hits count always; silence (undetected) counts only when counted is set. */
#ifndef PS_MASTER_SCAN_VERDICT_H
#define PS_MASTER_SCAN_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/outcome.h"

#define PS_VERDICT_ENGINES_MAX 256 /* engines of a scan: one per ordinal */
#define PS_VERDICT_REASONS_MAX 16  /* reasons kept; the last one says how many more there are */
#define PS_VERDICT_REASON_MAX  256 /* bytes of a reason with its NUL; cut between characters */
#define PS_VERDICT_LABEL_MIN   5   /* characters of a label that tells something */

/* What one engine said, borrowed. */
struct ps_verdict_answer {
    const char *engine; /* its name */
    unsigned kind;      /* enum ps_engine_kind_no; a metadata engine never judges */
    unsigned outcome;   /* enum ps_outcome */
    bool required;      /* without it the scan is inconclusive */
    bool counted;       /* its silence counts */
    const char *origin; /* its signature set: test, site, official, "" */
    const char *label;  /* "" or NULL: none */
};

struct ps_verdict_sum {
    enum ps_verdict verdict;
    unsigned positives;  /* N: malicious or suspicious evilness engines */
    unsigned total;      /* M: evilness engines with a definite, counted outcome */
    unsigned failed;     /* evilness engines: failure, timeout, quarantined, unavailable */
    unsigned incomplete; /* evilness engines: incomplete */
    const char *label;   /* the most telling label, lent by an answer; NULL when there is none */
    size_t reasons_n;
    char reasons[PS_VERDICT_REASONS_MAX][PS_VERDICT_REASON_MAX]; /* why: "clamav: timeout"; no two alike */
};

/* Fills *ret_sum from n answers (at most PS_VERDICT_ENGINES_MAX; more are not looked at, and then the verdict
 * is inconclusive unless something was found). */
void ps_verdict_sum_up(const struct ps_verdict_answer *answers, size_t n, struct ps_verdict_sum *ret_sum);

#endif
