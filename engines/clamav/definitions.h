/* engines/clamav/definitions.h: what a directory of ClamAV signatures is, before libclamav loads it. */
#ifndef PS_ENGINES_CLAMAV_DEFINITIONS_H
#define PS_ENGINES_CLAMAV_DEFINITIONS_H

#include "engines/engine.h"

struct ps_clamav_definitions {
    size_t files;      /* that libclamav would load */
    bool official;     /* a signed main or daily database is among them */
    int64_t built_at;  /* seconds since 1970, of the newest */
    char version[256]; /* changes whenever what would be loaded changes */
    char hash[32];     /* fingerprint of those files that carry no version of their own; "" without such */
};

/* Reads conf->signatures. Returns 0 (an absent or empty directory is 0 files), or -1 with one sentence in
 * err. */
int ps_clamav_definitions_read(struct ps_clamav_definitions *ret_definitions, const char *directory,
                               char *err, size_t err_max);

#endif
