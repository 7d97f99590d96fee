/* master/web/shapes.h: the JSON of docs/api.md, made from rows: one place for what several answers contain. Each
 * function reads a block of columns that begins at col; the order is that of the statements in db/queries/web_*.sql.
 * The objects are the caller's; NULL without memory. No state. */
#ifndef PS_MASTER_WEB_SHAPES_H
#define PS_MASTER_WEB_SHAPES_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* A scan brief: id, verdict, positives, total, failed, incomplete, pending, label, reasons, type, profile, cause,
 * submitted_at, finished_at, finished_seq. */
#define PS_SHAPE_BRIEF_COLS 15
json_t *ps_shape_brief(const PGresult *result, int row, int col);
int64_t ps_shape_brief_seq(const PGresult *result, int row, int col);

/* A scan: a brief, then sha256, size; without its results. What GET /scans/{id} and the service `scan` (master/mdp)
 * answer. */
json_t *ps_shape_scan(const PGresult *result, int row);

/* A submission: id, sha256, size, name, source_path, batch, tags, visibility, owner, submitted_at, then a brief. */
#define PS_SHAPE_SUBMISSION_COLS (10 + PS_SHAPE_BRIEF_COLS)
json_t *ps_shape_submission(const PGresult *result, int row, int col);

/* A result: job, engine, kind, outcome, counted, required, cached, label, reason, version, definitions, origin, worker,
 * wait_us, run_us, cpu_us, final, lost, traits. */
json_t *ps_shape_result(const PGresult *result, int row, int col);
/* All rows as an array of results. */
json_t *ps_shape_results(const PGresult *result);

/* The text of a SCAN event, malloc'd: a brief, sha256, size, and arrays of the ids, names, source paths and batches of
 * its submissions. */
char *ps_shape_scan_event(const PGresult *result, int row, int col);

/* Small ones. */
json_t *ps_shape_text(const PGresult *result, int row, int col);  /* null for null */
json_t *ps_shape_time(const PGresult *result, int row, int col);  /* RFC 3339; null for null */
json_t *ps_shape_hash(const PGresult *result, int row, int col);  /* bytea as hex */
json_t *ps_shape_texts(const PGresult *result, int row, int col); /* text[]; [] for null */

#endif
