#include "proto/peer/cert.h"

#include <czmq.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

#define CONFIG PS_CLEANUP(zconfig_destroy)
#define Z85    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

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

/* ---- reading ---- */

static int bad(struct ps_error *reterr, const char *path, const char *why)
{
    return ps_error_set(reterr, PS_ERR_INVALID, "certificate %s: %s", path, why);
}

static void copy_value(zconfig_t *root, const char *where, char *ret_text, size_t max)
{
    (void)snprintf(ret_text, max, "%s", zconfig_get(root, where, "")); /* cut: then it is not valid */
}

static int take(struct ps_cert *cert, zconfig_t *root, const char *path, struct ps_error *reterr)
{
    char roles[PS_CERT_ROLES_MAX + 1];
    const char *public_key = zconfig_get(root, "curve/public-key", "");
    const char *secret_key = zconfig_get(root, "curve/secret-key", "");

    if (!*public_key)
        return bad(reterr, path, "not a certificate: it has no curve/public-key");
    if (!ps_cert_key_valid(public_key))
        return bad(reterr, path, "curve/public-key is not 40 digits of Z85");
    if (*secret_key && !ps_cert_key_valid(secret_key))
        return bad(reterr, path, "curve/secret-key is not 40 digits of Z85");
    (void)snprintf(cert->public_key, PS_KEY_TEXT, "%s", public_key); /* both fit by now */
    (void)snprintf(cert->secret_key, PS_KEY_TEXT, "%s", secret_key);
    if (strlen(zconfig_get(root, "metadata/name", "")) > PS_CERT_NAME_MAX)
        return bad(reterr, path, "metadata/name is too long");
    copy_value(root, "metadata/name", cert->name, sizeof(cert->name));
    copy_value(root, "metadata/made", cert->made, sizeof(cert->made));
    copy_value(root, "metadata/roles", roles, sizeof(roles));
    if (*cert->name && !ps_cert_name_valid(cert->name))
        return bad(reterr, path, "metadata/name may have letters, digits, dots, dashes and underscores only");
    if (*roles && ps_cert_roles_read(&cert->roles, roles, NULL))
        return bad(reterr, path, "metadata/roles: master, worker, client and service, with commas between");
    return 0;
}

/* Not by zcert_load: it answers NULL for all troubles alike, and decodes what is no Z85. */
int ps_cert_read(struct ps_cert *ret_cert, const char *path, struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    CONFIG zconfig_t *root = NULL;
    struct ps_cert cert = {.roles = 0};
    struct stat st;
    int r;

    ps_buf_init(&text, PS_CERT_BYTES_MAX);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a fifo would keep us waiting */
        return bad(reterr, path, "not a regular file");
    r = ps_file_read(path, &text);
    if (r == PS_ERR_LIMIT)
        return bad(reterr, path, "not a certificate: too long");
    if (r)
        return ps_error_set(reterr, r, "certificate %s: %s", path, ps_err_text(r));
    if (text.len > 0 && !memchr(text.data, '\0', text.len))
        root = zconfig_str_load(ps_buf_text(&text));
    r = root ? take(&cert, root, path, reterr) : bad(reterr, path, "not a certificate (ZPL)");
    if (text.data)
        explicit_bzero(text.data, text.cap);
    if (!r)
        *ret_cert = cert;
    ps_cert_fini(&cert);
    return r;
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
