/* The parser of batch bodies: what is read, what is refused and where it stops. */
#include <endian.h>

#include "base/mem.h"
#include "master/ingest/batchbody.h"
#include "tests/unit/unit.h"

static void put(struct ps_buf *body, const char *json, const char *data)
{
    uint32_t wire = htobe32((uint32_t)strlen(json));

    ps_buf_put(body, &wire, sizeof(wire));
    ps_buf_put_text(body, json);
    ps_buf_put_text(body, data);
}

static struct ps_batch batch_of(const struct ps_buf *body)
{
    struct ps_batch batch;

    ps_batch_init(&batch, (struct ps_bytes){body->data, body->len});
    return batch;
}

static void every_field_is_read(void **state)
{
    PS_BUF struct ps_buf body;
    struct ps_ingest_file file;
    struct ps_batch batch;
    struct ps_error error;

    (void)state;
    ps_buf_init(&body, PS_BATCH_BYTES);
    put(&body,
        "{\"n\":7,\"name\":\"a b\",\"size\":3,\"source_path\":\"/x/a "
        "b\",\"batch\":\"b\",\"tags\":[\"s\",\"t\"],"
        "\"visibility\":\"owner\",\"profile\":\"fast\",\"engines\":[\"yara\"],\"priority\":\"interactive\","
        "\"sha256\":\"000000000000000000000000000000000000000000000000000000000000ABcd\"}",
        "xyz");
    put(&body, "{\"n\":8,\"name\":\"\",\"size\":0,\"tags\":null}", "");
    batch = batch_of(&body);
    assert_int_equal(ps_batch_next(&batch, &file, &error), 1);
    assert_int_equal(file.n, 7);
    assert_true(ps_bytes_is(file.name, "a b") && ps_bytes_is(file.source_path, "/x/a b"));
    assert_true(ps_bytes_is(file.batch, "b") && ps_bytes_is(file.profile, "fast"));
    assert_int_equal(file.tags_n, 2);
    assert_true(ps_bytes_is(file.tags[1], "t") && ps_bytes_is(file.engines[0], "yara"));
    assert_int_equal(file.visibility, PS_VISIBLE_OWNER);
    assert_int_equal(file.band, PS_BAND_INTERACTIVE);
    assert_true(file.has_sha256 && file.sha256[30] == 0xab && file.sha256[31] == 0xcd);
    assert_true(ps_bytes_is(file.data, "xyz"));
    ps_ingest_file_fini(&file);

    assert_int_equal(ps_batch_next(&batch, &file, &error), 1);
    assert_int_equal(file.band, PS_BAND_BATCH);
    assert_int_equal(file.visibility, PS_VISIBLE_EVERYONE);
    assert_int_equal(file.data.len, 0);
    ps_ingest_file_fini(&file);
    assert_int_equal(ps_batch_next(&batch, &file, &error), 0);
}

/* Each is refused with a sentence that has this word in it. */
static void bad_headers_are_refused_by_name(void **state)
{
    static const struct {
        const char *json, *word;
        int code;
    } cases[] = {
        {"", "JSON", PS_ERR_INVALID},
        {"[]", "object", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0}x", "JSON", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"size\":1}", "JSON", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\\u0000b\",\"size\":0}", "JSON", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\xff\",\"size\":0}", "JSON", PS_ERR_INVALID},
        {"{\"name\":\"a\",\"size\":0}", "\"n\"", PS_ERR_INVALID},
        {"{\"n\":1,\"size\":0}", "\"name\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\"}", "\"size\"", PS_ERR_INVALID},
        {"{\"n\":-1,\"name\":\"a\",\"size\":0}", "\"n\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":-5}", "\"size\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":1.5}", "\"size\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":9223372036854775807}", "the body ends", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":4,\"size\":0}", "\"name\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"owner\":2}", "none of", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"sha256\":\"12\"}", "64 hex digits", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"tags\":\"x\"}", "\"tags\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"tags\":[\"\"]}", "\"tags\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"visibility\":\"all\"}", "\"visibility\"", PS_ERR_INVALID},
        {"{\"n\":1,\"name\":\"a\",\"size\":0,\"priority\":\"idle\"}", "\"priority\"", PS_ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < PS_ARRAY_N(cases); i++) {
        PS_BUF struct ps_buf body;
        struct ps_ingest_file file;
        struct ps_batch batch;
        struct ps_error error;

        ps_buf_init(&body, PS_BATCH_BYTES);
        put(&body, cases[i].json, "");
        batch = batch_of(&body);
        assert_int_equal(ps_batch_next(&batch, &file, &error), cases[i].code);
        if (!strstr(error.text, cases[i].word))
            fail_msg("%s: %s", cases[i].json, error.text);
        assert_int_equal(batch.at, 0);
    }
}

