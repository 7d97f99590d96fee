#include "cli/submit/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/text.h"

#define PROGRESS_MAX 4096 /* bytes of a progress line */
#define COLUMNS      80   /* of a terminal that does not tell */
#define COLUMNS_N    5    /* of the table */
#define CELL_CHARS   60   /* of the table on a terminal: a longer text loses its middle */

void ps_show_init(struct ps_show *self, const struct ps_show_settings *settings, uint64_t now_ms)
{
    memset(self, 0, sizeof(*self));
    self->settings = *settings;
    self->terminal = !settings->quiet && isatty(STDERR_FILENO);
    self->started_ms = now_ms;
    self->rows = json_array();
    if (getcwd(self->cwd, sizeof(self->cwd) - 2) && strcmp(self->cwd, "/") != 0)
        (void)strcat(self->cwd, "/");
    else
        self->cwd[0] = '\0';
}

void ps_show_fini(struct ps_show *self)
{
    json_decref(self->rows);
    self->rows = NULL;
}

static void clear_line(struct ps_show *self)
{
    if (self->drawn)
        (void)fputs("\r\033[K", stderr);
    self->drawn = false;
}

static const char *short_path(const struct ps_show *self, const char *path)
{
    size_t len = strlen(self->cwd);

    return len > 0 && !strncmp(path, self->cwd, len) ? path + len : path;
}

/* A path as JSON takes it. */
static json_t *clean_json(const char *text)
{
    PS_BUF struct ps_buf clean;

    ps_buf_init(&clean, PS_TEXT_SHOWN_MAX);
    if (!text)
        return json_null();
    ps_utf8_put_clean(&clean, text, strlen(text));
    return json_string(ps_buf_text(&clean));
}

/* ASCII: a terminal takes nothing in it for a command. Takes line. */
static void put_json(json_t *line)
{
    if (line && json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) == 0)
        (void)putchar('\n');
    json_decref(line);
}

void ps_show_error(struct ps_show *self, const char *path, const char *why)
{
    self->errors_n++;
    if (self->settings.json) {
        put_json(json_pack("{s:o, s:o}", "path", clean_json(path), "error", clean_json(why)));
        return;
    }
    clear_line(self);
    if (path) {
        (void)ps_text_put(stderr, short_path(self, path), 0);
        (void)fputs(": ", stderr);
    }
    (void)ps_text_put(stderr, why, 0);
    (void)fputc('\n', stderr);
}

void ps_show_sent(struct ps_show *self, const char *path, uint64_t bytes, const json_t *line)
{
    self->sent_n++;
    self->sent_bytes += bytes;
    if (self->settings.wait || self->settings.quiet)
        return;
    if (self->settings.json) {
        put_json(json_pack("{s:o, s:O?, s:O?, s:O?, s:O?}", "path", clean_json(path), "sha256",
                           json_object_get(line, "sha256"), "submission", json_object_get(line, "submission"),
                           "scan", json_object_get(line, "scan"), "known", json_object_get(line, "known")));
        return;
    }
    clear_line(self);
    (void)ps_text_put(stdout, short_path(self, path), 0);
    (void)printf(": submitted ");
    (void)ps_text_put(stdout, ps_text_of(line, "sha256"), 0);
    (void)putchar('\n');
}

/* ---- verdicts ---- */

static unsigned verdict_no(const char *word)
{
    for (unsigned v = PS_VERDICT_MALICIOUS; v <= PS_VERDICT_INCONCLUSIVE; v++)
        if (!strcmp(word, ps_verdict_word(v)))
            return v;
    return 0;
}

static void numbers_of(char *to, size_t max, const json_t *scan)
{
    (void)snprintf(to, max, "%lld/%lld", (long long)ps_number_of(scan, "positives"),
                   (long long)ps_number_of(scan, "total"));
}

/* Why there is no better verdict. */
static const char *reason_of(const json_t *scan)
{
    const char *reason = json_string_value(json_array_get(json_object_get(scan, "reasons"), 0));

    return reason ? reason : "";
}

static void put_line(struct ps_show *self, const char *path, const json_t *scan, unsigned verdict)
{
    const char *label = ps_text_of(scan, "label"), *reason = reason_of(scan);
    bool found = verdict == PS_VERDICT_MALICIOUS || verdict == PS_VERDICT_SUSPICIOUS;
    char numbers[48];

    if (!found && self->settings.quiet)
        return;
    clear_line(self);
    numbers_of(numbers, sizeof(numbers), scan);
    (void)ps_text_put(stdout, short_path(self, path), 0);
    (void)printf(": %s %s", verdict ? ps_verdict_word(verdict) : "unknown", numbers);
    if (*label || *reason)
        (void)putchar(' ');
    if (*label) {
        (void)ps_text_put(stdout, label, 0);
    } else if (*reason) {
        (void)putchar('(');
        (void)ps_text_put(stdout, reason, 0);
        (void)putchar(')');
    }
    (void)putchar('\n');
}

