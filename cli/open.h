/* cli/open.h: the way to the web page. */
#ifndef PS_CLI_OPEN_H
#define PS_CLI_OPEN_H

#include "base/err.h"

/* Prints a fresh one-time address of the page, and how to reach it from another machine when nobody sits here. */
int ps_open_print(struct ps_error *reterr);

#endif
