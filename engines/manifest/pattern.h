/* engines/manifest/pattern.h: the patterns of a manifest, and what they say of a line of output.
 *
 * PCRE2, not POSIX: a pattern is matched against text that a hostile sample can shape, and PCRE2 bounds the work of a
 * match (steps, depth, memory). A match over the bound is an error of its own, never "no match". No JIT: the jail forbids
 * memory that is written and executed. */
#ifndef PS_ENGINES_MANIFEST_PATTERN_H
#define PS_ENGINES_MANIFEST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#define PS_PATTERN_MAX    1024 /* bytes of a pattern */
#define PS_PATTERNS_MAX   64
#define PS_PATTERN_GROUPS 16   /* named groups of a pattern */
#define PS_CAPTURE_MAX    1024 /* bytes of a captured text that are kept */

/* What a line or an exit status says, the worst last. */
enum ps_said {
    PS_SAID_NOTHING,
    PS_SAID_CLEAN,
    PS_SAID_UNSUPPORTED,
    PS_SAID_INCOMPLETE,
    PS_SAID_ERROR,
    PS_SAID_SUSPICIOUS,
    PS_SAID_MALICIOUS,
    PS_SAID_N,
    PS_SAID_LABEL, /* a pattern that only names what was found */
    PS_SAID_TRAIT, /* a pattern whose named groups are traits */
};

struct ps_pattern {
    enum ps_said said;
    unsigned line;    /* of the manifest */
    char *text;       /* owned */
    pcre2_code *code; /* owned */
};

struct ps_patterns {
    struct ps_pattern at[PS_PATTERNS_MAX];
    size_t n;
    bool has[PS_SAID_TRAIT + 1]; /* there is one that says so */
};

/* A named group of a match. */
struct ps_capture {
    const char *name; /* lent by the pattern */
    char text[PS_CAPTURE_MAX + 1];
};

struct ps_captures {
    struct ps_capture at[PS_PATTERN_GROUPS];
    size_t n;
};

/* Compiles text. 0, or -1 with one sentence in err. */
int ps_pattern_read(struct ps_pattern *ret_self, const char *text, char *err, size_t err_max);
void ps_pattern_fini(struct ps_pattern *self);
/* How many named groups it has. */
unsigned ps_pattern_groups(const struct ps_pattern *self);
/* True when it has a group of that name. */
bool ps_pattern_has_group(const struct ps_pattern *self, const char *name);
/* 1 with the named groups that took part when line matches, 0 when not, -1 when that took more than it may. */
int ps_pattern_match(const struct ps_pattern *self, const char *line, size_t len,
                     struct ps_captures *ret_captures);
/* The text captured under name; NULL when there is none. */
const char *ps_captures_find(const struct ps_captures *self, const char *name);

/* "malicious", "clean", ...; static. */
const char *ps_said_word(enum ps_said said);

#endif
