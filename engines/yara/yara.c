/* engines/yara/yara.c: libyara over a directory of rules. What a match means: README.md beside this file. */
#include "engines/kit/kit.h"
#include "engines/yara/matches.h"
#include "engines/yara/rules.h"
#include "engines/yara/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_MS       60000U
#define TIMEOUT_S    50U /* below run_ms, so that a slow scan ends as incomplete instead of being killed */
#define FINDINGS_MAX 64  /* engine.h's limit for one scan */

struct yara {
    struct ps_yara_rules rules;
    YR_SCANNER *scanner; /* NULL without rules */
    enum ps_found fallback;
    bool silence_counts;
    char note[512];
};

/* One scan under way; libyara hands it to the callback. */
struct scan {
    struct yara *yara;
    const struct ps_engine_report *report;
    struct ps_yara_matches matches;
    enum ps_found worst; /* PS_FOUND_UNDETECTED before anything matched */
    size_t findings;
    bool too_many; /* a string matched so often that libyara gave it up */
};

static int rank(enum ps_found what)
{
    return what == PS_FOUND_MALICIOUS    ? 3
           : what == PS_FOUND_SUSPICIOUS ? 2
           : what == PS_FOUND_HARMLESS   ? 1
                                         : 0;
}

static void matched(struct scan *scan, YR_SCAN_CONTEXT *context, YR_RULE *rule)
{
    enum ps_found what = ps_yara_verdict(rule, scan->yara->fallback);
    char label[PS_KIT_TEXT_MAX];

    ps_yara_matches_add(&scan->matches, context, rule, what);
    if (what == PS_FOUND_DESCRIBED)
        return;
    if (rank(what) > rank(scan->worst))
        scan->worst = what;
    if (scan->findings++ < FINDINGS_MAX)
        (void)scan->report->finding(scan->report->host, what,
                                    ps_kit_text(label, sizeof(label), rule->identifier));
}

static int heard(YR_SCAN_CONTEXT *context, int message, void *data, void *arg)
{
    struct scan *scan = arg;

    if (message == CALLBACK_MSG_RULE_MATCHING && scan->report)
        matched(scan, context, data);
    if (message == CALLBACK_MSG_TOO_MANY_MATCHES)
        scan->too_many = true;
    return CALLBACK_CONTINUE;
}

static int scan_bytes(struct yara *self, struct scan *scan, const uint8_t *bytes, size_t len)
{
    yr_scanner_set_callback(self->scanner, heard, scan);
    return yr_scanner_scan_mem(self->scanner, bytes, len);
}

static void yara_close(void *engine)
{
    struct yara *self = engine;

    if (!self)
        return;
    if (self->scanner)
        yr_scanner_destroy(self->scanner);
    ps_yara_rules_fini(&self->rules);
    (void)yr_finalize(); /* fails only when it was never initialised */
    free(self);
}

static void weigh(struct yara *self, const struct ps_engine_conf *conf)
{
    const struct ps_yara_rules *rules = &self->rules;
    bool test = conf->origin && !strcmp(conf->origin, "test");

    self->silence_counts = rules->n > 0 && !test;
    (void)snprintf(self->note, sizeof(self->note), "%s%s%s",
                   !rules->n ? "no rules"
                   : test    ? "bundled sample rules: their silence says nothing"
                             : "",
                   *rules->broken_why && (!rules->n || test) ? "; " : "", rules->broken_why);
}

static int set_up(struct yara *self, const struct ps_engine_conf *conf, char *err, size_t err_max)
{
    const char *word = conf->setting ? conf->setting(conf, "default") : NULL;
    uint64_t timeout_s;

    self->fallback = PS_FOUND_SUSPICIOUS;
    if (word && ps_yara_word(word, strlen(word), &self->fallback))
        return ps_kit_fail(err, err_max,
                           "setting default: '%.40s' is not malicious, suspicious, harmless or info", word);
    if (ps_kit_number(conf, "timeout_s", TIMEOUT_S, 1, 3600, &timeout_s, err, err_max) ||
        ps_yara_rules_load(&self->rules, conf->signatures, err, err_max))
        return -1;
    weigh(self, conf);
    if (!self->rules.rules)
        return 0;
    if (yr_scanner_create(self->rules.rules, &self->scanner) != ERROR_SUCCESS)
        return ps_kit_fail(err, err_max, "no memory for a scanner");
    yr_scanner_set_timeout(self->scanner, (int)timeout_s);
    /* A crash is to be seen as one: without this libyara catches SIGSEGV and SIGBUS and goes on. */
    yr_scanner_set_flags(self->scanner, SCAN_FLAGS_REPORT_RULES_MATCHING | SCAN_FLAGS_NO_TRYCATCH);
    return 0;
}

