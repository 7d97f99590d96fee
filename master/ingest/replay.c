#include "master/ingest/replay.h"

#include <endian.h>

#include "base/mem.h"
#include "db/pg.h"

#define FORMAT 1

static void put_u32(struct ps_buf *out, uint32_t value)
{
    uint32_t wire = htobe32(value);

    ps_buf_put(out, &wire, sizeof(wire));
}

static void put_u64(struct ps_buf *out, uint64_t value)
{
    uint64_t wire = htobe64(value);

    ps_buf_put(out, &wire, sizeof(wire));
}

static void put_text(struct ps_buf *out, const char *text)
{
    size_t len = text ? PS_MIN(strlen(text), (size_t)PS_ERROR_TEXT_MAX - 1) : 0;

    put_u32(out, (uint32_t)len);
    ps_buf_put(out, text, len);
}

void ps_replay_pack(const struct ps_ingest_request *request, struct ps_buf *out)
{
    uint8_t head[2] = {FORMAT, request->cut};

    ps_buf_put(out, head, sizeof(head));
    put_u64(out, request->cut_at);
    put_u32(out, request->cut ? (uint32_t)request->cut_error.code : 0);
    put_text(out, request->cut ? request->cut_error.text : NULL);
    put_u32(out, (uint32_t)request->results_n);
    for (size_t i = 0; i < request->results_n; i++) {
        const struct ps_ingest_result *result = &request->results[i];
        uint8_t known = result->known;

        put_u32(out, (uint32_t)result->code);
        put_u64(out, result->n);
        ps_buf_put(out, result->sha256, sizeof(result->sha256));
        put_u64(out, (uint64_t)result->submission);
        put_u64(out, (uint64_t)result->scan);
        ps_buf_put(out, &known, 1);
        put_text(out, result->text);
    }
}

/* Once it failed it stays failed and gives zeros. */
struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static void get(struct cursor *cursor, void *ret, size_t len)
{
    if (cursor->failed || (size_t)(cursor->end - cursor->at) < len) {
        cursor->failed = true;
        memset(ret, 0, len);
        return;
    }
    memcpy(ret, cursor->at, len);
    cursor->at += len;
}

static uint32_t get_u32(struct cursor *cursor)
{
    uint32_t wire;

    get(cursor, &wire, sizeof(wire));
    return be32toh(wire);
}

static uint64_t get_u64(struct cursor *cursor)
{
    uint64_t wire;

    get(cursor, &wire, sizeof(wire));
    return be64toh(wire);
}

static uint8_t get_u8(struct cursor *cursor)
{
    uint8_t byte;

    get(cursor, &byte, 1);
    return byte;
}

static void get_text(struct cursor *cursor, char text[PS_ERROR_TEXT_MAX])
{
    uint32_t len = get_u32(cursor);

    if (len >= PS_ERROR_TEXT_MAX)
        cursor->failed = true;
    if (cursor->failed)
        len = 0;
    get(cursor, text, len);
    text[cursor->failed ? 0 : len] = '\0';
}

static int get_result(struct cursor *cursor, struct ps_ingest_result *result)
{
    char text[PS_ERROR_TEXT_MAX];

    result->code = (int)get_u32(cursor);
    result->n = get_u64(cursor);
    get(cursor, result->sha256, sizeof(result->sha256));
    result->submission = (int64_t)get_u64(cursor);
    result->scan = (int64_t)get_u64(cursor);
    result->known = get_u8(cursor) != 0;
    get_text(cursor, text);
    if (text[0] && !(result->text = ps_strf("%s", text)))
        return PS_ERR_NOMEM;
    return cursor->failed ? PS_ERR_CORRUPT : 0;
}

int ps_replay_unpack(struct ps_bytes packed, struct ps_ingest_request *request)
{
    struct cursor cursor = {packed.at, packed.at + packed.len, false};
    uint32_t n;
    int code = 0;

    if (get_u8(&cursor) != FORMAT)
        return PS_ERR_CORRUPT;
    request->cut = get_u8(&cursor) != 0;
    request->cut_at = get_u64(&cursor);
    request->cut_error.code = (int)get_u32(&cursor);
    get_text(&cursor, request->cut_error.text);
    n = get_u32(&cursor);
    if (cursor.failed || n > PS_BATCH_FILES)
        return PS_ERR_CORRUPT;
    if (!(request->results = ps_alloc(PS_MAX(n, 1u), sizeof(*request->results))))
        return PS_ERR_NOMEM;
    for (request->results_n = 0; request->results_n < n && code == 0; request->results_n++)
        code = get_result(&cursor, &request->results[request->results_n]);
    if (code == 0 && cursor.at != cursor.end)
        code = PS_ERR_CORRUPT;
    if (code)
        ps_ingest_results_free(request);
    return code;
}

static void answer(struct ps_ingest_request *request, const PGresult *result, int row)
{
    struct ps_bytes digest = ps_row_bytes(result, row, 1);

    if (!ps_bytes_equal(digest, (struct ps_bytes){request->digest, sizeof(request->digest)})) {
        request->code = ps_error_set(&request->error, PS_ERR_CONFLICT,
                                     "this idempotency key came before with another body; take a new key");
        return;
    }
    request->code = ps_replay_unpack(ps_row_bytes(result, row, 2), request);
    if (request->code)
        (void)ps_error_set(&request->error, request->code, "the answer that is kept for this key: %s",
                           ps_err_text(request->code));
    else
        request->replayed = true;
}

int ps_replay_find(struct ps_pg *pg, struct ps_ingest_request *const *requests, size_t n,
                   struct ps_error *reterr)
{
    PS_PG_ARRAY struct ps_pg_array owners, keys;
    PS_PG_PARAMS struct ps_pg_params params;
    PS_CLEANUP(ps_pg_clear) PGresult *result = NULL;
    int code;

    ps_pg_array_init(&owners, PS_PG_INT8);
    ps_pg_array_init(&keys, PS_PG_TEXT);
    ps_pg_params_init(&params);
    for (size_t i = 0; i < n;
         i++) { /* those without a key are asked for as nulls, so that numbers stay the same */
        ps_pg_array_i64(&owners, requests[i]->owner_id);
        ps_pg_array_text(&keys, requests[i]->idempotency_key);
    }
    ps_pg_put_array(&params, &owners);
    ps_pg_put_array(&params, &keys);
    if ((code = ps_pg_exec(pg, PS_Q_INGEST_REPLAY, &params, &result, reterr)) != 0)
        return code;
    for (int row = 0; row < ps_row_n(result); row++)
        answer(requests[ps_row_i64(result, row, 0) - 1], result, row);
    return 0;
}
