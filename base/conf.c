#include "base/conf.h"

#include <czmq.h>
#include <errno.h>

#include "base/mem.h"

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

static int read_file(const char *path, bool must_exist, zconfig_t **ret_root, struct ps_error *reterr)
{
    /* zconfig_load answers NULL for every trouble alike: look first, to tell a missing file from a bad one.
     */
    if (access(path, R_OK) < 0) {
        if (errno == ENOENT && !must_exist)
            return 0;
        return ps_error_set(reterr, ps_err_from_errno(errno), "can't read the configuration %s: %s", path,
                            strerror(errno));
    }
    *ret_root = zconfig_load(path);
    if (!*ret_root)
        return ps_error_set(reterr, PS_ERR_INVALID,
                            "the configuration %s is not ZPL (name = value, 4 spaces a level)", path);
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
