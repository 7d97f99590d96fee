/* What a Python that was taken over writes into its pipe: frames, whole or not, in steps of the first byte's size. Whatever
 * it is: memory within what came and one step, and only answers of a kind that there is. */
#include <stdlib.h>
#include <string.h>

#include "engines/python/card.h"
#include "engines/python/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void understand(const struct ps_frame *frame)
{
    struct ps_checked checked = {.object = NULL};
    struct ps_card card = {.object = NULL};
    struct ps_reply reply;
    char err[PS_KIT_TEXT_MAX] = "";

    if (ps_reply_read(&reply, frame, err, sizeof(err))) {
        if (!err[0])
            abort();
        return;
    }
    if (!reply.kind || !reply.text || (reply.kind == PS_REPLY_DONE && !reply.found))
        abort();
    if (reply.kind == PS_REPLY_CARD)
        (void)ps_card_read(&card, reply.object, err,
                           sizeof(err)); /* refused or not: what counts is that it returns */
    if (reply.kind == PS_REPLY_CHECKED)
        (void)ps_checked_read(&checked, reply.object, err, sizeof(err)); /* likewise */
    ps_card_fini(&card);
    ps_checked_fini(&checked);
    ps_reply_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = size > 0 ? (size_t)data[0] + 1 : 1, at = 1;
    struct ps_frame frame = {0};

    while (at < size) {
        uint8_t *to;
        size_t n;

        if (ps_frame_want(&frame, &to, &n))
            break;
        if (n == 0) {
            understand(&frame);
            ps_frame_drop(&frame);
            continue;
        }
        n = n < step ? n : step;
        n = n < size - at ? n : size - at;
        memcpy(to, data + at, n);
        frame.len += n;
        at += n;
        if (frame.room > 2 * frame.len + (128u << 10))
            abort();
    }
    ps_frame_fini(&frame);
    return 0;
}
