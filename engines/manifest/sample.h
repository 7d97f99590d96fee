/* engines/manifest/sample.h: one sample, given to a program as its manifest wants it. */
#ifndef PS_ENGINES_MANIFEST_SAMPLE_H
#define PS_ENGINES_MANIFEST_SAMPLE_H

#include "engines/manifest/manifest.h"

#include <limits.h>
#include <sys/stat.h>

struct ps_handed {
    int fd;       /* for PS_TOOL_FD; -1: the program gets none. Owned when it is not the sample's own */
    int stdin_fd; /* borrowed from the sample; -1: standard input is empty */
    bool own_fd;  /* fd is ours */
    char path[PATH_MAX]; /* what {sample} stands for */
    char copy[PATH_MAX]; /* a copy that was made; "" for none */
    struct stat was;     /* the copy when it was complete */
};

/* Prepares the sample. 0, or -1 with one sentence in err. ps_handed_fini is due in any case. */
int ps_hand_over(const struct ps_manifest *manifest, const struct ps_engine_sample *sample,
                 const char *exchange, struct ps_handed *ret_self, char *err, size_t err_max);
/* True when a copy is no longer what it was: someone removed it, cleaned it, or denies it. */
bool ps_handed_is_gone(const struct ps_handed *self);
/* Removes the copy. */
void ps_handed_fini(struct ps_handed *self);

/* Removes copies in exchange that a killed process has left there. */
void ps_exchange_clear(const char *exchange);

#endif
