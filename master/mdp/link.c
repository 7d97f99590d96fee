#include "master/mdp/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/peer/parts.h"

#define HWM 64 /* messages in libzmq's hands; the dialogue has one and heartbeats */

void ps_mdp_request_close(struct ps_mdp_request *request)
{
    while (request->n > 0)
        (void)zmq_msg_close(&request->parts[--request->n]); /* they are messages */
}

/* ---- out ---- */

static bool put(struct ps_mdp_link *self, const void *data, size_t len, bool more)
{
    int r;

    do
        r = zmq_send(self->socket, data, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    while (r < 0 && errno == EINTR);
    return r >= 0;
}

/* The first frame is refused when the broker takes nothing; those after it are not. What can't be said is not repeated:
 * silence tells the broker. */
static bool begin(struct ps_mdp_link *self, enum ps_mdp_kind kind, bool more)
{
    uint8_t command = (uint8_t)kind;

    return put(self, "", 0, true) && put(self, PS_MDP_WORKER, strlen(PS_MDP_WORKER), true) &&
           put(self, &command, 1, more);
}

static void free_text(void *data, void *hint)
{
    free(data);
}

void ps_mdp_link_reply(struct ps_mdp_link *self, uint64_t now_ms, char *text)
{
    zmq_msg_t body;

    self->busy = false;
    if (zmq_msg_init_data(&body, text, strlen(text), free_text, NULL)) {
        free(text); /* no memory */
        return;
    }
    if (begin(self, PS_MDP_REPLY, true) && put(self, self->client, self->client_len, true) &&
        put(self, "", 0, true))
        while (zmq_msg_send(&body, self->socket, ZMQ_DONTWAIT) < 0 && errno == EINTR)
            ;
    (void)zmq_msg_close(&body); /* empty once sent; else it frees the text */
    self->beat_ms = now_ms + self->where->heartbeat_ms;
}

/* ---- life ---- */

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

/* The one place where the master meets the front's endpoint: keys of CURVE would go in here. No automatic reconnection:
 * a new connection is a new dialogue, which begins with READY (RFC 7), on a new socket. */
int ps_mdp_link_open(struct ps_mdp_link *self, const struct ps_mdp_link_where *where, uint64_t now_ms)
{
    self->where = where;
    self->busy = false;
    self->heard_ms = now_ms;
    self->beat_ms = now_ms + where->heartbeat_ms;
    self->socket = zmq_socket(where->context, ZMQ_DEALER);
    if (!self->socket)
        return PS_ERR_NOMEM;
    if (!set_int(self->socket, ZMQ_LINGER, PS_MDP_LINK_LINGER_MS) ||
        !set_int(self->socket, ZMQ_SNDHWM, HWM) || !set_int(self->socket, ZMQ_RCVHWM, HWM) ||
        zmq_connect(self->socket, where->endpoint) || !begin(self, PS_MDP_READY, true) ||
        !put(self, where->service, strlen(where->service), false)) {
        ps_mdp_link_close(self, false);
        return PS_ERR_IO;
    }
    return 0;
}

void ps_mdp_link_close(struct ps_mdp_link *self, bool say_so)
{
    if (!self->socket)
        return;
    if (say_so)
        (void)begin(self, PS_MDP_DISCONNECT, false); /* else silence tells */
    else
        (void)set_int(self->socket, ZMQ_LINGER, 0);
    (void)zmq_close(self->socket); /* fails for strangers only */
    self->socket = NULL;
    self->busy = false;
}

/* ---- in ---- */

static void take_request(struct ps_mdp_link *self, const struct ps_mdp_message *message, zmq_msg_t *parts,
                         size_t n, struct ps_mdp_request *ret_request)
{
    self->busy = true;
    self->client_len = message->client.len;
    memcpy(self->client, message->client.at, message->client.len);
    ret_request->n = 0;
    for (size_t i = message->body_at; i < n; i++) {
        zmq_msg_t *to = &ret_request->parts[ret_request->n++];

        (void)zmq_msg_init(to); /* neither fails for messages */
        (void)zmq_msg_move(to, &parts[i]);
    }
}

static enum ps_mdp_link_turn understand(struct ps_mdp_link *self, zmq_msg_t *parts, size_t n,
                                        struct ps_mdp_request *ret_request)
{
    struct ps_bytes frames[PS_MDP_FRAMES_N];
    struct ps_mdp_message message;

    if (n > PS_ARRAY_N(frames))
        return PS_MDP_LINK_NOTHING; /* malformed: ignored, as all such */
    for (size_t i = 0; i < n; i++)
        frames[i] = (struct ps_bytes){zmq_msg_data(&parts[i]), zmq_msg_size(&parts[i])};
    if (ps_mdp_read(frames, n, &message) != 0 || message.kind == PS_MDP_HEARTBEAT)
        return PS_MDP_LINK_NOTHING;
    if (message.kind == PS_MDP_REQUEST && !self->busy) {
        take_request(self, &message, parts, n, ret_request);
        return PS_MDP_LINK_ASKED;
    }
    /* DISCONNECT, or valid and not expected: then the broker hears DISCONNECT. */
    ps_mdp_link_close(self, message.kind != PS_MDP_DISCONNECT);
    return PS_MDP_LINK_OVER;
}

enum ps_mdp_link_turn ps_mdp_link_receive(struct ps_mdp_link *self, uint64_t now_ms,
                                          struct ps_mdp_request *ret_request, bool *ret_more)
{
    zmq_msg_t parts[PS_MDP_FRAMES_N];
    size_t n = ps_parts_receive(self->socket, parts, PS_ARRAY_N(parts));
    enum ps_mdp_link_turn turn = PS_MDP_LINK_NOTHING;

    *ret_more = n > 0;
    if (n) {
        self->heard_ms = now_ms;
        turn = understand(self, parts, n, ret_request);
    }
    for (size_t i = 0; i < PS_MIN(n, PS_ARRAY_N(parts)); i++)
        (void)zmq_msg_close(&parts[i]); /* they are messages; those moved out are empty */
    return turn;
}

enum ps_mdp_link_turn ps_mdp_link_tick(struct ps_mdp_link *self, uint64_t now_ms)
{
    if (now_ms - self->heard_ms >= (uint64_t)PS_MDP_LINK_LIVENESS * self->where->heartbeat_ms) {
        ps_mdp_link_close(self, false);
        return PS_MDP_LINK_OVER;
    }
    if (now_ms >= self->beat_ms) {
        (void)begin(self, PS_MDP_HEARTBEAT,
                    false); /* not taken: the broker does not read, its silence will tell */
        self->beat_ms = now_ms + self->where->heartbeat_ms;
    }
    return PS_MDP_LINK_NOTHING;
}
