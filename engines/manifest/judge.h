/* engines/manifest/judge.h: what a program's output and end mean by its manifest. A pure function: no process here.
 *
 * The worst that any line or the exit status says decides, and whatever contradicts it is told as reason. Clean needs
 * somebody to say so and nobody who says otherwise; what nothing matches is a failure, with the last lines. */
#ifndef PS_ENGINES_MANIFEST_JUDGE_H
#define PS_ENGINES_MANIFEST_JUDGE_H

#include "engines/manifest/manifest.h"

#include "engines/kit/kit.h"

#define PS_JUDGE_LABELS_MAX 64 /* findings of a scan, as the host has it */
#define PS_JUDGE_LINE_MAX \
    8192 /* bytes of a line that patterns see; the rest of it is dropped and counts as cut */
#define PS_JUDGE_VALUES_MAX  256 /* values of one trait */
#define PS_JUDGE_MATCHES_MAX 200 /* matches that are explained */

/* How the program ended. */
struct ps_ending {
    int status;      /* as wait gives it */
    const char *out; /* standard output and error, in the order of their writing; not NUL-terminated */
    size_t len;      /* bytes */
    bool cut;        /* it wrote more than was kept, and was ended for it */
};

struct ps_label {
    enum ps_found what;
    char text[PS_CAPTURE_MAX + 1];
};

struct ps_judgement {
    enum ps_found found;
    char reason[PS_KIT_TEXT_MAX]; /* "" when the answer is plain */
    struct ps_label labels[PS_JUDGE_LABELS_MAX];
    size_t labels_n;
    json_t *traits;  /* owned; an object */
    json_t *matches; /* owned; an array of what each pattern matched, or NULL when that was not asked for */
};

/* Judges. explain: fill matches. The caller ends with ps_judgement_fini. */
void ps_judge(const struct ps_manifest *manifest, const struct ps_ending *ending, bool explain,
              struct ps_judgement *ret_self);
void ps_judgement_fini(struct ps_judgement *self);

#endif
