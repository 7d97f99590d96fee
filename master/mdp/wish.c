#include "master/mdp/wish.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { SAMPLE, NAME, OPTIONS };

static bool is_option(const char *key)
{
    return !strcmp(key, "engines") || !strcmp(key, "profile") || !strcmp(key, "priority");
}

/* An object with those three keys and no other, or an empty frame. */
static json_t *read_options(struct ps_bytes frame, struct ps_error *reterr)
{
    json_t *json = frame.len ? json_loadb((const char *)frame.at, frame.len, JSON_REJECT_DUPLICATES, NULL)
                             : json_object();
    const char *key;
    json_t *value;
    bool known = json_is_object(json);

    json_object_foreach (json, key, value)
        known &= is_option(key);
    if (known)
        return json;
    json_decref(json);
    (void)ps_error_set(reterr, PS_ERR_INVALID,
                       "the third frame has to be a JSON object with engines, profile, priority, or empty");
    return NULL;
}

/* A name is bytes to its client: what is not UTF-8 becomes \xHH. */
static json_t *read_name(struct ps_bytes frame)
{
    PS_BUF struct ps_buf clean = {0};

    ps_buf_init(&clean, 4 * PS_NAME_BYTES + 8);
    ps_utf8_put_clean(&clean, (const char *)frame.at,
                      PS_MIN(frame.len, (size_t)PS_NAME_BYTES + 1)); /* one too many is refused later */
    return json_string(ps_buf_text(&clean));
}

static int check(const struct ps_bytes *frames, size_t n, uint64_t max_sample_bytes, struct ps_error *reterr)
{
    if (n < 1 || n > PS_WISH_FRAMES_N)
        return ps_error_set(reterr, PS_ERR_INVALID, "a request has one to %d frames: sample, name, options",
                            PS_WISH_FRAMES_N);
    if (frames[SAMPLE].len > max_sample_bytes)
        return ps_error_set(reterr, PS_ERR_LIMIT, "the sample has %zu bytes, the limit here is %llu",
                            frames[SAMPLE].len, (unsigned long long)max_sample_bytes);
    if (n > OPTIONS && frames[OPTIONS].len > PS_BATCH_HEADER_BYTES / 2)
        return ps_error_set(reterr, PS_ERR_LIMIT, "the third frame is longer than %u bytes",
                            PS_BATCH_HEADER_BYTES / 2);
    return 0;
}

/* All roads in have the same fields and limits: ps_batch_header's. */
int ps_wish_read(const struct ps_bytes *frames, size_t n, uint64_t max_sample_bytes,
                 struct ps_ingest_file *ret_file, struct ps_error *reterr)
{
    static const struct ps_bytes nothing = {NULL, 0};
    PS_FREE char *text = NULL;
    json_t *json;
    int r = check(frames, n, max_sample_bytes, reterr);

    if (r)
        return r;
    json = read_options(n > OPTIONS ? frames[OPTIONS] : nothing, reterr);
    if (!json)
        return PS_ERR_INVALID;
    if (json_object_set_new(json, "name", read_name(n > NAME ? frames[NAME] : nothing)) == 0 &&
        json_object_set_new(json, "size", json_integer((json_int_t)frames[SAMPLE].len)) == 0)
        text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (!text)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    r = ps_batch_header(ps_bytes_of(text), false, ret_file, reterr);
    if (!r)
        ret_file->data = frames[SAMPLE];
    return r;
}
