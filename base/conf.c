#include "base/conf.h"

#include <czmq.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"

#define FILE_BYTES_MAX (1024 * 1024) /* larger files are refused: nobody writes that much by hand */

/* True when an earlier sibling of item has the same name. */
static bool is_repeated(zconfig_t *section, zconfig_t *item)
{
    zconfig_t *at = zconfig_child(section);

    for (; at && at != item; at = zconfig_next(at))
        if (streq(zconfig_name(at), zconfig_name(item)))
            return true;
    return false;
}

static int apply(const struct ps_opt *table, void *settings, zconfig_t *section, zconfig_t *item,
                 struct ps_error *reterr)
{
    const struct ps_opt *opt = ps_opts_find(table, zconfig_name(item));
    const char *value = zconfig_value(item);

    if (!opt)
        return ps_opts_unknown(table, zconfig_name(item), reterr);
    if (zconfig_child(item))
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is an option, not a section", opt->name);
    if (!is_repeated(section, item))
        ps_opts_forget(table, settings, opt->name);
    else if (opt->type != PS_OPT_LIST)
        return ps_error_set(reterr, PS_ERR_INVALID, "%s is given twice", opt->name);
    return ps_opts_set(table, settings, opt->name, value ? value : "", reterr);
}

static int not_zpl(const char *path, struct ps_error *reterr)
{
    return ps_error_set(reterr, PS_ERR_INVALID,
                        "the configuration %s is not ZPL (name = value, 4 spaces a level)", path);
}

/* Not by zconfig_load: it answers NULL for every trouble alike, and leaks its file when that is not ZPL. */
static int read_file(const char *path, bool must_exist, zconfig_t **ret_root, struct ps_error *reterr)
{
    PS_BUF struct ps_buf text;
    zconfig_t *root;
    int rc;

    ps_buf_init(&text, FILE_BYTES_MAX);
    rc = ps_file_read(path, &text);
    if (rc == PS_ERR_NOTFOUND && !must_exist)
        return 0;
    if (rc)
        return ps_error_set(reterr, rc, "can't read the configuration %s: %s", path, ps_err_text(rc));
    if (text.len == 0)
        return 0;
    if (memchr(text.data, '\0', text.len))
        return not_zpl(path, reterr);
    root = zconfig_str_load(ps_buf_text(&text));
    if (!root)
        return not_zpl(path, reterr);
    *ret_root = root;
    return 0;
}

int ps_conf_load(const char *path, bool must_exist, const char *section, const struct ps_opt *table,
                 void *settings, struct ps_error *reterr)
{
    PS_CLEANUP(zconfig_destroy) zconfig_t *root = NULL;
    zconfig_t *found;
    int rc = read_file(path, must_exist, &root, reterr);

    if (rc || !root)
        return rc;
    found = zconfig_locate(root, section);
    if (!found)
        return 0; /* nothing for this program */
    for (zconfig_t *item = zconfig_child(found); item && !rc; item = zconfig_next(item))
        rc = apply(table, settings, found, item, reterr);
    return rc ? ps_error_wrap(reterr, rc, "%s, section %s", path, section) : 0;
}
