/* tests/unit/engine_clamav.c: the clamav engine, called directly. Needs Debian's clamav-testfiles for two tests. */
#include "unit.h"

#include "engines/clamav/definitions.h"
#include "engines/clamav/names.h"
#include "tests/unit/engine_fake.h"

#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <sys/wait.h>

#define TESTFILES   "/usr/share/clamav-testfiles"
#define TESTFILES_N 44
#define CHILDREN    4

static void *open_engine(struct fake_conf *conf)
{
    char err[256] = "";
    void *engine = NULL;

    if (ps_engine_entry.open(&conf->conf, &engine, err, sizeof(err)))
        fail_msg("%s", err);
    return engine;
}

static enum ps_found scan(void *engine, const void *bytes, size_t len, const char *tmpdir,
                          char ret_label[256], char ret_reason[512])
{
    struct fake_report report;

    fake_scan(&ps_engine_entry, engine, bytes, len, tmpdir, &report);
    if (ret_label)
        (void)snprintf(ret_label, 256, "%s", report.findings_n ? report.findings[0].label : "");
    if (ret_reason)
        (void)snprintf(ret_reason, 512, "%s", report.reason);
    fake_fini(&report);
    return report.outcome;
}

/* The bundled set knows EICAR, finds nothing in plain text and nothing, and says that its silence does not count. */
static void bundled_set(void **state)
{
    char label[256], reason[512], sample[80];
    struct ps_engine_info info = {0};
    struct fake_conf conf;
    void *engine;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_int_equal(info.signatures, 4);
    assert_false(info.silence_counts);
    assert_non_null(strstr(info.note, "test signatures"));
    assert_true(info.built_at > 0);
    assert_int_equal(strlen(info.definitions), 16);

    assert_int_equal(scan(engine, sample, fake_eicar(sample), *state, label, reason), PS_FOUND_MALICIOUS);
    assert_string_equal(label, "Eicar-Test-Signature.UNOFFICIAL");
    assert_int_equal(scan(engine, "hello\n", 6, *state, label, reason), PS_FOUND_UNDETECTED);
    assert_string_equal(label, "");
    assert_string_equal(reason, "");
    assert_int_equal(scan(engine, "", 0, *state, label, reason), PS_FOUND_UNDETECTED);
    ps_engine_entry.close(engine);
}

/* Encrypted is incomplete and says so, not malicious and not clean. */
static void encrypted_zip(void **state)
{
    static const uint8_t zip[] =
        "PK\3\4\24\0\1\0\0\0\0\0\41\0\1\2\3\4\20\0\0\0\4\0\0\0\1\0\0\0s"
        "0123456789abcdef"
        "PK\1\2\24\0\24\0\1\0\0\0\0\0\41\0\1\2\3\4\20\0\0\0\4\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0s"
        "PK\5\6\0\0\0\0\1\0\1\0\57\0\0\0\57\0\0\0\0\0";
    char label[256], reason[512];
    struct fake_conf conf;
    void *engine;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    assert_int_equal(scan(engine, zip, sizeof(zip) - 1, *state, label, reason), PS_FOUND_INCOMPLETE);
    assert_string_equal(label, "Heuristics.Encrypted.Zip");
    assert_non_null(strstr(reason, "encrypted"));
    ps_engine_entry.close(engine);
}

/* A stored part of one byte in a ZIP, with what its headers say of method and sizes. */
static size_t make_zip(uint8_t zip[128], uint8_t method, uint32_t local_size, uint32_t size)
{
    static const uint8_t local[31] = "PK\3\4\24\0\0\0", entry[47] = "PK\1\2\24\0\24\0\0\0",
                         end[22] = "PK\5\6";
    uint8_t *at = zip;

    memcpy(at, local, sizeof(local));
    at[8] = method;
    at[18] = 1;
    memcpy(at + 22, &local_size, sizeof(local_size)); /* the tests' machines are little endian, as ZIP is */
    at[26] = 1;
    at[30] = 'n';
    at += sizeof(local);
    *at++ = 'x';
    memcpy(at, entry, sizeof(entry));
    at[10] = method;
    at[20] = 1;
    memcpy(at + 24, &size, sizeof(size));
    at[28] = 1;
    at[46] = 'n';
    at += sizeof(entry);
    memcpy(at, end, sizeof(end));
    at[8] = at[10] = 1;
    at[12] = sizeof(entry);
    at[16] = sizeof(local) + 1;
    return (size_t)(at - zip) + sizeof(end);
}

