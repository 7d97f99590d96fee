#include "tests/unit/unit.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#define MANY (64 * 1024 * 2 + 17) /* more than two reads of ps_sha256_fd */

static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void assert_digest(const uint8_t digest[32], const char *expected)
{
    char hex[PS_SHA256_HEX];

    ps_hex_encode(hex, digest, 32);
    assert_string_equal(hex, expected);
}

static void one_shot_matches_fips_180_4(void **state)
{
    uint8_t digest[32];

    assert_int_equal(ps_sha256(digest, "abc", 3), 0);
    assert_digest(digest, abc_hex);
    assert_int_equal(ps_sha256(digest, NULL, 0), 0);
    assert_digest(digest, empty_hex);
}

static void pieces_give_the_same_digest_and_final_starts_afresh(void **state)
{
    PS_CLEANUP(ps_sha256_free) struct ps_sha256 *hash = NULL;
    uint8_t digest[32];

    assert_int_equal(ps_sha256_new(&hash), 0);
    for (int round = 0; round < 2; round++) {
        ps_sha256_update(hash, "a", 1);
        ps_sha256_update(hash, NULL, 0);
        ps_sha256_update(hash, "bc", 2);
        ps_sha256_final(hash, digest);
        assert_digest(digest, abc_hex);
    }
    ps_sha256_final(hash, digest);
    assert_digest(digest, empty_hex);
}

static void file_is_hashed_whole_and_its_offset_stays(void **state)
{
    PS_FREE uint8_t *data = malloc(MANY);
    uint8_t by_file[32], by_memory[32];
    PS_CLOSE int fd = -1;
    uint64_t size;

    for (size_t i = 0; i < MANY; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(ps_file_memfd("unit", data, MANY, &fd), 0);
    assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
    assert_int_equal(ps_sha256_fd(by_file, &size, fd), 0);
    assert_int_equal(size, MANY);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    assert_int_equal(ps_sha256(by_memory, data, MANY), 0);
    assert_memory_equal(by_file, by_memory, 32);
    assert_int_equal(ps_sha256_fd(by_file, NULL, fd), 0);
}

static void what_can_not_be_read_is_an_error(void **state)
{
    uint8_t digest[32];
    int fds[2];

    assert_int_equal(ps_sha256_fd(digest, NULL, -1), PS_ERR_IO);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ps_sha256_fd(digest, NULL, fds[0]), PS_ERR_IO);
    ps_close_fd_p(&fds[0]);
    ps_close_fd_p(&fds[1]);
}

static void table_hash_is_stable_within_the_process(void **state)
{
    assert_true(ps_hash64("abc", 3) == ps_hash64("abc", 3));
    assert_true(ps_hash64("abc", 3) != ps_hash64("abd", 3));
    assert_true(ps_hash64("abc", 3) != ps_hash64("abc", 2));
    assert_true(ps_hash64(NULL, 0) == ps_hash64("x", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_shot_matches_fips_180_4),
        cmocka_unit_test(pieces_give_the_same_digest_and_final_starts_afresh),
        cmocka_unit_test(file_is_hashed_whole_and_its_offset_stays),
        cmocka_unit_test(what_can_not_be_read_is_an_error),
        cmocka_unit_test(table_hash_is_stable_within_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
