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

#define CELL_MAX 65536

void ps_show_init(struct ps_show *self, const struct ps_show_settings *settings, uint64_t now_ms)
{
    memset(self, 0, sizeof(*self));
    self->settings = *settings;
    self->terminal = !settings->quiet && isatty(STDERR_FILENO);
    self->started_ms = now_ms;
    self->rows = json_array();
    if (getcwd(self->cwd, sizeof(self->cwd) - 2))
        (void)strcat(self->cwd, "/");
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

    return len > 1 && !strncmp(path, self->cwd, len) ? path + len : path;
}

static void put_json(json_t *line)
{
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(line);
}

void ps_show_error(struct ps_show *self, const char *path, const char *why)
{
    self->errors_n++;
    if (self->settings.json) {
        put_json(json_pack("{s:s?, s:s}", "path", path, "error", why));
        return;
    }
    clear_line(self);
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
        json_t *copy = json_copy((json_t *)line); /* shallow; only read */

        (void)json_object_del(copy, "n");
        (void)json_object_set_new(copy, "path", json_string(path));
        put_json(copy);
        return;
    }
    clear_line(self);
    (void)ps_text_put(stdout, short_path(self, path), 0);
    (void)printf(": submitted %s\n", json_string_value(json_object_get(line, "sha256")));
}

static unsigned verdict_no(const char *word)
{
#define X(name, n, w)     \
    if (!strcmp(word, w)) \
        return (n);
    PS_VERDICTS(X)
#undef X
    return 0;
}

static void put_line(struct ps_show *self, const char *path, const json_t *scan, unsigned verdict)
{
    const char *label = ps_text_of(scan, "label");
    const json_t *reasons = json_object_get(scan, "reasons");
    bool found = verdict == PS_VERDICT_MALICIOUS || verdict == PS_VERDICT_SUSPICIOUS;

    if (!found && self->settings.quiet)
        return;
    clear_line(self);
    (void)ps_text_put(stdout, short_path(self, path), 0);
    (void)printf(": %s %lld/%lld", ps_text_of(scan, "verdict"),
                 (long long)json_integer_value(json_object_get(scan, "positives")),
                 (long long)json_integer_value(json_object_get(scan, "total")));
    if (*label) {
        (void)putchar(' ');
        (void)ps_text_put(stdout, label, 0);
    } else if (json_array_size(reasons)) {
        (void)fputs(": ", stdout);
        (void)ps_text_put(stdout, json_string_value(json_array_get(reasons, 0)), 0);
    }
    (void)putchar('\n');
}

static void keep_row(struct ps_show *self, const char *path, const json_t *scan)
{
    char numbers[48];
    const char *label = ps_text_of(scan, "label");
    const char *reason = json_string_value(json_array_get(json_object_get(scan, "reasons"), 0));

    if (json_array_size(self->rows) >= PS_SHOW_ROWS_MAX) {
        self->noted_n++;
        return;
    }
    (void)snprintf(numbers, sizeof(numbers), "%lld/%lld",
                   (long long)json_integer_value(json_object_get(scan, "positives")),
                   (long long)json_integer_value(json_object_get(scan, "total")));
    (void)json_array_append_new(self->rows,
                                json_pack("[s, s, s, s, s]", short_path(self, path), ps_text_of(scan, "type"),
                                          ps_text_of(scan, "verdict"), numbers,
                                          *label   ? label
                                          : reason ? reason
                                                   : ""));
}

void ps_show_verdict(struct ps_show *self, const json_t *event, const json_t *submission)
{
    const json_t *scan = json_object_get(event, "scan");
    const char *source = ps_text_of(submission, "source_path");
    const char *path = *source ? source : ps_text_of(submission, "name");
    unsigned verdict = verdict_no(ps_text_of(scan, "verdict"));

    self->done_n++;
    if (verdict < PS_ARRAY_N(self->verdicts))
        self->verdicts[verdict]++;
    if (self->settings.json)
        put_json(json_pack("{s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}", "path", path,
                           "sha256", json_object_get(event, "sha256"), "submission",
                           json_object_get(submission, "id"), "verdict", json_object_get(scan, "verdict"),
                           "positives", json_object_get(scan, "positives"), "total",
                           json_object_get(scan, "total"), "failed", json_object_get(scan, "failed"), "label",
                           json_object_get(scan, "label"), "type", json_object_get(scan, "type"), "reasons",
                           json_object_get(scan, "reasons")));
    else if (self->settings.table)
        keep_row(self, path, scan);
    else
        put_line(self, path, scan, verdict);
}

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
    return (self->settings.wait ? self->done_n : self->sent_n) + self->skipped_n + self->errors_n;
}

