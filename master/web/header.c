#include "master/web/header.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "master/web/server.h"
#include "master/web/text.h"

static int bad(struct ps_call *call, int code, const struct ps_error *error)
{
    /* A value over its limit is a bad request; 413 is for bodies and samples. */
    ps_call_error(call, code == PS_ERR_LIMIT ? PS_ERR_INVALID : code, error->text);
    return code;
}

static int read_header(struct ps_call *call, struct ps_bytes text, struct ps_ingest_file *ret_file)
{
    struct ps_error error = {0};
    int r = ps_batch_header(text, false, ret_file, &error);

    return r ? bad(call, r, &error) : 0;
}

int ps_header_of_body(struct ps_call *call, struct ps_ingest_file *ret_file)
{
    struct ps_bytes body;
    int r = ps_call_body(call, PS_BATCH_HEADER_BYTES, &body);

    return r ? r : read_header(call, body, ret_file);
}

/* Takes json. */
static int read_json(struct ps_call *call, json_t *json, struct ps_ingest_file *ret_file)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    int r = PS_ERR_NOMEM;

    if (text)
        r = read_header(call, ps_bytes_of(text), ret_file);
    else
        ps_call_error(call, r, NULL);
    free(text);
    json_decref(json);
    return r;
}

/* ---- from the query ---- */

/* Names and paths are bytes to the client's file system: what is not UTF-8 becomes \xHH. */
static void set_clean(struct ps_call *call, json_t *json, const char *name, size_t max)
{
    struct ps_bytes value = ps_call_param(call, name);
    PS_BUF struct ps_buf clean = {0};

    if (!value.at)
        return;
    ps_buf_init(&clean, 4 * max + 4);
    ps_utf8_put_clean(&clean, (const char *)value.at,
                      PS_MIN(value.len, max + 1)); /* one too many is refused later */
    (void)json_object_set_new(json, name, json_string(ps_buf_text(&clean)));
}

static int set_text(struct ps_call *call, json_t *json, const char *name)
{
    struct ps_bytes value;

    if (ps_call_param_text(call, name, PS_SOURCE_PATH_BYTES, &value) != 0)
        return PS_ERR_INVALID;
    if (value.at)
        (void)json_object_set_new(json, name, json_string((const char *)value.at));
    return 0;
}

static int set_list(struct ps_call *call, json_t *json, const char *name)
{
    struct ps_bytes value, part;
    json_t *list;

    if (ps_call_param_text(call, name, PS_BATCH_HEADER_BYTES / 4, &value) != 0)
        return PS_ERR_INVALID;
    if (!value.at)
        return 0;
    list = json_array();
    while (ps_web_list_next(&value, &part))
        (void)json_array_append_new(list, json_stringn((const char *)part.at, part.len));
    (void)json_object_set_new(json, name, list);
    return 0;
}

int ps_header_of_query(struct ps_call *call, uint64_t size, struct ps_ingest_file *ret_file)
{
    static const char *const texts[] = {"batch", "visibility", "profile", "priority", "sha256"};
    json_t *json = json_pack("{s:s, s:I}", "name", "", "size", (json_int_t)size);
    int r = 0;

    set_clean(call, json, "name", PS_NAME_BYTES);
    set_clean(call, json, "source_path", PS_SOURCE_PATH_BYTES);
    for (size_t i = 0; i < PS_ARRAY_N(texts) && !r; i++)
        r = set_text(call, json, texts[i]);
    if (!r)
        r = set_list(call, json, "tags");
    if (!r)
        r = set_list(call, json, "engines");
    if (r) {
        json_decref(json);
        return r;
    }
    return read_json(call, json, ret_file);
}

/* ---- rescans ---- */

static bool is_rescan_key(const char *key)
{
    return !strcmp(key, "profile") || !strcmp(key, "engines") || !strcmp(key, "priority");
}

static int check_rescan_keys(struct ps_call *call, json_t *json)
{
    const char *key;
    json_t *value;

    json_object_foreach (json, key, value)
        if (!is_rescan_key(key)) {
            ps_call_problem(call, 400, "invalid",
                            "a rescan has profile, engines and priority; it does not know \"%.64s\"", key);
            return PS_ERR_INVALID;
        }
    return 0;
}

int ps_header_of_rescan(struct ps_call *call, struct ps_ingest_file *ret_file)
{
    struct ps_bytes body = PS_BYTES_LIT("{}");
    json_t *json;

    if (call->req && call->req->entity.len > 0 && ps_call_body(call, PS_BATCH_HEADER_BYTES, &body) != 0)
        return PS_ERR_INVALID;
    json = json_loadb((const char *)body.at, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        ps_call_problem(call, 400, "invalid", "the body must be a JSON object, or nothing");
        return PS_ERR_INVALID;
    }
    if (check_rescan_keys(call, json) != 0) {
        json_decref(json);
        return PS_ERR_INVALID;
    }
    bool urgent = json_object_get(json, "priority") != NULL;
    (void)json_object_set_new(json, "name", json_string("rescan"));
    (void)json_object_set_new(json, "size", json_integer(0));
    int r = read_json(call, json, ret_file);
    if (!r && !urgent)
        ret_file->band = PS_BAND_RESCAN;
    return r;
}

int ps_header_check_size(struct ps_call *call, const struct ps_ingest_file *file)
{
    uint64_t max = call->web->settings.max_sample_bytes;

    if (file->size <= max)
        return 0;
    ps_call_problem_n(call, 413, "limit", "limit", max, "the sample has %llu bytes, the limit here is %llu",
                      (unsigned long long)file->size, (unsigned long long)max);
    return PS_ERR_LIMIT;
}
