/* cli/engine/orders.h: the commands of `phagescan engine` that go to the workers. Each takes argv with the command's own
 * name first, and returns an exit status. */
#ifndef PS_CLI_ENGINE_ORDERS_H
#define PS_CLI_ENGINE_ORDERS_H

int ps_engine_reload(int argc, char **argv);
int ps_engine_on(int argc, char **argv);
int ps_engine_off(int argc, char **argv);

#endif
