/* engines/kit/kit.c */
#include "engines/kit/kit.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an empty sample is mapped to: an address that unmap knows. */
static const uint8_t nothing[1];

int ps_kit_fail(char *err, size_t err_max, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(err, err_max, fmt, args); /* a cut sentence is still the sentence */
    va_end(args);
    return -1;
}

static uint64_t unit_of(const char *suffix)
{
    static const char units[] = "KMG";
    const char *at;

    if (!*suffix)
        return 1;
    at = strchr(units, toupper((unsigned char)*suffix));
    if (!at || suffix[1])
        return 0;
    return UINT64_C(1) << (10 * (at - units + 1));
}

int ps_kit_number(const struct ps_engine_conf *conf, const char *key, uint64_t fallback, uint64_t min,
                  uint64_t max, uint64_t *ret_number, char *err, size_t err_max)
{
    const char *text = conf->setting ? conf->setting(conf, key) : NULL;
    char *end = NULL;
    uint64_t number, unit;

    if (!text) {
        *ret_number = fallback;
        return 0;
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    unit = unit_of(end);
    if (!isdigit((unsigned char)*text) || errno || !unit || __builtin_mul_overflow(number, unit, &number) ||
        number < min || number > max)
        return ps_kit_fail(err, err_max, "setting %s: '%.40s' is not a number from %llu to %llu", key, text,
                           (unsigned long long)min, (unsigned long long)max);
    *ret_number = number;
    return 0;
}

int ps_kit_switch(const struct ps_engine_conf *conf, const char *key, bool fallback, bool *ret_on, char *err,
                  size_t err_max)
{
    static const char *const yes[] = {"yes", "on", "true", "1"}, *const no[] = {"no", "off", "false", "0"};
    const char *text = conf->setting ? conf->setting(conf, key) : NULL;

    if (!text) {
        *ret_on = fallback;
        return 0;
    }
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) != 0 && strcasecmp(text, no[i]) != 0)
            continue;
        *ret_on = !strcasecmp(text, yes[i]);
        return 0;
    }
    return ps_kit_fail(err, err_max, "setting %s: '%.40s' is neither yes nor no", key, text);
}

/* Bytes of the well-formed UTF-8 character at text, 0 when there is none. A NUL ends every sequence. */
static size_t character(const unsigned char *text)
{
    static const unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = *text < 0x80   ? 1
                 : *text < 0xc2 ? 0
                 : *text < 0xe0 ? 2
                 : *text < 0xf0 ? 3
                 : *text < 0xf5 ? 4
                                : 0;
    unsigned point;

    if (len < 2)
        return len;
    point = *text & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3fU);
    }
    return point < smallest[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0 : len;
}

const char *ps_kit_text(char *ret_text, size_t max, const char *text)
{
    const unsigned char *from = (const unsigned char *)text;
    size_t out = 0, len;

    while (*from) {
        len = character(from);
        if (out + (len ? len : 1) >= max)
            break;
        if (!len || *from < 0x20 || *from == 0x7f) {
            ret_text[out++] = '?';
            from++;
            continue;
        }
        memcpy(ret_text + out, from, len);
        out += len;
        from += len;
    }
    ret_text[out] = '\0';
    return ret_text;
}

void ps_kit_json_init(void)
{
    json_object_seed(0);
}

int ps_kit_trait(const struct ps_engine_report *report, const char *key, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    int r = text ? report->trait(report->host, key, text, strlen(text)) : -1;

    free(text);
    json_decref(value);
    return r;
}

int ps_kit_trait_string(const struct ps_engine_report *report, const char *key, const char *text)
{
    char clean[PS_KIT_TEXT_MAX];

    return ps_kit_trait(report, key, json_string(ps_kit_text(clean, sizeof(clean), text)));
}

int ps_kit_map(const struct ps_engine_sample *sample, const struct ps_engine_report *report,
               const uint8_t **ret_bytes)
{
    struct stat st;
    void *bytes;

    if (!sample->size) {
        *ret_bytes = nothing;
        return 0;
    }
    /* A mapping longer than its file would be a SIGBUS in the middle of a parser. */
    if (fstat(sample->fd, &st) || (uint64_t)st.st_size < sample->size) {
        report->reason(report->host, "the sample is shorter than the %llu bytes it was said to have",
                       (unsigned long long)sample->size);
        return -1;
    }
    bytes = mmap(NULL, sample->size, PROT_READ, MAP_PRIVATE, sample->fd, 0);
    if (bytes == MAP_FAILED) {
        report->reason(report->host, "the sample could not be mapped: %s", strerror(errno));
        return -1;
    }
    *ret_bytes = bytes;
    return 0;
}

void ps_kit_unmap(const struct ps_engine_sample *sample, const uint8_t *bytes)
{
    if (bytes && bytes != nothing)
        (void)munmap((void *)(uintptr_t)bytes, sample->size); /* fails only for an address that isn't ours */
}

int ps_kit_read(int fd, uint64_t offset, void *ret_buf, size_t len)
{
    uint8_t *at = ret_buf;
    ssize_t n;

    while (len) {
        n = pread(fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (!n)
            errno = EIO;
        if (n <= 0)
            return -1;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}
