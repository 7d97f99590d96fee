/* Packs: the exact bytes of a batch, and files that change, vanish, are large or have odd names. */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "cli/submit/pack.h"

static json_t *common;
static struct ps_pack_options options;

static int group_setup(void **state)
{
    (void)state;
    common = json_pack("{s:s, s:[s,s]}", "priority", "batch", "tags", "a", "b");
    options = (struct ps_pack_options){.batch = "cli-1", .common = common};
    return common ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    json_decref(common);
    return 0;
}

/* One file of a body, as a server would read it. */
struct part {
    json_t *header;
    const uint8_t *data;
    size_t len;
};

/* Takes a body apart. The caller frees the headers. */
static size_t parse(const struct ps_buf *body, struct part *parts, size_t max)
{
    const uint8_t *at = body->data, *end = body->data + body->len;
    size_t n = 0;

    while (at < end) {
        uint32_t len;

        assert_true(n < max && end - at >= 4);
        len = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        at += 4;
        assert_true(len < 65536 && len <= (size_t)(end - at));
        parts[n].header = json_loadb((const char *)at, len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(parts[n].header);
        at += len;
        assert_int_equal(json_integer_value(json_object_get(parts[n].header, "n")), n);
        parts[n].len = (size_t)json_integer_value(json_object_get(parts[n].header, "size"));
        assert_true(parts[n].len <= (size_t)(end - at));
        parts[n].data = at;
        at += parts[n].len;
        n++;
    }
    return n;
}

static const char *field(const struct part *part, const char *key)
{
    const char *text = json_string_value(json_object_get(part->header, key));

    return text ? text : "(none)";
}

static const char *make_file(char path[UNIT_PATH_MAX], const char *dir, const char *name, const void *data,
                             size_t len)
{
    assert_int_equal(ps_file_replace(unit_path(path, dir, name), data, len, 0600), 0);
    return path;
}

static int add(struct ps_pack *pack, const char *path, struct ps_error *why)
{
    struct stat st = {0};

    (void)stat(path, &st);
    const struct ps_walk_file file = {
        .path = path, .size = (uint64_t)st.st_size, .mtime_ns = ps_walk_mtime_ns(&st)};
    return ps_pack_add(pack, &options, &file, why);
}

static struct ps_pack *fresh(void)
{
    struct ps_pack *pack = ps_pack_new("cli-1-key");

    assert_non_null(pack);
    assert_string_equal(pack->key, "cli-1-key");
    return pack;
}

/* Header and bytes of each file, in order, and nothing else. */
static void body_parses_back(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    char path[UNIT_PATH_MAX];
    uint8_t binary[1000];
    struct part parts[4];

    for (size_t i = 0; i < sizeof(binary); i++)
        binary[i] = (uint8_t)(i * 7);
    assert_int_equal(add(pack, make_file(path, *state, "one", "hello", 5), NULL), 0);
    assert_int_equal(add(pack, make_file(path, *state, "empty", "", 0), NULL), 0);
    assert_int_equal(add(pack, make_file(path, *state, "binary", binary, sizeof(binary)), NULL), 0);
    assert_int_equal(pack->n, 3);
    assert_int_equal(pack->bytes, 1005);

    assert_int_equal(parse(&pack->body, parts, 4), 3);
    assert_string_equal(field(&parts[0], "name"), "one");
    assert_string_equal(field(&parts[0], "batch"), "cli-1");
    assert_string_equal(field(&parts[0], "priority"), "batch");
    assert_int_equal(json_array_size(json_object_get(parts[0].header, "tags")), 2);
    assert_string_equal(field(&parts[0], "source_path"), unit_path(path, *state, "one"));
    assert_memory_equal(parts[0].data, "hello", 5);
    assert_int_equal(parts[1].len, 0);
    assert_memory_equal(parts[2].data, binary, sizeof(binary));
    for (int i = 0; i < 3; i++)
        json_decref(parts[i].header);
}

/* The same file gives the same body, so that it may be repeated under its key. */
static void repeats_exactly(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *a = fresh();
    PS_CLEANUP(ps_pack_free) struct ps_pack *b = fresh();
    char path[UNIT_PATH_MAX];

    (void)make_file(path, *state, "x", "bytes", 5);
    assert_int_equal(add(a, path, NULL), 0);
    assert_int_equal(add(b, path, NULL), 0);
    assert_int_equal(a->body.len, b->body.len);
    assert_memory_equal(a->body.data, b->body.data, a->body.len);
    assert_memory_equal(a->files[0].key, b->files[0].key, PS_SEEN_KEY);
}

/* Names that are no UTF-8 or hold control characters go as text that can be told back by eye. */
static void odd_names(void **state)
{
    static const char *const names[] = {"new\nline", "<script>alert(1)<script>", "bad\xff\xc3(utf8",
                                        "\"quoted\\"};
    static const char *const clean[] = {"new\nline", "<script>alert(1)<script>", "bad\\xff\\xc3(utf8",
                                        "\"quoted\\"};
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    struct part parts[4];
    char path[UNIT_PATH_MAX];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(add(pack, make_file(path, *state, names[i], "x", 1), NULL), 0);
    assert_int_equal(parse(&pack->body, parts, 4), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(field(&parts[i], "name"), clean[i]);
        json_decref(parts[i].header);
    }
}

/* A path of nearly PATH_MAX bytes, none of them UTF-8: cut where the server would refuse it, between characters. */
static void longest_path(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    char path[4096], part[256];
    struct part parts[1];
    int here = open(".", O_RDONLY | O_DIRECTORY);

    assert_int_equal(chdir(*state), 0);
    memset(part, '\xff', 250);
    part[250] = '\0';
    size_t n = (size_t)snprintf(path, sizeof(path), "%s", (char *)*state);
    while (n + 252 < sizeof(path) - 60) {
        assert_int_equal(mkdir(part, 0700), 0);
        assert_int_equal(chdir(part), 0);
        n += (size_t)snprintf(path + n, sizeof(path) - n, "/%s", part);
    }
    n += (size_t)snprintf(path + n, sizeof(path) - n, "/file");
    int fd = open("file", O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    (void)close(fd);

    assert_int_equal(add(pack, path, NULL), 0);
    assert_int_equal(parse(&pack->body, parts, 1), 1);
    const char *source = field(&parts[0], "source_path");
    assert_true(strlen(source) <= PS_PACK_PATH_BYTES);
    assert_true(strlen(source) > PS_PACK_PATH_BYTES - 4);
    assert_true(ps_utf8_valid(source, strlen(source)));
    assert_string_equal(field(&parts[0], "name"), "file");
    json_decref(parts[0].header);
    assert_int_equal(fchdir(here), 0);
    (void)close(here);
}

/* A file that has vanished, or is no file any more, is said to be so; the pack stays as it was. */
static void vanished(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    struct ps_error why = {0};
    char path[UNIT_PATH_MAX];

    assert_int_equal(add(pack, unit_path(path, *state, "gone"), &why), PS_ERR_NOTFOUND);
    assert_string_equal(why.text, "it has vanished");
    assert_int_equal(mkfifo(unit_path(path, *state, "fifo"), 0600), 0);
    assert_int_equal(add(pack, path, &why), PS_ERR_INVALID);
    assert_string_equal(why.text, "it is not a regular file any more");
    assert_int_equal(add(pack, *state, &why), PS_ERR_INVALID);
    assert_int_equal(pack->n, 0);
    assert_int_equal(pack->body.len, 0);
}

/* What is read is what is there now, whatever the walk has seen; the key is of what the walk has seen, so that a later
 * sweep takes the file again. */
static void grown_since_the_walk(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    char path[UNIT_PATH_MAX];
    uint8_t key[PS_SEEN_KEY];
    struct part parts[1];

    (void)make_file(path, *state, "log", "twelve bytes", 12);
    const struct ps_walk_file file = {.path = path, .size = 3, .mtime_ns = 9};
    assert_int_equal(ps_pack_add(pack, &options, &file, NULL), 0);
    assert_int_equal(parse(&pack->body, parts, 1), 1);
    assert_int_equal(parts[0].len, 12);
    json_decref(parts[0].header);
    ps_seen_key(key, path, 3, 9);
    assert_memory_equal(pack->files[0].key, key, sizeof(key));
}

static void make_sparse(const char *path, off_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(close(fd), 0);
}

/* A pack is full at a number of files and at a number of bytes; one file alone may be larger than that. */
static void limits(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *few = fresh();
    PS_CLEANUP(ps_pack_free) struct ps_pack *many = fresh();
    char small[UNIT_PATH_MAX], large[UNIT_PATH_MAX], huge[UNIT_PATH_MAX];

    (void)make_file(small, *state, "small", "x", 1);
    make_sparse(unit_path(large, *state, "large"), PS_PACK_SMALL);
    make_sparse(unit_path(huge, *state, "huge"), (off_t)PS_PACK_SMALL + 1);

    assert_int_equal(add(few, small, NULL), 0);
    assert_int_equal(add(few, large, NULL), PS_ERR_AGAIN);
    assert_int_equal(add(few, huge, NULL), PS_ERR_LIMIT);
    assert_int_equal(few->n, 1);

    for (int i = 0; i < PS_PACK_FILES; i++)
        assert_int_equal(add(many, small, NULL), 0);
    assert_int_equal(add(many, small, NULL), PS_ERR_AGAIN);
    ps_pack_free(&many);
    many = fresh();
    assert_int_equal(add(many, large, NULL), 0);
    assert_true(many->body.len <= PS_PACK_BYTES);
    assert_int_equal(add(many, small, NULL), PS_ERR_AGAIN);
}

/* A large file: announced by its size, read in chunks, the last one shorter. */
static void large_file(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    char path[UNIT_PATH_MAX];
    const struct ps_walk_file file = {.path = unit_path(path, *state, "big")};

    make_sparse(path, (off_t)PS_PACK_SMALL + 10);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "end", 3, (off_t)PS_PACK_SMALL + 7), 3);
    assert_int_equal(ps_pack_large(pack, &file, NULL), 0);
    assert_true(pack->large);
    assert_int_equal(ps_pack_announce(pack, &options), 0);
    json_t *header = json_loadb((const char *)pack->body.data, pack->body.len, 0, NULL);
    assert_non_null(header);
    assert_int_equal(json_integer_value(json_object_get(header, "size")), PS_PACK_SMALL + 10);
    assert_null(json_object_get(header, "n"));
    json_decref(header);

    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, NULL), 0);
    assert_int_equal(pack->body.len, PS_PACK_SMALL);
    pack->offset = PS_PACK_SMALL;
    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, NULL), 0);
    assert_int_equal(pack->body.len, 10);
    assert_memory_equal(pack->body.data + 7, "end", 3);
    pack->offset = PS_PACK_SMALL + 10;
    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, NULL), 0);
    assert_int_equal(pack->body.len, 0);
    pack->offset = UINT64_MAX; /* whatever a server says */
    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, NULL), 0);
    assert_int_equal(pack->body.len, 0);
    assert_false(ps_pack_changed(pack));

    /* It shrinks while it goes up. */
    assert_int_equal(ftruncate(fd, 100), 0);
    pack->offset = 0;
    struct ps_error why = {0};
    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, &why), PS_ERR_CONFLICT);
    assert_string_equal(why.text, "it changed while it was read");
    assert_true(ps_pack_changed(pack));
    (void)close(fd);
}

