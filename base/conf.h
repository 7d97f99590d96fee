/* base/conf.h: the configuration file (ZPL, read by czmq's zconfig): one file, one section a program.
 * A library of its own (base_conf), because the engine host links no czmq. */
#ifndef PS_BASE_CONF_H
#define PS_BASE_CONF_H

#include "base/err.h"
#include "base/opt.h"

/* Applies section of the file at path to settings. A missing file is fine when must_exist is false. Unknown
 * keys and bad values are refused with file and key named. */
int ps_conf_load(const char *path, bool must_exist, const char *section, const struct ps_opt *table,
                 void *settings, struct ps_error *reterr);

#endif