static int yara_open(const struct ps_engine_conf *conf, void **ret_engine, char *err, size_t err_max)
{
    struct yara *self = calloc(1, sizeof(*self));

    ps_kit_json_init();
    if (!self || yr_initialize() != ERROR_SUCCESS) {
        free(self);
        return ps_kit_fail(err, err_max, "libyara does not start");
    }
    if (set_up(self, conf, err, err_max)) {
        yara_close(self);
        return -1;
    }
    *ret_engine = self;
    return 0;
}

static void yara_info(void *engine, struct ps_engine_info *ret_info)
{
    struct yara *self = engine;

    ret_info->version = YR_VERSION;
    ret_info->definitions = self->rules.version;
    ret_info->signatures = self->rules.n;
    ret_info->built_at = self->rules.newest;
    ret_info->note = self->note;
    ret_info->silence_counts = self->silence_counts;
    ret_info->left_out = (uint32_t)self->rules.broken;
}

/* Modules that rules import open files at their first scan (magic its tables, pe libcrypto's configuration).
 */
static int yara_warm(void *engine, char *err, size_t err_max)
{
    static const uint8_t elf[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1}, pdf[] = "%PDF-1.4\n%%EOF\n";
    static uint8_t pe[512] = {'M', 'Z', [0x3c] = 0x80, [0x80] = 'P', 'E', 0, 0, 0x4c, 1};
    struct yara *self = engine;
    struct scan scan = {.yara = self};

    (void)err;
    (void)err_max;
    if (self->scanner) {
        (void)scan_bytes(self, &scan, elf, sizeof(elf)); /* only that they ran matters */
        (void)scan_bytes(self, &scan, pdf, sizeof(pdf) - 1);
        (void)scan_bytes(self, &scan, pe, sizeof(pe));
    }
    return 0;
}

/* What the way the scan ended means when no rule settled it. */
static enum ps_found ended(int r, const struct scan *scan)
{
    const struct ps_engine_report *report = scan->report;

    switch (r) {
    case ERROR_SUCCESS:
        if (!scan->too_many)
            return PS_FOUND_UNDETECTED;
        report->reason(report->host, "a string matched too often, libyara gave it up");
        return PS_FOUND_INCOMPLETE;
    case ERROR_SCAN_TIMEOUT:
        report->reason(report->host, "the rules took longer than timeout_s");
        return PS_FOUND_INCOMPLETE;
    case ERROR_INSUFFICIENT_MEMORY:
        report->reason(report->host, "stopped at the memory limit");
        return PS_FOUND_INCOMPLETE;
    case ERROR_TOO_MANY_MATCHES:
    case ERROR_TOO_MANY_RE_FIBERS:
    case ERROR_EXEC_STACK_OVERFLOW:
        report->reason(report->host, "a rule is too complex for this sample (libyara error %d)", r);
        return PS_FOUND_INCOMPLETE;
    default:
        report->reason(report->host, "libyara error %d", r);
        return PS_FOUND_FAILURE;
    }
}

static enum ps_found yara_scan(void *engine, const struct ps_engine_sample *sample,
                               const struct ps_engine_report *report)
{
    struct yara *self = engine;
    struct scan scan = {.yara = self, .report = report, .worst = PS_FOUND_UNDETECTED};
    enum ps_found end;
    const uint8_t *bytes;
    int r = ERROR_SUCCESS;

    if (self->scanner) {
        if (ps_kit_map(sample, report, &bytes))
            return PS_FOUND_FAILURE;
        r = scan_bytes(self, &scan, bytes, sample->size);
        ps_kit_unmap(sample, bytes);
    }
    ps_yara_matches_report(&scan.matches, report);
    end = ended(r, &scan);
    /* Evil that was found stands; harmless takes a whole look. */
    return rank(scan.worst) > 1 || end == PS_FOUND_UNDETECTED ? scan.worst : end;
}

const struct ps_engine ps_engine_entry = {
    .abi = PS_ENGINE_ABI,
    .size = sizeof(struct ps_engine),
    .name = "yara",
    .kind = PS_ENGINE_EVILNESS,
    .licence = "MPL-2.0 AND BSD-3-Clause",
    .run_ms = RUN_MS,
    .open = yara_open,
    .info = yara_info,
    .warm = yara_warm,
    .scan = yara_scan,
    .close = yara_close,
};
