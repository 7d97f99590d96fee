#include "master/ingest/batchbody.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void ps_ingest_file_init(struct ps_ingest_file *file)
{
    memset(file, 0, sizeof(*file));
    file->visibility = PS_VISIBLE_EVERYONE;
    file->band = PS_BAND_BATCH;
}

void ps_ingest_file_fini(struct ps_ingest_file *file)
{
    json_decref(file->json);
    file->json = NULL;
}

/* Refusals name the key, never the value: that is the peer's text. */
static int wrong(struct ps_error *reterr, const char *key, const char *what)
{
    return ps_error_set(reterr, PS_ERR_INVALID, "\"%s\" %s", key, what);
}

static int too_long(struct ps_error *reterr, const char *key, size_t max)
{
    return ps_error_set(reterr, PS_ERR_LIMIT, "\"%s\" is longer than %zu bytes", key, max);
}

static int read_text(const json_t *value, const char *key, size_t max, struct ps_bytes *ret_text,
                     struct ps_error *reterr)
{
    if (!json_is_string(value))
        return wrong(reterr, key, "has to be a text");
    if (json_string_length(value) > max)
        return too_long(reterr, key, max);
    *ret_text = (struct ps_bytes){(const uint8_t *)json_string_value(value), json_string_length(value)};
    return 0;
}

static int read_texts(const json_t *value, const char *key, size_t max_n, size_t max,
                      struct ps_bytes *ret_texts, uint8_t *ret_n, struct ps_error *reterr)
{
    size_t i, n = json_array_size(value);
    const json_t *element;

    if (!json_is_array(value))
        return wrong(reterr, key, "has to be a list of texts");
    if (n > max_n)
        return ps_error_set(reterr, PS_ERR_LIMIT, "\"%s\" has more than %zu entries", key, max_n);
    json_array_foreach (value, i, element) {
        int code = read_text(element, key, max, &ret_texts[i], reterr);

        if (code)
            return code;
        if (ret_texts[i].len == 0)
            return wrong(reterr, key, "has an empty entry");
    }
    *ret_n = (uint8_t)n;
    return 0;
}

static int read_number(const json_t *value, const char *key, uint64_t *ret_number, struct ps_error *reterr)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(reterr, key, "has to be a whole number, not negative");
    *ret_number = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_n(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_number(value, "n", &file->n, reterr);
}

static int read_name(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_text(value, "name", PS_NAME_BYTES, &file->name, reterr);
}

static int read_size(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_number(value, "size", &file->size, reterr);
}

static int read_sha256(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    struct ps_bytes hex = {NULL, 0};

    if (read_text(value, "sha256", 2 * PS_SHA256_BYTES, &hex, reterr) != 0 ||
        hex.len != 2 * PS_SHA256_BYTES ||
        ps_hex_decode(file->sha256, PS_SHA256_BYTES, (const char *)hex.at, hex.len) != 0)
        return wrong(reterr, "sha256", "has to be 64 hex digits");
    file->has_sha256 = true;
    return 0;
}

static int read_source_path(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_text(value, "source_path", PS_SOURCE_PATH_BYTES, &file->source_path, reterr);
}

static int read_batch(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_text(value, "batch", PS_BATCH_ID_BYTES, &file->batch, reterr);
}

static int read_tags(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_texts(value, "tags", PS_TAGS_N, PS_TAG_BYTES, file->tags, &file->tags_n, reterr);
}

static int read_visibility(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    static const char *const words[] = {"everyone", "team", "owner"};

    for (size_t i = 0; json_is_string(value) && i < PS_ARRAY_N(words); i++) {
        if (strcmp(json_string_value(value), words[i]) == 0) {
            file->visibility = (enum ps_visibility)i;
            return 0;
        }
    }
    return wrong(reterr, "visibility", "has to be everyone, team or owner");
}

static int read_profile(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_text(value, "profile", PS_PROFILE_BYTES, &file->profile, reterr);
}

static int read_engines(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    return read_texts(value, "engines", PS_ENGINES_N, PS_PROFILE_BYTES, file->engines, &file->engines_n,
                      reterr);
}

static int read_priority(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr)
{
    if (json_is_string(value) && strcmp(json_string_value(value), "interactive") == 0)
        file->band = PS_BAND_INTERACTIVE;
    else if (json_is_string(value) && strcmp(json_string_value(value), "batch") == 0)
        file->band = PS_BAND_BATCH;
    else
        return wrong(reterr, "priority", "has to be interactive or batch");
    return 0;
}

