/* GET, HEAD /api/v1/artifacts/{sha256}: the bytes of a file that an engine derived.
 * Rights: signed in, and may see a report that lists it. Limits: PS_FILE_MAX, what is kept at most.
 *
 * The bytes are an enemy's: they are for saving, never for looking at in this origin. Pictures alone get a type of their
 * own, for <img>, and only those kinds that browsers decode and nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "db/store/keep.h"
#include "master/web/route.h"
#include "master/web/server.h"
#include "proto/limits.h"

#define DISPOSITION_MAX 1024

static const char *safe_type(const char *mime, bool picture)
{
    static const char *const shown[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};

    for (size_t i = 0; picture && mime && i < PS_ARRAY_N(shown); i++)
        if (strcmp(mime, shown[i]) == 0)
            return shown[i];
    return "application/octet-stream";
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* The name twice: for all, with what is not plain left out, and as it is (RFC 6266, 8187). */
static void put_disposition(struct ps_call *call, const char *name)
{
    PS_BUF struct ps_buf text;

    ps_buf_init(&text, DISPOSITION_MAX);
    ps_buf_put_text(&text, "attachment; filename=\"");
    for (const char *at = name; *at; at++)
        ps_buf_put(&text, is_plain(*at) ? at : "_", 1);
    ps_buf_put_text(&text, "\"; filename*=UTF-8''");
    for (const char *at = name; *at; at++) {
        if (is_plain(*at))
            ps_buf_put(&text, at, 1);
        else
            ps_buf_putf(&text, "%%%02X", (unsigned)(unsigned char)*at);
    }
    ps_call_set_header(call, "content-disposition", ps_buf_error(&text) ? "attachment" : ps_buf_text(&text));
}

static void send_bytes(struct ps_call *call, const char *type, int fd, uint64_t size)
{
    PS_FREE uint8_t *data = size <= PS_FILE_MAX ? ps_alloc(1, (size_t)size + 1) : NULL;

    if (!data) {
        ps_call_error(call, PS_ERR_NOMEM, "out of memory");
        return;
    }
    if (ps_file_pread_all(fd, data, (size_t)size, 0) < 0) {
        ps_call_error(call, PS_ERR_IO, "the file can't be read");
        return;
    }
    ps_call_data(call, 200, type, data, (size_t)size);
}

static void artifact_read(struct ps_call *call, const PGresult *result)
{
    const uint8_t *sha256 = call->state;
    PS_CLOSE int fd = -1;
    uint64_t size;

    if (ps_row_n(result) == 0) {
        ps_call_problem(call, 404, "not-found", "no report that you may see lists it");
        return;
    }
    if (ps_store_derived_open(call->web->settings.store, sha256, &fd, &size) < 0) {
        ps_call_problem(call, 404, "not-found",
                        "the report lists it, but its bytes are not in the store any more");
        return;
    }
    const char *name = ps_row_text(result, 0, 0);
    put_disposition(call, name ? name : "file");
    ps_call_set_header(call, "content-security-policy",
                       "sandbox; default-src 'none'; frame-ancestors 'none'");
    send_bytes(call, safe_type(ps_row_text(result, 0, 1), ps_row_bool(result, 0, 2)), fd, size);
}

void ps_get_artifact(struct ps_call *call)
{
    PS_PG_PARAMS struct ps_pg_params params = {0};
    uint8_t *sha256 = ps_alloc(1, PS_SHA256_BYTES);

    call->state = sha256;
    call->state_free = free;
    if (!sha256) {
        ps_call_error(call, PS_ERR_NOMEM, "out of memory");
        return;
    }
    if (ps_call_arg_sha256(call, 0, sha256) != 0)
        return;
    ps_pg_params_init(&params);
    ps_pg_put_bytea(&params, sha256, PS_SHA256_BYTES);
    ps_pg_put_i64(&params, call->account_id);
    ps_pg_put_i64(&params, call->team_id);
    ps_call_query(call, PS_Q_WEB_READ_ARTIFACT, &params, artifact_read);
}
