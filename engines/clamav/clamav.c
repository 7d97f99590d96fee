/* engines/clamav/clamav.c: libclamav in process. Facts and limits: README.md beside this file. */
#include "engines/clamav/definitions.h"
#include "engines/clamav/names.h"
#include "engines/clamav/warm.h"
#include "engines/clamav/zip.h"
#include "engines/kit/kit.h"

#include <clamav.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC  0xC1A3A700U
#define RUN_MS 60000U
#define FILESIZE_MAX \
    ((uint64_t)INT_MAX)  /* libclamav's own border: it keeps lengths in int in many places   \
                                          */
#define FINDINGS_MAX 64  /* engine.h's limit for one scan */
#define NAME_MAX_LEN 200 /* longer names are cut */

struct clamav {
    uint32_t magic;
    struct cl_engine *engine; /* compiled */
    struct cl_scan_options options;
    struct ps_clamav_definitions definitions;
    struct ps_clamav_charsets charsets;
    unsigned signatures; /* loaded */
    bool silence_counts;
    bool unrar; /* libclamunrar is there */
    char note[256];
};

/* What one scan found so far; libclamav hands it to the callbacks. */
struct findings {
    char names[FINDINGS_MAX][NAME_MAX_LEN];
    size_t n;
    bool rar;           /* an archive that nothing here can open */
    bool unrar;         /* but this can */
    const char *unread; /* what libclamav passed over in silence, first; NULL: nothing known */
    uint64_t filesize_max;
};

/* The last warning or error of libclamav, which it would else print on standard error, and whether it was an error.
 * One thread, so one text. */
static char last_message[256];
static bool saw_error;

static void keep_message(enum cl_msg severity, const char *full, const char *text, void *context)
{
    (void)full;
    (void)context;
    if (severity < CL_MSG_WARN || (saw_error && severity < CL_MSG_ERROR))
        return;
    saw_error = severity >= CL_MSG_ERROR;
    (void)ps_kit_text(last_message, sizeof(last_message), text);
    for (size_t n = strlen(last_message); n && last_message[n - 1] == '?';) /* the line's end */
        last_message[--n] = '\0';
}

static void forget_messages(void)
{
    last_message[0] = '\0';
    saw_error = false;
}

static int fail(char *err, size_t err_max, const char *doing, cl_error_t r)
{
    return ps_kit_fail(err, err_max, "%s: %s%s%s", doing, cl_strerror(r), *last_message ? ": " : "",
                       last_message);
}

static int is_unrar(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    return object->dlpi_name && strstr(object->dlpi_name, "libclamunrar_iface");
}

static void found(int fd, const char *name, void *context)
{
    struct findings *findings = context;
    char clean[NAME_MAX_LEN];

    (void)fd;
    if (!findings || !name || findings->n == FINDINGS_MAX)
        return;
    (void)ps_kit_text(clean, sizeof(clean), name);
    for (size_t i = 0; i < findings->n; i++)
        if (!strcmp(findings->names[i], clean))
            return;
    memcpy(findings->names[findings->n++], clean, sizeof(clean));
}

/* Each part, before it is scanned. Debian ships libclamav without its RAR part (it isn't free): a RAR would then pass as
 * if it had been opened. */
static cl_error_t layer(int fd, const char *type, void *context)
{
    struct findings *findings = context;

    if (!findings || !type)
        return CL_CLEAN;
    if (!findings->unrar && !strcmp(type, "CL_TYPE_RAR"))
        findings->rar = true;
    if (!findings->unread)
        findings->unread = ps_clamav_part_unread(
            fd, !strncmp(type, "CL_TYPE_ZIP", 11) || !strncmp(type, "CL_TYPE_OOXML", 13),
            findings->filesize_max);
    return CL_CLEAN;
}

static int set_number(struct clamav *self, enum cl_engine_field field, uint64_t number, char *err,
                      size_t err_max)
{
    cl_error_t r = cl_engine_set_num(self->engine, field, (long long)number);

    return r == CL_SUCCESS ? 0 : fail(err, err_max, "libclamav refuses a limit", r);
}

