/* broker/mdp/frames.h: the frames of MDP/0.1 (ZeroMQ RFC 7), read and written by broker and worker alike. Pure: no
 * sockets, no state. Any thread.
 *
 * A message is what follows a ROUTER's address frame: an empty frame, the six bytes that say which sub-protocol, and
 * then fields. All lent: by the frames that were read. */
#ifndef PS_BROKER_MDP_FRAMES_H
#define PS_BROKER_MDP_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define PS_MDP_CLIENT       "MDPC01"
#define PS_MDP_WORKER       "MDPW01"
#define PS_MDP_SERVICE_MAX  255 /* bytes of a service's name */
#define PS_MDP_ADDRESS_MAX  255 /* bytes of a routing id: libzmq's own limit */
#define PS_MDP_BODY_N       64  /* frames of a body; with more the message is malformed */
#define PS_MDP_ENVELOPE_N   5   /* frames before a body, at most: "", MDPW01, command, client, "" */
#define PS_MDP_FRAMES_N     (PS_MDP_ENVELOPE_N + PS_MDP_BODY_N)
#define PS_MDP_OWN_SERVICES "mmi." /* services that begin so are the broker's own (RFC 8) */

/* The commands of a worker's dialogue have their number on the wire. */
enum ps_mdp_kind {
    PS_MDP_CLIENT_REQUEST = 0, /* a client's only message */
    PS_MDP_READY = 1,          /* worker: I offer this service */
    PS_MDP_REQUEST = 2,        /* broker to worker */
    PS_MDP_REPLY = 3,          /* worker to broker */
    PS_MDP_HEARTBEAT = 4,
    PS_MDP_DISCONNECT = 5,
};
#define PS_MDP_KINDS_N 6

struct ps_mdp_message {
    enum ps_mdp_kind kind;
    struct ps_bytes service; /* CLIENT_REQUEST, READY */
    struct ps_bytes client;  /* REQUEST, REPLY: the client's address */
    size_t body_at;          /* index of the body's first frame; the number of frames when it has none */
};

/* Reads the n frames of one message. 0, or PS_ERR_PROTO for what is no message of MDP/0.1: a wrong number of frames,
 * an unknown command, a name or address that is empty or too long, a request or reply without a body. */
int ps_mdp_read(const struct ps_bytes *frames, size_t n, struct ps_mdp_message *ret_message);

/* "READY", ...: for logs. Static. */
const char *ps_mdp_word(enum ps_mdp_kind kind);
/* True for the broker's own services. */
bool ps_mdp_is_own(struct ps_bytes service);

#endif
