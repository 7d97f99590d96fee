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
    PS_OPT_FLAG, /* bool; alone on the command line, or yes, no, true, false, on, off, 1, 0 */
    PS_OPT_U64,  /* uint64_t, min..max; accepts k, M, G suffixes (1024) when unit is "bytes" */
    PS_OPT_MS,   /* uint64_t milliseconds; accepts 250ms, 30s, 5m, 2h; bare number is seconds */
    PS_OPT_TEXT, /* char *, owned by the settings struct (freed by ps_opts_fini) */
    PS_OPT_LIST, /* struct ps_opt_list; repeatable, also comma-separated */
};

#define PS_OPTS_MAX           64    /* options in a table */
#define PS_OPT_TEXT_BYTES_MAX 65536 /* longest value of any option; longer ones are refused */
#define PS_OPT_LIST_ITEMS_MAX 4096  /* items in a list; more are refused */

struct ps_opt_list {
    char **at; /* owned */
    size_t n;
};

struct ps_opt {
    const char *name; /* long option without dashes, and key in the file; NULL ends the table */
    char letter;      /* short option, 0 for none */
    enum ps_opt_type type;
    size_t offset;     /* offsetof the field in the settings struct */
    uint64_t min, max; /* for U64 and MS; 0,0 is no limit */
    const char *def;   /* default as text, NULL: zero / NULL / empty */
    const char *unit;  /* "bytes", "ms", "n", "path", ...; what help prints after = */
    const char *prose; /* one sentence */
};

struct ps_opts_args {
    int argc;    /* what is left after options: positional arguments */
    char **argv; /* borrowed from main's argv */
};

/* Fills settings with the defaults. settings is overwritten: it must not hold values yet. After a failure
 * ps_opts_fini is due all the same. */
int ps_opts_defaults(const struct ps_opt *table, void *settings, struct ps_error *reterr);
/* Sets one option from text (a LIST is appended to; a FLAG takes NULL for yes); unknown names and bad values
 * are PS_ERR_INVALID with a sentence that names the nearest option. */
int ps_opts_set(const struct ps_opt *table, void *settings, const char *name, const char *value,
                struct ps_error *reterr);
/* The option called name, or NULL. */
const struct ps_opt *ps_opts_find(const struct ps_opt *table, const char *name);
/* Always PS_ERR_INVALID, with a sentence that names the nearest option. */
int ps_opts_unknown(const struct ps_opt *table, const char *name, struct ps_error *reterr);
/* Empties a LIST option, so that the next source replaces it instead of adding to it. Others, and unknown
 * names, are left alone. */
void ps_opts_forget(const struct ps_opt *table, void *settings, const char *name);
/* Reads the command line (getopt_long underneath, options and arguments may mix unless stop_at_first is
 * true).
 * --help and --version are the caller's to look for: they come as PS_ERR_CANCELLED with text "help" /
 * "version"
 * (-h and -V too, unless the table has those letters). A LIST given here replaces what the file or the
 * default said. May be called twice: before the configuration file, to learn its name, and after it, to
 * overrule it. Uses getopt's globals: one thread, before others start. */
int ps_opts_argv(const struct ps_opt *table, void *settings, int argc, char **argv, bool stop_at_first,
                 struct ps_opts_args *ret_rest, struct ps_error *reterr);
void ps_opts_help(const struct ps_opt *table, FILE *to);
void ps_opts_fini(const struct ps_opt *table, void *settings); /* frees TEXT and LIST fields, nulls them */

#endif