/* Limits have to be there before the engine is compiled. */
static int set_limits(struct clamav *self, const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    static const struct {
        const char *key;
        enum cl_engine_field field;
        uint64_t fallback, min, max;
    } limits[] = {
        {"max_scansize", CL_ENGINE_MAX_SCANSIZE, UINT64_C(2) << 30, 1, UINT64_C(1) << 40},
        {"max_filesize", CL_ENGINE_MAX_FILESIZE, FILESIZE_MAX, 1, FILESIZE_MAX},
        {"max_scantime", CL_ENGINE_MAX_SCANTIME, RUN_MS - RUN_MS / 6, 1, 3600 * 1000},
        {"max_recursion", CL_ENGINE_MAX_RECURSION, 17, 1, 100},
        {"max_files", CL_ENGINE_MAX_FILES, 10000, 1, 10 * 1000 * 1000},
    };
    bool cache_off;
    uint64_t number;

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (ps_kit_number(conf, limits[i].key, limits[i].fallback, limits[i].min, limits[i].max, &number, err,
                          err_max) ||
            set_number(self, limits[i].field, number, err, err_max))
            return -1;
    if (ps_kit_switch(conf, "cache_off", false, &cache_off, err, err_max))
        return -1;
    /* A clean archive in the cache is not opened again, and the RAR inside it would go unseen. */
    return cache_off || !self->unrar ? set_number(self, CL_ENGINE_DISABLE_CACHE, 1, err, err_max) : 0;
}

static int set_options(struct clamav *self, const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    bool all;

    if (ps_kit_switch(conf, "allmatch", false, &all, err, err_max))
        return -1;
    self->options.general = CL_SCAN_GENERAL_HEURISTICS | (all ? CL_SCAN_GENERAL_ALLMATCHES : 0);
    self->options.parse = ~0U;
    self->options.heuristic =
        CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE | CL_SCAN_HEURISTIC_ENCRYPTED_DOC;
    cl_engine_set_clcb_virus_found(self->engine, found);
    cl_engine_set_clcb_pre_cache(self->engine, layer);
    return 0;
}

static int load(struct clamav *self, const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    unsigned options = CL_DB_STDOPT;
    cl_error_t r = CL_SUCCESS;
    bool pua;

    if (ps_clamav_definitions_read(&self->definitions, conf->signatures, err, err_max) ||
        ps_kit_switch(conf, "pua", false, &pua, err, err_max))
        return -1;
    if (pua)
        options |= CL_DB_PUA;
    if (self->definitions.files)
        r = cl_load(conf->signatures, self->engine, &self->signatures, options);
    if (r != CL_SUCCESS)
        return fail(err, err_max, "the signatures do not load", r);
    r = cl_engine_compile(self->engine);
    return r == CL_SUCCESS ? 0 : fail(err, err_max, "the signatures do not compile", r);
}

/* What silence of this set is worth. A set without ORIGIN is official when ClamAV's own databases are in it.
 */
static void weigh(struct clamav *self, const struct ps_engine_conf *conf)
{
    const char *origin = conf->origin ? conf->origin : "";

    if (!*origin)
        origin = self->definitions.official ? "official" : "site";
    self->silence_counts = self->signatures > 0 && strcmp(origin, "test") != 0;
    if (!self->signatures)
        (void)snprintf(self->note, sizeof(self->note), "no signatures in %.180s",
                       conf->signatures ? conf->signatures : "any directory");
    else if (!self->silence_counts)
        (void)snprintf(self->note, sizeof(self->note), "bundled test signatures: they know test files only");
    else if (!self->unrar)
        (void)snprintf(self->note, sizeof(self->note), "without libclamunrar: RAR archives are incomplete");
}

static void clamav_close(void *engine)
{
    struct clamav *self = engine;

    if (!self)
        return;
    ps_clamav_charsets_close(&self->charsets);
    if (self->engine)
        (void)cl_engine_free(self->engine); /* fails only for NULL */
    self->magic = 0;
    free(self);
}