static void keep_row(struct ps_show *self, const char *path, const json_t *scan)
{
    const char *label = ps_text_of(scan, "label");
    char numbers[48];

    if (json_array_size(self->rows) >= PS_SHOW_ROWS_MAX) {
        self->noted_n++;
        return;
    }
    numbers_of(numbers, sizeof(numbers), scan);
    (void)json_array_append_new(self->rows, json_pack("[s, s, s, s, s]", short_path(self, path),
                                                      ps_text_of(scan, "type"), ps_text_of(scan, "verdict"),
                                                      numbers, *label ? label : reason_of(scan)));
}

static void put_verdict_json(const char *path, const json_t *event, const json_t *submission)
{
    static const char *const keys[] = {"verdict",    "positives", "total", "failed",
                                       "incomplete", "label",     "type",  "reasons"};
    const json_t *scan = json_object_get(event, "scan");
    json_t *line = json_pack("{s:s, s:O?, s:O?}", "path", path, "sha256", json_object_get(event, "sha256"),
                             "submission", json_object_get(submission, "id"));

    for (size_t i = 0; i < PS_ARRAY_N(keys); i++) {
        json_t *value = json_object_get(scan, keys[i]);

        (void)json_object_set_new(line, keys[i], value ? json_incref(value) : json_null());
    }
    put_json(line);
}

void ps_show_verdict(struct ps_show *self, const json_t *event, const json_t *submission)
{
    const json_t *scan = json_object_get(event, "scan");
    const char *source = ps_text_of(submission, "source_path");
    const char *path = *source ? source : ps_text_of(submission, "name");
    unsigned verdict = verdict_no(ps_text_of(scan, "verdict"));

    self->verdicts[verdict]++;
    if (self->settings.json)
        put_verdict_json(path, event, submission);
    else if (self->settings.table)
        keep_row(self, path, scan);
    else
        put_line(self, path, scan, verdict);
}

void ps_show_earlier(struct ps_show *self, const char *word)
{
    self->earlier[verdict_no(word)] = true;
}

/* ---- progress ---- */