/* libclamav passes over parts of a ZIP in silence: we don't. Also when the ZIP stands behind something else. */
static void zip_parts_passed_over(void **state)
{
    char label[256], reason[512];
    struct fake_conf conf;
    uint8_t zip[128], behind[160] = "something in front";
    void *engine;
    size_t n;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    conf.settings[0] = "max_filesize=1M";
    engine = open_engine(&conf);
    n = make_zip(zip, 0, 1, 1);
    assert_int_equal(scan(engine, zip, n, *state, label, reason), PS_FOUND_UNDETECTED);
    n = make_zip(zip, 14, 1, 1);
    assert_int_equal(scan(engine, zip, n, *state, label, reason), PS_FOUND_INCOMPLETE);
    assert_non_null(strstr(reason, "method"));
    memcpy(behind + 32, zip, n);
    assert_int_equal(scan(engine, behind, n + 32, *state, label, reason), PS_FOUND_INCOMPLETE);
    n = make_zip(zip, 0, UINT32_MAX, 1);
    assert_int_equal(scan(engine, zip, n, *state, label, reason), PS_FOUND_INCOMPLETE);
    assert_non_null(strstr(reason, "ZIP64"));
    n = make_zip(zip, 8, 2 << 20, 2 << 20);
    assert_int_equal(scan(engine, zip, n, *state, label, reason), PS_FOUND_INCOMPLETE);
    ps_engine_entry.close(engine);
}

/* Over a limit is incomplete: libclamav's from a setting, and the border of 2 GiB that it has anyway. */
static void over_a_limit(void **state)
{
    struct ps_engine_sample huge = {.fd = -1, .size = (uint64_t)INT_MAX + 1, .type = "", .tmpdir = *state};
    struct fake_report fake = {.traits = NULL};
    struct ps_engine_report report = fake_table(&fake);
    char label[256], reason[512], *big = calloc(1, 4096);
    struct fake_conf conf;
    void *engine;

    assert_non_null(big);
    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    conf.settings[0] = "max_filesize=1k";
    engine = open_engine(&conf);
    assert_int_equal(scan(engine, big, 4096, *state, label, reason), PS_FOUND_INCOMPLETE);
    assert_string_equal(label, "Heuristics.Limits.Exceeded.MaxFileSize");
    assert_non_null(strstr(reason, "max_filesize"));
    assert_int_equal(scan(engine, big, 512, *state, label, reason), PS_FOUND_UNDETECTED);
    assert_int_equal(ps_engine_entry.scan(engine, &huge, &report), PS_FOUND_INCOMPLETE);
    assert_non_null(strstr(fake.reason, "2 GiB"));
    ps_engine_entry.close(engine);
    free(big);
}

/* libclamav calls everything clean when it has no temporary directory. We don't. */
static void no_temporary_directory(void **state)
{
    char label[256], reason[512], sample[80], gone[UNIT_PATH_MAX];
    struct fake_conf conf;
    void *engine;

    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    unit_path(gone, *state, "gone");
    assert_int_not_equal(scan(engine, "hello\n", 6, gone, label, reason), PS_FOUND_UNDETECTED);
    assert_int_not_equal(scan(engine, sample, fake_eicar(sample), gone, label, reason), PS_FOUND_UNDETECTED);
    assert_non_null(strstr(reason, "temporary directory"));
    ps_engine_entry.close(engine);
}

/* Debian's libclamav can't open RAR, and says nothing about it. Twice, for its cache must not hide it. */
static void rar_without_unrar(void **state)
{
    static const char rar[] = "Rar!\x1a\x07\x00\xcf\x90\x73\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00";
    char label[256], reason[512];
    struct fake_conf conf;
    glob_t found;
    void *engine;
    bool there = !glob("/usr/lib/*/libclamunrar_iface.so*", 0, NULL, &found);

    globfree(&found);
    if (there)
        skip();
    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(scan(engine, rar, sizeof(rar) - 1, *state, label, reason), PS_FOUND_INCOMPLETE);
        assert_non_null(strstr(reason, "RAR"));
    }
    ps_engine_entry.close(engine);
}

