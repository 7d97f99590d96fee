/* broker/core/transfer.h: samples on their way from the master to workers: FETCH up, CHUNK and GONE down.
 *
 * No chunk is stored. What a worker asks for is asked of the master piece by piece, so that no more than
 * transfer_bytes are on their way for it, and no more than transfer_total for all: however much they ask for, they fill
 * neither the broker's buffers nor the master's, and what is urgent has little in front of it on the same connections.
 * Sessions that may have something to ask for stand in a queue and get a piece a turn: nobody starves. What is still
 * missing when a master is replaced is asked of the new one.
 *
 * Invariants: a session's flight_bytes is the sum of what was asked of the master for its fetches, the core's that of
 * all sessions; who could ask within transfer_bytes (ps_transfer_next) stands in the queue. */
#ifndef PS_BROKER_CORE_TRANSFER_H
#define PS_BROKER_CORE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "proto/messages.h"

struct ps_core;
struct ps_event;
struct ps_session;

#define PS_FETCHES_MAX     64    /* per worker; more end its session */
#define PS_FETCH_STALE_MS  5000  /* asked of the master, and nothing came for so long: asked again */
#define PS_FETCH_TRIES     4     /* so often in a row; then it is dropped, and the worker may ask again */
#define PS_FETCHES_ALL_MAX 65536 /* of all workers; more end the session that asks */
#define PS_FETCH_TURN_BYTES \
    (4 * PS_CHUNK_MAX) /* of one sample at a time, where other workers wait for their turn */

struct ps_fetch {
    uint8_t sha256[PS_SHA256_BYTES];
    uint64_t offset;     /* first byte that is missing */
    uint32_t bytes;      /* how many are */
    uint32_t asked;      /* of these, asked of the master */
    uint32_t tries;      /* times that it went stale since a piece came */
    uint64_t moved_ms;   /* when it was asked, or a piece came; core time */
    uint32_t prev, next; /* in the session's list */
};

struct ps_fetch *ps_fetch_at(const struct ps_core *core, uint32_t fetch);
void ps_transfer_fetch(struct ps_core *core, uint32_t session, const struct ps_msg_FETCH *msg);
void ps_transfer_chunk(struct ps_core *core, const struct ps_event *event);
void ps_transfer_gone(struct ps_core *core, const struct ps_event *event);
/* The next fetch of the session that could be asked for within its own limit; 0: there is none. */
uint32_t ps_transfer_next(const struct ps_core *core, const struct ps_session *session);
/* The end of a turn: asks the master for what there is room for. */
void ps_transfers_turn(struct ps_core *core);
/* Forgets what the worker asked for. */
void ps_transfer_clear(struct ps_core *core, uint32_t session);
/* Asks again for what does not come: a master that was interrupted may have answered an older question, in pieces that
 * don't fit. */
void ps_transfers_tick(struct ps_core *core);
/* A new master: asks it for everything that is missing. */
void ps_transfers_resend(struct ps_core *core);

#endif
