/* Whatever the bytes: clean text is valid, visible text is valid and shows no control, a cut is a prefix. */
#include "base/utf8.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_visible(const char *text, size_t len)
{
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        uint32_t cp;

        n = ps_utf8_next(text + at, len - at, &cp);
        if (n == 0 || ps_utf8_is_control(cp))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    PS_BUF struct ps_buf clean, visible;
    struct ps_log_quoted quoted = ps_log_quote(text, size);
    size_t max = size > 0 ? data[0] : 0, cut = ps_utf8_cut(text, size, max);

    ps_buf_init(&clean, size * 4);
    ps_buf_init(&visible, size * 8);
    ps_utf8_put_clean(&clean, text, size);
    ps_utf8_put_visible(&visible, text, size);
    if (ps_buf_error(&clean) || ps_buf_error(&visible))
        abort();
    if (!ps_utf8_valid(ps_buf_text(&clean), clean.len))
        abort();
    check_visible(ps_buf_text(&visible), visible.len);
    check_visible(quoted.text, strlen(quoted.text));
    if (cut > max || cut > size || (ps_utf8_valid(text, size) && !ps_utf8_valid(text, cut)))
        abort();
    return 0;
}