static int clamav_open(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    static bool initialised; /* cl_init is for once in a process */
    struct clamav *self = calloc(1, sizeof(*self));
    cl_error_t r = CL_SUCCESS;

    if (!self)
        return ps_kit_fail(err, err_max, "no memory");
    self->magic = MAGIC;
    cl_set_clcb_msg(keep_message);
    forget_messages();
    if (!initialised)
        r = cl_init(CL_INIT_DEFAULT);
    initialised = r == CL_SUCCESS;
    if (!initialised || !(self->engine = cl_engine_new())) {
        clamav_close(self);
        return fail(err, err_max, "libclamav does not start", r == CL_SUCCESS ? CL_EMEM : r);
    }
    self->unrar = dl_iterate_phdr(is_unrar, NULL) != 0;
    if ((conf->tmpdir && cl_engine_set_str(self->engine, CL_ENGINE_TMPDIR, conf->tmpdir) != CL_SUCCESS) ||
        set_limits(self, conf, err, err_max) || set_options(self, conf, err, err_max) ||
        load(self, conf, err, err_max)) {
        clamav_close(self);
        return -1;
    }
    weigh(self, conf);
    *ret_engine = self;
    return 0;
}

static void clamav_info(void *engine, struct ps_engine_info *ret_info)
{
    struct clamav *self = engine;

    ret_info->version = cl_retver();
    ret_info->definitions = self->definitions.version;
    ret_info->signatures = self->signatures;
    ret_info->built_at = self->definitions.built_at;
    ret_info->note = self->note;
    ret_info->silence_counts = self->silence_counts;
}

/* Scans a mapped buffer: unlike a descriptor, which libclamav copies into memory of its own piece by piece, a
 * mapping costs nothing of RLIMIT_DATA. */
static cl_error_t scan_bytes(struct clamav *self, const uint8_t *bytes, size_t len, struct findings *findings)
{
    struct cl_scan_options options = self->options;
    const char *name = NULL;
    unsigned long scanned = 0;
    cl_fmap_t *map = cl_fmap_open_memory(bytes, len);
    cl_error_t r;

    if (!map)
        return CL_EMEM;
    forget_messages();
    r = cl_scanmap_callback(map, NULL, &name, &scanned, self->engine, &options, findings);
    if (r == CL_VIRUS)
        found(-1, name ? name : "unnamed", findings);
    cl_fmap_close(map);
    return r;
}

static int warm_one(void *arg, const uint8_t *bytes, size_t len)
{
    struct findings findings = {.filesize_max = FILESIZE_MAX};

    /* Only that it ran matters: each sample is a fragment, and may well be called broken. */
    return scan_bytes(arg, bytes, len, &findings) == CL_EMEM ? -1 : 0;
}

static int clamav_warm(void *engine, char *err, size_t err_max)
{
    struct clamav *self = engine;

    if (!self->charsets.n)
        ps_clamav_charsets_open(&self->charsets);
    return ps_clamav_warm(warm_one, self) ? ps_kit_fail(err, err_max, "no memory to warm libclamav") : 0;
}

/* The fork trap: children of one engine make the same temporary names, and in a shared directory they delete
 * each other's files and miss detections. Each child has its own directory, set here and never before the
 * fork. */
static int clamav_enter(void *engine, const char *tmpdir, char *err, size_t err_max)
{
    struct clamav *self = engine;
    cl_error_t r = cl_engine_set_str(self->engine, CL_ENGINE_TMPDIR, tmpdir);

    return r == CL_SUCCESS ? 0 : fail(err, err_max, "the temporary directory is refused", r);
}

static enum ps_found report_findings(const struct findings *findings, const struct ps_engine_report *report)
{
    static const int rank[] = {
        [PS_FOUND_INCOMPLETE] = 1, [PS_FOUND_SUSPICIOUS] = 2, [PS_FOUND_MALICIOUS] = 3};
    enum ps_found worst = PS_FOUND_INCOMPLETE;