/* Every key that a header may have. */
static const struct field {
    const char *key;
    int (*read)(const json_t *value, struct ps_ingest_file *file, struct ps_error *reterr);
} fields[] = {
    {"n", read_n},
    {"name", read_name},
    {"size", read_size},
    {"sha256", read_sha256},
    {"source_path", read_source_path},
    {"batch", read_batch},
    {"tags", read_tags},
    {"visibility", read_visibility},
    {"profile", read_profile},
    {"engines", read_engines},
    {"priority", read_priority},
};

static const struct field *field_of(const char *key)
{
    for (size_t i = 0; i < PS_ARRAY_N(fields); i++)
        if (strcmp(key, fields[i].key) == 0)
            return &fields[i];
    return NULL;
}

static int read_object(json_t *object, bool need_n, struct ps_ingest_file *file, struct ps_error *reterr)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return ps_error_set(reterr, PS_ERR_INVALID, "the header has to be a JSON object");
    json_object_foreach (object, key, value) {
        const struct field *field = field_of(key);
        int code;

        if (!field)
            return ps_error_set(
                reterr, PS_ERR_INVALID,
                "the header has a key that is none of n, name, size, sha256, source_path, batch, "
                "tags, visibility, profile, engines, priority");
        if (json_is_null(value))
            continue;
        if ((code = field->read(value, file, reterr)) != 0)
            return code;
    }
    if (!json_is_string(json_object_get(object, "name")))
        return wrong(reterr, "name", "is missing");
    if (!json_is_integer(json_object_get(object, "size")))
        return wrong(reterr, "size", "is missing");
    if (need_n && !json_is_integer(json_object_get(object, "n")))
        return wrong(reterr, "n", "is missing");
    return 0;
}

int ps_batch_header(struct ps_bytes json, bool need_n, struct ps_ingest_file *ret_file,
                    struct ps_error *reterr)
{
    struct ps_ingest_file file;
    json_error_t where;
    int code;

    ps_ingest_file_init(&file);
    if (json.len > PS_BATCH_HEADER_BYTES)
        return ps_error_set(reterr, PS_ERR_LIMIT, "the header is longer than %d bytes",
                            PS_BATCH_HEADER_BYTES);
    file.json = json_loadb((const char *)json.at, json.len, JSON_REJECT_DUPLICATES, &where);
    if (!file.json)
        return ps_error_set(reterr, PS_ERR_INVALID, "the header is not JSON in UTF-8 (at its byte %d)",
                            where.position);
    if ((code = read_object(file.json, need_n, &file, reterr)) != 0) {
        ps_ingest_file_fini(&file);
        return code;
    }
    *ret_file = file;
    return 0;
}

void ps_batch_init(struct ps_batch *self, struct ps_bytes body)
{
    self->body = body;
    self->at = 0;
    self->files_n = 0;
}

static uint32_t be32(const uint8_t *at)
{
    uint32_t wire;

    memcpy(&wire, at, sizeof(wire));
    return be32toh(wire);
}

int ps_batch_next(struct ps_batch *self, struct ps_ingest_file *ret_file, struct ps_error *reterr)
{
    size_t left = self->body.len - self->at;
    const uint8_t *at = self->body.at + self->at;
    struct ps_ingest_file file;
    uint32_t header_len;
    int code;

    ps_ingest_file_init(&file);
    if (left == 0)
        return 0;
    if (self->files_n >= PS_BATCH_FILES)
        return ps_error_set(reterr, PS_ERR_LIMIT,
                            "a batch holds at most %d files: send the rest in another one", PS_BATCH_FILES);
    if (left < 4)
        return ps_error_set(reterr, PS_ERR_INVALID, "the body ends inside a header's length");
    header_len = be32(at);
    if (header_len > PS_BATCH_HEADER_BYTES)
        return ps_error_set(reterr, PS_ERR_LIMIT, "a header of %u bytes is announced, the limit is %d",
                            header_len, PS_BATCH_HEADER_BYTES);
    if (header_len > left - 4)
        return ps_error_set(reterr, PS_ERR_INVALID, "the body ends inside a header of %u bytes", header_len);
    if ((code = ps_batch_header((struct ps_bytes){at + 4, header_len}, true, &file, reterr)) != 0)
        return code;
    left -= 4 + header_len;
    if (file.size > left) {
        code = ps_error_set(reterr, PS_ERR_INVALID, "%llu bytes are announced, but the body ends after %zu",
                            (unsigned long long)file.size, left);
        ps_ingest_file_fini(&file);
        return code;
    }
    file.data = (struct ps_bytes){at + 4 + header_len, (size_t)file.size};
    self->at += 4 + header_len + (size_t)file.size;
    self->files_n++;
    *ret_file = file;
    return 1;
}
