/* engines/manifest/asked.h: what a manifest's programs say of themselves: whether they work, their version, their
 * definitions, their licence. Asked once, in the jail, before there are scans. */
#ifndef PS_ENGINES_MANIFEST_ASKED_H
#define PS_ENGINES_MANIFEST_ASKED_H

#include "engines/manifest/manifest.h"

#define PS_ASKED_TEXT_MAX 256 /* bytes of a version */

struct ps_asked {
    char version[PS_ASKED_TEXT_MAX];
    char definitions[PS_ASKED_TEXT_MAX]; /* "" when the manifest does not ask */
    uint64_t signatures;                 /* 0 when unknown */
    int64_t built_at;                    /* of the definitions, seconds since 1970; 0 when unknown */
    uint32_t licence_scans;              /* 0: any number */
    int64_t licence_ends_at;             /* 0: never or unknown */
};

/* Asks. names: see ps_manifest_expand. 0, or -1 with one sentence in err: a program is missing or says no, nothing in its
 * answer matches, the licence has ended. */
int ps_ask(const struct ps_manifest *manifest, const struct ps_engine_conf *conf, const char *const *names,
           struct ps_asked *ret_self, char *err, size_t err_max);

/* Environment of programs: a PATH, HOME and TMPDIR in tmpdir, and what the manifest adds. words is filled, to be ended by
 * ps_words_fini in any case. 0, or -1 with a sentence. */
int ps_tool_environment(const struct ps_manifest *manifest, const char *tmpdir, const char *const *names,
                        struct ps_words *ret_words, char *err, size_t err_max);
/* words with their {names} replaced. Likewise. */
int ps_words_expand(const struct ps_words *words, const char *const *names, struct ps_words *ret_words,
                    char *err, size_t err_max);
void ps_words_fini(struct ps_words *words);

#endif
