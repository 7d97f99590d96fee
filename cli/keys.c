/* phagescan keys: the CURVE keys of broker, workers and masters. Finds the command below it and gets out of its way. */
#include <czmq.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/keys/keys.h"
#include "cli/text.h"

static const struct {
    const char *name;
    char *full; /* as complaints call it; not written to */
    const char *prose;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"broker", (char *)"keys broker", "make the broker's own pair", ps_keys_broker},
    {"new", (char *)"keys new", "make a pair for a worker or a master", ps_keys_new},
    {"allow", (char *)"keys allow", "let the owner of a public key connect", ps_keys_allow},
    {"list", (char *)"keys list", "show who may connect", ps_keys_list},
    {"remove", (char *)"keys remove", "let one connect no more", ps_keys_remove},
};

static void usage(FILE *to)
{
    (void)fputs("usage: phagescan keys COMMAND [OPTION...] [ARGUMENT...]\n"
                "Who may connect to the broker over TCP: docs/operations.md has the whole of it.\n\n",
                to);
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++)
        (void)fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].prose);
    (void)fputs("\n`phagescan keys COMMAND --help` lists a command's options.\n", to);
}

int ps_cmd_keys(int argc, char **argv)
{
    if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
        usage(stdout);
        return PS_EXIT_OK;
    }
    if (argc < 2) {
        usage(stderr);
        return PS_EXIT_ERROR;
    }
    zsys_handler_set(NULL); /* czmq would handle signals for us */
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        argv[1] = commands[i].full;
        return commands[i].run(argc - 1, argv + 1);
    }
    (void)ps_text_complain("keys", "there is no such command; `phagescan keys --help` lists them");
    return PS_EXIT_ERROR;
}
