/* tests/unit/engine_type.c: the type engine, called directly. */
#include "unit.h"

#include "tests/unit/engine_fake.h"

static int open_engine(void **state)
{
    struct fake_conf conf;
    char err[256];

    fake_conf_init(&conf, NULL, "/tmp");
    return ps_engine_entry.open(&conf.conf, state, err, sizeof(err)) ||
           ps_engine_entry.warm(*state, err, sizeof(err));
}

static int close_engine(void **state)
{
    ps_engine_entry.close(*state);
    return 0;
}

static const char *text_of(const struct fake_report *report, const char *key)
{
    const char *text = json_string_value(json_object_get(report->traits, key));

    return text ? text : "";
}

static double entropy_of(const struct fake_report *report)
{
    return json_number_value(json_object_get(report->traits, "entropy"));
}

static const char *first_extension(const struct fake_report *report)
{
    const char *text = json_string_value(json_array_get(json_object_get(report->traits, "extensions"), 0));

    return text ? text : "";
}

static void known_types(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *mime, *description, *extension;
    } cases[] = {
        {"", 0, "inode/x-empty", "empty", ""},
        {"hello\n", 6, "text/plain", "ASCII text", ""},
        {"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 15, "application/pdf", "PDF document", "pdf"},
        {"#!/bin/sh\nexit 0\n", 17, "text/x-shellscript", "POSIX shell script", ""},
        {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\0\0\0\0", 29, "image/png", "PNG image", "png"},
        {"\x1f\x8b\10\0\0\0\0\0\2\3\x2b\x4f\x2c\xca\xe5\2\0\x6e\x1b\xb9\x69\5\0\0\0", 25, "application/gzip",
         "gzip compressed data", "gz"},
    };
    struct fake_report report;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_scan(&ps_engine_entry, *state, cases[i].bytes, cases[i].len, "/tmp", &report);
        assert_int_equal(report.outcome, PS_FOUND_DESCRIBED);
        assert_string_equal(report.type, cases[i].mime);
        assert_string_equal(text_of(&report, "mime"), cases[i].mime);
        assert_non_null(strstr(text_of(&report, "description"), cases[i].description));
        assert_string_equal(first_extension(&report), cases[i].extension);
        fake_fini(&report);
    }
}

/* A constant has none, every byte once has eight bits, two values have one. */
static void entropy(void **state)
{
    struct fake_report report;
    uint8_t bytes[4096];

    memset(bytes, 'a', sizeof(bytes));
    fake_scan(&ps_engine_entry, *state, bytes, sizeof(bytes), "/tmp", &report);
    assert_true(entropy_of(&report) == 0);
    fake_fini(&report);
    memset(bytes, 'b', sizeof(bytes) / 2);
    fake_scan(&ps_engine_entry, *state, bytes, sizeof(bytes), "/tmp", &report);
    assert_true(entropy_of(&report) == 1);
    fake_fini(&report);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    fake_scan(&ps_engine_entry, *state, bytes, sizeof(bytes), "/tmp", &report);
    assert_true(entropy_of(&report) == 8);
    assert_null(json_object_get(report.traits, "entropy_of_bytes"));
    fake_fini(&report);
}

/* Of a large file 64 MiB are measured, from its first to its last block, and the trait says so. */
static void entropy_of_a_large_file(void **state)
{
    int fd = memfd_create("sample", MFD_CLOEXEC);
    uint8_t noise[256];
    struct fake_report report;

    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)i;
    assert_int_equal(ftruncate(fd, (off_t)200 << 20), 0);
    assert_int_equal(pwrite(fd, noise, sizeof(noise), ((off_t)200 << 20) - (off_t)sizeof(noise)),
                     sizeof(noise));
    fake_scan_fd(&ps_engine_entry, *state, fd, "/tmp", &report);
    assert_int_equal(report.outcome, PS_FOUND_DESCRIBED);
    assert_int_equal(json_integer_value(json_object_get(report.traits, "entropy_of_bytes")), 64 << 20);
    assert_true(entropy_of(&report) > 0);
    fake_fini(&report);
    (void)close(fd);
}

/* Shorter than it was said to be: a failure, never a description of half a file. */
static void short_sample(void **state)
{
    struct fake_report fake = {.traits = json_object()};
    struct ps_engine_report report = fake_table(&fake);
    struct ps_engine_sample sample = {
        .fd = memfd_create("sample", MFD_CLOEXEC), .size = 10, .type = "", .tmpdir = "/"};

    assert_int_equal(ps_engine_entry.scan(*state, &sample, &report), PS_FOUND_FAILURE);
    assert_string_not_equal(fake.reason, "");
    (void)close(sample.fd);
    fake_fini(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_types),
        cmocka_unit_test(entropy),
        cmocka_unit_test(entropy_of_a_large_file),
        cmocka_unit_test(short_sample),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
