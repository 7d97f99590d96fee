/* engines/yara/rules.h: a directory of rules, compiled. One broken file is named and left out; the rest load.
 */
#ifndef PS_ENGINES_YARA_RULES_H
#define PS_ENGINES_YARA_RULES_H

#include "engines/engine.h"

#include <yara.h>

struct ps_yara_rules {
    YR_RULES *rules;      /* NULL when there are none */
    uint64_t n;           /* rules */
    size_t files, broken; /* found; of them left out */
    int64_t newest;       /* mtime of the newest file, seconds since 1970; 0 when there is none */
    char version[64]; /* fingerprint of the files' names and bytes, and the number of rules; "" without rules
                       */
    char broken_why[384]; /* "2 of 9 files left out: a.yar: line 3: ..."; "" when none is broken */
};

/* Compiles every *.yar and *.yara at or below directory. A file's namespace is its path below directory.
 * libyara has to be initialised. Returns 0, or -1 with one sentence in err. The caller ends with
 * ps_yara_rules_fini. */
int ps_yara_rules_load(struct ps_yara_rules *ret_rules, const char *directory, char *err, size_t err_max);

void ps_yara_rules_fini(struct ps_yara_rules *self);

#endif
