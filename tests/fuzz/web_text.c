/* A request's head and its query go through the web's parsers: nothing reads past the end, and what comes out lies in
 * what went in. */
#include <stdlib.h>

#include "base/mem.h"
#include "master/web/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lies_in(struct ps_bytes part, struct ps_bytes whole)
{
    if (part.at && (part.at < whole.at || part.at + part.len > whole.at + whole.len))
        abort();
}

static void walk_list(struct ps_bytes whole)
{
    struct ps_bytes rest = whole, part;

    while (ps_web_list_next(&rest, &part)) {
        lies_in(part, whole);
        if (part.len == 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of its exact size, so that a sanitizer sees a read past it. */
    PS_FREE uint8_t *copy = malloc(size ? size : 1);
    PS_FREE uint8_t *decoded = malloc(size + 1);
    struct ps_bytes all = {copy, size}, args[2] = {{0}};
    uint64_t number;

    if (!copy || !decoded)
        abort();
    if (size)
        memcpy(copy, data, size);
    struct ps_web_framing framing = ps_web_framing(all);
    (void)ps_web_framing_fault(&framing);
    if (ps_web_percent_decode(all, decoded) > size)
        abort();
    lies_in(ps_web_query_value(all, "after"), all);
    lies_in(ps_web_cookie(all, "phagescan"), all);
    walk_list(all);
    (void)ps_web_u64(all, &number);
    (void)ps_web_host_ok(all, 8480, "10.0.0.1");
    (void)ps_web_origin_ok(all, PS_BYTES_LIT("localhost:8480"));
    if (ps_web_path_match("/api/v1/uploads/{}", all, args, 2))
        lies_in(args[0], all);
    return 0;
}
