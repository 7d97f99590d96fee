/* engines/clamav/warm.h: makes libclamav touch, before the jail, what it opens on first use. */
#ifndef PS_ENGINES_CLAMAV_WARM_H
#define PS_ENGINES_CLAMAV_WARM_H

#include "engines/engine.h"

#include <iconv.h>

#define PS_CLAMAV_CHARSETS_MAX 96

/* Conversions that are held open: glibc loads a character set's module by name, and drops it after its last use. */
struct ps_clamav_charsets {
    iconv_t open[PS_CLAMAV_CHARSETS_MAX];
    size_t n;
};

/* Loads the character sets of documents and mail. Those that this system lacks are left out. */
void ps_clamav_charsets_open(struct ps_clamav_charsets *self);
void ps_clamav_charsets_close(struct ps_clamav_charsets *self);

/* Calls scan with the bytes of each sample: archives, documents, mail, text in UTF-16. All are made here, none is
 * harmful. Returns 0, or the first thing other than 0 that scan returned. */
int ps_clamav_warm(int (*scan)(void *arg, const uint8_t *bytes, size_t len), void *arg);

#endif
