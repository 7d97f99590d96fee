#include "worker/host/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "worker/host/files.h"
#include "worker/host/host.h"
#include "worker/host/packet.h"

void ps_report_init(struct ps_report *self, int sock, uint64_t job)
{
    *self = (struct ps_report){.sock = sock, .job = job};
}

static int __attribute__((format(printf, 2, 3))) cut(struct ps_report *self, const char *fmt, ...)
{
    char text[PS_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence still says what it is about */
    va_end(ap);
    if (!self->cut)
        ps_text_clean(self->cut_reason, sizeof(self->cut_reason), text);
    self->cut = true;
    return -1;
}

static int send_report(struct ps_report *self, const struct ps_msg *msg)
{
    if (self->error == 0)
        self->error = ps_packet_send(self->sock, msg, -1, 0);
    return self->error ? -1 : 0;
}

static int finding(void *host, enum ps_found what, const char *label)
{
    struct ps_report *self = host;
    char clean[PS_LABEL_MAX + 1];

    if (what != PS_FOUND_MALICIOUS && what != PS_FOUND_SUSPICIOUS && what != PS_FOUND_HARMLESS &&
        what != PS_FOUND_INCOMPLETE)
        return cut(self, "the engine reported a finding of kind %d, which there is not", (int)what);
    if (self->findings_n >= PS_HOST_FINDINGS_MAX)
        return cut(self, "more than %d findings", PS_HOST_FINDINGS_MAX);
    self->findings_n++;
    ps_text_clean(clean, sizeof(clean), label);
    return send_report(
        self, PS_MSG(H_FINDING, .job = self->job, .outcome = (uint32_t)what, .label = ps_bytes_of(clean)));
}

static bool is_json(const char *json, size_t len)
{
    json_t *value = json_loadb(json, len, JSON_DECODE_ANY, NULL);
    bool ok = value != NULL;

    json_decref(value);
    return ok;
}

static int trait(void *host, const char *key, const char *json, size_t len)
{
    struct ps_report *self = host;
    char clean[PS_NAME_MAX + 1];
    size_t size;

    ps_text_clean(clean, sizeof(clean), key);
    size = strlen(clean) + len;
    if (clean[0] == '\0' || len > PS_TRAIT_MAX)
        return cut(self, "trait \"%s\" is over %d bytes or has no name", clean, PS_TRAIT_MAX);
    if (self->traits_n >= PS_HOST_TRAITS_N_MAX || self->traits_bytes + size > PS_TRAITS_MAX)
        return cut(self, "more than %d traits or %d bytes of them", PS_HOST_TRAITS_N_MAX, PS_TRAITS_MAX);
    if (!is_json(json, len))
        return cut(self, "trait \"%s\" is no JSON", clean);
    self->traits_n++;
    self->traits_bytes += size;
    return send_report(self, PS_MSG(H_TRAIT, .job = self->job, .key = ps_bytes_of(clean),
                                    .json = {(const uint8_t *)json, len}));
}

static void reason(void *host, const char *fmt, ...)
{
    struct ps_report *self = host;
    char text[PS_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut reason is better than none */
    va_end(ap);
    ps_text_clean(self->reason, sizeof(self->reason), text);
}

static void type(void *host, const char *mime)
{
    struct ps_report *self = host;

    ps_text_clean(self->type, sizeof(self->type), mime);
}

static int send_bytes(struct ps_report *self, const uint8_t *data, size_t len)
{
    int rc = 0;

    for (size_t at = 0; at < len && rc == 0; at += PS_CHUNK_MAX)
        rc = send_report(self, PS_MSG(H_BYTES, .job = self->job,
                                      .bytes = {data + at, PS_MIN(len - at, (size_t)PS_CHUNK_MAX)}));
    return rc;
}

static int derived(struct ps_report *self, bool picture, const char *name, const char *mime, const void *data,
                   size_t len)
{
    char clean[PS_NAME_MAX + 1], type[PS_NAME_MAX + 1];

    ps_file_name_clean(clean, ps_bytes_of(name));
    ps_text_clean(type, sizeof(type), mime);
    if (len > PS_FILE_MAX)
        return cut(self, "derived file \"%s\" is over %d bytes", clean, PS_FILE_MAX);
    if (self->files_n >= PS_FILES_MAX || self->files_bytes + len > PS_FILES_BYTES)
        return cut(self, "more than %d derived files or %d bytes of them", PS_FILES_MAX, PS_FILES_BYTES);
    self->files_n++;
    self->files_bytes += len;
    if (send_report(self, PS_MSG(H_FILE, .job = self->job, .picture = picture, .name = ps_bytes_of(clean),
                                 .mime = ps_bytes_of(type), .size = len)))
        return -1;
    return send_bytes(self, data, len);
}

static int artifact(void *host, const char *name, const char *mime, const void *data, size_t len)
{
    return derived(host, false, name, mime, data, len);
}

static int picture(void *host, const char *name, const char *mime, const void *data, size_t len)
{
    return derived(host, true, name, mime, data, len);
}

struct ps_engine_report ps_report_table(struct ps_report *self)
{
    return (struct ps_engine_report){.finding = finding,
                                     .trait = trait,
                                     .reason = reason,
                                     .type = type,
                                     .artifact = artifact,
                                     .picture = picture,
                                     .host = self};
}
