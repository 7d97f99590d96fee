/* engines/clamav/names.h: what a name that libclamav reports means. */
#ifndef PS_ENGINES_CLAMAV_NAMES_H
#define PS_ENGINES_CLAMAV_NAMES_H

#include "engines/engine.h"

struct ps_clamav_meaning {
    const char *prefix; /* of the reported name */
    enum ps_found what;
    const char *because; /* the start of a sentence for people; NULL when the name says it all */
};

/* The meaning of name: the first row of the table whose prefix it has, malicious when there is none. Static.
 */
const struct ps_clamav_meaning *ps_clamav_meaning(const char *name);

#endif
