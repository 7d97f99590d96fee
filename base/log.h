/* base/log.h: one event a line, logfmt, on standard error. Programs log, libraries return errors.
 *
 *   ps_log(PS_LOG_INFO, "worker-joined", "name=%s slots=%u", PS_LOGQ(name), slots)
 *   -> ts=2026-11-24T03:36:20.123Z level=info prog=phagescan-broker event=worker-joined name="w 1" slots=2
 *
 * Text that came from a peer, a file or a user goes through PS_LOGQ / ps_log_quote, never raw. Any thread. */
#ifndef PS_BASE_LOG_H
#define PS_BASE_LOG_H

#include <stddef.h>

enum ps_log_level { PS_LOG_ERROR, PS_LOG_WARN, PS_LOG_INFO, PS_LOG_DEBUG };

/* Names the program (static text, kept) and the least severe level that is written. Call before threads. */
void ps_log_init(const char *prog, enum ps_log_level level);
void ps_log(enum ps_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define PS_LOG_QUOTED_MAX 320
struct ps_log_quoted {
    char text[PS_LOG_QUOTED_MAX];
};
/* A value safe for logfmt: quoted when needed; control bytes, quotes, invalid UTF-8 and bidi marks escaped;
 * long text cut in the middle. len may hold NULs. */
struct ps_log_quoted ps_log_quote(const void *text, size_t len);
struct ps_log_quoted ps_log_quote_text(const char *text); /* NULL gives - */
#define PS_LOGQ(value) (ps_log_quote_text(value).text)

#endif
