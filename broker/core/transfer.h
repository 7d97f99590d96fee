/* broker/core/transfer.h: samples on their way from the master to workers: FETCH up, CHUNK and GONE down.
 *
 * No chunk is stored. A worker's FETCHes wait here until what it has asked for and not got is under transfer_bytes,
 * so that no worker can fill the broker's or the master's buffers, and each is split among its chunks: what is still
 * missing when a master is replaced is asked of the new one.
 *
 * Invariant: flight_bytes is the sum of what is missing of the session's fetches that were sent. */
#ifndef PS_BROKER_CORE_TRANSFER_H
#define PS_BROKER_CORE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "proto/messages.h"

struct ps_core;
struct ps_event;

#define PS_FETCHES_MAX     64    /* per worker; more end its session */
#define PS_FETCHES_ALL_MAX 65536 /* of all workers; more end the session that asks */

struct ps_fetch {
    uint8_t sha256[PS_SHA256_BYTES];
    uint64_t offset;     /* first byte that is missing */
    uint32_t bytes;      /* how many are */
    uint32_t prev, next; /* in the session's list */
    bool sent;           /* to the master */
};

struct ps_fetch *ps_fetch_at(const struct ps_core *core, uint32_t fetch);
void ps_transfer_fetch(struct ps_core *core, uint32_t session, const struct ps_msg_FETCH *msg);
void ps_transfer_chunk(struct ps_core *core, const struct ps_event *event);
void ps_transfer_gone(struct ps_core *core, const struct ps_event *event);
/* Forgets what the worker asked for. */
void ps_transfer_clear(struct ps_core *core, uint32_t session);
/* A new master: asks it for everything that is missing. */
void ps_transfers_resend(struct ps_core *core);

#endif
