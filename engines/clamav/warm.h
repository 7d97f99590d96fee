/* engines/clamav/warm.h: samples that make libclamav touch, before the jail, what it opens on first use. */
#ifndef PS_ENGINES_CLAMAV_WARM_H
#define PS_ENGINES_CLAMAV_WARM_H

#include "engines/engine.h"

/* Calls scan with the bytes of each sample: archives, documents, mail, text in UTF-16. All are made here,
 * none is harmful. Returns 0, or the first thing other than 0 that scan returned. */
int ps_clamav_warm(int (*scan)(void *arg, const uint8_t *bytes, size_t len), void *arg);

#endif
