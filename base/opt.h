/* base/opt.h: one table of options per program: the command line, --help, docs and the check of the
 * configuration file all come from it.
 *
 * A table is a const array; each option writes into a field of the caller's plain settings struct.
 * Order of precedence: default < configuration file (section = program's name) < command line. */
#ifndef PS_BASE_OPT_H
#define PS_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum ps_opt_type {
    PS_OPT_FLAG,  /* bool */
    PS_OPT_U64,   /* uint64_t, min..max; accepts k, M, G suffixes (1024) when unit is "bytes" */
    PS_OPT_MS,    /* uint64_t milliseconds; accepts 250ms, 30s, 5m, 2h; bare number is seconds */
    PS_OPT_TEXT,  /* char *, owned by the settings struct (freed by ps_opts_fini) */
    PS_OPT_LIST,  /* struct ps_opt_list; repeatable, also comma-separated */
};

struct ps_opt_list {
    char **at; /* owned */
    size_t n;
};

struct ps_opt {
    const char *name;      /* long option without dashes, and key in the file; NULL ends the table */
    char letter;           /* short option, 0 for none */
    enum ps_opt_type type;
    size_t offset;         /* offsetof the field in the settings struct */
    uint64_t min, max;     /* for U64 and MS; 0,0 is no limit */
    const char *def;       /* default as text, NULL: zero / NULL / empty */
    const char *unit;      /* "bytes", "ms", "n", "path", ...; what help prints after = */
    const char *prose;     /* one sentence */
};

struct ps_opts_args {
    int argc;    /* what is left after options: positional arguments */
    char **argv; /* borrowed from main's argv */
};

/* Fills settings with the defaults. */
int ps_opts_defaults(const struct ps_opt *table, void *settings, struct ps_error *reterr);
/* Sets one option from text; unknown names and bad values are PS_ERR_INVALID with a sentence. */
int ps_opts_set(const struct ps_opt *table, void *settings, const char *name, const char *value,
                struct ps_error *reterr);
/* Reads the command line (getopt_long underneath, options and arguments may mix unless stop_at_first is true).
 * --help and --version are the caller's to look for: they come as PS_ERR_CANCELLED with text "help" / "version". */
int ps_opts_argv(const struct ps_opt *table, void *settings, int argc, char **argv, bool stop_at_first,
                 struct ps_opts_args *ret_rest, struct ps_error *reterr);
void ps_opts_help(const struct ps_opt *table, FILE *to);
void ps_opts_fini(const struct ps_opt *table, void *settings); /* frees TEXT and LIST fields, nulls them */

#endif
