/* master/mdp/link.h: one worker of the protocol MDP/0.1, as the broker sees it: a DEALER, a dialogue, one request at a
 * time. One thread. It asks no clock.
 *
 * A link is closed, or idle (READY was said), or busy (a request came, no reply was given). Heartbeats go both ways while
 * it is open. When the broker falls silent or says DISCONNECT the dialogue is over: ps_mdp_link_turn says so, and what
 * was asked for is of use to nobody. */
#ifndef PS_MASTER_MDP_LINK_H
#define PS_MASTER_MDP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "base/err.h"
#include "broker/mdp/frames.h"

#define PS_MDP_LINK_LIVENESS  3    /* silent heartbeats after which the broker is gone */
#define PS_MDP_LINK_LINGER_MS 1000 /* at the end, for what was said last */

struct ps_mdp_link_where {
    void *context;        /* libzmq's, lent */
    const char *endpoint; /* lent */
    const char *service;  /* lent */
    uint32_t heartbeat_ms;
};

/* A request's body, moved out of the link. */
struct ps_mdp_request {
    zmq_msg_t parts[PS_MDP_BODY_N];
    size_t n;
};
void ps_mdp_request_close(struct ps_mdp_request *request); /* n is 0 afterwards */

struct ps_mdp_link {
    const struct ps_mdp_link_where *where;
    void *socket; /* NULL: closed */
    bool busy;
    uint64_t heard_ms, beat_ms; /* the broker's last word; our next heartbeat */
    size_t client_len;
    uint8_t client[PS_MDP_ADDRESS_MAX]; /* who is to have the reply */
};

enum ps_mdp_link_turn { PS_MDP_LINK_NOTHING, PS_MDP_LINK_ASKED, PS_MDP_LINK_OVER };

/* Connects and says READY. 0 or PS_ERR_NOMEM, PS_ERR_IO. */
int ps_mdp_link_open(struct ps_mdp_link *self, const struct ps_mdp_link_where *where, uint64_t now_ms);
/* Reads one message, without waiting. ASKED: *ret_request is the caller's. OVER: the link is closed. NOTHING with
 * *ret_more: one was read, there may be more. */
enum ps_mdp_link_turn ps_mdp_link_receive(struct ps_mdp_link *self, uint64_t now_ms,
                                          struct ps_mdp_request *ret_request, bool *ret_more);
/* Says what is due. OVER: the broker is silent for too long, the link is closed. */
enum ps_mdp_link_turn ps_mdp_link_tick(struct ps_mdp_link *self, uint64_t now_ms);
/* Answers the request and is idle again. Takes text (malloc'd), also when it can't be sent: then the client waits in
 * vain, as RFC 7 has it. */
void ps_mdp_link_reply(struct ps_mdp_link *self, uint64_t now_ms, char *text);
/* Closes it, with a DISCONNECT before when told to. Accepts a closed one. */
void ps_mdp_link_close(struct ps_mdp_link *self, bool say_so);

#endif
