/* worker/types.h: which MIME types an engine takes. Any thread. */
#ifndef PS_WORKER_TYPES_H
#define PS_WORKER_TYPES_H

#include <stdbool.h>

/* True when mime matches one of the comma-separated globs ("application/pdf, text / *" without the blanks); empty
 * globs take all. A glob longer than PS_NAME_MAX takes all too: an engine is rather run in vain than left out. */
bool ps_types_match(const char *globs, const char *mime);

#endif
