/* cli/up/desk.h: the supervisor's side of its UNIX socket: takes "status" and "stop", and tells states. Belongs to the
 * supervisor's one thread; never blocks.
 *
 * A client sends a line. To "status" the answer is one JSON line and the end; after "stop", one JSON line at every
 * change until everything has ended. Stopping is for root and for the account that started it. A client that does not
 * read its line, or says nothing while others wait for its place, is dropped. */
#ifndef PS_CLI_UP_DESK_H
#define PS_CLI_UP_DESK_H

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/layout.h"

#define PS_DESK_CLIENTS_MAX 16
#define PS_DESK_FDS         (1 + PS_DESK_CLIENTS_MAX)

struct ps_desk_client {
    int fd;         /* -1: free place */
    bool watches;   /* asked for "stop": hears of every change */
    uint64_t since; /* number of its arrival */
};

struct ps_desk {
    int fd; /* listens; -1 when it does not */
    char path[PS_PATH_MAX + 16];
    struct ps_desk_client clients[PS_DESK_CLIENTS_MAX];
    uint64_t arrivals;
};

void ps_desk_init(struct ps_desk *self);
/* Listens at run/up.sock, for the group when it is not (gid_t)-1. */
int ps_desk_open(struct ps_desk *self, const char *run, gid_t group, struct ps_error *reterr);
void ps_desk_close(struct ps_desk *self);

/* Fills PS_DESK_FDS entries for poll. */
void ps_desk_watch(const struct ps_desk *self, struct pollfd *fds);
/* Looks at what poll found; state is what askers hear. True when somebody who may asked to stop. */
bool ps_desk_turn(struct ps_desk *self, const struct pollfd *fds, const json_t *state);
/* Tells those who asked to stop how far it is. */
void ps_desk_tell(struct ps_desk *self, const json_t *state);

#endif
