/* A main for fuzz targets where no libFuzzer is linked: runs the target over every file of the directories
 * and over the files given, then over seeded mutations of them for a bounded time. What fails once fails
 * again: the seed is fixed, and the input that was running is written to the file named by PS_FUZZ_CRASH,
 * when that is set. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define INPUT_BYTES_MAX (1024 * 1024) /* larger corpus files are refused */
#define INPUTS_MAX      4096          /* files in all; more are refused */
#define MUTANT_BYTES    4096          /* mutations are made of the first so many bytes */
#define MUTANTS_MAX     20000         /* runs */
#define MUTANTS_MS      2000          /* whichever comes first */
#define CLOCK_EVERY     64            /* runs between looks at the clock */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct ps_buf inputs[INPUTS_MAX];
static size_t inputs_n;
static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* An exact copy on the heap, so that a read one byte beyond it is caught. */
static void run(const uint8_t *data, size_t len)
{
    PS_FREE uint8_t *exact = malloc(len > 0 ? len : 1);
    const char *crash = getenv("PS_FUZZ_CRASH");

    if (!exact)
        abort();
    if (len > 0)
        memcpy(exact, data, len);
    if (crash && ps_file_replace(crash, exact, len, 0600))
        (void)fprintf(stderr, "can't write %s\n", crash);
    (void)LLVMFuzzerTestOneInput(exact, len); /* its value is for libFuzzer */
}

static int add_file(const char *path)
{
    struct ps_buf *input = &inputs[inputs_n];

    if (inputs_n == INPUTS_MAX)
        return -1;
    ps_buf_init(input, INPUT_BYTES_MAX);
    inputs_n++;
    return ps_file_read(path, input);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sorted, so that every run draws the same mutations. A directory that is not there is an empty corpus. */
static int add_directory(const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, by_name), rc = 0;

    for (int i = 0; i < n; i++) {
        PS_FREE char *file = ps_strf("%s/%s", path, names[i]->d_name);

        if (names[i]->d_name[0] != '.' && rc == 0)
            rc = file ? add_file(file) : -1;
        free(names[i]);
    }
    free(names);
    return rc;
}

static size_t mutate(uint8_t *out, size_t len)
{
    static const uint8_t odd[] = {0,    1,    0x7f, 0x80, 0xc0, 0xc1, 0xd9,
                                  0xda, 0xdb, 0xdc, 0xdd, 0xdf, 0xfe, 0xff};

    for (uint64_t edits = 1 + draw(6); edits > 0; edits--) {
        size_t at = len > 0 ? draw(len) : 0, other = len > 0 ? draw(len) : 0;
        size_t n = len > 0 ? 1 + draw(PS_MIN(len - PS_MAX(at, other), (size_t)32)) : 0;

        switch (draw(6)) {
        case 0: /* flip a bit */
            if (len > 0)
                out[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 1: /* an odd byte */
            if (len > 0)
                out[at] = odd[draw(sizeof(odd))];
            break;
        case 2: /* cut the end */
            len = len > 0 ? draw(len + 1) : 0;
            break;
        case 3: /* put a byte in */
            if (len < MUTANT_BYTES) {
                memmove(out + at + 1, out + at, len - at);
                out[at] = (uint8_t)draw(256);
                len++;
            }
            break;
        case 4: /* copy a piece over another */
            memmove(out + at, out + other, n);
            break;
        default: /* take a byte out */
            if (len > 0)
                memmove(out + at, out + at + 1, --len - at);
            break;
        }
    }
    return len;
}

static size_t run_mutants(void)
{
    uint64_t end_ms = ps_clock_mono_ms() + MUTANTS_MS;
    uint8_t mutant[MUTANT_BYTES];
    size_t n;

    for (n = 0; n < MUTANTS_MAX && (n % CLOCK_EVERY || ps_clock_mono_ms() < end_ms); n++) {
        const struct ps_buf *parent = &inputs[draw(inputs_n)];
        size_t len = PS_MIN(parent->len, (size_t)MUTANT_BYTES);

        if (len > 0)
            memcpy(mutant, parent->data, len);
        run(mutant, mutate(mutant, len));
    }
    return n;
}

int main(int argc, char **argv)
{
    struct stat st;
    size_t mutants;

    if (LLVMFuzzerInitialize)
        (void)LLVMFuzzerInitialize(&argc, &argv); /* always 0, by libFuzzer's contract */
    ps_buf_init(&inputs[inputs_n++], 0);          /* the empty input is always there */
    for (int i = 1; i < argc; i++) {
        bool is_file = stat(argv[i], &st) == 0 && S_ISREG(st.st_mode);

        if (is_file ? add_file(argv[i]) : add_directory(argv[i])) {
            (void)fprintf(stderr, "can't read %s (limit %d bytes a file, %d files)\n", argv[i],
                          INPUT_BYTES_MAX, INPUTS_MAX);
            return 1;
        }
    }
    for (size_t i = 0; i < inputs_n; i++)
        run(inputs[i].data, inputs[i].len);
    mutants = run_mutants();
    (void)printf("%zu inputs, %zu mutations\n", inputs_n, mutants);
    for (size_t i = 0; i < inputs_n; i++)
        ps_buf_fini(&inputs[i]);
    return 0;
}