static void put_eta(char *to, size_t max, uint64_t through, uint64_t total, double seconds)
{
    double left = through ? seconds / (double)through * (double)(total - PS_MIN(total, through)) : 0;

    if (!through)
        (void)snprintf(to, max, "ETA -");
    else
        (void)snprintf(to, max, "ETA %u:%02u", (unsigned)(left / 60), (unsigned)left % 60);
}

void ps_show_progress(struct ps_show *self, uint64_t now_ms, const char *note)
{
    if (!self->terminal || now_ms - self->drawn_ms < PS_SHOW_EVERY_MS)
        return;
    self->drawn_ms = now_ms;

    uint64_t total = self->total_n, through = through_n(self);
    double seconds = (double)(now_ms - self->started_ms) / 1000.0;
    char bytes[32], eta[32], bar[21];
    size_t filled = total ? (size_t)(20 * PS_MIN(through, total) / total) : 0;

    put_bytes(bytes, sizeof(bytes), self->sent_bytes);
    put_eta(eta, sizeof(eta), through, total, seconds);
    memset(bar, ' ', 20);
    memset(bar, '=', filled);
    bar[20] = '\0';
    (void)fprintf(stderr, "\r\033[K[%s] %llu/%llu%s files  %s  %.0f/s  %s  found %llu%s%s", bar,
                  (unsigned long long)through, (unsigned long long)total, self->total_known ? "" : "+", bytes,
                  seconds > 0 ? (double)through / seconds : 0.0, eta, (unsigned long long)found_n(self),
                  note ? "  " : "", note ? note : "");
    (void)fflush(stderr);
    self->drawn = true;
}

/* ---- the end ---- */

static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80; /* code points: good enough for columns */
    return n;
}

static void put_table(struct ps_show *self)
{
    static const char *const heads[] = {"file", "type", "verdict", "N/M", "label or reason"};
    size_t widths[5];
    json_t *row;
    size_t i;

    for (size_t c = 0; c < 5; c++)
        widths[c] = strlen(heads[c]);
    json_array_foreach (self->rows, i, row)
        for (size_t c = 0; c < 5; c++) {
            PS_BUF struct ps_buf cell;

            ps_buf_init(&cell, CELL_MAX);
            const char *raw = json_string_value(json_array_get(row, c));
            ps_utf8_put_visible(&cell, raw, strlen(raw));
            widths[c] = PS_MAX(widths[c], width_of(ps_buf_text(&cell)));
            (void)json_array_set_new(row, c, json_string(ps_buf_text(&cell)));
        }
    for (size_t c = 0; c < 5; c++)
        (void)printf("%-*s%s", c < 4 ? (int)widths[c] : 0, heads[c], c < 4 ? "  " : "\n");
    json_array_foreach (self->rows, i, row)
        for (size_t c = 0; c < 5; c++) {
            const char *text = json_string_value(json_array_get(row, c));

            (void)printf("%s%*s", text, c < 4 ? (int)(widths[c] - width_of(text)) + 2 : 0, "");
            if (c == 4)
                (void)putchar('\n');
        }
    if (self->noted_n)
        (void)printf("(and %llu more files; --json shows them all)\n", (unsigned long long)self->noted_n);
}

static void put_sum(struct ps_show *self, double seconds)
{
    FILE *to = self->settings.json || self->settings.quiet ? stderr : stdout;
    char bytes[32];

    put_bytes(bytes, sizeof(bytes), self->sent_bytes);
    (void)fprintf(to, "\n%llu files, %s in %.1f s (%.0f files/s)", (unsigned long long)self->sent_n, bytes,
                  seconds, seconds > 0 ? (double)self->sent_n / seconds : 0.0);
    if (self->skipped_n)
        (void)fprintf(to, ", %llu unchanged since the last run", (unsigned long long)self->skipped_n);
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
}

int ps_show_end(struct ps_show *self, uint64_t now_ms)
{
    clear_line(self);
    if (self->settings.table && !self->settings.json)
        put_table(self);
    if (!self->settings.json)
        put_sum(self, (double)(now_ms - self->started_ms) / 1000.0);
    (void)fflush(stdout);
    if (found_n(self))
        return PS_EXIT_FOUND;
    if (self->errors_n || self->verdicts[PS_VERDICT_INCONCLUSIVE])
        return PS_EXIT_ERROR;
    return PS_EXIT_OK;
}
