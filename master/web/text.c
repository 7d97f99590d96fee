#include "master/web/text.h"

#include <string.h>
#include <strings.h>

int ps_web_u64(struct ps_bytes text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (!text.len)
        return PS_ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.at[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return PS_ERR_INVALID;
    }
    *ret_value = value;
    return 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t ps_web_percent_decode(struct ps_bytes in, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        int hi = -1, lo = -1;

        if (in.at[i] == '%' && i + 2 < in.len) {
            hi = hex_digit(in.at[i + 1]);
            lo = hex_digit(in.at[i + 2]);
        }
        if (hi >= 0 && lo >= 0) {
            out[n++] = (uint8_t)(hi * 16 + lo);
            i += 2;
        } else {
            out[n++] = in.at[i] == '+' ? ' ' : in.at[i];
        }
    }
    out[n] = '\0';
    return n;
}

/* The bytes up to the next separator, which is taken off too. */
static struct ps_bytes cut(struct ps_bytes *rest, uint8_t separator)
{
    const uint8_t *stop = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    struct ps_bytes part = {rest->at, stop ? (size_t)(stop - rest->at) : rest->len};
    size_t taken = part.len + (stop != NULL);

    rest->at += taken;
    rest->len -= taken;
    return part;
}

static struct ps_bytes trim(struct ps_bytes text)
{
    while (text.len && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.len--;
    }
    while (text.len && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* "name=value" -> value; at NULL when it has another name or no =. */
static struct ps_bytes value_of(struct ps_bytes pair, const char *name)
{
    size_t n = strlen(name);

    if (pair.len <= n || memcmp(pair.at, name, n) != 0 || pair.at[n] != '=')
        return (struct ps_bytes){0};
    return (struct ps_bytes){pair.at + n + 1, pair.len - n - 1};
}

struct ps_bytes ps_web_query_value(struct ps_bytes query, const char *name)
{
    while (query.len) {
        struct ps_bytes value = value_of(cut(&query, '&'), name);

        if (value.at)
            return value;
    }
    return (struct ps_bytes){0};
}

bool ps_web_list_next(struct ps_bytes *list, struct ps_bytes *ret_part)
{
    while (list->len) {
        struct ps_bytes part = trim(cut(list, ','));

        if (part.len) {
            *ret_part = part;
            return true;
        }
    }
    return false;
}

struct ps_bytes ps_web_cookie(struct ps_bytes header, const char *name)
{
    while (header.len) {
        struct ps_bytes value = value_of(trim(cut(&header, ';')), name);

        if (value.at)
            return value;
    }
    return (struct ps_bytes){0};
}

static bool same_word(struct ps_bytes a, const char *b)
{
    return a.len == strlen(b) && strncasecmp((const char *)a.at, b, a.len) == 0;
}

/* Takes ":port" off the end of a host. False when what stands there is no port. */
static bool take_port(struct ps_bytes *host, uint64_t *ret_port)
{
    size_t at = host->len;

    while (at > 0 && host->at[at - 1] != ':' && host->at[at - 1] != ']')
        at--;
    *ret_port = 80;
    if (at == 0 || host->at[at - 1] == ']')
        return at == host->len || at == 0;
    struct ps_bytes digits = {host->at + at, host->len - at};
    host->len = at - 1;
    return ps_web_u64(digits, ret_port) == 0;
}

bool ps_web_host_ok(struct ps_bytes host, uint16_t port, const char *also)
{
    uint64_t named;

    if (!take_port(&host, &named) || named != port)
        return false;
    return same_word(host, "127.0.0.1") || same_word(host, "localhost") || same_word(host, "[::1]") ||
           (also && same_word(host, also));
}

bool ps_web_origin_ok(struct ps_bytes origin, struct ps_bytes host)
{
    static const char scheme[] = "http://";
    size_t n = sizeof(scheme) - 1;

    return origin.len == host.len + n && strncasecmp((const char *)origin.at, scheme, n) == 0 &&
           strncasecmp((const char *)origin.at + n, (const char *)host.at, host.len) == 0;
}

static bool is_header(struct ps_bytes line, const char *name)
{
    struct ps_bytes head = cut(&line, ':');

    return same_word(trim(head), name);
}

struct ps_web_framing ps_web_framing(struct ps_bytes head)
{
    struct ps_web_framing framing = {0};

    (void)cut(&head, '\n'); /* the request line */
    while (head.len) {
        struct ps_bytes line = cut(&head, '\n');

        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        if (!line.len)
            break;
        framing.folded = framing.folded || line.at[0] == ' ' || line.at[0] == '\t';
        framing.lengths += is_header(line, "content-length");
        framing.encodings += is_header(line, "transfer-encoding");
        framing.hosts += is_header(line, "host");
    }
    return framing;
}

const char *ps_web_framing_fault(const struct ps_web_framing *framing)
{
    if (framing->lengths + framing->encodings > 1)
        return "the length of the body is said more than once: send one Content-Length, or one "
               "Transfer-Encoding";
    if (framing->hosts > 1)
        return "there is more than one Host header";
    if (framing->folded)
        return "a header goes on in the next line: that is not taken any more";
    return NULL;
}

/* The next segment of path (behind its slash), cut off it. */
static struct ps_bytes take_segment(struct ps_bytes *path)
{
    struct ps_bytes segment = {path->at, 0};

    if (path->len && path->at[0] == '/') {
        path->at++;
        path->len--;
        segment.at = path->at;
    }
    while (path->len && path->at[0] != '/') {
        path->at++;
        path->len--;
        segment.len++;
    }
    return segment;
}

bool ps_web_path_match(const char *pattern_text, struct ps_bytes path, struct ps_bytes *ret_args,
                       size_t args_max)
{
    struct ps_bytes pattern = ps_bytes_of(pattern_text);
    size_t n = 0;

    if (!path.len || path.at[0] != '/')
        return false;
    while (pattern.len && path.len) {
        struct ps_bytes want = take_segment(&pattern), got = take_segment(&path);

        if (!ps_bytes_is(want, "{}")) {
            if (!ps_bytes_equal(want, got))
                return false;
        } else if (got.len == 0 || n == args_max) {
            return false;
        } else {
            ret_args[n++] = got;
        }
    }
    return !pattern.len && !path.len;
}
