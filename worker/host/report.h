/* worker/host/report.h: what an engine reports about one scan, on its way to the session. In the child.
 *
 * The bounds here are for honest engines, so that they learn of them; the session has the same ones for all others. */
#ifndef PS_HOST_REPORT_H
#define PS_HOST_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "engines/engine.h"
#include "proto/limits.h"

struct ps_report {
    int sock;                     /* the session */
    uint64_t job;                 /* the job */
    size_t findings_n;            /* findings sent */
    size_t traits_n;              /* traits sent */
    size_t traits_bytes;          /* of keys and values sent */
    size_t files_n;               /* files sent */
    size_t files_bytes;           /* of them */
    bool cut;                     /* something did not fit: the result is incomplete */
    int error;                    /* first failure of the socket; later reports are ignored */
    char cut_reason[PS_TEXT_MAX]; /* what did not fit, the first time */
    char reason[PS_TEXT_MAX];     /* the engine's last reason */
    char type[PS_NAME_MAX + 1];   /* the sample's MIME type, from the type engine */
};

/* For a new scan. */
void ps_report_init(struct ps_report *self, int sock, uint64_t job);
/* The table of functions that the engine gets; self must outlive it. */
struct ps_engine_report ps_report_table(struct ps_report *self);

#endif
