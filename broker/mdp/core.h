/* broker/mdp/core.h: a Majordomo broker (ZeroMQ RFC 7 and RFC 8) without sockets and clock.
 *
 * One thread. ps_mdp_core_step takes what happened and the time, and calls the functions of struct ps_mdp_actions. It
 * reads message heads only: a body is the caller's, a pointer that the core keeps while the request waits and hands back
 * to `drop` exactly once.
 *
 * A worker is not shown its client's address but a ticket, drawn for each request that is handed out and good for one
 * reply: a routing id tells where libzmq counts, and libzmq ends the process when a peer has chosen the next one.
 *
 * A peer may have a key. What it may do is asked at every message, and again before something is sent to it that waited
 * or was worked on: so nothing goes to one whose key was taken away. Others may do all.
 *
 * Invariants: a request is in the queue of one service, or it is gone (a worker has it; the core keeps no copy). A
 * worker waits in the list of its service, or it works for one client. Nothing grows without a limit (struct
 * ps_mdp_limits). Time stands still for peers while the broker itself sleeps (a gap of more than two heartbeats). */
#ifndef PS_BROKER_MDP_CORE_H
#define PS_BROKER_MDP_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "broker/mdp/frames.h"

#define PS_MDP_HEARTBEAT_MS 2500 /* the RFC's peers use it, and these */
#define PS_MDP_LIVENESS     3    /* silent heartbeats after which a peer is gone */
#define PS_MDP_TICKS        10   /* in a heartbeat */
#define PS_MDP_KEY_TEXT     41   /* a public key in Z85, with its end */
#define PS_MDP_TICKET_BYTES 8
#define PS_MDP_SECRET_BYTES 16

struct ps_mdp_limits {
    uint32_t heartbeat_ms; /* said so often; also what is expected of workers that wait */
    uint32_t liveness;     /* heartbeats */
    uint32_t busy_ms;      /* a worker that says nothing for so long while it works is gone (see README.md) */
    uint32_t wait_ms;      /* a request that waited so long is dropped: its client has given up */
    uint32_t
        services_max;     /* names with a worker or a request; over it: requests dropped, workers sent away */
    uint32_t workers_max; /* over it: sent away */
    uint32_t requests_max; /* that wait for one service; over it its oldest is dropped */
    size_t bytes_max;      /* of bodies that wait; over it the service with most of them loses its oldest */
};

/* Each is called from within ps_mdp_core_step and must not call back. Addresses and names are lent for the call. The
 * three that send return false when the peer is gone, or does not take what it is sent. */
struct ps_mdp_actions {
    void *ctx;
    bool (*request)(void *ctx, struct ps_bytes worker, struct ps_bytes ticket, void *body);
    bool (*reply)(void *ctx, struct ps_bytes client, struct ps_bytes service, void *body);
    bool (*command)(void *ctx, struct ps_bytes worker, enum ps_mdp_kind kind); /* HEARTBEAT, DISCONNECT */
    /* An answer of the broker's own, a body of one frame. */
    void (*answer)(void *ctx, struct ps_bytes client, struct ps_bytes service, const char *text);
    void (*drop)(void *ctx, void *body); /* not needed any more */
    void (*log)(void *ctx, enum ps_log_level level, const char *event, const char *text);
    /* May a peer with that key offer services, or else ask for them? Only for peers with a key. */
    bool (*may)(void *ctx, const char *key, bool offers);
};

enum ps_mdp_event_kind {
    PS_MDP_EVENT_MESSAGE,
    PS_MDP_EVENT_BAD,  /* a peer said what is no message: counted */
    PS_MDP_EVENT_TICK, /* at least every heartbeat_ms / PS_MDP_TICKS */
    PS_MDP_EVENT_STOP, /* workers are told; nothing may follow */
};

struct ps_mdp_event {
    enum ps_mdp_event_kind kind;
    struct ps_bytes from; /* address of the peer */
    const char *key;      /* that the peer proved, lent; NULL: it needs none (the UNIX socket) */
    const struct ps_mdp_message *message; /* MESSAGE */
    struct ps_bytes first;                /* the body's first frame, lent */
    size_t body_n;                        /* frames of the body */
    size_t body_bytes;                    /* what it counts for in bytes_max */
    void *body;                           /* taken; NULL for messages without */
};

struct ps_mdp_counts {
    uint64_t requests, replies; /* that came, and that were delivered */
    uint64_t bad;               /* malformed, ignored */
    uint64_t denied;            /* of keys without the right to it, or not any more: ignored */
    uint64_t unexpected;        /* valid, answered by DISCONNECT */
    uint64_t dropped_limit;     /* requests given up at a limit, or for lack of memory */
    uint64_t dropped_late;      /* requests that waited too long */
    uint64_t undelivered;       /* replies whose client is gone or does not read */
    uint64_t workers_lost;      /* went without a word; each may have taken a request with it */
    size_t waiting_n, waiting_bytes;
    uint32_t services, workers; /* now */
};

struct ps_mdp_core;

/* The RFC's times and the limits of the README. */
void ps_mdp_limits_init(struct ps_mdp_limits *ret_limits);
/* All is copied. secret: random, tickets are made with it. 0 or PS_ERR_NOMEM. */
int ps_mdp_core_new(struct ps_mdp_core **ret_self, const struct ps_mdp_limits *limits,
                    const struct ps_mdp_actions *actions, const uint8_t secret[PS_MDP_SECRET_BYTES],
                    uint64_t now_ms);
/* Drops what waits. */
void ps_mdp_core_free(struct ps_mdp_core **self_p);

/* What happened, at a monotonic time. Never fails: without memory a request is dropped, a worker sent away. */
void ps_mdp_core_step(struct ps_mdp_core *self, uint64_t now_ms, const struct ps_mdp_event *event);

struct ps_mdp_counts ps_mdp_core_counts(const struct ps_mdp_core *self);
/* Looks through all books; aborts when they disagree. For tests and the fuzz target. */
void ps_mdp_core_check(const struct ps_mdp_core *self);

#endif
