/* master/scan/pull.h: rows of unfinished jobs into SUBMITs. Private to master/scan. */
#ifndef PS_MASTER_SCAN_PULL_H
#define PS_MASTER_SCAN_PULL_H

#include "db/pg.h"
#include "master/scan/post.h"

struct ps_store;

/* The next scans of a band behind the cursor: rows of drive_pull, the caller's. */
int ps_pull_next(struct ps_pg *pg, unsigned band, uint64_t behind, size_t scans_n, PGresult **ret_rows,
                 struct ps_error *reterr);
/* The unfinished ones among these scans: rows in the same form. */
int ps_pull_again(struct ps_pg *pg, const uint64_t *scans, size_t n, PGresult **ret_rows,
                  struct ps_error *reterr);
/* Ids of unfinished scans of a band, behind < id <= upto: one column. */
int ps_pull_sweep(struct ps_pg *pg, unsigned band, uint64_t behind, uint64_t upto, size_t scans_n,
                  PGresult **ret_rows, struct ps_error *reterr);

/* The scan that a row belongs to; rows of one scan follow each other. */
uint64_t ps_pull_scan(const PGresult *rows, int row);
/* The number of rows from row on that belong to the same scan. */
int ps_pull_span(const PGresult *rows, int row);
/* Makes the SUBMIT of the scan at row (span rows), with the sample's bytes when they fit; a sample whose bytes can't be
 * read goes without: the worker's FETCH tells why. store NULL: never with bytes. 0 or PS_ERR_NOMEM. */
int ps_pull_order(const PGresult *rows, int row, int span, struct ps_store *store,
                  struct ps_order **ret_order);

#endif