/* Written to in place, without another size: seen by its time. */
static void large_file_rewritten(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    char path[UNIT_PATH_MAX];
    const struct ps_walk_file file = {.path = unit_path(path, *state, "big")};
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};

    make_sparse(path, (off_t)PS_PACK_SMALL + 10);
    assert_int_equal(ps_pack_large(pack, &file, NULL), 0);
    assert_false(ps_pack_changed(pack));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(ps_pack_changed(pack));
}

static void spool(struct ps_pack *pack, const char *text, size_t repeat, uint64_t max, int want)
{
    char dir[] = "/tmp/ps-unit-spool-XXXXXX";
    char path[UNIT_PATH_MAX];
    struct ps_error why = {0};

    assert_non_null(mkdtemp(dir));
    int fd = open(unit_path(path, dir, "in"), O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < repeat; i++)
        assert_int_equal(ps_file_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(ps_pack_spool(pack, &options, "a/b/mail", fd, max, &why), want);
    if (want == PS_ERR_LIMIT)
        assert_string_equal(why.text, "standard input is longer than the limit of 10 bytes");
    (void)close(fd);
    assert_int_equal(ps_file_remove_tree(dir, true), 0);
}

/* Standard input: a small one is a batch of one file, which lies nowhere. */
static void small_input(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    struct part parts[1];

    (void)state;
    spool(pack, "from a pipe", 1, 1000, 0);
    assert_int_equal(pack->n, 1);
    assert_false(pack->large);
    assert_int_equal(parse(&pack->body, parts, 1), 1);
    assert_string_equal(field(&parts[0], "name"), "mail");
    assert_null(json_object_get(parts[0].header, "source_path"));
    assert_memory_equal(parts[0].data, "from a pipe", 11);
    json_decref(parts[0].header);
}

/* A large one goes up in chunks; one over the limit is not even spooled to its end. */
static void large_input(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    PS_CLEANUP(ps_pack_free) struct ps_pack *over = fresh();

    (void)state;
    spool(pack, "0123456789abcdef", PS_PACK_SMALL / 16 + 1, UINT64_MAX, 0);
    assert_true(pack->large);
    assert_int_equal(pack->files[0].size, PS_PACK_SMALL + 16);
    pack->offset = PS_PACK_SMALL;
    assert_int_equal(ps_pack_read_chunk(pack, PS_PACK_SMALL, NULL), 0);
    assert_memory_equal(pack->body.data, "0123456789abcdef", 16);
    assert_false(ps_pack_changed(pack));
    spool(over, "eleven char", 1, 10, PS_ERR_LIMIT);
}

static void on_alarm(int sig)
{
    (void)sig;
}

/* A signal ends the reading of a pipe that nobody writes to. */
static void interrupted_input(void **state)
{
    PS_CLEANUP(ps_pack_free) struct ps_pack *pack = fresh();
    const struct sigaction action = {.sa_handler = on_alarm};
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    (void)alarm(1);
    assert_int_equal(ps_pack_spool(pack, &options, "x", fds[0], 100, NULL), PS_ERR_CANCELLED);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(body_parses_back, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(repeats_exactly, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(odd_names, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(longest_path, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(vanished, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(grown_since_the_walk, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(limits, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(large_file, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test_setup_teardown(large_file_rewritten, unit_setup_dir, unit_teardown_dir),
        cmocka_unit_test(small_input),
        cmocka_unit_test(large_input),
        cmocka_unit_test(interrupted_input),
    };

    return sodium_init() < 0 ? 1
                             : cmocka_run_group_tests_name("cli_pack", tests, group_setup, group_teardown);
}
