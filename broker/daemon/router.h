/* broker/daemon/router.h: the ROUTER socket and the peers behind it: what they say record by record, and what is said to
 * them gathered into one frame a turn.
 *
 * Peers are known by a number of ours; libzmq's routing id is only the address, and only ids that libzmq chose itself
 * are served (a peer that names itself could take the place of one that left). A peer that does not read gets frames
 * kept for it up to backlog_bytes; then it counts as full. One thread.
 *
 * Invariant: a peer's bytes are what waits in its frames; a peer that fell (gone or full) stays until
 * ps_router_fallen has told of it. */
#ifndef PS_BROKER_DAEMON_ROUTER_H
#define PS_BROKER_DAEMON_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/err.h"
#include "proto/codec.h"

#define PS_ROUTER_CARRIED_N 16 /* frames of bytes in one message, each way */
#define PS_ROUTER_FRAME_BYTES \
    (256 * 1024)                   /* a frame is sent when it reaches this, else at the end of the turn */
#define PS_ROUTER_SEND_HWM      64 /* frames in libzmq's hands, a peer */
#define PS_ROUTER_RECEIVE_HWM   256
#define PS_ROUTER_ENDPOINT_MAX  128               /* "tcp://HOST:PORT" with its end */
#define PS_ROUTER_TURN_MESSAGES 256               /* read in one turn */
#define PS_ROUTER_TURN_BYTES    (8 * 1024 * 1024) /* and so much of it */
#define PS_ROUTER_RECEIPT_MS    10                /* a receipt waits so long for company */
#define PS_ROUTER_FORGET_MS     60000 /* a peer without a session is forgotten after so much silence */

struct ps_router;

struct ps_router_config {
    void *context;          /* libzmq's, lent */
    int listen_fd;          /* a listening UNIX socket; taken */
    const char *path;       /* where it listens */
    const char *const *tcp; /* "HOST:PORT" to listen at as well; PORT may be * for any free one */
    size_t tcp_n;
    uint32_t peers_max;   /* numbers 1..peers_max */
    size_t backlog_bytes; /* per peer */
    /* CURVE on TCP: our secret key as Z85, and the ZAP domain that decides who may connect; NULL: none. */
    const char *secret_key, *zap_domain;
    const char *monitor; /* inproc address where handshakes that fail are told; NULL: nowhere */
    /* Whose a message is: user is what ZAP said of its connection (NULL: nothing, as on the UNIX socket). False: the
     * message is dropped. */
    bool (*identify)(void *ctx, const char *user, uint32_t *ret_who);
    /* A whole message came: its records, the frames that they carry (may be moved out). */
    void (*on_message)(void *ctx, uint32_t peer, uint32_t who, struct ps_bytes records, zmq_msg_t *carried,
                       size_t carried_n);
    /* May a silent peer be forgotten? */
    bool (*is_bound)(void *ctx, uint32_t peer);
    void *ctx;
};

/* 0; PS_ERR_NOMEM; PS_ERR_IO with a sentence. */
int ps_router_new(struct ps_router **ret_self, const struct ps_router_config *config,
                  struct ps_error *reterr);
/* Leaves what is sent linger_ms to go out. */
void ps_router_free(struct ps_router **self_p, int linger_ms);
void *ps_router_socket(struct ps_router *self); /* to poll for input */
/* Where it listens on TCP as "tcp://HOST:PORT", i below tcp_n. */
const char *ps_router_tcp(const struct ps_router *self, size_t i);

/* Reads without waiting: up to PS_ROUTER_TURN_MESSAGES messages or PS_ROUTER_TURN_BYTES, so that nobody keeps the core
 * from its turn. Returns how many; *ret_more: it stopped at such a limit. */
size_t ps_router_receive(struct ps_router *self, uint64_t now_ms, bool *ret_more);
/* Appends a record to what the peer gets. */
void ps_router_send(struct ps_router *self, uint32_t peer, const struct ps_msg *msg);
/* Appends an encoded record, and the frame that it carries (moved out of carry, which stays to be closed), if any. */
void ps_router_pass(struct ps_router *self, uint32_t peer, struct ps_bytes record, zmq_msg_t *carry);
/* The peer is to be forgotten after the next flush, unless it speaks before. */
void ps_router_drop(struct ps_router *self, uint32_t peer);
/* Sends what goes; receipts (ACCEPTED, COMMITTED) only in company, after PS_ROUTER_RECEIPT_MS, or with all. True when
 * something waits for a peer that reads too slowly: flush again in a while. */
bool ps_router_flush(struct ps_router *self, bool all);
/* Receipts wait to be sent: flush again within PS_ROUTER_RECEIPT_MS. */
bool ps_router_has_receipts(const struct ps_router *self);
/* The next peer that fell: gone, or full (*ret_full). Forgets it. 0 when there is none. */
uint32_t ps_router_fallen(struct ps_router *self, bool *ret_full);
/* Forgets peers that have been silent and have no session. */
void ps_router_tidy(struct ps_router *self, uint64_t now_ms);

struct ps_router_counts {
    uint32_t peers;
    uint64_t ignored; /* messages of strangers: own routing ids, or no room for one more peer */
    uint64_t denied;  /* messages whose connection has no right to them (any more) */
    uint64_t unsent;  /* records that could not be encoded or kept */
};
struct ps_router_counts ps_router_counts(const struct ps_router *self);

#endif
