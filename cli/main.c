/* phagescan: the command line. Finds the sub-command and gets out of its way. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/text.h"

struct command {
    const char *name;
    const char *prose;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"submit", "scan files and folders, and wait for the verdicts", ps_cmd_submit},
    {"report", "show what is known of a file or a SHA-256", ps_cmd_report},
    {"engines", "list engines, their versions and queues", ps_cmd_engines},
    {"engine", "write a new engine, and try one in its jail", ps_cmd_engine},
    {"workers", "list workers, what they offer and hold", ps_cmd_workers},
    {"keys", "make, allow and remove the keys of workers on other machines", ps_cmd_keys},
    {"up", "start everything on this machine", ps_cmd_up},
    {"down", "stop it", ps_cmd_down},
    {"status", "tell which process is well and which is not", ps_cmd_status},
    {"open", "print a fresh address of the web page", ps_cmd_open},
};

static void usage(FILE *to)
{
    (void)fputs("usage: phagescan COMMAND [OPTION...] [ARGUMENT...]\n\n", to);
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++)
        (void)fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].prose);
    (void)fputs(
        "\n`phagescan COMMAND --help` lists a command's options. PHAGESCAN_URL names another server than "
        "this\n"
        "machine's. Scans exit with 0 for nothing-found or known-good, 1 when something was found, else 2.\n",
        to);
}

/* What could not be printed was not done; a finding stays one. */
static int end(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    (void)fputs("phagescan: standard output can't be written\n", stderr);
    return status == PS_EXIT_FOUND ? status : PS_EXIT_ERROR;
}

int main(int argc, char **argv)
{
    int fd;

    /* A caller may have closed them; what is opened later must not take their place. */
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd > STDERR_FILENO)
        (void)close(fd);
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error code, not a death */

    if (argc >= 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version"))) {
        (void)puts("phagescan " PS_VERSION);
        return PS_EXIT_OK;
    }
    if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
        usage(stdout);
        return PS_EXIT_OK;
    }
    if (argc < 2) {
        usage(stderr);
        return PS_EXIT_ERROR;
    }
    for (size_t i = 0; i < PS_ARRAY_N(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            return end(commands[i].run(argc - 1, argv + 1));

    (void)fputs("phagescan: there is no command \"", stderr);
    (void)ps_text_put(stderr, argv[1], 0);
    (void)fputs("\"; `phagescan --help` lists them\n", stderr);
    return PS_EXIT_ERROR;
}
