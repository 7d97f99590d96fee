/* engines/manifest/tool.h: running one program and taking what it writes. */
#ifndef PS_ENGINES_MANIFEST_TOOL_H
#define PS_ENGINES_MANIFEST_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#define PS_TOOL_OUT_MAX (1024 * 1024) /* bytes of output; a program that writes more is ended */
#define PS_TOOL_FD      3             /* where it finds the sample */

struct ps_tool {
    char *const *argv; /* ended by NULL; argv[0] is the path */
    char *const *env;  /* ended by NULL */
    const char *dir;   /* where it starts */
    int stdin_fd;      /* its standard input; -1: nothing to read */
    int sample_fd;     /* becomes PS_TOOL_FD; -1 for none */
};

struct ps_tool_end {
    int status; /* as wait gives it */
    char *out;  /* owned by the caller, freed by it; standard output and error together */
    size_t len;
    bool cut; /* it wrote more than PS_TOOL_OUT_MAX */
};

/* Runs it and waits until it ends, whatever it has started meanwhile; there is no deadline here: who runs this process
 * has one. Takes over SIGCHLD. 0, or -1 with one sentence in err when it could not be started. */
int ps_tool_run(const struct ps_tool *tool, struct ps_tool_end *ret_end, char *err, size_t err_max);

#endif
