/* engines/type/type.c: what a sample is: MIME type, description, encoding, likely extensions, entropy. Runs
 * before the other engines, whose filters want the type. */
#include "engines/kit/kit.h"

#include <magic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK_BYTES    (1U << 20) /* read at a time */
#define ENTROPY_BLOCKS 64U        /* of a larger file this many blocks are measured, evenly spread */
#define EXTENSIONS_MAX 8

enum cookie { MIME, DESCRIPTION, ENCODING, EXTENSION, COOKIES_N };

struct type {
    magic_t cookies[COOKIES_N]; /* one a question: changing flags would load the tables again */
    uint8_t *block;             /* BLOCK_BYTES */
    char version[16];
};

static const int flags[COOKIES_N] = {[MIME] = MAGIC_MIME_TYPE,
                                     [DESCRIPTION] = MAGIC_NONE,
                                     [ENCODING] = MAGIC_MIME_ENCODING,
                                     [EXTENSION] = MAGIC_EXTENSION};

static void type_close(void *engine)
{
    struct type *self = engine;

    if (!self)
        return;
    for (size_t i = 0; i < COOKIES_N; i++)
        if (self->cookies[i])
            magic_close(self->cookies[i]);
    free(self->block);
    free(self);
}

static int type_open(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    struct type *self = calloc(1, sizeof(*self));

    (void)conf;
    ps_kit_json_init();
    if (!self || !(self->block = malloc(BLOCK_BYTES))) {
        type_close(self);
        return ps_kit_fail(err, err_max, "no memory");
    }
    for (size_t i = 0; i < COOKIES_N; i++) {
        self->cookies[i] = magic_open(flags[i] | MAGIC_NO_CHECK_COMPRESS);
        if (self->cookies[i] && !magic_load(self->cookies[i], NULL))
            continue;
        (void)ps_kit_fail(err, err_max, "libmagic: %s",
                          self->cookies[i] ? magic_error(self->cookies[i]) : "no memory");
        type_close(self);
        return -1;
    }
    (void)ps_kit_fail(self->version, sizeof(self->version), "%d.%02d", magic_version() / 100,
                      magic_version() % 100);
    *ret_engine = self;
    return 0;
}

static void type_info(void *engine, struct ps_engine_info *ret_info)
{
    struct type *self = engine;

    ret_info->version = self->version;
    ret_info->definitions = "";
    ret_info->note = "";
    ret_info->silence_counts = true;
}

/* libmagic renders dates of documents: the time zone is read from a file at the first one. */
static int type_warm(void *engine, char *err, size_t err_max)
{
    static const char zip[] = "PK\003\004\024\0\0\0\0\0";
    struct type *self = engine;

    (void)err;
    (void)err_max;
    tzset();
    for (size_t i = 0; i < COOKIES_N; i++)
        (void)magic_buffer(self->cookies[i], zip, sizeof(zip)); /* only that it ran matters */
    return 0;
}

/* Counts the bytes of the file, or of ENTROPY_BLOCKS blocks spread over it. Returns how many, or -1. */
static int64_t count_bytes(struct type *self, const struct ps_engine_sample *sample, uint64_t counts[256])
{
    uint64_t blocks = (sample->size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    uint64_t n = blocks > ENTROPY_BLOCKS ? ENTROPY_BLOCKS : blocks;
    uint64_t total = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = blocks > n ? (sample->size - BLOCK_BYTES) / (n - 1) * i : i * BLOCK_BYTES;
        size_t len = sample->size - at < BLOCK_BYTES ? (size_t)(sample->size - at) : BLOCK_BYTES;

        if (ps_kit_read(sample->fd, at, self->block, len))
            return -1;
        for (size_t b = 0; b < len; b++)
            counts[self->block[b]]++;
        total += len;
    }
    return (int64_t)total;
}

/* Shannon's, in bits a byte: 0 for a constant, 8 for noise. */
static double entropy_of(const uint64_t counts[256], int64_t total)
{
    double bits = 0;

    for (size_t i = 0; i < 256 && total > 0; i++)
        if (counts[i]) {
            double share = (double)counts[i] / (double)total;

            bits -= share * log2(share);
        }
    return bits > 0 ? bits : 0; /* not -0 */
}

/* libmagic's answer is "ext/ext/ext", or "???" when it knows none. */
static json_t *extension_list(const char *text)
{
    json_t *list = json_array();
    char clean[64];

    for (size_t i = 0, n; list && text && *text && *text != '?' && i < EXTENSIONS_MAX; i++, text += n) {
        n = strcspn(text, "/");
        if (n && n < sizeof(clean)) {
            memcpy(clean, text, n);
            clean[n] = '\0';
            (void)json_array_append_new(list, json_string(clean)); /* a missing guess is no loss */
        }
        n += text[n] == '/';
    }
    return list;
}

/* From the descriptor and not from a buffer: without one libmagic can't follow an ELF, an OLE directory or an offset
 * from the end, and takes a Word document for nothing in particular. It reads 1 MiB of head at most, moves the offset
 * and puts it back: the descriptor has an open file description of its own, so nobody else sees that. */
static const char *ask(struct type *self, enum cookie which, const struct ps_engine_sample *sample)
{
    return magic_descriptor(self->cookies[which], sample->fd);
}

static void report_names(struct type *self, const struct ps_engine_sample *sample,
                         const struct ps_engine_report *report)
{
    const char *encoding = ask(self, ENCODING, sample), *description = ask(self, DESCRIPTION, sample);
    json_t *extensions = extension_list(ask(self, EXTENSION, sample));

    (void)ps_kit_trait_string(report, "description", description ? description : "data");
    if (encoding)
        (void)ps_kit_trait_string(report, "encoding", encoding);
    if (json_array_size(extensions))
        (void)ps_kit_trait(report, "extensions", json_incref(extensions));
    json_decref(extensions);
}

static enum ps_found type_scan(void *engine, const struct ps_engine_sample *sample,
                               const struct ps_engine_report *report)
{
    struct type *self = engine;
    uint64_t counts[256] = {0};
    char mime[PS_KIT_TEXT_MAX];
    const char *answer;
    int64_t total = count_bytes(self, sample, counts);

    if (total < 0) {
        report->reason(report->host, "the sample could not be read");
        return PS_FOUND_FAILURE;
    }
    /* file(1) names what has no bytes after the inode; libmagic calls it an application. */
    answer = sample->size ? ask(self, MIME, sample) : "inode/x-empty";
    if (!answer) {
        report->reason(report->host, "libmagic: %s", magic_error(self->cookies[MIME]));
        return PS_FOUND_FAILURE;
    }
    (void)ps_kit_text(mime, sizeof(mime), answer);
    report->type(report->host, mime);
    (void)ps_kit_trait_string(report, "mime", mime);
    report_names(self, sample, report);
    (void)ps_kit_trait(report, "entropy", json_real(entropy_of(counts, total)));
    if ((uint64_t)total < sample->size)
        (void)ps_kit_trait(report, "entropy_of_bytes", json_integer(total));
    return PS_FOUND_DESCRIBED;
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "type",
    .kind = PS_ENGINE_METADATA,
    .licence = "MPL-2.0 AND BSD-2-Clause",
    .run_ms = 30000,
    .open = type_open,
    .info = type_info,
    .warm = type_warm,
    .scan = type_scan,
    .close = type_close,
};
