/* cli/command.h: the sub-commands of `phagescan`, one file each; cli/main.c holds the table. */
#ifndef PS_CLI_COMMAND_H
#define PS_CLI_COMMAND_H

/* Exit statuses, as clamscan's where a verdict is involved. */
enum ps_exit {
    PS_EXIT_OK = 0,    /* done; for scans: nothing-found or known-good only */
    PS_EXIT_FOUND = 1, /* something malicious or suspicious (wins over errors) */
    PS_EXIT_ERROR = 2, /* an error, bad usage, or an inconclusive verdict */
};

/* Each takes argv with the command's own name first, and returns an exit status. */
int ps_cmd_up(int argc, char **argv);
int ps_cmd_down(int argc, char **argv);
int ps_cmd_status(int argc, char **argv);
int ps_cmd_open(int argc, char **argv);
int ps_cmd_submit(int argc, char **argv);
int ps_cmd_report(int argc, char **argv);
int ps_cmd_engines(int argc, char **argv);
int ps_cmd_engine(int argc, char **argv);
int ps_cmd_workers(int argc, char **argv);
int ps_cmd_keys(int argc, char **argv);

#endif
