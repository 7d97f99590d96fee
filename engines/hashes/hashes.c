/* engines/hashes/hashes.c: md5, sha1, sha256, ssdeep and TLSH of a sample, in one pass and a fixed piece of
 * memory. */
#include "engines/hashes/tlsh_shim.h"
#include "engines/kit/kit.h"

#include <fuzzy.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (1U << 18)

enum digest { MD5, SHA1, SHA256, DIGESTS_N };

static const char *const digest_names[DIGESTS_N] = {[MD5] = "md5", [SHA1] = "sha1", [SHA256] = "sha256"};

struct hashes {
    EVP_MD *kinds[DIGESTS_N]; /* fetched once: fetching reads openssl.cnf */
    EVP_MD_CTX *digests[DIGESTS_N];
    uint8_t *block; /* BLOCK_BYTES */
};

/* What one scan has under way besides the digests. */
struct similar {
    struct fuzzy_state *fuzzy;
    struct ps_tlsh *tlsh;
};

static void hashes_close(void *engine)
{
    struct hashes *self = engine;

    if (!self)
        return;
    for (size_t i = 0; i < DIGESTS_N; i++) {
        EVP_MD_CTX_free(self->digests[i]);
        EVP_MD_free(self->kinds[i]);
    }
    free(self->block);
    free(self);
}

static int hashes_open(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    struct hashes *self = calloc(1, sizeof(*self));
    bool ok = self && (self->block = malloc(BLOCK_BYTES));

    (void)conf;
    ps_kit_json_init();
    for (size_t i = 0; ok && i < DIGESTS_N; i++) {
        self->kinds[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
        self->digests[i] = EVP_MD_CTX_new();
        ok = self->kinds[i] && self->digests[i];
    }
    if (!ok) {
        hashes_close(self);
        return ps_kit_fail(err, err_max, "no memory, or a libcrypto without md5, sha1 or sha256");
    }
    *ret_engine = self;
    return 0;
}

static void hashes_info(void *engine, struct ps_engine_info *ret_info)
{
    (void)engine;
    ret_info->version = "1";
    ret_info->definitions = "";
    ret_info->note = "";
    ret_info->silence_counts = true;
}

/* These return NULL, or the sentence that says what went wrong. */

static const char *start(struct hashes *self, const struct ps_engine_sample *sample, struct similar *similar)
{
    similar->fuzzy = fuzzy_new();
    similar->tlsh = ps_tlsh_new();
    if (!similar->fuzzy || !similar->tlsh)
        return "no memory";
    for (size_t i = 0; i < DIGESTS_N; i++)
        if (!EVP_DigestInit_ex(self->digests[i], self->kinds[i], NULL))
            return "libcrypto does not start a digest";
    /* Saves the states of block sizes that this length can't end at. */
    return fuzzy_set_total_input_length(similar->fuzzy, sample->size) ? "too long for libfuzzy" : NULL;
}

static const char *feed(struct hashes *self, const struct ps_engine_sample *sample, struct similar *similar)
{
    size_t len;

    for (uint64_t at = 0; at < sample->size; at += len) {
        len = sample->size - at < BLOCK_BYTES ? (size_t)(sample->size - at) : BLOCK_BYTES;
        if (ps_kit_read(sample->fd, at, self->block, len))
            return "the sample could not be read";
        if (fuzzy_update(similar->fuzzy, self->block, len))
            return "libfuzzy gave up";
        for (size_t i = 0; i < DIGESTS_N; i++)
            if (!EVP_DigestUpdate(self->digests[i], self->block, len))
                return "libcrypto gave up";
        ps_tlsh_update(similar->tlsh, self->block, len);
    }
    return NULL;
}

static const char *report_digests(struct hashes *self, const struct ps_engine_sample *sample,
                                  const struct ps_engine_report *report)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned len = 0;

    for (size_t i = 0; i < DIGESTS_N; i++) {
        if (!EVP_DigestFinal_ex(self->digests[i], digest, &len))
            return "libcrypto gave up";
        if (i == SHA256 && sample->sha256 && memcmp(digest, sample->sha256, len) != 0)
            return "the bytes do not have the sample's SHA-256";
        for (unsigned b = 0; b < len; b++)
            (void)snprintf(hex + 2 * b, 3, "%02x", digest[b]);
        (void)ps_kit_trait_string(report, digest_names[i], hex);
    }
    return NULL;
}

static const char *report_similar(struct similar *similar, const struct ps_engine_report *report)
{
    char fuzzy[FUZZY_MAX_RESULT], tlsh[PS_TLSH_MAX];

    if (fuzzy_digest(similar->fuzzy, fuzzy, 0))
        return "libfuzzy gave up";
    (void)ps_kit_trait_string(report, "ssdeep", fuzzy);
    ps_tlsh_final(similar->tlsh, tlsh);
    if (*tlsh)
        (void)ps_kit_trait_string(report, "tlsh", tlsh);
    return NULL;
}

static enum ps_found hashes_scan(void *engine, const struct ps_engine_sample *sample,
                                 const struct ps_engine_report *report)
{
    struct hashes *self = engine;
    struct similar similar = {0};
    const char *wrong = start(self, sample, &similar);

    if (!wrong)
        wrong = feed(self, sample, &similar);
    if (!wrong)
        wrong = report_digests(self, sample, report);
    if (!wrong)
        wrong = report_similar(&similar, report);
    fuzzy_free(similar.fuzzy);
    ps_tlsh_free(similar.tlsh);
    if (wrong)
        report->reason(report->host, "%s", wrong);
    return wrong ? PS_FOUND_FAILURE : PS_FOUND_DESCRIBED;
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "hashes",
    .kind = PS_ENGINE_METADATA,
    .licence = "GPL-3.0-or-later",
    .run_ms = 60000,
    .open = hashes_open,
    .info = hashes_info,
    .scan = hashes_scan,
    .close = hashes_close,
};
