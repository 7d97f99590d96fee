/* worker/host/landlock.h: Landlock by raw system calls and constants of our own, because Debian 12's headers stop at
 * ABI 2. Engine host only. */
#ifndef PS_HOST_LANDLOCK_H
#define PS_HOST_LANDLOCK_H

#include "worker/host/granted.h"

/* The ABI of this kernel, at least 1; 0 when it has no Landlock or has it switched off. */
int ps_landlock_abi(void);
/* Shuts this thread's file system access down to what lies below tmpdir (read and write; no devices, sockets, pipes or
 * links made there), and, as far as abi goes, TCP, abstract sockets and signals to others down to nothing. abi must be
 * at most ps_landlock_abi. no_new_privs must be set. granted: what else may be read and executed; NULL for nothing. proc:
 * this process has a /proc of its own pid namespace, to be read. 0 or a ps_err (errno says more). */
int ps_landlock_enter(int abi, const char *tmpdir, const struct ps_granted *granted, bool proc);

#endif
