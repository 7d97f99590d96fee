/* A manifest, a zero byte, an exit status and what a program wrote: read, then judged. A manifest that is taken has what
 * it must have, and the judgement keeps its promises whatever the output is. */
#include "engines/manifest/judge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_judgement(const struct ps_manifest *manifest, const struct ps_judgement *judgement)
{
    bool hit = judgement->found == PS_FOUND_MALICIOUS || judgement->found == PS_FOUND_SUSPICIOUS;
    bool done = judgement->found == PS_FOUND_UNDETECTED || judgement->found == PS_FOUND_DESCRIBED;

    if (hit && (manifest->kind != PS_ENGINE_EVILNESS || judgement->labels_n == 0))
        abort();
    if (!hit && !done && judgement->reason[0] == '\0' && judgement->found == PS_FOUND_FAILURE)
        abort();
    if (done && judgement->labels_n > 0)
        abort();
    if (judgement->labels_n > PS_JUDGE_LABELS_MAX)
        abort();
}

static void judge(const struct ps_manifest *manifest, const uint8_t *data, size_t size)
{
    char *out = malloc(size + 1); /* in memory of its own: a byte too far is noticed */
    struct ps_ending ending = {.status = size ? data[0] << 8 : 0};
    struct ps_judgement judgement;

    if (!out)
        return;
    ending.len = size ? size - 1 : 0;
    if (ending.len)
        memcpy(out, data + 1, ending.len);
    ending.out = out;
    ps_judge(manifest, &ending, size % 2, &judgement);
    check_judgement(manifest, &judgement);
    ps_judgement_fini(&judgement);
    free(out);
}

static void expand(const struct ps_manifest *manifest)
{
    static const char *const names[] = {"sample", "/proc/self/fd/3", "signatures", NULL, NULL};
    char err[PS_KIT_TEXT_MAX];

    for (size_t i = 0; i < manifest->command.n; i++)
        free(ps_manifest_expand(manifest->command.at[i], names, err, sizeof(err)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    size_t len = end ? (size_t)(end - data) : size;
    char *text = malloc(len + 1), err[PS_KIT_TEXT_MAX] = "";
    struct ps_manifest manifest;
    int rc;

    if (!text)
        return 0;
    if (len)
        memcpy(text, data, len);
    rc = ps_manifest_read(&manifest, text, len, err, sizeof(err));
    if (rc == 0) {
        if (manifest.kind == 0 || manifest.command.n == 0)
            abort();
        expand(&manifest);
        judge(&manifest, end ? end + 1 : data, end ? size - len - 1 : 0);
    } else if (err[0] == '\0') {
        abort();
    }
    ps_manifest_fini(&manifest);
    free(text);
    return 0;
}
