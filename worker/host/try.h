/* worker/host/try.h: phagescan-enginehost --try FILE...: the session's part for one person at a terminal. */
#ifndef PS_HOST_TRY_H
#define PS_HOST_TRY_H

#include "worker/host/settings.h"

/* Starts this program once more as a zygote with the same options, and scans settings' files one after the other in a
 * jailed child: a line of JSON each on standard output. Returns an exit status: 0 nothing found, 1 something found, 2
 * errors. */
int ps_try(const struct ps_settings *settings);

#endif
