/* proto-doc HEAD [FILE]: prints docs/protocol.md, the file HEAD and then the table; with FILE, says whether that is
 * what it would print. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "proto/codec.h"

#define DOC_BYTES_MAX (1024 * 1024)

/* ---- fields ---- */

static void put_field(struct ps_buf *out, const char *name, const char *type, const char *prose)
{
    ps_buf_putf(out, "| `%s` | %s | %s |\n", name, type, prose);
}

static void put_sized(struct ps_buf *out, const char *name, const char *type, const char *unit, size_t max,
                      const char *limit, const char *prose)
{
    ps_buf_putf(out, "| `%s` | %s, at most %zu%s (`%s`) | %s |\n", name, type, max, unit, limit, prose);
}

static void put_list(struct ps_buf *out, const char *name, const char *part, size_t max, const char *limit,
                     const char *prose)
{
    ps_buf_putf(out, "| `%s` | list of [%s](#part-%s), at most %zu (`%s`) | %s |\n", name, part, part, max,
                limit, prose);
}

static void put_head(struct ps_buf *out)
{
    ps_buf_put_text(out, "\n| field | type and limit | meaning |\n|---|---|---|\n");
}

/* clang-format off */
#define PS_PART(name, prose)                                                                                   \
    static void doc_part_##name(struct ps_buf *out)                                                            \
    {                                                                                                          \
        ps_buf_put_text(out, "\n### part " #name "\n\n" prose ".\n");                                          \
        put_head(out);
#define PS_MESSAGE(name, id, flags, direction, prose)                                                          \
    static void doc_msg_##name(struct ps_buf *out)                                                             \
    {                                                                                                          \
        ps_buf_putf(out, "\n### %s (%d)\n\n*%s.* %s%s\n", #name, (int)(id), direction, prose,                  \
                    (flags) & PS_CARRIES ? " **Carries a frame of bytes.**" : "");                             \
        put_head(out);
#define PS_END(name)                 }
/* clang-format on */
#define PS_U64(f, prose)             put_field(out, #f, "integer, 64 bits", prose);
#define PS_U32(f, prose)             put_field(out, #f, "integer, 32 bits", prose);
#define PS_BOOL(f, prose)            put_field(out, #f, "boolean", prose);
#define PS_STR(f, max, prose)        put_sized(out, #f, "text", " bytes", max, #max, prose);
#define PS_BIN(f, max, prose)        put_sized(out, #f, "bytes", "", max, #max, prose);
#define PS_SHA(f, prose)             put_field(out, #f, "bytes, exactly 32", prose);
#define PS_LIST(f, part, max, prose) put_list(out, #f, #part, max, #max, prose);
#include "proto/expand.h"

/* ---- the document ---- */

static void put_overview(struct ps_buf *out)
{
    ps_buf_put_text(out, "\n## Messages\n\n| id | message | direction |\n|---|---|---|\n");
#define PS_MESSAGE(name, id, flags, direction, prose) \
    ps_buf_putf(out, "| %d | %s | %s |\n", (int)(id), #name, direction);
#include "proto/expand.h"
}

static void put_table(struct ps_buf *out)
{
    put_overview(out);
#define PS_MESSAGE(name, id, flags, direction, prose) doc_msg_##name(out);
#include "proto/expand.h"
    ps_buf_put_text(out, "\n## Parts\n\nStructs that appear in lists: an array of their fields each.\n");
#define PS_PART(name, prose) doc_part_##name(out);
#include "proto/expand.h"
}

static int compare(const struct ps_buf *doc, const char *path)
{
    PS_BUF struct ps_buf there;

    ps_buf_init(&there, DOC_BYTES_MAX);
    if (ps_file_read(path, &there) == 0 && there.len == doc->len &&
        memcmp(there.data, doc->data, doc->len) == 0)
        return 0;
    (void)fprintf(stderr,
                  "%s is not what proto/messages.def says: run proto-doc proto/protocol-head.md > %s\n", path,
                  path);
    return 1;
}

int main(int argc, char **argv)
{
    PS_BUF struct ps_buf doc;

    ps_buf_init(&doc, DOC_BYTES_MAX);
    if (argc < 2 || argc > 3 || ps_file_read(argv[1], &doc)) {
        (void)fprintf(stderr, "usage: proto-doc HEAD [FILE]\n");
        return 2;
    }
    put_table(&doc);
    if (ps_buf_error(&doc))
        return 1;
    if (argc == 3)
        return compare(&doc, argv[2]);
    return fwrite(doc.data, 1, doc.len, stdout) == doc.len && fflush(stdout) == 0 ? 0 : 1;
}
