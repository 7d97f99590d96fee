#include "proto/peer/cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

#define Z85 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

static const struct {
    const char *text;
    unsigned bit;
} role_names[] = {{"master", PS_CERT_ROLE(PS_ROLE_MASTER)},
                  {"worker", PS_CERT_ROLE(PS_ROLE_WORKER)},
                  {"client", PS_CERT_CLIENT},
                  {"service", PS_CERT_SERVICE}};

/* ---- words ---- */

bool ps_cert_name_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);

    return len >= 1 && len <= PS_CERT_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

bool ps_cert_key_valid(const char *key)
{
    uint8_t bytes[32];

    /* The decoder reads past its table when it meets another letter. */
    return strlen(key) == PS_KEY_TEXT - 1 && strspn(key, Z85) == PS_KEY_TEXT - 1 &&
           zmq_z85_decode(bytes, key);
}

static unsigned role_bit(const char *text, size_t len)
{
    for (size_t i = 0; i < PS_ARRAY_N(role_names); i++)
        if (strlen(role_names[i].text) == len && strncmp(role_names[i].text, text, len) == 0)
            return role_names[i].bit;
    return 0;
}

int ps_cert_roles_read(unsigned *ret_roles, const char *text, struct ps_error *reterr)
{
    unsigned roles = 0;

    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        unsigned bit = role_bit(at, len);

        if (!bit)
            return ps_error_set(reterr, PS_ERR_INVALID,
                                "roles are master, worker, client and service, with commas between");
        roles |= bit;
        at += len;
        if (!*at)
            break;
    }
    *ret_roles = roles;
    return 0;
}

const char *ps_cert_roles_text(char buf[PS_CERT_ROLES_MAX], unsigned roles)
{
    size_t len = 0;

    (void)snprintf(buf, PS_CERT_ROLES_MAX, "none"); /* fits, like what follows */
    for (size_t i = 0; i < PS_ARRAY_N(role_names); i++)
        if (roles & role_names[i].bit)
            len += (size_t)snprintf(buf + len, PS_CERT_ROLES_MAX - len, "%s%s", len ? "," : "",
                                    role_names[i].text);
    return buf;
}

/* ---- making ---- */

int ps_cert_make(struct ps_cert *ret_cert, const char *name, unsigned roles, struct ps_error *reterr)
{
    struct ps_cert cert = {.roles = roles};

    if (!ps_cert_name_valid(name))
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "a key's name has 1 to %d letters, digits, dots, dashes or underscores",
                            PS_CERT_NAME_MAX);
    if (zmq_curve_keypair(cert.public_key, cert.secret_key))
        return ps_error_set(reterr, PS_ERR_UNSUPPORTED, "libzmq can't make a CURVE key: %s",
                            zmq_strerror(errno));
    (void)snprintf(cert.name, sizeof(cert.name), "%s", name); /* fits: it is valid */
    (void)ps_clock_rfc3339(cert.made, ps_clock_real_us());
    *ret_cert = cert;
    ps_cert_fini(&cert);
    return 0;
}

void ps_cert_fini(struct ps_cert *self)
{
    explicit_bzero(self->secret_key, sizeof(self->secret_key));
}

/* ---- parsing ---- */

#define BLANK     " \t\r"
#define NAME_MADE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$-_@.&+/"

/* One line of ZPL, taken apart in place. */
struct line {
    bool inside; /* indented: it belongs to a section */
    char *name;  /* NULL: blank, or a comment */
    char *value; /* "": it has none */
};

static bool is_over(const char *at)
{
    at += strspn(at, BLANK);
    return !*at || *at == '#';
}

static void trim(char *text)
{
    size_t len = strlen(text);

    while (len > 0 && strchr(BLANK, text[len - 1]))
        len--;
    text[len] = '\0';
}

/* What is behind the sign: in quotes, or up to a comment. */
static bool take_value(struct line *line, char *at)
{
    char quote = *(at += strspn(at, BLANK)), *end;

    if (quote == '"' || quote == '\'') {
        end = strchr(at + 1, quote);
        if (!end || !is_over(end + 1))
            return false;
        *end = '\0';
        line->value = at + 1;
        return true;
    }
    at[strcspn(at, "#")] = '\0';
    trim(at);
    line->value = at;
    return true;
}

static bool take_line(struct line *line, char *text)
{
    char *at = text + strspn(text, BLANK), *end;

    *line = (struct line){.inside = at > text};
    if (is_over(at))
        return true;
    end = at + strspn(at, NAME_MADE);
    if (end == at)
        return false;
    line->name = at;
    at = end + strspn(end, BLANK);
    line->value = at + strlen(at);
    if (*at == '=') {
        *end = '\0';
        return take_value(line, at + 1);
    }
    if (!is_over(at))
        return false;
    *end = '\0';
    return true;
}

