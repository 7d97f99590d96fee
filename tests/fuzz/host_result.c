/* What a child sends, as the session sees it: a byte for the engine's kind and the end, then packets with two bytes of
 * length each. Whatever it is: one valid result within all limits, whose traits are a JSON object. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "proto/codec.h"
#include "worker/host/files.h"
#include "worker/host/result.h"

#define JOB 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Files lie one behind the other, with names that are names. */
static void check_files(const struct ps_host_result *result)
{
    uint64_t at = 0;

    if (result->files_n > PS_FILES_MAX)
        abort();
    for (size_t i = 0; i < result->files_n; i++) {
        const struct ps_host_file *file = &result->files[i];

        if (file->at != at || file->size > PS_FILE_MAX || !file->name[0] || strchr(file->name, '/') ||
            !ps_utf8_valid(file->name, strlen(file->name)) || (file->size > 0 && result->files_fd < 0))
            abort();
        at += file->size;
    }
    if (at > PS_FILES_BYTES)
        abort();
}

static void check(const struct ps_host_result *result)
{
    check_files(result);
    if (!ps_outcome_valid(result->outcome) || result->job != JOB || strlen(result->label) > PS_LABEL_MAX ||
        strlen(result->reason) > PS_TEXT_MAX || result->traits_len > PS_TRAITS_MAX)
        abort();
    if (result->traits_len > 0) {
        json_t *traits = json_loads(result->traits, 0, NULL);

        if (!json_is_object(traits))
            abort();
        json_decref(traits);
    }
    if (!result->counted && result->outcome != PS_OUTCOME_UNDETECTED)
        abort();
}

static enum ps_fate feed(struct ps_collect *collect, const uint8_t *data, size_t size)
{
    while (size >= 2) {
        size_t len = PS_MIN((size_t)data[0] << 8 | data[1], size - 2);
        struct ps_bytes frame = {data + 2, len};
        struct ps_msg msg;
        enum ps_collected got =
            ps_collect_take(collect, ps_msg_next(&frame, &msg) == 1 && frame.len == 0 ? &msg : NULL);

        if (got == PS_COLLECT_DONE)
            return PS_FATE_DONE;
        if (got == PS_COLLECT_BREACH)
            return PS_FATE_BREACH;
        data += 2 + len;
        size -= 2 + len;
    }
    return PS_FATE_CRASHED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ps_collect *collect = NULL;
    enum ps_fate fate;

    if (size < 1 || ps_collect_new(&collect, NULL) != 0)
        return 0;
    ps_collect_start(collect, JOB, data[0] & 1 ? PS_KIND_EVILNESS : PS_KIND_METADATA);
    fate = feed(collect, data + 1, size - 1);
    if (fate == PS_FATE_CRASHED && (data[0] & 2))
        fate = PS_FATE_TIMEOUT;
    check(ps_collect_finish(collect, fate, "why"));
    ps_collect_free(&collect);
    return 0;
}
