/* engines/kit/reach.h: is there what an engine that runs programs needs? For its probe. */
#ifndef PS_KIT_REACH_H
#define PS_KIT_REACH_H

#include <stddef.h>

/* how: R_OK or X_OK. 0, or -1 with a sentence: "not installed: ..." or "needs privilege: ...". */
int ps_kit_probe_path(const char *path, int how, char *err, size_t err_max);
/* Connects to a daemon's UNIX socket and leaves again. 0, or -1 with a sentence. */
int ps_kit_probe_socket(const char *path, char *err, size_t err_max);

#endif
