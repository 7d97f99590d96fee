/* cli/up/unit.h: one supervised process: its start, readiness, log, end, and when to try again.
 *
 * Belongs to the supervisor's one thread. Never blocks. */
#ifndef PS_CLI_UP_UNIT_H
#define PS_CLI_UP_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "cli/up/accounts.h"

enum ps_unit_state {
    PS_UNIT_WAITING,  /* for the units before it, or for its back-off to pass */
    PS_UNIT_STARTING, /* runs, not ready yet */
    PS_UNIT_READY,
    PS_UNIT_STOPPING, /* was told to end */
    PS_UNIT_STOPPED,
};

#define PS_UNIT_ARGS_MAX       24
#define PS_UNIT_BACKOFF_MIN_MS 500
#define PS_UNIT_BACKOFF_MAX_MS 30000
#define PS_UNIT_STEADY_MS      60000 /* up that long: the next failure starts with the shortest back-off */
#define PS_UNIT_LOG_BYTES      (16 * 1024 * 1024) /* a log at this size becomes .1, and that one goes */
#define PS_UNIT_READY_FD       3 /* where the program finds the pipe to say that it is ready */

struct ps_unit {
    const char *name;                 /* "broker" */
    char *argv[PS_UNIT_ARGS_MAX];     /* owned strings, NULL-ended */
    const struct ps_account *account; /* NULL: stays what the supervisor is */
    int stop_signal;                  /* SIGTERM; SIGINT for PostgreSQL */
    bool says_ready;                  /* gets --ready-fd 3 and writes a line there when it is */
    bool echo;                        /* its log goes to standard error, too */

    enum ps_unit_state state;
    pid_t pid;          /* 0 when it does not run */
    int ready_fd;       /* read end, -1 when there is none */
    int log_fd;         /* read end of its standard error, -1 when there is none */
    int log_file;       /* where that goes, -1 when it could not be opened */
    uint64_t log_bytes; /* in that file */
    char log_path[512];
    int signalled;       /* the signal it got last, while STOPPING */
    uint64_t since_ms;   /* monotonic: when state began */
    uint64_t retry_ms;   /* monotonic: WAITING until then */
    uint64_t backoff_ms; /* next back-off */
    unsigned restarts;   /* times it was started again */
    char last[128];      /* how it ended last: "killed by SIGKILL", "" when it never did */
};

void ps_unit_init(struct ps_unit *self, const char *name, const struct ps_account *account,
                  const char *log_dir);
void ps_unit_fini(struct ps_unit *self);
/* Appends an argument (copied). PS_ERR_LIMIT past PS_UNIT_ARGS_MAX. */
int ps_unit_arg(struct ps_unit *self, const char *arg);

int ps_unit_start(struct ps_unit *self, uint64_t now_ms, struct ps_error *reterr);
void ps_unit_signal(struct ps_unit *self, int sig, uint64_t now_ms);
void ps_unit_is_ready(struct ps_unit *self, uint64_t now_ms);
/* Its process has ended with this wait status: goes to WAITING with back-off, or STOPPED when it was told to.
 */
void ps_unit_ended(struct ps_unit *self, int status, uint64_t now_ms);
/* Moves what it logged into its file, bounded per call. */
void ps_unit_drain_log(struct ps_unit *self);
const char *ps_unit_state_word(enum ps_unit_state state);

#endif
