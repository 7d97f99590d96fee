/* tests/interop/mdp_czmq.c: Majordomo peers (MDP/0.1) in C, written from ZeroMQ's RFC 7 on czmq's zsock and zmsg, in the
 * shape that such clients and workers usually have: a REQ that tries again, a DEALER with heartbeats. Nothing of ours.
 *
 *   mdp_czmq client ENDPOINT SERVICE N TIMEOUT-MS TRIES      N requests, one after the other; each reply is checked
 *   mdp_czmq worker ENDPOINT SERVICE HEARTBEAT-MS answer|stuck   until SIGTERM; stuck: takes a request and hangs */
#include <czmq.h>
#include <stdio.h>
#include <string.h>

#define CLIENT   "MDPC01"
#define WORKER   "MDPW01"
#define LIVENESS 3
#define DONE     "done by process"

enum { READY = 1, REQUEST, REPLY, HEARTBEAT, DISCONNECT };

static void say_line(const char *line)
{
    (void)printf("%s\n", line); /* a test that does not read any more is over */
    (void)fflush(stdout);
}

/* ---- client ---- */

struct client {
    const char *endpoint, *service;
    zsock_t *socket;
};

/* A REQ whose request was lost is stuck: so there is a new one. */
static void client_open(struct client *self)
{
    zsock_destroy(&self->socket);
    self->socket = zsock_new_req(self->endpoint);
}

static bool is_answer(zmsg_t *reply, const char *service, const char *body)
{
    zframe_t *frames[] = {zmsg_first(reply), zmsg_next(reply), zmsg_next(reply), zmsg_next(reply)};

    return zmsg_size(reply) == 4 && zframe_streq(frames[0], CLIENT) && zframe_streq(frames[1], service) &&
           zframe_streq(frames[2], DONE) && zframe_streq(frames[3], body);
}

/* 1: answered as it should be; 0: no answer in time; -1: a wrong answer. */
static int client_try(struct client *self, const char *body, int timeout_ms)
{
    zpoller_t *poller = zpoller_new(self->socket, NULL);
    zmsg_t *reply = NULL;
    int result = 0;

    if (zstr_sendx(self->socket, CLIENT, self->service, body, NULL) == 0 && zpoller_wait(poller, timeout_ms))
        reply = zmsg_recv(self->socket);
    if (reply)
        result = is_answer(reply, self->service, body) ? 1 : -1;
    zmsg_destroy(&reply);
    zpoller_destroy(&poller);
    return result;
}

static int client_ask(struct client *self, const char *body, int timeout_ms, int tries)
{
    int result = 0;

    while (result == 0 && tries-- > 0 && !zsys_interrupted) {
        result = client_try(self, body, timeout_ms);
        if (result == 0)
            client_open(self);
    }
    return result;
}

static int run_client(char **args)
{
    struct client self = {.endpoint = args[0], .service = args[1]};
    int n = atoi(args[2]), answered_n = 0;
    char body[32];

    client_open(&self);
    for (int i = 0; i < n; i++) {
        (void)snprintf(body, sizeof(body), "request %d", i); /* fits */
        answered_n += client_ask(&self, body, atoi(args[3]), atoi(args[4])) == 1;
    }
    zsock_destroy(&self.socket);
    (void)printf("%d answered\n", answered_n); /* see say_line */
    return answered_n == n ? 0 : 1;
}

/* ---- worker ---- */

struct worker {
    const char *endpoint, *service;
    int heartbeat_ms;
    bool stuck;
    zsock_t *socket;
    int liveness;
    int64_t beat_ms; /* next heartbeat */
};

/* Takes more, the frames after the command, which may be NULL. */
static void worker_say(struct worker *self, int command, zmsg_t *more)
{
    zmsg_t *msg = more ? more : zmsg_new();
    uint8_t byte = (uint8_t)command;

    zmsg_pushmem(msg, &byte, 1);
    zmsg_pushstr(msg, WORKER);
    zmsg_pushstr(msg, "");
    zmsg_send(&msg, self->socket);
    zmsg_destroy(&msg); /* when it could not be sent */
    self->beat_ms = zclock_mono() + self->heartbeat_ms;
}

static void worker_open(struct worker *self)
{
    zmsg_t *service = zmsg_new();

    zsock_destroy(&self->socket);
    self->socket = zsock_new_dealer(self->endpoint);
    zsock_set_linger(self->socket, 1000);
    zmsg_addstr(service, self->service);
    worker_say(self, READY, service);
    self->liveness = LIVENESS;
}

/* Takes msg: client, "", body. */
static void worker_serve(struct worker *self, zmsg_t *msg)
{
    zframe_t *client = zmsg_unwrap(msg);

    say_line("request");
    if (self->stuck)
        zclock_sleep(INT_MAX); /* the test kills us */
    zmsg_pushstr(msg, DONE);
    zmsg_wrap(msg, client);
    worker_say(self, REPLY, msg);
}

/* Takes msg. */
static void worker_take(struct worker *self, zmsg_t *msg)
{
    char *empty = zmsg_popstr(msg), *protocol = zmsg_popstr(msg);
    zframe_t *command = zmsg_pop(msg);
    int what = command && zframe_size(command) == 1 ? zframe_data(command)[0] : 0;

    assert(empty && !*empty && protocol && streq(protocol, WORKER));
    free(empty);
    free(protocol);
    zframe_destroy(&command);
    self->liveness = LIVENESS;
    if (what == REQUEST) {
        worker_serve(self, msg);
        return;
    }
    assert(what == HEARTBEAT || what == DISCONNECT);
    if (what == DISCONNECT)
        worker_open(self);
    zmsg_destroy(&msg);
}

/* One wait: a message, or a heartbeat without one. */
static void worker_turn(struct worker *self)
{
    zpoller_t *poller = zpoller_new(self->socket, NULL);
    void *ready = zpoller_wait(poller, self->heartbeat_ms);
    zmsg_t *msg = ready ? zmsg_recv(self->socket) : NULL;

    zpoller_destroy(&poller);
    if (msg)
        worker_take(self, msg);
    else if (!zsys_interrupted && --self->liveness == 0)
        worker_open(self);
    if (zclock_mono() >= self->beat_ms)
        worker_say(self, HEARTBEAT, NULL);
}

static int run_worker(char **args)
{
    struct worker self = {.endpoint = args[0],
                          .service = args[1],
                          .heartbeat_ms = atoi(args[2]),
                          .stuck = streq(args[3], "stuck")};

    worker_open(&self);
    say_line("open");
    while (!zsys_interrupted)
        worker_turn(&self);
    worker_say(&self, DISCONNECT, NULL);
    zsock_destroy(&self.socket);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && streq(argv[1], "client"))
        return run_client(argv + 2);
    if (argc == 6 && streq(argv[1], "worker"))
        return run_worker(argv + 2);
    (void)fprintf(stderr, "usage: see the top of mdp_czmq.c\n"); /* nobody else to tell */
    return 2;
}
