/* tests/unit/engine_hashes.c: the hashes engine, called directly, against values of other programs. */
#include "unit.h"

#include "tests/unit/engine_fake.h"

static int open_engine(void **state)
{
    struct fake_conf conf;
    char err[256];

    fake_conf_init(&conf, NULL, "/tmp");
    return ps_engine_entry.open(&conf.conf, state, err, sizeof(err));
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

static void known_values(void **state)
{
    char sample[80];
    size_t len = fake_eicar(sample);
    const struct {
        const char *bytes;
        size_t len;
        const char *md5, *sha1, *sha256, *ssdeep;
    } cases[] = {
        {"", 0, "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "3::"},
        {"abc", 3, "900150983cd24fb0d6963f7d28e17f72", "a9993e364706816aba3e25717850c26c9cd0d89d",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "3:uG:uG"},
        {sample, len, "44d88612fea8a8f36de82e1278abb02f", "3395856ce81f2b7382dee72602f798b642f14140",
         "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f",
         "3:a+JraNvsgzsVqSwHq9:tJuOgzsko"},
    };
    struct fake_report report;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_scan(&ps_engine_entry, *state, cases[i].bytes, cases[i].len, "/tmp", &report);
        assert_int_equal(report.outcome, PS_FOUND_DESCRIBED);
        assert_string_equal(text_of(&report, "md5"), cases[i].md5);
        assert_string_equal(text_of(&report, "sha1"), cases[i].sha1);
        assert_string_equal(text_of(&report, "sha256"), cases[i].sha256);
        assert_string_equal(text_of(&report, "ssdeep"), cases[i].ssdeep);
        assert_null(json_object_get(report.traits, "tlsh"));
        fake_fini(&report);
    }
}

/* TLSH comes with its version in front and from 256 bytes on; the value is that of a pseudo-random sequence. */
static void tlsh(void **state)
{
    struct fake_report report;
    uint8_t bytes[512];
    uint32_t x = 1;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    fake_scan(&ps_engine_entry, *state, bytes, 255, "/tmp", &report);
    assert_string_equal(text_of(&report, "tlsh"), "");
    fake_fini(&report);
    fake_scan(&ps_engine_entry, *state, bytes, sizeof(bytes), "/tmp", &report);
    assert_string_equal(text_of(&report, "tlsh"),
                        "T134F020176734A079A462F8E0D9E28826B2208D157848812112132FCF73D1664C5020B8");
    fake_fini(&report);
    memset(bytes, 0, sizeof(bytes));
    fake_scan(&ps_engine_entry, *state, bytes, sizeof(bytes), "/tmp", &report);
    assert_int_equal(report.outcome, PS_FOUND_DESCRIBED);
    assert_string_equal(text_of(&report, "tlsh"), "");
    fake_fini(&report);
}

/* Longer than a block, and of a length that is no multiple of one: as much as the digest of the whole. */
static void more_than_a_block(void **state)
{
    const size_t len = (1U << 18) * 3 + 17;
    char *bytes = calloc(1, len);
    struct fake_report report;

    assert_non_null(bytes);
    memset(bytes, 'a', len);
    fake_scan(&ps_engine_entry, *state, bytes, len, "/tmp", &report);
    assert_int_equal(report.outcome, PS_FOUND_DESCRIBED);
    assert_string_equal(text_of(&report, "md5"), "0b53837a4dcb2c49614c9c8c3dfd78f0");
    fake_fini(&report);
    free(bytes);
}

/* Bytes that are not the sample, or not all of it, are a failure. */
static void not_the_sample(void **state)
{
    struct fake_report fake = {.traits = json_object()};
    struct ps_engine_report report = fake_table(&fake);
    uint8_t other[32] = {1};
    struct ps_engine_sample sample = {
        .fd = memfd_create("sample", MFD_CLOEXEC), .size = 3, .sha256 = other, .type = "", .tmpdir = "/"};

    assert_int_equal(write(sample.fd, "ab", 2), 2);
    assert_int_equal(ps_engine_entry.scan(*state, &sample, &report), PS_FOUND_FAILURE);
    assert_non_null(strstr(fake.reason, "could not be read"));
    assert_int_equal(write(sample.fd, "c", 1), 1);
    assert_int_equal(ps_engine_entry.scan(*state, &sample, &report), PS_FOUND_FAILURE);
    assert_non_null(strstr(fake.reason, "SHA-256"));
    (void)close(sample.fd);
    fake_fini(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(tlsh),
        cmocka_unit_test(more_than_a_block),
        cmocka_unit_test(not_the_sample),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