static void put_bytes(char *to, size_t max, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < PS_ARRAY_N(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(to, max, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static uint64_t found_n(const struct ps_show *self)
{
    return self->verdicts[PS_VERDICT_MALICIOUS] + self->verdicts[PS_VERDICT_SUSPICIOUS];
}

/* The bar counts what is through: with a verdict, or acknowledged when nobody waits for verdicts. */
static uint64_t through_n(const struct ps_show *self)
{
    return (self->settings.wait ? self->done_n : self->sent_n) + self->skipped_n + self->failed_n;
}

/* By the rate of this run: what was skipped took no time. */
static void put_eta(char *to, size_t max, uint64_t worked, uint64_t left, double seconds)
{
    double eta = worked ? seconds / (double)worked * (double)left : 0;

    if (!worked)
        (void)snprintf(to, max, "ETA -");
    else if (eta < 3600)
        (void)snprintf(to, max, "ETA %u:%02u", (unsigned)(eta / 60), (unsigned)eta % 60);
    else
        (void)snprintf(to, max, "ETA %.1f h", eta / 3600);
}

static size_t terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : COLUMNS;
}

static void draw(struct ps_show *self, uint64_t now_ms, const char *note)
{
    uint64_t through = through_n(self), total = PS_MAX((uint64_t)self->total_n, through);
    uint64_t worked = through - PS_MIN(through, self->skipped_n);
    double seconds = (double)(now_ms - self->started_ms) / 1000.0;
    char bytes[32], eta[32], bar[21], line[PROGRESS_MAX];
    size_t filled = total ? (size_t)(20 * through / total) : 0;

    put_bytes(bytes, sizeof(bytes), self->sent_bytes);
    put_eta(eta, sizeof(eta), worked, total - through, seconds);
    memset(bar, ' ', 20);
    memset(bar, '=', filled);
    bar[20] = '\0';
    (void)snprintf(line, sizeof(line), "[%s] %llu/%llu%s files  %s  %.0f/s  %s  found %llu%s%s", bar,
                   (unsigned long long)through, (unsigned long long)total, self->total_known ? "" : "+",
                   bytes, seconds > 0 ? (double)worked / seconds : 0.0, eta,
                   (unsigned long long)found_n(self), note ? "  " : "", note ? note : "");
    (void)fputs("\r\033[K", stderr);
    (void)ps_text_put(stderr, line, (int)terminal_columns() - 1); /* a line that wraps can't be taken back */
    (void)fflush(stderr);
    self->drawn = true;
}

void ps_show_progress(struct ps_show *self, uint64_t now_ms, const char *note)
{
    (void)fflush(stdout); /* results are for now; the end of the run looks for errors */
    if (!self->terminal || now_ms - self->drawn_ms < PS_SHOW_EVERY_MS)
        return;
    self->drawn_ms = now_ms;
    draw(self, now_ms, note);
}

/* ---- the end ---- */

static void put_table(struct ps_show *self)
{
    static const char *const heads[COLUMNS_N] = {"file", "type", "verdict", "N/M", "label or reason"};
    int max = isatty(STDOUT_FILENO) ? CELL_CHARS : 0;
    int widths[COLUMNS_N];
    const json_t *row;
    size_t i;

    for (size_t c = 0; c < COLUMNS_N; c++)
        widths[c] = (int)strlen(heads[c]);
    json_array_foreach (self->rows, i, row)
        for (size_t c = 0; c < COLUMNS_N; c++) {
            int width = (int)ps_text_width(json_string_value(json_array_get(row, c)));

            widths[c] = PS_MAX(widths[c], max ? PS_MIN(width, max) : width);
        }
    for (size_t c = 0; c + 1 < COLUMNS_N; c++)
        (void)printf("%-*s  ", widths[c], heads[c]);
    (void)puts(heads[COLUMNS_N - 1]);
    json_array_foreach (self->rows, i, row) {
        for (size_t c = 0; c + 1 < COLUMNS_N; c++)
            ps_text_cell(json_string_value(json_array_get(row, c)), widths[c]);
        (void)ps_text_put(stdout, json_string_value(json_array_get(row, COLUMNS_N - 1)), max);
        (void)putchar('\n');
    }
    if (self->noted_n)
        (void)printf("(and %llu more files; --json shows them all)\n", (unsigned long long)self->noted_n);
}

static void put_sum(struct ps_show *self, double seconds)
{
    FILE *to = self->settings.quiet ? stderr : stdout;
    char bytes[32];

    put_bytes(bytes, sizeof(bytes), self->sent_bytes);
    (void)fprintf(to, "\n%llu file%s, %s in %.1f s (%.0f files/s)", (unsigned long long)self->sent_n,
                  self->sent_n == 1 ? "" : "s", bytes, seconds,
                  seconds > 0 ? (double)self->sent_n / seconds : 0.0);
    if (self->skipped_n)
        (void)fprintf(to, ", %llu unchanged since an earlier run", (unsigned long long)self->skipped_n);
    if (self->errors_n && !self->settings.wait)
        (void)fprintf(to, ", %llu errors", (unsigned long long)self->errors_n);
    (void)fputc('\n', to);
    if (self->settings.wait)
        (void)fprintf(to,
                      "%llu malicious, %llu suspicious, %llu nothing found, %llu known good, %llu "
                      "inconclusive, %llu errors\n",
                      (unsigned long long)self->verdicts[PS_VERDICT_MALICIOUS],
                      (unsigned long long)self->verdicts[PS_VERDICT_SUSPICIOUS],
                      (unsigned long long)self->verdicts[PS_VERDICT_NOTHING_FOUND],
                      (unsigned long long)self->verdicts[PS_VERDICT_KNOWN_GOOD],
                      (unsigned long long)self->verdicts[PS_VERDICT_INCONCLUSIVE],
                      (unsigned long long)self->errors_n);
    if (self->earlier[PS_VERDICT_MALICIOUS] || self->earlier[PS_VERDICT_SUSPICIOUS])
        (void)fputs("Earlier runs of this sweep found something, too.\n", to);
}

int ps_show_end(struct ps_show *self, uint64_t now_ms)
{
    const bool *earlier = self->earlier;

    clear_line(self);
    if (self->settings.table && !self->settings.json)
        put_table(self);
    if (!self->settings.json)
        put_sum(self, (double)(now_ms - self->started_ms) / 1000.0);
    if (found_n(self) || earlier[PS_VERDICT_MALICIOUS] || earlier[PS_VERDICT_SUSPICIOUS])
        return PS_EXIT_FOUND;
    if (self->errors_n || self->verdicts[0] || self->verdicts[PS_VERDICT_INCONCLUSIVE] ||
        earlier[PS_VERDICT_INCONCLUSIVE])
        return PS_EXIT_ERROR;
    return PS_EXIT_OK;
}
