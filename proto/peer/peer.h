/* proto/peer/peer.h: a session with the broker, as a master or a worker has it.
 *
 * A peer belongs to one thread and never blocks. It says HELLO until a WELCOME comes, sends a master's PULSE,
 * finds out when the broker is gone (the connection broke, or silence for dead_ms), and comes back by itself
 * with the old session and token. What was put and not acknowledged by a message of its own (ACCEPTED,
 * COMMITTED ...) when a session was lost may be lost: after OPENED and after RESUMED say again what is still
 * open.
 *
 * The loop that it is made for:
 *
 *   for (;;) {
 *       uint64_t wake = ps_peer_tick(peer, ps_clock_mono_ms());    right before poll, always
 *       poll {ps_peer_fd(peer)} until wake
 *       while ((event = ps_peer_recv(peer, &msg, &carried)) != PS_PEER_NOTHING)
 *           ...
 *   } */
#ifndef PS_PROTO_PEER_PEER_H
#define PS_PROTO_PEER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "proto/codec.h"
#include "proto/peer/where.h"

#define PS_PEER_FLUSH_BYTES    (256 * 1024) /* a pending frame, with what it carries, goes out above this */
#define PS_PEER_CARRIED_N      16           /* frames that one message carries at most */
#define PS_PEER_BACKLOG_BYTES  (16 * 1024 * 1024) /* waiting to be sent; above: PS_ERR_BUSY */
#define PS_PEER_HWM            64                 /* frames in libzmq's hands, each way */
#define PS_PEER_BACKOFF_MIN_MS 100                /* between a session's end and the next try */
#define PS_PEER_BACKOFF_MAX_MS 5000
#define PS_PEER_ANSWER_MS      5000 /* a HELLO that was sent is answered within this, or we try anew */
#define PS_PEER_LINGER_MS      1000 /* a BYE has so long to leave */
#define PS_PEER_WHY_MAX        256

struct ps_peer;

struct ps_peer_config {
    struct ps_peer_where where;
    enum ps_role role;
    const char *name;     /* host name and process id; copied, cut at PS_NAME_MAX */
    size_t backlog_bytes; /* 0: PS_PEER_BACKLOG_BYTES; never less than PS_FRAME_MAX */
};

enum ps_peer_event {
    PS_PEER_NOTHING, /* no more now */
    PS_PEER_MESSAGE, /* *ret_msg came; *ret_carried is its frame of bytes when it carries one, else empty */
    PS_PEER_OPENED,  /* a new session; *ret_msg is the WELCOME. Its boot id tells whether the broker is a new
                        one */
    PS_PEER_RESUMED, /* the old session goes on; *ret_msg is the WELCOME */
    PS_PEER_LOST, /* the session is gone, what was put is dropped; a new try follows by itself. ps_peer_why */
    PS_PEER_REFUSED /* a HELLO was turned down; *ret_msg is the REFUSED. Tries go on, PS_PEER_BACKOFF_MAX_MS
                       apart */
};

/* Makes a peer and starts to connect: the first tick may already find a connection.
 * 0; PS_ERR_INVALID with a sentence when libzmq refuses the endpoint or the keys; PS_ERR_NOMEM; PS_ERR_LIMIT.
 */
int ps_peer_new(struct ps_peer **ret_self, const struct ps_peer_config *config, struct ps_error *reterr);
/* Closes; what was flushed has PS_PEER_LINGER_MS to leave, in libzmq's hands. Without a ps_peer_bye before it
 * the broker keeps the session for dead_ms. */
void ps_peer_free(struct ps_peer **self_p);

/* Readable when something is to do. The same descriptor for the peer's whole life; poll it, never read it. */
int ps_peer_fd(const struct ps_peer *self);
/* Does what is due at now_ms (monotonic), flushes, and returns the time by which it wants to be called again;
 * now_ms itself when ps_peer_recv has something. Messages lent before are gone. */
uint64_t ps_peer_tick(struct ps_peer *self, uint64_t now_ms);
/* Takes the next event. Messages and carried bytes are lent until the next call to recv, tick or free. */
enum ps_peer_event ps_peer_recv(struct ps_peer *self, struct ps_msg *ret_msg, struct ps_bytes *ret_carried);

/* Appends a message to the pending frame; the frame leaves by itself at PS_PEER_FLUSH_BYTES and at every
 * tick. 0; PS_ERR_UNAVAILABLE: no session now; PS_ERR_BUSY: the backlog is full, try again after a tick; else
 * as ps_msg_put. */
int ps_peer_put(struct ps_peer *self, const struct ps_msg *msg);
/* The same for a message that carries: data (at most PS_CHUNK_MAX bytes, else PS_ERR_LIMIT) is copied. */
int ps_peer_put_carrying(struct ps_peer *self, const struct ps_msg *msg, const void *data, size_t len);
/* Hands over to libzmq what it takes now; the rest goes at later ticks. 0 or PS_ERR_NOMEM (nothing is lost).
 */
int ps_peer_flush(struct ps_peer *self);
/* Says BYE and flushes: the last thing before ps_peer_free. */
void ps_peer_bye(struct ps_peer *self, const char *reason);
/* Gives the connection up (a message of the broker's made no sense to the caller, ...): LOST follows after
 * the next tick, then a new try. */
void ps_peer_drop(struct ps_peer *self, const char *why);

bool ps_peer_is_open(const struct ps_peer *self);
size_t ps_peer_backlog(const struct ps_peer *self); /* bytes put and not in libzmq's hands */
/* Why the last session was lost or the last try failed: a sentence, "" before the first. Lent until the next
 * call. May hold text of the broker's: quote it. */
const char *ps_peer_why(const struct ps_peer *self);

#endif