static void limits_are_limits(void **state)
{
    static char text[PS_BATCH_HEADER_BYTES];
    struct ps_ingest_file file;
    struct ps_error error;
    PS_BUF struct ps_buf json, body;
    struct ps_batch batch;
    int code = 1;

    (void)state;
    memset(text, 'n', PS_NAME_BYTES + 1);
    ps_buf_init(&json, 1u << 20);
    ps_buf_putf(&json, "{\"name\":\"%s\",\"size\":0}", text);
    assert_int_equal(ps_batch_header((struct ps_bytes){json.data, json.len}, false, &file, &error),
                     PS_ERR_LIMIT);
    text[PS_NAME_BYTES] = '\0';
    ps_buf_clear(&json);
    ps_buf_putf(&json, "{\"name\":\"%s\",\"size\":0}", text);
    assert_int_equal(ps_batch_header((struct ps_bytes){json.data, json.len}, false, &file, &error), 0);
    ps_ingest_file_fini(&file);

    ps_buf_clear(&json);
    ps_buf_put_text(&json, "{\"name\":\"a\",\"size\":0,\"tags\":[\"t\"");
    for (int i = 0; i < PS_TAGS_N; i++)
        ps_buf_put_text(&json, ",\"t\"");
    ps_buf_put_text(&json, "]}");
    assert_int_equal(ps_batch_header((struct ps_bytes){json.data, json.len}, false, &file, &error),
                     PS_ERR_LIMIT);

    ps_buf_init(&body, PS_BATCH_BYTES);
    for (int i = 0; i <= PS_BATCH_FILES; i++)
        put(&body, "{\"n\":1,\"name\":\"a\",\"size\":0}", "");
    batch = batch_of(&body);
    while (code == 1) {
        code = ps_batch_next(&batch, &file, &error);
        if (code == 1)
            ps_ingest_file_fini(&file);
    }
    assert_int_equal(code, PS_ERR_LIMIT);
    assert_int_equal(batch.files_n, PS_BATCH_FILES);
}

/* A body that is cut anywhere never gives more than the files that are whole. */
static void cut_bodies_end_where_they_are_cut(void **state)
{
    PS_BUF struct ps_buf body;
    size_t second;

    (void)state;
    ps_buf_init(&body, PS_BATCH_BYTES);
    put(&body, "{\"n\":0,\"name\":\"a\",\"size\":3}", "abc");
    second = body.len;
    put(&body, "{\"n\":1,\"name\":\"b\",\"size\":4}", "defg");
    for (size_t len = 0; len <= body.len; len++) {
        struct ps_ingest_file file;
        struct ps_batch batch;
        struct ps_error error;
        unsigned n = 0;
        int code;

        ps_batch_init(&batch, (struct ps_bytes){body.data, len});
        while ((code = ps_batch_next(&batch, &file, &error)) == 1) {
            ps_ingest_file_fini(&file);
            n++;
        }
        assert_int_equal(n, (len >= second) + (len == body.len));
        assert_int_equal(code, len == 0 || len == second || len == body.len ? 0 : PS_ERR_INVALID);
        assert_int_equal(batch.at, len == body.len ? len : len >= second ? second : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(bad_headers_are_refused_by_name),
        cmocka_unit_test(limits_are_limits),
        cmocka_unit_test(cut_bodies_end_where_they_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
