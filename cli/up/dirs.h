/* cli/up/dirs.h: the directories of an installation, each with its owner and mode. */
#ifndef PS_CLI_UP_DIRS_H
#define PS_CLI_UP_DIRS_H

#include "base/err.h"
#include "base/layout.h"
#include "cli/up/accounts.h"

#define PS_DIRS_LOG "log" /* below state */

/* Makes what is missing and sets owners and modes anew. An account that owns a directory above can't turn root's hand
 * elsewhere with a link. */
int ps_dirs_make(const struct ps_layout *layout, const struct ps_accounts *accounts, struct ps_error *reterr);

#endif
