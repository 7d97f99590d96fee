/* What a Majordomo client asks of the service scan: what is read, and what is refused in which words. */
#include "base/mem.h"
#include "master/mdp/wish.h"
#include "tests/unit/unit.h"

#define LIMIT 1000

struct asked {
    struct ps_ingest_file file;
    struct ps_error error;
};

/* The frames are texts. */
static int ask(struct asked *self, const char *const *frames, size_t n)
{
    struct ps_bytes bytes[PS_WISH_FRAMES_N + 1];

    assert_true(n <= PS_ARRAY_N(bytes));
    for (size_t i = 0; i < n; i++)
        bytes[i] = ps_bytes_of(frames[i]);
    ps_ingest_file_init(&self->file);
    self->error = (struct ps_error){0};
    return ps_wish_read(bytes, n, LIMIT, &self->file, &self->error);
}

static void assert_refused(const char *options, int code, const char *word)
{
    const char *const frames[] = {"data", "name", options};
    struct asked asked;

    assert_int_equal(ask(&asked, frames, 3), code);
    assert_non_null(strstr(asked.error.text, word));
    ps_ingest_file_fini(&asked.file);
}

static void a_sample_alone_is_enough(void **state)
{
    const char *const frames[] = {"data"};
    struct asked asked;

    (void)state;
    assert_int_equal(ask(&asked, frames, 1), 0);
    assert_true(ps_bytes_is(asked.file.data, "data") && asked.file.name.len == 0);
    assert_int_equal(asked.file.engines_n, 0);
    assert_int_equal(asked.file.band, PS_BAND_BATCH);
    ps_ingest_file_fini(&asked.file);
}

static void an_empty_sample_is_one(void **state)
{
    const char *const frames[] = {"", "", ""};
    struct asked asked;

    (void)state;
    assert_int_equal(ask(&asked, frames, 3), 0);
    assert_int_equal(asked.file.data.len, 0);
    ps_ingest_file_fini(&asked.file);
}

static void name_and_options_are_read(void **state)
{
    const char *const frames[] = {
        "data", "a b.exe",
        "{\"engines\":[\"yara\",\"type\"],\"profile\":\"fast\",\"priority\":\"interactive\"}"};
    struct asked asked;

    (void)state;
    assert_int_equal(ask(&asked, frames, 3), 0);
    assert_true(ps_bytes_is(asked.file.name, "a b.exe") && ps_bytes_is(asked.file.profile, "fast"));
    assert_int_equal(asked.file.engines_n, 2);
    assert_true(ps_bytes_is(asked.file.engines[1], "type"));
    assert_int_equal(asked.file.band, PS_BAND_INTERACTIVE);
    ps_ingest_file_fini(&asked.file);
}

static void a_name_that_is_no_text_is_made_one(void **state)
{
    const struct ps_bytes frames[] = {ps_bytes_of("data"), {(const uint8_t *)"a\0\xff", 3}};
    struct ps_ingest_file file;
    struct ps_error error;

    (void)state;
    ps_ingest_file_init(&file);
    assert_int_equal(ps_wish_read(frames, 2, LIMIT, &file, &error), 0);
    assert_true(ps_bytes_is(file.name, "a\\x00\\xff"));
    ps_ingest_file_fini(&file);
}

static void a_wrong_number_of_frames(void **state)
{
    const char *const frames[] = {"data", "name", "", "more"};
    struct asked asked;

    (void)state;
    assert_int_equal(ask(&asked, frames, 0), PS_ERR_INVALID);
    ps_ingest_file_fini(&asked.file);
    assert_int_equal(ask(&asked, frames, 4), PS_ERR_INVALID);
    ps_ingest_file_fini(&asked.file);
}

static void what_is_too_large(void **state)
{
    PS_FREE char *large = ps_alloc(1, LIMIT + 2);
    PS_FREE char *name = ps_alloc(1, PS_NAME_BYTES + 2);
    PS_FREE char *options = ps_alloc(1, PS_BATCH_HEADER_BYTES + 1);
    struct asked asked;

    (void)state;
    memset(large, 'x', LIMIT + 1);
    memset(name, 'x', PS_NAME_BYTES + 1);
    memset(options, ' ', PS_BATCH_HEADER_BYTES);
    assert_int_equal(ask(&asked, (const char *const[]){large}, 1), PS_ERR_LIMIT);
    assert_non_null(strstr(asked.error.text, "1001 bytes"));
    ps_ingest_file_fini(&asked.file);
    assert_int_equal(ask(&asked, (const char *const[]){large + 1}, 1), 0);
    ps_ingest_file_fini(&asked.file);
    assert_int_equal(ask(&asked, (const char *const[]){"d", name}, 2), PS_ERR_LIMIT);
    ps_ingest_file_fini(&asked.file);
    assert_int_equal(ask(&asked, (const char *const[]){"d", name + 1}, 2), 0);
    ps_ingest_file_fini(&asked.file);
    assert_int_equal(ask(&asked, (const char *const[]){"d", "n", options}, 3), PS_ERR_LIMIT);
    ps_ingest_file_fini(&asked.file);
}

static void options_that_are_none(void **state)
{
    (void)state;
    assert_refused("[]", PS_ERR_INVALID, "third frame");
    assert_refused("{", PS_ERR_INVALID, "third frame");
    assert_refused("{} {}", PS_ERR_INVALID, "third frame");
    assert_refused("{\"engine\":\"yara\"}", PS_ERR_INVALID, "third frame");
    assert_refused("{\"size\":1}", PS_ERR_INVALID, "third frame");
    assert_refused("{\"name\":\"other\"}", PS_ERR_INVALID, "third frame");
    assert_refused("{\"profile\":\"a\",\"profile\":\"b\"}", PS_ERR_INVALID, "third frame");
    assert_refused("{\"priority\":\"now\"}", PS_ERR_INVALID, "priority");
    assert_refused("{\"engines\":\"yara\"}", PS_ERR_INVALID, "engines");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_alone_is_enough),  cmocka_unit_test(an_empty_sample_is_one),
        cmocka_unit_test(name_and_options_are_read), cmocka_unit_test(a_name_that_is_no_text_is_made_one),
        cmocka_unit_test(a_wrong_number_of_frames),  cmocka_unit_test(what_is_too_large),
        cmocka_unit_test(options_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
