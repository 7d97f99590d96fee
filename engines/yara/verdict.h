/* engines/yara/verdict.h: what it means that a rule matches. */
#ifndef PS_ENGINES_YARA_VERDICT_H
#define PS_ENGINES_YARA_VERDICT_H

#include "engines/engine.h"

#include <yara.h>

/* The words a rule, a directory or the setting can say, and what each stands for. `info` describes and is
 * never evil: PS_FOUND_DESCRIBED. Returns 0, or -1 for another word. Case does not matter. */
int ps_yara_word(const char *word, size_t len, enum ps_found *ret_what);

/* The word for what. Static. */
const char *ps_yara_word_of(enum ps_found what);

/* What a match of rule means: its tag; else its meta `verdict`; else the first directory of its namespace
 * (one that begins with `infected` is malicious); else fallback. */
enum ps_found ps_yara_verdict(const YR_RULE *rule, enum ps_found fallback);

#endif
