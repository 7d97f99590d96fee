/* tests/unit/engine_fake.h: a host for one engine, without processes: settings from a table, samples from memory,
 * and what was reported kept for looking at. For unit tests and for tests/flow/engine_try. */
#ifndef PS_TESTS_UNIT_ENGINE_FAKE_H
#define PS_TESTS_UNIT_ENGINE_FAKE_H

#include "engines/engine.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_FINDINGS_MAX 64
#define FAKE_SETTINGS_MAX 16
#define FAKE_FILES_MAX    16

/* What a scan reported. */
struct fake_report {
    enum ps_found outcome; /* what scan returned */
    size_t findings_n, refused_n;
    struct {
        enum ps_found what;
        char label[256];
    } findings[FAKE_FINDINGS_MAX];
    json_t *traits;      /* object */
    size_t bad_traits_n; /* that were no JSON */
    size_t files_n;
    struct {
        bool picture;
        char name[256], mime[128];
        void *data; /* owned */
        size_t len;
    } files[FAKE_FILES_MAX]; /* artifacts and pictures */
    char reason[512], type[256];
};

/* Settings as "key=value" texts, ended by NULL. */
struct fake_conf {
    struct ps_engine_conf conf;
    const char *settings[FAKE_SETTINGS_MAX];
};

static inline const char *fake_setting(const struct ps_engine_conf *self, const char *key)
{
    const struct fake_conf *fake = self->host;
    size_t len = strlen(key);

    for (size_t i = 0; i < FAKE_SETTINGS_MAX && fake->settings[i]; i++)
        if (!strncmp(fake->settings[i], key, len) && fake->settings[i][len] == '=')
            return fake->settings[i] + len + 1;
    return NULL;
}

/* self must stay where it is while the engine is open. The origin is read from the file ORIGIN, as a host does. */
static inline void fake_conf_init(struct fake_conf *self, const char *signatures, const char *tmpdir)
{
    static char origin[32];
    char path[4096];
    FILE *file;

    memset(self, 0, sizeof(*self));
    origin[0] = '\0';
    (void)snprintf(path, sizeof(path), "%s/ORIGIN", signatures ? signatures : "");
    file = fopen(path, "re");
    if (file && fgets(origin, sizeof(origin), file))
        origin[strcspn(origin, "\r\n")] = '\0';
    if (file)
        (void)fclose(file);
    self->conf = (struct ps_engine_conf){.signatures = signatures,
                                         .origin = origin,
                                         .data = signatures,
                                         .tmpdir = tmpdir,
                                         .setting = fake_setting,
                                         .host = self};
}

static inline int fake_finding(void *host, enum ps_found what, const char *label)
{
    struct fake_report *fake = host;

    if (fake->findings_n == FAKE_FINDINGS_MAX) {
        fake->refused_n++;
        return -1;
    }
    fake->findings[fake->findings_n].what = what;
    (void)snprintf(fake->findings[fake->findings_n++].label, sizeof(fake->findings[0].label), "%s", label);
    return 0;
}

static inline int fake_trait(void *host, const char *key, const char *json, size_t len)
{
    struct fake_report *fake = host;
    json_t *value = json_loadb(json, len, JSON_DECODE_ANY, NULL);

    if (len > 65536 || !value || json_object_set_new(fake->traits, key, value)) {
        fake->bad_traits_n++;
        return -1;
    }
    return 0;
}

static inline void __attribute__((format(printf, 2, 3))) fake_reason(void *host, const char *fmt, ...)
{
    struct fake_report *fake = host;
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(fake->reason, sizeof(fake->reason), fmt, args);
    va_end(args);
}

static inline void fake_type(void *host, const char *mime)
{
    struct fake_report *fake = host;

    (void)snprintf(fake->type, sizeof(fake->type), "%s", mime);
}

