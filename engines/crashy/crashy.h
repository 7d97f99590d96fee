/* engines/crashy/crashy.h: what the parts of the test engine share: a command's scan, how it says whether a wall held,
 * and the tables of commands. */
#ifndef PS_CRASHY_H
#define PS_CRASHY_H

#include <stddef.h>

#include "engines/engine.h"

struct scan {
    const struct ps_engine_sample *sample;
    const struct ps_engine_report *report;
    const char *argument; /* rest of the line; "" */
};

struct crashy_command {
    const char *name;
    enum ps_found (*run)(struct scan *scan);
};

/* Each ends with a NULL name. */
extern const struct crashy_command crashy_ends[];  /* ends.c: deaths and hangs */
extern const struct crashy_command crashy_bombs[]; /* bombs.c: memory, disk, processes without end */
extern const struct crashy_command crashy_reach[]; /* reach.c: files, network, other processes */
extern const struct crashy_command
    crashy_kernel[]; /* kernel.c: what opens more of the kernel, or more rights */
extern const struct crashy_command crashy_lies[];  /* lies.c: reports, true and false */
extern const struct crashy_command crashy_files[]; /* files.c: derived files */

/* A wall that holds is undetected with errno's text as the reason, one that doesn't is malicious with that label. */
enum ps_found crashy_held(struct scan *scan);
enum ps_found crashy_through(struct scan *scan, const char *label);
/* By what a system call returned: below 0 the wall holds. */
enum ps_found crashy_wall(struct scan *scan, long rc, const char *label);

/* Until killed. */
void __attribute__((noreturn)) crashy_hang(void);

#endif
