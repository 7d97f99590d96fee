/* engines/python/interpreter.h: one running Python with phagescan_runner.py: a socket for requests, a pipe for answers,
 * a pipe for what it prints. Belongs to a process that has no other children. */
#ifndef PS_PYTHON_INTERPRETER_H
#define PS_PYTHON_INTERPRETER_H

#include <stdbool.h>
#include <sys/types.h>

#include "engines/kit/kit.h"
#include "engines/python/frame.h"

#define PS_PYTHON_TAIL 2048 /* bytes that are kept of what it printed last */

struct ps_interpreter {
    pid_t pid;                  /* 0 when there is none */
    bool ended;                 /* waited for */
    int status;                 /* once ended */
    int requests, replies, log; /* -1 when there is none */
    struct ps_frame frame;
    char tail[PS_PYTHON_TAIL]; /* of what it printed, the newest last */
    size_t tail_len;
};

struct ps_interpreter_conf {
    const char *python; /* absolute, no link */
    const char *runner; /* phagescan_runner.py */
    const char *mode;   /* card, check, serve, update */
    const char *file;   /* NAME.py */
    const char *tmpdir; /* where it stands and writes */
};

#define PS_INTERPRETER_NONE                      \
    (struct ps_interpreter)                      \
    {                                            \
        .requests = -1, .replies = -1, .log = -1 \
    }

/* Starts one. 0, or -1 with a sentence; ps_interpreter_end is due in any case. */
int ps_interpreter_start(struct ps_interpreter *self, const struct ps_interpreter_conf *conf, char *err,
                         size_t err_max);

/* Sends a request (takes it), with fd when it is not -1. 0, or -1 with a sentence. */
int ps_interpreter_ask(struct ps_interpreter *self, json_t *request, int fd, char *err, size_t err_max);

/* Waits for the next answer: 0 with one to be ended by ps_reply_fini before the next call, or -1 with a sentence: it
 * ended (and how, and what it printed last), or what it wrote is no answer. Waits as long as it takes: time is the
 * host's business. */
int ps_interpreter_next(struct ps_interpreter *self, struct ps_reply *ret_reply, char *err, size_t err_max);

/* Ends it, and as process 1 of a pid namespace whatever runs there besides. */
void ps_interpreter_end(struct ps_interpreter *self);

#endif
