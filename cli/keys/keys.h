/* cli/keys/keys.h: the commands below `phagescan keys`; cli/keys.c holds the table. */
#ifndef PS_CLI_KEYS_KEYS_H
#define PS_CLI_KEYS_KEYS_H

/* Each takes argv with its name first ("keys new"), and returns an exit status. */
int ps_keys_broker(int argc, char **argv);
int ps_keys_new(int argc, char **argv);
int ps_keys_allow(int argc, char **argv);
int ps_keys_list(int argc, char **argv);
int ps_keys_remove(int argc, char **argv);

#endif