/* The line of a key that we know; others may be there, czmq's users put in what they like. */
static const char *take_key(struct ps_cert *cert, const char *section, const struct line *line)
{
    bool curve = strcmp(section, "curve") == 0, metadata = strcmp(section, "metadata") == 0;

    if (curve && strcmp(line->name, "public-key") == 0) {
        if (!ps_cert_key_valid(line->value))
            return "curve/public-key is not 40 digits of Z85";
        memcpy(cert->public_key, line->value, PS_KEY_TEXT);
    } else if (curve && strcmp(line->name, "secret-key") == 0) {
        if (!ps_cert_key_valid(line->value))
            return "curve/secret-key is not 40 digits of Z85";
        memcpy(cert->secret_key, line->value, PS_KEY_TEXT);
    } else if (metadata && strcmp(line->name, "name") == 0) {
        if (!ps_cert_name_valid(line->value))
            return "metadata/name has to be 1 to 64 letters, digits, dots, dashes or underscores";
        (void)snprintf(cert->name, sizeof(cert->name), "%s", line->value); /* fits: it is valid */
    } else if (metadata && strcmp(line->name, "roles") == 0) {
        if (ps_cert_roles_read(&cert->roles, line->value, NULL))
            return "metadata/roles: master, worker, client and service, with commas between";
    } else if (metadata && strcmp(line->name, "made") == 0) {
        if (strspn(line->value, "0123456789-:.TZ") != strlen(line->value) ||
            strlen(line->value) >= sizeof(cert->made))
            return "metadata/made is not a time";
        (void)snprintf(cert->made, sizeof(cert->made), "%s", line->value); /* fits: just looked */
    }
    return NULL;
}

/* Not by zconfig: it tells of what it does not understand on standard output, letters as they came. */
const char *ps_cert_parse(struct ps_cert *ret_cert, char *text)
{
    struct ps_cert cert = {.roles = 0};
    const char *section = "", *why = NULL;
    struct line line;
    char *next;

    for (; text && !why; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        if (!take_line(&line, text))
            why = "not a certificate (ZPL)";
        else if (line.name && !line.inside)
            section = line.name;
        else if (line.name)
            why = take_key(&cert, section, &line);
    }
    if (!why && !cert.public_key[0])
        why = "not a certificate: it has no curve/public-key";
    if (!why)
        *ret_cert = cert;
    ps_cert_fini(&cert);
    return why;
}

/* ---- reading ---- */

static int bad(struct ps_error *reterr, const char *path, const char *why)
{
    return ps_error_set(reterr, PS_ERR_INVALID, "certificate %s: %s", path, why);
}

int ps_cert_read(struct ps_cert *ret_cert, const char *path, struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    struct stat st;
    const char *why;
    int r;

    ps_buf_init(&text, PS_CERT_BYTES_MAX);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a fifo would keep us waiting */
        return bad(reterr, path, "not a regular file");
    r = ps_file_read(path, &text);
    if (r == PS_ERR_LIMIT)
        return bad(reterr, path, "not a certificate: too long");
    if (r)
        return ps_error_set(reterr, r, "certificate %s: %s", path, ps_err_text(r));
    ps_buf_put(&text, "", 1);
    if (ps_buf_error(&text) || strlen((char *)text.data) + 1 != text.len)
        why = "not a certificate: it is not text";
    else
        why = ps_cert_parse(ret_cert, (char *)text.data);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    return why ? bad(reterr, path, why) : 0;
}

/* Else a handshake would fail, and nobody could say why. */
static bool is_pair(const struct ps_cert *cert)
{
    char public_key[PS_KEY_TEXT];

    return zmq_curve_public(public_key, cert->secret_key) == 0 && strcmp(public_key, cert->public_key) == 0;
}

int ps_cert_read_own(struct ps_cert *ret_cert, const char *path, struct ps_error *reterr)
{
    PS_FREE char *beside = ps_strf("%s" PS_CERT_SECRET, path);
    struct stat st;
    int r;

    if (!beside)
        return ps_error_set(reterr, PS_ERR_NOMEM, "out of memory");
    if (stat(beside, &st) == 0)
        path = beside;
    else if (errno != ENOENT || stat(path, &st))
        return ps_error_set(reterr, ps_err_from_errno(errno), "certificate %s: %s", path, strerror(errno));
    r = ps_cert_read(ret_cert, path, reterr);
    if (r)
        return r;
    if (!ret_cert->secret_key[0])
        return ps_error_set(reterr, PS_ERR_INVALID, "certificate %s: the secret key (%s) is missing", path,
                            beside);
    if (!is_pair(ret_cert)) {
        ps_cert_fini(ret_cert);
        return bad(reterr, path, "its public key does not belong to its secret key");
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        ps_cert_fini(ret_cert);
        return ps_error_set(reterr, PS_ERR_DENIED,
                            "certificate %s: others may read the secret key (mode %04o): chmod 600 it", path,
                            (unsigned)st.st_mode & 07777);
    }
    return 0;
}

/* ---- writing ---- */

int ps_cert_write(const struct ps_cert *self, const char *path, bool secret, struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    char roles[PS_CERT_ROLES_MAX];
    int r;

    ps_buf_init(&text, PS_CERT_BYTES_MAX);
    ps_buf_putf(&text, "#   A key of Phagescan's (ZeroMQ CURVE), %s\n\nmetadata\n",
                secret ? "with its secret: keep it to yourself"
                       : "the public part: whoever gets it can't use it");
    ps_buf_putf(&text, "    name = \"%s\"\n", self->name);
    if (self->roles)
        ps_buf_putf(&text, "    roles = \"%s\"\n", ps_cert_roles_text(roles, self->roles));
    if (self->made[0])
        ps_buf_putf(&text, "    made = \"%s\"\n", self->made);
    ps_buf_putf(&text, "curve\n    public-key = \"%s\"\n", self->public_key);
    if (secret)
        ps_buf_putf(&text, "    secret-key = \"%s\"\n", self->secret_key);
    r = ps_buf_error(&text);
    if (!r)
        r = ps_file_replace(path, text.data, text.len, secret ? 0600 : 0644);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    return r ? ps_error_set(reterr, r, "can't write %s: %s", path, ps_err_text(r)) : 0;
}