static inline int fake_file(struct fake_report *fake, bool picture, const char *name, const char *mime,
                            const void *data, size_t len)
{
    if (fake->files_n == FAKE_FILES_MAX) {
        fake->refused_n++;
        return -1;
    }
    fake->files[fake->files_n].picture = picture;
    (void)snprintf(fake->files[fake->files_n].name, sizeof(fake->files[0].name), "%s", name);
    (void)snprintf(fake->files[fake->files_n].mime, sizeof(fake->files[0].mime), "%s", mime);
    fake->files[fake->files_n].data = malloc(len + 1);
    memcpy(fake->files[fake->files_n].data, data, len);
    fake->files[fake->files_n++].len = len;
    return 0;
}

static inline int fake_artifact(void *host, const char *name, const char *mime, const void *data, size_t len)
{
    return fake_file(host, false, name, mime, data, len);
}

static inline int fake_picture(void *host, const char *name, const char *mime, const void *data, size_t len)
{
    return fake_file(host, true, name, mime, data, len);
}

static inline struct ps_engine_report fake_table(struct fake_report *fake)
{
    return (struct ps_engine_report){.finding = fake_finding,
                                     .trait = fake_trait,
                                     .reason = fake_reason,
                                     .type = fake_type,
                                     .artifact = fake_artifact,
                                     .picture = fake_picture,
                                     .host = fake};
}

/* Scans the open file. The report is to be given to fake_fini. */
static inline void fake_scan_fd(const struct ps_engine *engine, void *state, int fd, const char *tmpdir,
                                struct fake_report *ret_report)
{
    struct ps_engine_report report = fake_table(ret_report);
    struct ps_engine_sample sample = {.fd = fd, .type = "", .tmpdir = tmpdir};
    uint8_t digest[32], block[16384];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    ssize_t n;

    memset(ret_report, 0, sizeof(*ret_report));
    ret_report->traits = json_object();
    (void)EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    while ((n = pread(fd, block, sizeof(block), (off_t)sample.size)) > 0) {
        (void)EVP_DigestUpdate(hash, block, (size_t)n);
        sample.size += (uint64_t)n;
    }
    (void)EVP_DigestFinal_ex(hash, digest, NULL);
    EVP_MD_CTX_free(hash);
    sample.sha256 = digest;
    ret_report->outcome = engine->scan(state, &sample, &report);
}

/* Scans bytes, from a memfd as a worker has it. */
static inline void fake_scan(const struct ps_engine *engine, void *state, const void *bytes, size_t len,
                             const char *tmpdir, struct fake_report *ret_report)
{
    int fd = memfd_create("sample", MFD_CLOEXEC);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))
        abort();
    fake_scan_fd(engine, state, fd, tmpdir, ret_report);
    (void)close(fd);
}

static inline void fake_fini(struct fake_report *report)
{
    json_decref(report->traits);
    report->traits = NULL;
    for (size_t i = 0; i < report->files_n; i++)
        free(report->files[i].data);
    report->files_n = 0;
}

/* Makes the file dir/name of text. */
static inline void fake_write(const char *dir, const char *name, const char *text)
{
    char path[4096];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file))
        abort();
}

/* The EICAR test file, put together so that it is neither in this file nor in what it is compiled to. Returns its
 * length, 68. */
static inline size_t fake_eicar(char ret_buf[80])
{
    char *at = ret_buf;

    at = stpcpy(at, "X5O!P%@AP[4\\PZX54(P^)7CC)7}");
    *at++ = '$';
    at = stpcpy(at, "EICAR-STANDARD-ANTIVIRUS");
    *at++ = '-';
    at = stpcpy(at, "TEST-FILE!$H+H*");
    return (size_t)(at - ret_buf);
}

static inline const char *fake_word(enum ps_found what)
{
    static const char *const words[] = {
        [PS_FOUND_MALICIOUS] = "malicious",   [PS_FOUND_SUSPICIOUS] = "suspicious",
        [PS_FOUND_UNDETECTED] = "undetected", [PS_FOUND_HARMLESS] = "harmless",
        [PS_FOUND_INCOMPLETE] = "incomplete", [PS_FOUND_TYPE_UNSUPPORTED] = "type-unsupported",
        [PS_FOUND_FAILURE] = "failure",       [PS_FOUND_DESCRIBED] = "described",
    };

    return (size_t)what < sizeof(words) / sizeof(words[0]) && words[what] ? words[what] : "no-outcome";
}

#endif
