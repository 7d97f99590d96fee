/* The page: the built files of www. What is not a file and has no dot in its last part is a place inside the page, so
 * it gets index.html. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "master/web/server.h"

struct page {
    h2o_handler_t super;
    char *index; /* owned; path of index.html */
};

static const struct {
    const char *ext, *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"json", "application/json"},
    {"svg", "image/svg+xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"webmanifest", "application/manifest+json"},
    {"wasm", "application/wasm"},
    {"woff2", "font/woff2"},
    {"png", "image/png"},
    {"ico", "image/x-icon"},
};

static bool is_place(h2o_iovec_t path)
{
    for (size_t i = path.len; i > 0 && path.base[i - 1] != '/'; i--)
        if (path.base[i - 1] == '.')
            return false;
    return true;
}

static int on_req(h2o_handler_t *handler, h2o_req_t *req)
{
    struct page *self = (struct page *)handler;
    bool get = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) ||
               h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));

    if (!get) {
        h2o_send_error_405(req, "Method Not Allowed", "method not allowed", 0);
        return 0;
    }
    if (is_place(req->path_normalized) &&
        h2o_file_send(req, 200, "OK", self->index, h2o_iovec_init(H2O_STRLIT("text/html; charset=utf-8")),
                      0) == 0)
        return 0;
    h2o_send_error_404(req, "Not Found", "not found", 0);
    return 0;
}

static void dispose(h2o_handler_t *handler)
{
    free(((struct page *)handler)->index);
}

static void define_types(h2o_mimemap_t *map)
{
    for (size_t i = 0; i < PS_ARRAY_N(types); i++) {
        h2o_mime_attributes_t attributes;

        h2o_mimemap_get_default_attributes(types[i].type, &attributes);
        h2o_mimemap_define_mimetype(map, types[i].ext, types[i].type, &attributes);
    }
}

void ps_web_register_page(struct ps_web *web, h2o_pathconf_t *path)
{
    h2o_file_handler_t *files =
        h2o_file_register(path, web->settings.www, NULL, NULL, H2O_FILE_FLAG_SEND_COMPRESSED);
    struct page *self = (struct page *)h2o_create_handler(path, sizeof(*self));

    define_types(h2o_file_get_mimemap(files));
    self->super.on_req = on_req;
    self->super.dispose = dispose;
    self->index = ps_strf("%s/index.html", web->settings.www);
}
