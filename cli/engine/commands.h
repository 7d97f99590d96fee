/* cli/engine/commands.h: the commands of `phagescan engine`, and what they share. */
#ifndef PS_CLI_ENGINE_COMMANDS_H
#define PS_CLI_ENGINE_COMMANDS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/layout.h"

/* Each takes argv with the command's own name first, and returns an exit status. */
int ps_engine_new(int argc, char **argv);
int ps_engine_test(int argc, char **argv);

/* True for [a-z0-9_-]+ of at most 64 bytes, which is what a worker takes for an engine's name. */
bool ps_engine_name_valid(const char *name);

/* Where the parts of one engine are, as a worker would find them. */
struct ps_engine_place {
    char name[65];
    char host[PS_PATH_MAX];       /* phagescan-enginehost */
    char plugin[PS_PATH_MAX];     /* the module, or the adapter that reads file */
    char file[PS_PATH_MAX];       /* NAME.engine or NAME.py; "" */
    char signatures[PS_PATH_MAX]; /* "" for none */
    char data[PS_PATH_MAX];       /* "" for none */
    bool manifest;                /* file is a manifest */
};

/* Finds the engine that is called word, or lies in the directory word. engines: directory of installed engines, NULL for
 * the usual one ($PHAGESCAN_ENGINES, then that of base/layout.h, then the build tree's). 0 or a ps_err with a sentence. */
int ps_engine_find(struct ps_engine_place *ret_place, const char *word, const char *engines,
                   struct ps_error *reterr);

#endif
