/* base/outcome.h: what a result can be, and what a verdict can be: one table for wire, database, API and
 * page. */
#ifndef PS_BASE_OUTCOME_H
#define PS_BASE_OUTCOME_H

#include <stdbool.h>

/* X(NAME, number on the wire and in rows, word, definite: counts in M when the engine judges and counted is
 * set) */
#define PS_OUTCOMES(X)                                \
    X(MALICIOUS, 1, "malicious", true)                \
    X(SUSPICIOUS, 2, "suspicious", true)              \
    X(UNDETECTED, 3, "undetected", true)              \
    X(HARMLESS, 4, "harmless", true)                  \
    X(INCOMPLETE, 5, "incomplete", false)             \
    X(TYPE_UNSUPPORTED, 6, "type-unsupported", false) \
    X(TIMEOUT, 7, "timeout", false)                   \
    X(FAILURE, 8, "failure", false)                   \
    X(QUARANTINED, 9, "quarantined", false)           \
    X(UNAVAILABLE, 10, "unavailable", false)          \
    X(CANCELLED, 11, "cancelled", false)              \
    X(DESCRIBED, 12, "described", false)

/* X(NAME, number, word) */
#define PS_VERDICTS(X)                   \
    X(MALICIOUS, 1, "malicious")         \
    X(SUSPICIOUS, 2, "suspicious")       \
    X(NOTHING_FOUND, 3, "nothing-found") \
    X(KNOWN_GOOD, 4, "known-good")       \
    X(INCONCLUSIVE, 5, "inconclusive")

enum ps_outcome {
#define X(name, n, word, definite) PS_OUTCOME_##name = (n),
    PS_OUTCOMES(X)
#undef X
};

enum ps_verdict {
#define X(name, n, word) PS_VERDICT_##name = (n),
    PS_VERDICTS(X)
#undef X
};

enum ps_engine_kind_no { PS_KIND_EVILNESS = 1, PS_KIND_METADATA = 2 };
enum ps_band {
    PS_BAND_INTERACTIVE = 0,
    PS_BAND_BATCH = 1,
    PS_BAND_RESCAN = 2,
    PS_BAND_IDLE = 3,
    PS_BANDS_N = 4
};

/* The word of a number; "unknown" for a stranger. Static. */
static inline const char *ps_outcome_word(unsigned n)
{
    switch (n) {
#define X(name, number, word, definite) \
    case (number):                      \
        return (word);
        PS_OUTCOMES(X)
#undef X
    default:
        return "unknown";
    }
}

static inline const char *ps_verdict_word(unsigned n)
{
    switch (n) {
#define X(name, number, word) \
    case (number):            \
        return (word);
        PS_VERDICTS(X)
#undef X
    default:
        return "unknown";
    }
}

static inline bool ps_outcome_valid(unsigned n)
{
    return n >= PS_OUTCOME_MALICIOUS && n <= PS_OUTCOME_DESCRIBED;
}

static inline bool ps_outcome_definite(unsigned n)
{
    return n >= PS_OUTCOME_MALICIOUS && n <= PS_OUTCOME_HARMLESS;
}

#endif
