/* master/web/text.h: small parsers of what stands in requests: numbers, queries, cookies, hosts. Pure: no state, no
 * allocation, borrowed bytes in and out. What they read comes from strangers. */
#ifndef PS_MASTER_WEB_TEXT_H
#define PS_MASTER_WEB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* A whole decimal number: digits only. 0 or PS_ERR_INVALID (also when it does not fit). */
int ps_web_u64(struct ps_bytes text, uint64_t *ret_value);

/* Decodes %XX and + into out, which has room for in.len + 1 bytes, and NUL-terminates. A % without two hex digits
 * stays as it is. Returns the length (NULs may be in it). */
size_t ps_web_percent_decode(struct ps_bytes in, uint8_t *out);

/* The value of a parameter in a query string (what follows the ?), still encoded, the first one of that name; at NULL
 * when it is not there. */
struct ps_bytes ps_web_query_value(struct ps_bytes query, const char *name);

/* The next part of a comma-separated list, cut off it, blanks around it left out. False at the end. */
bool ps_web_list_next(struct ps_bytes *list, struct ps_bytes *ret_part);

/* The value of a cookie in a Cookie header; at NULL when it is not there. */
struct ps_bytes ps_web_cookie(struct ps_bytes header, const char *name);

/* True when a Host header names this server: 127.0.0.1, localhost, [::1] or also (NULL: nothing else), with its port
 * (which may be left out when it is 80). */
bool ps_web_host_ok(struct ps_bytes host, uint16_t port, const char *also);
/* True when an Origin header is http:// and that host. */
bool ps_web_origin_ok(struct ps_bytes origin, struct ps_bytes host);

/* True when path has the form of pattern, in which {} stands for one segment that is not empty; these are put into
 * ret_args (at most args_max; a pattern with more does not match). */
bool ps_web_path_match(const char *pattern, struct ps_bytes path, struct ps_bytes *ret_args, size_t args_max);

/* What a request's head says about itself more than once. h2o takes the first Content-Length and the last Host, and
 * another program on the way may not: so handlers refuse what is ambiguous. */
struct ps_web_framing {
    unsigned lengths;   /* Content-Length */
    unsigned encodings; /* Transfer-Encoding */
    unsigned hosts;     /* Host */
    bool folded;        /* a header goes on in the next line */
};

/* Reads a head: request line and headers, up to the empty line or the end of the bytes. */
struct ps_web_framing ps_web_framing(struct ps_bytes head);
/* NULL when it is unambiguous, else why not. Static. */
const char *ps_web_framing_fault(const struct ps_web_framing *framing);

#endif