/* A set of the site's own counts; its version follows its bytes; without signatures silence says nothing. */
static void sets_and_versions(void **state)
{
    struct ps_engine_info info = {0};
    struct fake_conf conf;
    char first[64];
    void *engine;

    fake_write(*state, "README", "not a signature");
    fake_conf_init(&conf, *state, *state);
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_int_equal(info.signatures, 0);
    assert_string_equal(info.definitions, "");
    assert_false(info.silence_counts);
    assert_non_null(strstr(info.note, "no signatures"));
    ps_engine_entry.close(engine);

    fake_write(*state, "a.hdb", "5d41402abc4b2a76b9719d911017c592:5:Test.Hello\n");
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_int_equal(info.signatures, 1);
    assert_true(info.silence_counts);
    (void)snprintf(first, sizeof(first), "%s", info.definitions);
    ps_engine_entry.close(engine);

    fake_write(*state, "a.hdb", "5d41402abc4b2a76b9719d911017c592:5:Test.Hellp\n");
    engine = open_engine(&conf);
    ps_engine_entry.info(engine, &info);
    assert_string_not_equal(info.definitions, first);
    ps_engine_entry.close(engine);
}

/* Databases with a header give their versions and times; what has none is hashed beside them. */
static void versions_of_databases(void **state)
{
    struct ps_clamav_definitions definitions;
    char err[256], head[513];

    (void)snprintf(head, sizeof(head), "%-512s",
                   "ClamAV-VDB:01 Jan 2026 08-00 +0000:27800:10:90:md5:dsig:b:1767254400");
    fake_write(*state, "daily.cvd", head);
    (void)snprintf(head, sizeof(head), "%-512s",
                   "ClamAV-VDB:01 Jan 2020 08-00 +0000:62:10:90:md5:dsig:b:1577865600");
    fake_write(*state, "main.cld", head);
    assert_int_equal(ps_clamav_definitions_read(&definitions, *state, err, sizeof(err)), 0);
    assert_int_equal(definitions.files, 2);
    assert_true(definitions.official);
    assert_string_equal(definitions.version, "daily-27800 main-62");
    assert_int_equal(definitions.built_at, 1767254400);

    fake_write(*state, "site.hdb", "5d41402abc4b2a76b9719d911017c592:5:Test.Hello\n");
    assert_int_equal(ps_clamav_definitions_read(&definitions, *state, err, sizeof(err)), 0);
    assert_true(definitions.official);
    assert_true(!strncmp(definitions.version, "daily-27800 main-62 ", 20));
    assert_int_equal(strlen(definitions.version), 36);
    assert_true(definitions.built_at > 1767254400);

    fake_write(*state, "daily.cvd", "no header");
    assert_int_equal(ps_clamav_definitions_read(&definitions, *state, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "daily.cvd"));
}

/* What does not load, or is set to nonsense, is said in one sentence that names it. */
static void refusals(void **state)
{
    static const char *const bad[] = {"max_files=many", "max_recursion=1000", "allmatch=maybe",
                                      "cache_off=2"};
    struct fake_conf conf;
    char err[256];
    void *engine;

    fake_write(*state, "broken.ndb", "this is no signature\n");
    fake_conf_init(&conf, *state, *state);
    assert_int_equal(ps_engine_entry.open(&conf.conf, &engine, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "Malformed"));
    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        conf.settings[0] = bad[i];
        assert_int_equal(ps_engine_entry.open(&conf.conf, &engine, err, sizeof(err)), -1);
        assert_non_null(strstr(err, "setting "));
    }
}

/* With allmatch every name comes, once; without it one does. */
static void all_matches(void **state)
{
    char sample[80];
    struct fake_report report;
    struct fake_conf conf;
    size_t len = fake_eicar(sample);
    void *engine;

    fake_write(*state, "a.hsb",
               "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f:68:Test.One\n");
    fake_write(*state, "b.hdb", "44d88612fea8a8f36de82e1278abb02f:68:Test.Two\n");
    fake_write(*state, "c.ndb", "Test.Three:0:0:58354f2150254041505b345c505a5835\n");
    for (int all = 0; all < 2; all++) {
        fake_conf_init(&conf, *state, *state);
        conf.settings[0] = all ? "allmatch=yes" : NULL;
        engine = open_engine(&conf);
        fake_scan(&ps_engine_entry, engine, sample, len, *state, &report);
        assert_int_equal(report.outcome, PS_FOUND_MALICIOUS);
        if (all)
            assert_true(report.findings_n >= 2);
        else
            assert_int_equal(report.findings_n, 1);
        for (size_t i = 1; i < report.findings_n; i++)
            assert_string_not_equal(report.findings[i].label, report.findings[0].label);
        fake_fini(&report);
        ps_engine_entry.close(engine);
    }
}

