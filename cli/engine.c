/* phagescan engine: writing engines and trying them, without a database and without a broker. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/engine/commands.h"
#include "cli/text.h"

struct engine_command {
    const char *name;
    char *full; /* for its complaints */
    const char *prose;
    int (*run)(int argc, char **argv);
};

static char full_new[] = "engine new", full_test[] = "engine test";

static const struct engine_command commands[] = {
    {"new", full_new, "write the directory of a new engine: a manifest that works, to be changed",
     ps_engine_new},
    {"test", full_test, "run an engine in its jail on a harmless text, on EICAR and on files",
     ps_engine_test},
};

static void usage(FILE *to)
{
    (void)fputs("usage: phagescan engine COMMAND [OPTION...] [ARGUMENT...]\n\n", to);
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++)
        (void)fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].prose);
    (void)fputs("\n`phagescan engine COMMAND --help` lists a command's options; docs/engines.md teaches how "
                "to write one.\n",
                to);
}

int ps_cmd_engine(int argc, char **argv)
{
    if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
        usage(stdout);
        return PS_EXIT_OK;
    }
    if (argc < 2) {
        usage(stderr);
        return PS_EXIT_ERROR;
    }
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        argv[1] = commands[i].full;
        return commands[i].run(argc - 1, argv + 1);
    }
    return ps_text_complain("engine", "there is no such command; `phagescan engine --help` lists them");
}
