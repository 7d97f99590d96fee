/* master/scan/brief.h: the JSON of a scan brief and of the events, as docs/api.md has them; used by collect for events
 * and by master/web for answers, so that both say the same. No state. Any thread. */
#ifndef PS_MASTER_SCAN_BRIEF_H
#define PS_MASTER_SCAN_BRIEF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* What a scan says as a whole: columns of a row of table scan, borrowed. */
struct ps_brief {
    uint64_t id;
    unsigned verdict; /* enum ps_verdict; 0 while unfinished */
    unsigned positives, total, failed, incomplete, pending;
    const char *label; /* NULL: none */
    const char *const *reasons;
    size_t reasons_n;
    const char *type;                  /* NULL: not known */
    const char *profile;               /* its name */
    unsigned cause;                    /* 1 submission, 2 rescan, 3 backfill */
    int64_t submitted_us, finished_us; /* real time; finished 0: not yet */
    uint64_t seq;                      /* finished_seq; 0: none yet */
};

/* A submission as a SCAN event names it, borrowed. */
struct ps_brief_submission {
    uint64_t id;
    const char *name;
    const char *source_path; /* NULL: none */
    const char *batch;       /* NULL: none */
};

/* "submission", "rescan", "backfill"; "unknown". Static. */
const char *ps_brief_cause(unsigned cause);

/* The object of docs/api.md; the caller's. NULL without memory (or when a text is not UTF-8). */
json_t *ps_brief_json(const struct ps_brief *brief);

/* The text of a SCAN event, malloc'd, one line; NULL without memory. */
char *ps_brief_scan_event(const struct ps_brief *brief, const uint8_t sha256[32], uint64_t size,
                          const struct ps_brief_submission *submissions, size_t submissions_n);
/* The text of a RESULT event. label NULL or "": none. */
char *ps_brief_result_event(uint64_t scan, const uint8_t sha256[32], const char *engine, unsigned outcome,
                            const char *label, unsigned pending);

#endif
