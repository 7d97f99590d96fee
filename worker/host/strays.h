/* worker/host/strays.h: processes that escaped from a child where there is no pid namespace to end them with it: they
 * left its group, their parents died, and they became children of the zygote (a subreaper). Engine host only. */
#ifndef PS_HOST_STRAYS_H
#define PS_HOST_STRAYS_H

#include <stddef.h>
#include <sys/types.h>

/* Kills all children of this process that are not among known; they are waited for by whoever waits. Returns how many
 * there were (zombies not counted): call again until 0, since each that dies may leave others behind. */
size_t ps_strays_kill(const pid_t *known, size_t n);

#endif
