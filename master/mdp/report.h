/* master/mdp/report.h: the JSON that a client of `scan` gets. */
#ifndef PS_MASTER_MDP_REPORT_H
#define PS_MASTER_MDP_REPORT_H

#include <stdint.h>

#include "base/err.h"

struct ps_pg;

/* The report of a scan that has ended, as GET /api/v1/scans/{id} has it, malloc'd. 0; PS_ERR_AGAIN while it has not
 * ended; PS_ERR_NOTFOUND; errors of the database. Blocks; pg's thread. */
int ps_report_read(struct ps_pg *pg, int64_t scan, char **ret_text, struct ps_error *reterr);
/* {"error": {"code", "text"}}, malloc'd; NULL without memory. text may be NULL or empty. Any thread. */
char *ps_report_error(int code, const char *text);

#endif
