#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES 4096 /* a longer line is cut, and says so; a pipe takes as much in one piece */
#define CUT_MARK       " cut=yes"

static const char *prog_name = "phagescan"; /* set before threads, then only read */
static enum ps_log_level least = PS_LOG_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void ps_log_init(const char *prog, enum ps_log_level level)
{
    prog_name = prog;
    least = level;
}

/* What a format let through unquoted must still not begin a second line. */
static void flatten(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
}

/* Length of line without the beginning of a code point whose rest was cut off. */
static size_t without_stump(const char *line, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++)
        if ((uint8_t)line[len - back] >= 0xc0)
            return ps_utf8_next(line + len - back, back, NULL) > 0 ? len : len - back;
    return len;
}

void ps_log(enum ps_log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES], when[PS_RFC3339_MAX];
    const size_t room = sizeof(line) - sizeof(CUT_MARK); /* leaves place for the mark and the newline */
    int saved_errno = errno;
    size_t len, total;
    va_list args;
    int n;

    if (level > least)
        return;
    n = snprintf(line, room, "ts=%s level=%s prog=%s event=%s%s", ps_clock_rfc3339(when, ps_clock_real_us()),
                 level_names[PS_MIN((unsigned)level, PS_ARRAY_N(level_names) - 1)], prog_name, event,
                 fmt[0] ? " " : "");
    total = n < 0 ? 0 : (size_t)n;
    len = PS_MIN(total, room - 1);
    va_start(args, fmt);
    n = vsnprintf(line + len, room - len, fmt, args);
    va_end(args);
    total += n < 0 ? 0 : (size_t)n;
    len = PS_MIN(total, room - 1);
    flatten(line, len);
    if (total > len) {
        len = without_stump(line, len);
        memcpy(line + len, CUT_MARK, sizeof(CUT_MARK) - 1);
        len += sizeof(CUT_MARK) - 1;
    }
    line[len++] = '\n';
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ; /* any other failure: there is nobody left to tell */
    errno = saved_errno;
}

/* Where escaped text goes. */
struct sink {
    char *at;   /* first byte */
    size_t n;   /* bytes used */
    size_t max; /* bytes that fit */
};

#define UNIT_MAX 12 /* longest escape: \u{10FFFF} and a NUL */

/* Writes the escaped form of what text begins with; *ret_used is how much of text it stands for. */
static size_t escape_one(char out[UNIT_MAX], const char *text, size_t len, size_t *ret_used)
{
    uint32_t cp = 0;
    size_t n = ps_utf8_next(text, len, &cp);
    int written;

    *ret_used = n > 0 ? n : 1;
    if (n == 0)
        written = snprintf(out, UNIT_MAX, "\\x%02x", (unsigned)(uint8_t)text[0]);
    else if (cp == '"' || cp == '\\')
        written = snprintf(out, UNIT_MAX, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\t' || cp == '\r')
        written = snprintf(out, UNIT_MAX, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
    else if (ps_utf8_is_control(cp))
        written = snprintf(out, UNIT_MAX, cp < 0x100 ? "\\x%02x" : "\\u{%04X}", (unsigned)cp);
    else
        written = snprintf(out, UNIT_MAX, "%.*s", (int)n, text);
    return (size_t)written;
}

/* Escapes text until it ends or the sink is full; returns how much of text went in. */
static size_t escape_into(struct sink *sink, const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        char unit[UNIT_MAX];
        size_t used, n = escape_one(unit, text + at, len - at, &used);

        if (n > sink->max - sink->n)
            break;
        memcpy(sink->at + sink->n, unit, n);
        sink->n += n;
        at += used;
    }
    return at;
}

static size_t escaped_len(const char *text, size_t len)
{
    size_t sum = 0, used;

    for (size_t at = 0; at < len; at += used) {
        char unit[UNIT_MAX];

        sum += escape_one(unit, text + at, len - at, &used);
    }
    return sum;
}

/* The longest end of text whose escaped form fits into room: nothing shrinks by escaping, so room bytes are
 * enough to look at. */
static size_t tail_start(const char *text, size_t len, size_t room)
{
    size_t start = len > room ? ps_utf8_cut(text, len, len - room) : 0;

    while (escaped_len(text + start, len - start) > room) {
        char unit[UNIT_MAX];
        size_t used;

        (void)escape_one(unit, text + start, len - start, &used); /* only its length matters */
        start += used;
    }
    return start;
}

/* Letters that need no quotes in logfmt. */
static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("._:/@+,%-", c))))
            return false;
    }
    return len > 0;
}

struct ps_log_quoted ps_log_quote(const void *data, size_t len)
{
    static const char gap[] = "...";
    struct ps_log_quoted quoted;
    const char *text = data;
    struct sink sink = {quoted.text + 1, 0, sizeof(quoted.text) - 3}; /* two quotes and a NUL */

    if (len <= sink.max && is_plain(text, len) && !(len == 1 && text[0] == '-')) {
        memcpy(quoted.text, text, len);
        quoted.text[len] = '\0';
        return quoted;
    }
    if (escape_into(&sink, text, len) < len) {
        size_t half = (sink.max - (sizeof(gap) - 1)) / 2, start;
        struct sink head = {sink.at, 0, half};

        (void)escape_into(&head, text, len); /* that it does not all fit is known */
        start = tail_start(text, len, half);
        memcpy(head.at + head.n, gap, sizeof(gap) - 1);
        sink.n = head.n + sizeof(gap) - 1;
        (void)escape_into(&sink, text + start, len - start); /* fits: measured by tail_start */
    }
    quoted.text[0] = '"';
    quoted.text[1 + sink.n] = '"';
    quoted.text[2 + sink.n] = '\0';
    return quoted;
}

struct ps_log_quoted ps_log_quote_text(const char *text)
{
    if (!text)
        return (struct ps_log_quoted){.text = "-"};
    return ps_log_quote(text, strlen(text));
}
