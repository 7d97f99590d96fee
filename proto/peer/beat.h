/* proto/peer/beat.h: a worker's heartbeat: a thread that does nothing else, on a connection of its own.
 *
 * So a session thread that is busy hashing, or waits for a disk, does not look dead; and a worker whose
 * session thread is stuck for good is found out by its deadlines, not by its heart. All functions may be
 * called from any thread and never wait for the network. */
#ifndef PS_PROTO_PEER_BEAT_H
#define PS_PROTO_PEER_BEAT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/codec.h"
#include "proto/peer/where.h"

#define PS_BEAT_HWM 4 /* beats in libzmq's hands: older ones are worth nothing */

struct ps_beat;

/* Starts the thread, silent until ps_beat_session. 0; PS_ERR_NOMEM; PS_ERR_IO. */
int ps_beat_new(struct ps_beat **ret_self, const struct ps_peer_where *where);
/* Stops and joins the thread. */
void ps_beat_free(struct ps_beat **self_p);

/* After every WELCOME: beats for this session from now on, the first at once, over a new connection. Session
 * 0 falls silent (LOST). token: PS_TOKEN_BYTES. */
void ps_beat_session(struct ps_beat *self, uint64_t session, const uint8_t *token, uint32_t beat_ms);
/* These leases run now (copied; at most PS_WINDOW_MAX are named). 0 or PS_ERR_NOMEM: then the old list stays.
 */
int ps_beat_running(struct ps_beat *self, const struct ps_part_lease_ref *leases, size_t n);

#endif
