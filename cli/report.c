/* phagescan report SHA256|FILE: what is known of a sample. A file is hashed here; nothing is sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "cli/command.h"
#include "cli/text.h"

#define TRAIT_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6))
#define TRAIT_SHOWN 100 /* characters of a trait on the terminal; --json has all */

static bool looks_like_hash(const char *text)
{
    uint8_t digest[PS_SHA256_BYTES];

    return ps_hex_decode(digest, sizeof(digest), text, strlen(text)) == 0;
}

static int hash_file(const char *path, uint8_t ret_digest[PS_SHA256_BYTES], struct ps_error *reterr)
{
    PS_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* does not wait for a fifo */
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return ps_error_set(reterr, ps_err_from_errno(errno), "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return ps_error_set(reterr, PS_ERR_INVALID, "it is not a regular file");
    int r = ps_sha256_fd(ret_digest, NULL, fd);
    return r ? ps_error_set(reterr, r, "%s", ps_err_text(r)) : 0;
}

/* The hash named, or that of the file named. */
static int hash_of(const char *what, char ret_hex[PS_SHA256_HEX])
{
    uint8_t digest[PS_SHA256_BYTES];
    struct ps_error why = {0};

    if (looks_like_hash(what))
        (void)ps_hex_decode(digest, sizeof(digest), what, strlen(what)); /* it has just been tried */
    else if (hash_file(what, digest, &why) != 0) {
        PS_FREE char *text = ps_strf("%s is no SHA-256, and as a file it can't be read: %s", what, why.text);

        (void)ps_text_complain("report", text ? text : why.text);
        return why.code;
    }
    ps_hex_encode(ret_hex, digest, sizeof(digest));
    return 0;
}

static void put_field(const char *name, const char *text)
{
    (void)printf("%-12s ", name);
    (void)ps_text_put(stdout, *text ? text : "-", 0);
    (void)putchar('\n');
}

static void put_names(const json_t *report)
{
    const json_t *name;
    size_t i;

    json_array_foreach (json_object_get(report, "names"), i, name)
        put_field(i ? "" : "names", json_string_value(name));
}

static void put_verdict(const json_t *scan)
{
    const json_t *reason;
    size_t i;

    (void)printf("%-12s %s %lld/%lld", "verdict",
                 *ps_text_of(scan, "verdict") ? ps_text_of(scan, "verdict") : "scanning",
                 (long long)ps_number_of(scan, "positives"), (long long)ps_number_of(scan, "total"));
    if (ps_number_of(scan, "failed"))
        (void)printf(", %lld failed", (long long)ps_number_of(scan, "failed"));
    if (ps_number_of(scan, "incomplete"))
        (void)printf(", %lld incomplete", (long long)ps_number_of(scan, "incomplete"));
    if (ps_number_of(scan, "pending"))
        (void)printf(", %lld to come", (long long)ps_number_of(scan, "pending"));
    (void)putchar('\n');
    json_array_foreach (json_object_get(scan, "reasons"), i, reason)
        put_field(i ? "" : "because", json_string_value(reason));
}

static void put_result(const json_t *result)
{
    const char *outcome = ps_text_of(result, "outcome"), *label = ps_text_of(result, "label");

    ps_text_cell(ps_text_of(result, "engine"), 12);
    ps_text_cell(*outcome ? outcome : "queued", 16);
    ps_text_cell(*label ? label : ps_text_of(result, "reason"), 40);
    ps_text_cell(ps_text_of(result, "version"), 16);
    ps_text_cell(ps_text_of(result, "definitions"), 24);
    (void)printf("%6lld ms%s\n", (long long)ps_number_of(result, "run_ms"),
                 json_is_true(json_object_get(result, "cached")) ? " cached" : "");
}

static void put_traits(const json_t *result)
{
    const char *key;
    json_t *value;

    json_object_foreach (json_object_get(result, "traits"), key, value) {
        char *text = json_is_string(value) ? NULL : json_dumps(value, TRAIT_FLAGS);

        (void)printf("  ");
        ps_text_cell(ps_text_of(result, "engine"), 10);
        ps_text_cell(key, 20);
        (void)ps_text_put(stdout, text ? text : json_string_value(value), TRAIT_SHOWN);
        (void)putchar('\n');
        free(text);
    }
}

static void put_files(const json_t *result)
{
    const json_t *file;
    size_t i;

    json_array_foreach (json_object_get(result, "files"), i, file) {
        (void)printf("  ");
        ps_text_cell(ps_text_of(result, "engine"), 10);
        ps_text_cell(ps_text_of(file, "name"), 20);
        ps_text_cell(ps_text_of(file, "sha256"), PS_SHA256_HEX - 1);
        (void)printf("%lld bytes%s\n", (long long)ps_number_of(file, "size"),
                     json_is_true(json_object_get(file, "picture")) ? ", a picture" : "");
    }
}

static int status_of(const json_t *scan)
{
    const char *verdict = ps_text_of(scan, "verdict");

    if (!strcmp(verdict, ps_verdict_word(PS_VERDICT_MALICIOUS)) ||
        !strcmp(verdict, ps_verdict_word(PS_VERDICT_SUSPICIOUS)))
        return PS_EXIT_FOUND;
    if (!strcmp(verdict, ps_verdict_word(PS_VERDICT_NOTHING_FOUND)) ||
        !strcmp(verdict, ps_verdict_word(PS_VERDICT_KNOWN_GOOD)))
        return PS_EXIT_OK;
    return PS_EXIT_ERROR;
}

static void put_report(const json_t *report)
{
    const json_t *scan = json_object_get(report, "scan"), *results = json_object_get(report, "results"),
                 *result;
    char size[32];
    size_t i;

    (void)snprintf(size, sizeof(size), "%lld bytes", (long long)ps_number_of(report, "size"));
    put_verdict(scan);
    put_field("sha256", ps_text_of(report, "sha256"));
    put_field("sha1", ps_text_of(report, "sha1"));
    put_field("md5", ps_text_of(report, "md5"));
    put_field("type", ps_text_of(report, "type"));
    put_field("size", size);
    put_names(report);
    put_field("first seen", ps_text_of(report, "first_seen"));
    put_field("scanned", ps_text_of(scan, "finished_at"));
    (void)printf("\n%-12s  %-16s  %-40s  %-16s  %-24s  %s\n", "engine", "outcome", "label or reason",
                 "version", "definitions", "time");
    json_array_foreach (results, i, result)
        put_result(result);
    (void)putchar('\n');
    json_array_foreach (results, i, result)
        put_traits(result);
    json_array_foreach (results, i, result)
        put_files(result);
}

static int show_report(const char *what, bool as_json)
{
    char hex[PS_SHA256_HEX] = "";
    json_t *report = NULL;

    if (hash_of(what, hex) != 0)
        return PS_EXIT_ERROR;
    PS_FREE char *path = ps_strf("/api/v1/samples/%s", hex);
    if (!path)
        return ps_text_complain("report", "out of memory");
    int status = ps_text_fetch("report", path, &report);
    if (status >= 0)
        return status;
    if (as_json)
        ps_text_put_json(report);
    else
        put_report(report);
    status = status_of(json_object_get(report, "scan"));
    json_decref(report);
    return status;
}

int ps_cmd_report(int argc, char **argv)
{
    struct ps_text_json settings = {0};
    struct ps_opts_args rest = {0};
    int status = ps_text_options(ps_text_json_options, &settings, argc, argv, "report [--json] SHA256|FILE",
                                 "Shows what is known of a sample. A file is hashed here, nothing is sent.\n"
                                 "Exit status: 0 nothing found, 1 something found, else 2.",
                                 &rest);

    if (status >= 0)
        return status;
    if (rest.argc != 1)
        return ps_text_complain("report", "name one SHA-256 or one file");
    return show_report(rest.argv[0], settings.json);
}