    for (size_t i = 0; i < findings->n; i++) {
        const struct ps_clamav_meaning *meaning = ps_clamav_meaning(findings->names[i]);

        /* Past the host's limit the rest is dropped, and the host says so. */
        (void)report->finding(report->host, meaning->what, findings->names[i]);
        if (meaning->because)
            report->reason(report->host, "%s (%s)", meaning->because, findings->names[i]);
        if (rank[meaning->what] > rank[worst])
            worst = meaning->what;
    }
    return worst;
}

/* libclamav says clean as well when it could not make a temporary directory or file for a part, or for all of it: it
 * only complains. And it says nothing at all of some parts that it can't open. So silence counts when there was neither. */
static enum ps_found judge_clean(const struct findings *findings, const struct ps_engine_report *report)
{
    if (!findings->rar && !findings->unread && !saw_error)
        return PS_FOUND_UNDETECTED;
    if (saw_error)
        report->reason(report->host, "libclamav: %s", last_message);
    else if (findings->unread)
        report->reason(report->host, "%s", findings->unread);
    else
        report->reason(report->host, "a RAR archive was not opened: libclamunrar is not installed");
    return PS_FOUND_INCOMPLETE;
}

static enum ps_found judge(cl_error_t r, const struct findings *findings,
                           const struct ps_engine_report *report)
{
    switch (r) {
    case CL_CLEAN:
        return judge_clean(findings, report);
    case CL_VIRUS:
        return report_findings(findings, report);
    case CL_ETIMEOUT:
    case CL_EMAXREC:
    case CL_EMAXSIZE:
    case CL_EMAXFILES:
        report->reason(report->host, "stopped at a limit: %s", cl_strerror(r));
        return PS_FOUND_INCOMPLETE;
    case CL_EMEM:
        report->reason(report->host, "stopped at the memory limit");
        return PS_FOUND_INCOMPLETE;
    case CL_EWRITE:
        report->reason(report->host, "the temporary space is full");
        return PS_FOUND_INCOMPLETE;
    default:
        report->reason(report->host, "%s%s%s", cl_strerror(r), *last_message ? ": " : "", last_message);
        return PS_FOUND_FAILURE;
    }
}

static enum ps_found clamav_scan(void *engine, const struct ps_engine_sample *sample,
                                 const struct ps_engine_report *report)
{
    struct clamav *self = engine;
    struct findings findings = {.unrar = self->unrar};
    const char *tmpdir;
    const uint8_t *bytes;
    cl_error_t r = CL_CLEAN;

    if (self->magic != MAGIC)
        abort();
    if (sample->size > FILESIZE_MAX) {
        report->reason(report->host, "libclamav looks at files below 2 GiB only");
        return PS_FOUND_INCOMPLETE;
    }
    tmpdir = cl_engine_get_str(self->engine, CL_ENGINE_TMPDIR, NULL);
    if (!tmpdir || strcmp(tmpdir, sample->tmpdir) != 0)
        r = cl_engine_set_str(self->engine, CL_ENGINE_TMPDIR, sample->tmpdir);
    if (r == CL_CLEAN && sample->size) {
        if (ps_kit_map(sample, report, &bytes))
            return PS_FOUND_FAILURE;
        findings.filesize_max = (uint64_t)cl_engine_get_num(self->engine, CL_ENGINE_MAX_FILESIZE, NULL);
        findings.unread = ps_clamav_zip_unread(bytes, sample->size, findings.filesize_max);
        r = scan_bytes(self, bytes, sample->size, &findings);
        ps_kit_unmap(sample, bytes);
    }
    return judge(r, &findings, report);
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "clamav",
    .kind = PS_ENGINE_EVILNESS,
    .licence = "GPL-2.0-only",
    .run_ms = RUN_MS,
    .open = clamav_open,
    .info = clamav_info,
    .warm = clamav_warm,
    .enter = clamav_enter,
    .scan = clamav_scan,
    .close = clamav_close,
};
