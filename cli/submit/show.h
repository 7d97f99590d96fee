/* cli/submit/show.h: what the person sees of a run: progress on the terminal, a line or a row a file, JSON lines, the
 * sum at the end. Nothing that comes from a file's name or from the server reaches the terminal unescaped. One thread,
 * but for the totals. */
#ifndef PS_CLI_SUBMIT_SHOW_H
#define PS_CLI_SUBMIT_SHOW_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PS_SHOW_ROWS_MAX 10000 /* rows of a table; further files are counted only, and the table says so */
#define PS_SHOW_EVERY_MS 200   /* the progress line is drawn anew */
#define PS_SHOW_VERDICTS 6     /* numbers of base/outcome.h, from 1 */

struct ps_show_settings {
    bool json;  /* a JSON line a file on standard output */
    bool table; /* a table of all files at the end */
    bool quiet; /* findings and errors only, no progress */
    bool wait;  /* verdicts are awaited: else a line says what was acknowledged */
};

struct ps_show {
    struct ps_show_settings settings;
    bool terminal;                         /* standard error is one: progress is drawn */
    uint64_t started_ms, drawn_ms;         /* monotonic */
    bool drawn;                            /* a progress line stands there */
    _Atomic uint64_t total_n, total_bytes; /* as counted so far by the counting thread */
    _Atomic bool total_known;              /* it has counted all */
    uint64_t sent_n, sent_bytes;           /* acknowledged */
    uint64_t skipped_n;                    /* unchanged since an earlier run */
    uint64_t done_n;                       /* of those acknowledged: with a verdict */
    uint64_t failed_n;                     /* could not be read, or were refused */
    uint64_t verdicts[PS_SHOW_VERDICTS];   /* by base/outcome.h */
    bool earlier[PS_SHOW_VERDICTS];        /* an earlier run of this sweep had such a verdict */
    uint64_t errors_n;
    json_t *rows;     /* for the table; array of arrays of text */
    char cwd[4096];   /* cut off paths when they are shown, with its slash */
    uint64_t noted_n; /* rows that did not fit */
};

void ps_show_init(struct ps_show *self, const struct ps_show_settings *settings, uint64_t now_ms);
void ps_show_fini(struct ps_show *self);

/* Something went wrong, with a file when path is not NULL. */
void ps_show_error(struct ps_show *self, const char *path, const char *why);
/* The server acknowledged a file. line: its object from the API. */
void ps_show_sent(struct ps_show *self, const char *path, uint64_t bytes, const json_t *line);
/* A file has its verdict. event: the scan event; submission: the one of it. */
void ps_show_verdict(struct ps_show *self, const json_t *event, const json_t *submission);
/* An earlier run of this sweep has a verdict of this word: it counts for the exit status. */
void ps_show_earlier(struct ps_show *self, const char *word);
/* Draws the progress line when it is time, and lets out what was printed; note: what the run waits for, or NULL. */
void ps_show_progress(struct ps_show *self, uint64_t now_ms, const char *note);
/* Table and sum. Returns the exit status. */
int ps_show_end(struct ps_show *self, uint64_t now_ms);

#endif
