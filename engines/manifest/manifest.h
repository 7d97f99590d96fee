/* engines/manifest/manifest.h: a manifest in memory: what NAME.engine says, checked and compiled. docs/engines.md
 * teaches the format; the table in manifest.c is the list of all keys.
 *
 * A manifest is trusted as a plug-in is (it names programs to run), but read strictly: what is not understood is an
 * error with its line, never a default. */
#ifndef PS_ENGINES_MANIFEST_MANIFEST_H
#define PS_ENGINES_MANIFEST_MANIFEST_H

#include "engines/engine.h"

#include "engines/manifest/pattern.h"

#define PS_MANIFEST_MAX       65536       /* bytes of the file */
#define PS_MANIFEST_LINE_MAX  4096        /* bytes of a line */
#define PS_MANIFEST_ITEMS_MAX 64          /* words of a command, values of a key that may be repeated */
#define PS_MANIFEST_DAY_S     (86400 - 1) /* from the first to the last second of a day */
#define PS_MANIFEST_WAIT_MS   3600000     /* longest deadline */

/* How the sample is given. */
enum ps_given {
    PS_GIVEN_FD,     /* {sample} is /proc/self/fd/3 */
    PS_GIVEN_FILE,   /* {sample} is a copy in the temporary or the exchange directory */
    PS_GIVEN_STREAM, /* standard input */
};

/* Texts, ended by NULL, so that they are a command's arguments as they are. */
struct ps_words {
    char *at[PS_MANIFEST_ITEMS_MAX + 1]; /* owned */
    size_t n;
};

/* Texts are owned, NULL or empty when the manifest does not say. */
struct ps_manifest {
    /* [engine] */
    enum ps_engine_kind kind;
    char *description, *licence, *types;
    uint64_t deadline_ms; /* 0: the host's own */
    bool serial;          /* one scan at a time on a machine */
    char *self_test;      /* "eicar", "none", or a path of a file that must be found */
    bool needs_root;
    uint64_t licence_scans;  /* at once in the fleet; 0: any number */
    int64_t licence_ends_at; /* seconds since 1970; 0 for never or unknown */
    /* [run] */
    struct ps_words command, environment;
    enum ps_given sample;
    bool json; /* standard output is JSON, whose members are traits */
    /* [ask] */
    struct ps_words probe, version, definitions, licence_command;
    struct ps_pattern version_match, definitions_match, licence_match; /* code NULL: not given */
    char *date_format; /* of built and ends, as strptime has it */
    /* [exit] and [match] */
    uint8_t exits[256]; /* enum ps_said of each exit status */
    bool has_exits;
    struct ps_patterns patterns;
    /* [grants] */
    struct ps_words programs, read;
    char *socket, *exchange;
    /* [update] */
    struct ps_words update, writable, hosts;
};

/* Reads text. 0, or -1 with one sentence, which names the line, in err. ps_manifest_fini is due in any case. */
int ps_manifest_read(struct ps_manifest *ret_self, const char *text, size_t len, char *err, size_t err_max);
void ps_manifest_fini(struct ps_manifest *self);

/* Replaces {name} in text by the value of that name and {{ by {. names: pairs of name and value, ended by NULL; a value
 * of NULL is one that is not there. Returns owned text, or NULL with a sentence in err. */
char *ps_manifest_expand(const char *text, const char *const *names, char *err, size_t err_max);

#endif