static void meanings(void **state)
{
    static const struct {
        const char *name;
        enum ps_found what;
    } cases[] = {
        {"Eicar-Test-Signature", PS_FOUND_MALICIOUS},
        {"Heuristics.W32.Parite.B", PS_FOUND_MALICIOUS},
        {"Heuristics.Exploit.W32.MS05-002", PS_FOUND_MALICIOUS},
        {"Heuristics.Limits.Exceeded.MaxFiles", PS_FOUND_INCOMPLETE},
        {"Heuristics.Limits.Exceeded.SomethingNew", PS_FOUND_INCOMPLETE},
        {"Heuristics.Encrypted.PDF", PS_FOUND_INCOMPLETE},
        {"Heuristics.Phishing.Email.SpoofedDomain", PS_FOUND_SUSPICIOUS},
        {"PUA.Win.Packer.Upx", PS_FOUND_SUSPICIOUS},
        {"", PS_FOUND_MALICIOUS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(ps_clamav_meaning(cases[i].name)->what, cases[i].what);
}

/* The descriptors of all of clamav-testfiles; skips the test where they are not installed. */
static size_t open_testfiles(int fds[TESTFILES_N])
{
    DIR *dir = opendir(TESTFILES);
    struct dirent *entry;
    size_t n = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)) && n < TESTFILES_N)
        if (entry->d_name[0] != '.') {
            fds[n] = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
            assert_true(fds[n++] >= 0);
        }
    assert_int_equal(closedir(dir), 0);
    return n;
}

static size_t count_malicious(void *engine, const int *fds, size_t n, size_t first, const char *tmpdir)
{
    struct fake_report report;
    size_t hits = 0;

    for (size_t i = 0; i < n; i++) {
        fake_scan_fd(&ps_engine_entry, engine, fds[(first + i) % n], tmpdir, &report);
        hits += report.outcome == PS_FOUND_MALICIOUS;
        fake_fini(&report);
    }
    return hits;
}

/* The fork trap: four children of one loaded engine, all files in each, at once, in directories of their own. */
static void children_miss_nothing(void **state)
{
    char dirs[CHILDREN][UNIT_PATH_MAX], err[256];
    int fds[TESTFILES_N], status;
    size_t n = open_testfiles(fds), hits = 0;
    pid_t pids[CHILDREN];
    struct fake_conf conf;
    void *engine;

    if (!n)
        skip();
    fake_conf_init(&conf, ENGINE_SIGNATURES, *state);
    engine = open_engine(&conf);
    assert_int_equal(ps_engine_entry.warm(engine, err, sizeof(err)), 0);
    for (size_t c = 0; c < CHILDREN; c++) {
        (void)snprintf(dirs[c], sizeof(dirs[c]), "%s/%zu", (char *)*state, c);
        assert_int_equal(mkdir(dirs[c], 0700), 0);
        pids[c] = fork();
        assert_true(pids[c] >= 0);
        if (pids[c])
            continue;
        if (ps_engine_entry.enter(engine, dirs[c], err, sizeof(err)))
            _exit(255);
        /* Each has its own place to start, and its own descriptors: pread and maps share no offset. */
        _exit((int)count_malicious(engine, fds, n, c * n / CHILDREN, dirs[c]));
    }
    for (size_t c = 0; c < CHILDREN; c++) {
        assert_int_equal(waitpid(pids[c], &status, 0), pids[c]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), n);
        hits += (size_t)WEXITSTATUS(status);
    }
    assert_int_equal(n, TESTFILES_N);
    assert_int_equal(hits, CHILDREN * TESTFILES_N);
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
    ps_engine_entry.close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bundled_set, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(encrypted_zip, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(zip_parts_passed_over, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(over_a_limit, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(no_temporary_directory, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(rar_without_unrar, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(sets_and_versions, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(versions_of_databases, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(refusals, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(all_matches, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test(meanings),
        cmocka_unit_test_setup_teardown(children_miss_nothing, unit_setup_dir, unit_teardown_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
