/* Chunked uploads through ingest: in order, resumed, repeated, refused. */
#include <unistd.h>

#include "tests/unit/ingest_kit.h"

static int setup(void **state)
{
    *state = kit_new(false, NULL);
    return 0;
}

static int teardown(void **state)
{
    kit_free(*state);
    return 0;
}

static int begin(struct kit *kit, const char *id, const char *json)
{
    struct ps_ingest_file file;
    struct ps_ingest_request request = {
        .kind = PS_INGEST_UPLOAD_NEW, .files = &file, .files_n = 1, .upload_id = id};
    struct ps_error error;
    int code;

    assert_int_equal(ps_batch_header(ps_bytes_of(json), false, &file, &error), 0);
    code = kit_ask(kit, &request);
    ps_ingest_file_fini(&file);
    ps_ingest_request_fini(&request);
    return code;
}

static int chunk(struct kit *kit, const char *id, uint64_t offset, const char *text,
                 struct ps_ingest_request *ret)
{
    *ret = (struct ps_ingest_request){
        .kind = PS_INGEST_UPLOAD_CHUNK, .upload_id = id, .offset = offset, .body = ps_bytes_of(text)};
    return kit_ask(kit, ret);
}

static void chunks_become_a_sample(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;
    uint8_t sha256[32];
    uint64_t size;
    int64_t submission;
    int fd;

    assert_int_equal(begin(kit, "u1", "{\"name\":\"big.bin\",\"size\":10,\"tags\":[\"t\"],\"batch\":\"b\"}"),
                     0);
    assert_int_equal(chunk(kit, "u1", 0, "01234", &request), 0);
    assert_int_equal(request.upload_offset, 5);
    assert_int_equal(request.upload_size, 10);
    assert_false(request.upload_complete);
    /* Out of order, and twice: the right offset comes back. */
    assert_int_equal(chunk(kit, "u1", 7, "789", &request), PS_ERR_CONFLICT);
    assert_int_equal(request.upload_offset, 5);
    assert_int_equal(chunk(kit, "u1", 0, "01234", &request), PS_ERR_CONFLICT);
    assert_int_equal(request.upload_offset, 5);
    assert_int_equal(chunk(kit, "u1", 5, "567890", &request), PS_ERR_INVALID);
    assert_int_equal(chunk(kit, "u2", 0, "x", &request), PS_ERR_NOTFOUND);

    assert_int_equal(chunk(kit, "u1", 5, "56789", &request), 0);
    assert_true(request.upload_complete);
    assert_int_equal(request.upload_offset, 10);
    assert_int_equal(ps_sha256(sha256, "0123456789", 10), 0);
    assert_memory_equal(request.results[0].sha256, sha256, 32);
    submission = request.results[0].submission;
    ps_ingest_request_fini(&request);
    assert_int_equal(ps_store_open_sample(kit->store, sha256, &fd, &size), 0);
    assert_int_equal(size, 10);
    close(fd);
    assert_int_equal(ps_store_upload_size(kit->store, "u1", &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(kit_count(kit, "submission where name = 'big.bin' and tags = '{t}' and batch = 'b'"), 1);

    /* The answer was lost: the last chunk again. */
    assert_int_equal(chunk(kit, "u1", 5, "56789", &request), 0);
    assert_true(request.upload_complete && request.replayed);
    assert_int_equal(request.results[0].submission, submission);
    assert_memory_equal(request.results[0].sha256, sha256, 32);
    ps_ingest_request_fini(&request);
    assert_int_equal(kit_count(kit, "submission"), 1);
}

/* Another process continues: the running hash is gone, the file is not. */
static void an_upload_survives_a_restart(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_config config = {
        .conninfo = ps_testpg_conninfo(kit->pg), .store = kit->store, .news = kit_news, .arg = kit};
    struct ps_ingest_request request;
    struct ps_error error;
    uint8_t sha256[32];

    assert_int_equal(begin(kit, "r1", "{\"name\":\"r\",\"size\":6}"), 0);
    assert_int_equal(chunk(kit, "r1", 0, "res", &request), 0);
    ps_ingest_stop(&kit->ingest);
    assert_int_equal(ps_ingest_start(&kit->ingest, &config, &error), 0);
    ps_ingest_set_epoch(kit->ingest, 1);
    assert_int_equal(chunk(kit, "r1", 0, "", &request), PS_ERR_CONFLICT);
    assert_int_equal(request.upload_offset, 3);
    assert_int_equal(chunk(kit, "r1", 3, "ume", &request), 0);
    assert_true(request.upload_complete);
    assert_int_equal(ps_sha256(sha256, "resume", 6), 0);
    assert_memory_equal(request.results[0].sha256, sha256, 32);
    ps_ingest_request_fini(&request);
}

static void wishes_are_checked_at_the_begin(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;

    assert_int_equal(begin(kit, "w1", "{\"name\":\"w\",\"size\":600000000}"), PS_ERR_LIMIT);
    assert_int_equal(begin(kit, "w2", "{\"name\":\"w\",\"size\":6,\"engines\":[\"nobody\"]}"),
                     PS_ERR_INVALID);
    assert_int_equal(begin(kit, "w3", "{\"name\":\"w\",\"size\":6}"), 0);
    assert_int_equal(begin(kit, "w3", "{\"name\":\"w\",\"size\":6}"), PS_ERR_CONFLICT);
    request = (struct ps_ingest_request){.kind = PS_INGEST_UPLOAD_DROP, .upload_id = "w3"};
    assert_int_equal(chunk(kit, "w3", 0, "abc", &request), 0);
    request = (struct ps_ingest_request){.kind = PS_INGEST_UPLOAD_DROP, .upload_id = "w3"};
    assert_int_equal(kit_ask(kit, &request), 0);
    assert_int_equal(kit_ask(kit, &request), PS_ERR_NOTFOUND);
    assert_int_equal(chunk(kit, "w3", 3, "def", &request), PS_ERR_NOTFOUND);
}

static void a_wrong_hash_is_refused(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;
    long long before = kit_count(kit, "sample");

    assert_int_equal(begin(kit, "h1",
                           "{\"name\":\"h\",\"size\":3,\"sha256\":"
                           "\"00000000000000000000000000000000000000000000000000000000000000ff\"}"),
                     0);
    assert_int_equal(chunk(kit, "h1", 0, "abc", &request), PS_ERR_INVALID);
    assert_int_equal(kit_count(kit, "sample"), before);
    assert_int_equal(chunk(kit, "h1", 0, "abc", &request), PS_ERR_NOTFOUND);
}

static void an_empty_file_is_a_file(void **state)
{
    struct kit *kit = *state;
    struct ps_ingest_request request;

    assert_int_equal(begin(kit, "e1", "{\"name\":\"e\",\"size\":0}"), 0);
    assert_int_equal(chunk(kit, "e1", 0, "", &request), 0);
    assert_true(request.upload_complete);
    ps_ingest_request_fini(&request);
    assert_int_equal(kit_count(kit, "sample where size = 0"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_become_a_sample),          cmocka_unit_test(an_upload_survives_a_restart),
        cmocka_unit_test(wishes_are_checked_at_the_begin), cmocka_unit_test(a_wrong_hash_is_refused),
        cmocka_unit_test(an_empty_file_is_a_file),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
